"""What `verify` is told of artifacts that are not, or only partly, in the worktree."""

import shutil
from pathlib import Path

import pytest

from gitprov.ops.add import add
from gitprov.ops.evidence_artifacts import ArtifactLooker
from gitprov.ops.init import init
from gitprov.ops.record import compute_record
from gitprov.ops.restore import checkout
from gitprov.verify.evidence import ArtifactEvidence
from gitprov.workspace import Workspace
from tests.support.repos import commit, make_repo, write


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with the artifact `data` of two files, committed, its data gone from disk."""
    repo = make_repo(tmp_path / "repo")
    write(repo, {"data/a/1": "one", "data/b/2": "two"})
    with Workspace.open(str(repo)) as ws:
        init(ws, hooks=False)
        add(ws, [str(repo / "data")])
    commit(repo)
    shutil.rmtree(repo / "data")
    with Workspace.open(str(repo)) as ws:
        ws.cache.execute("DELETE FROM checkouts")
    return repo


def _look(repo: Path, *, deep: bool = False) -> ArtifactEvidence:
    with Workspace.open(str(repo)) as ws:
        head = ws.repo.resolve("HEAD")
        (leaf,) = compute_record(ws, head).artifacts
        return ArtifactLooker(ws, deep=deep, progress=None).look(head, leaf)


def _checkout(repo: Path, part: str) -> None:
    with Workspace.open(str(repo)) as ws:
        checkout(ws, [str(repo / part)])


def test_an_artifact_of_which_only_a_part_is_here_is_not_called_clean(repo: Path) -> None:
    _checkout(repo, "data/a")
    assert not (repo / "data/b").exists()
    assert _look(repo) == ArtifactEvidence("data", "not-checked-out")
    assert _look(repo, deep=True) == ArtifactEvidence("data", "not-checked-out", rehashed=True)


def test_a_change_in_the_part_that_is_here_is_named(repo: Path) -> None:
    _checkout(repo, "data/a")
    (repo / "data/a/1").write_text("other")
    found = _look(repo)
    assert found.state == "modified"
    assert [change.path for change in found.changes] == ["data/a/1"]


def test_all_parts_together_are_the_whole(repo: Path) -> None:
    _checkout(repo, "data/a")
    _checkout(repo, "data/b")
    assert _look(repo) == ArtifactEvidence("data", "clean")
