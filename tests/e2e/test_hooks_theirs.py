"""What became an artifact was something else before: git's own file, or DVC's. It stays theirs."""

from pathlib import Path

import pytest

from tests.e2e.hook_repos import gitprov, run
from tests.support.migration import dvc
from tests.support.repos import git, make_repo, write


@pytest.fixture
def moved(tmp_path: Path) -> Path:
    """A repository whose file and folder moved from git to gitprov in the last commit."""
    repo = make_repo(tmp_path / "moved")
    write(repo, {"big.csv": "data", "d/a": "1", "code.py": "x"})
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "in git")
    gitprov(repo, "init")
    git(repo, "rm", "-r", "-q", "--cached", "big.csv", "d")
    write(repo, {"d/b": "2"})
    gitprov(repo, "add", "big.csv", "d")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "artifacts")
    return repo


def test_files_that_git_tracks_in_the_other_commit_are_left_to_git(moved: Path) -> None:
    ran = run(moved, "git", "checkout", "-q", "HEAD~1")
    assert "big.csv" not in ran.err
    assert git(moved, "status", "--short") == ""
    assert (moved / "big.csv").read_text() == "data"
    assert (moved / "d/a").read_text() == "1"
    assert not (moved / "d/b").exists(), "the artifact had it, and git has not"
    run(moved, "git", "checkout", "-q", "main")
    assert git(moved, "status", "--short") == ""
    assert (moved / "d/b").read_text() == "2"
    assert "clean" in gitprov(moved, "status").out


def test_other_versions_that_git_tracks_are_in_nobodys_way(moved: Path) -> None:
    write(moved, {"big.csv": "newer", "d/a": "newer"})
    gitprov(moved, "add", "big.csv", "d")
    git(moved, "commit", "-q", "-a", "-m", "newer")
    ran = run(moved, "git", "checkout", "-q", "HEAD~2")
    assert "left" not in ran.err
    assert git(moved, "status", "--short") == ""
    assert (moved / "big.csv").read_text() == "data"
    run(moved, "git", "checkout", "-q", "main")
    assert (moved / "big.csv").read_text() == "newer"
    assert (moved / "d/a").read_text() == "newer"


def test_a_revert_of_the_move_gives_git_its_files_back(moved: Path) -> None:
    run(moved, "git", "revert", "--no-edit", "HEAD")
    assert git(moved, "status", "--short") == ""
    assert (moved / "big.csv").read_text() == "data"


def test_what_dvc_keeps_in_the_other_commit_is_left_to_dvc(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    write(repo, {"data/one": "1", "data/two": "2"})
    dvc(repo, "init")
    dvc(repo, "add", "data")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "DVC")
    gitprov(repo, "init")
    gitprov(repo, "import-dvc")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "gitprov")
    ran = run(repo, "git", "checkout", "-q", "HEAD~1")
    assert "gitprov: data was left as it is: in this commit DVC keeps it" in ran.err
    assert (repo / "data/two").read_text() == "2"
    run(repo, "git", "checkout", "-q", "main")
    assert "clean" in gitprov(repo, "status").out
