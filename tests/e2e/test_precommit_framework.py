"""The hooks of .pre-commit-hooks.yaml, run by the pre-commit framework itself."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitprov.cli.hook import FRAMEWORK, HOOKS
from tests.e2e.hook_repos import (
    Ran,
    change_code,
    change_data,
    data,
    everything_holds,
    gitprov,
    head,
    holds,
    is_recorded,
    log_commits,
    run,
)
from tests.support.repos import bare, git, make_repo, write

TOP = Path(__file__).resolve().parents[2]
DEFINED: list[dict[str, Any]] = yaml.safe_load((TOP / ".pre-commit-hooks.yaml").read_text())
PRE_COMMIT = (sys.executable, "-m", "pre_commit")
IDS = [hook["id"] for hook in DEFINED]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the framework keeps what it installs."""
    path = tmp_path / "pre-commit home"
    monkeypatch.setenv("PRE_COMMIT_HOME", str(path))
    return path


def configured(repo: Path, config: dict[str, Any]) -> None:
    """Writes and commits the framework's configuration, then installs its hooks."""
    write(repo, {".pre-commit-config.yaml": yaml.safe_dump(config)})
    git(repo, "add", ".pre-commit-config.yaml")
    git(repo, "-c", "core.hooksPath=/nonexistent", "commit", "-q", "-m", "the framework")
    types = [part for name in HOOKS for part in ("-t", name)]
    run(repo, *PRE_COMMIT, "install", *types)


@pytest.fixture
def framed(repo: Path, home: Path) -> Path:
    """A repository whose hooks are the framework's, ours by this checkout's Python."""
    gitprov(repo, "uninstall")
    hooks = []
    for hook in DEFINED:
        words = hook["entry"].split()
        assert words[:2] == ["gitprov", "hook"]
        entry = f"{sys.executable} -P -m gitprov {' '.join(words[1:])}"
        # No installation: that of the real one is tested below.
        kept = {k: v for k, v in hook.items() if k != "minimum_pre_commit_version"}
        hooks.append({**kept, "language": "system", "entry": entry})
    configured(repo, {"repos": [{"repo": "local", "hooks": hooks}]})
    change_code(repo, "framed", path="framed.py")
    return repo


def commit_all(repo: Path, *options: str, code: int = 0) -> Ran:
    """Commits what is changed."""
    return run(repo, "git", "commit", "-qam", "x", *options, code=code)


def test_every_hook_is_offered_with_a_stage_that_we_serve() -> None:
    assert sorted(IDS) == [
        "gitprov-anchor",
        "gitprov-check",
        "gitprov-checkout",
        "gitprov-record",
    ]
    for hook in DEFINED:
        assert set(hook["stages"]) == set(FRAMEWORK[hook["entry"].split()[-1]])
        assert hook["always_run"]
        assert not hook["pass_filenames"]


def test_a_commit_is_recorded(framed: Path) -> None:
    holds(framed)
    before = log_commits(framed)
    change_code(framed, "two")
    assert log_commits(framed) == before + 1
    holds(framed)


def test_a_changed_artifact_and_a_key_are_refused(framed: Path) -> None:
    write(framed, {"data/a.txt": "changed", "code.py": "two"})
    ran = commit_all(framed, code=1)
    assert "data is not what its staged pointer says" in ran.out + ran.err
    gitprov(framed, "add", "data")
    commit_all(framed)
    holds(framed)


def test_a_partial_commit_and_one_of_everything(framed: Path) -> None:
    write(framed, {"code.py": "two", "framed.py": "two"})
    run(framed, "git", "commit", "-qm", "part", "code.py")
    holds(framed)
    commit_all(framed)
    holds(framed)


def test_an_amended_commit_is_recorded(framed: Path) -> None:
    run(framed, "git", "commit", "-q", "--amend", "-m", "again")
    holds(framed)


def test_a_rebase_is_one_batch_and_brings_the_data(framed: Path) -> None:
    git(framed, "checkout", "-q", "-b", "side")
    for n in range(3):
        change_code(framed, f"{n}", path=f"{n}.py")
    git(framed, "checkout", "-q", "main")
    change_data(framed, "two")
    git(framed, "checkout", "-q", "side")
    assert data(framed) == "one"
    before = log_commits(framed)
    run(framed, "git", "rebase", "-q", "main")
    assert log_commits(framed) == before + 1
    holds(framed, "HEAD", "HEAD~1", "HEAD~2", "HEAD~3")
    assert data(framed) == "two"


def test_a_merge_is_recorded_and_brings_the_data(framed: Path) -> None:
    git(framed, "checkout", "-q", "-b", "side")
    change_data(framed, "two")
    git(framed, "checkout", "-q", "main")
    change_code(framed, "main")
    assert data(framed) == "one"
    run(framed, "git", "merge", "-q", "-m", "m", "side")
    assert data(framed) == "two"
    holds(framed)


def test_a_checkout_brings_the_data_and_a_revert_does_too(framed: Path) -> None:
    change_data(framed, "two")
    run(framed, "git", "checkout", "-q", "HEAD~1")
    assert data(framed) == "one"
    run(framed, "git", "checkout", "-q", "main")
    assert data(framed) == "two"
    run(framed, "git", "revert", "--no-edit", "HEAD")
    assert data(framed) == "one"
    holds(framed)


def test_what_was_changed_is_kept_and_named(framed: Path) -> None:
    change_data(framed, "two")
    write(framed, {"data/a.txt": "mine"})
    ran = run(framed, "git", "checkout", "-q", "HEAD~1")
    assert "data was left as it is" in ran.out + ran.err
    assert data(framed) == "mine"


def test_a_push_sends_notes_and_log(framed: Path, tmp_path: Path) -> None:
    place = bare(tmp_path / "o.git")
    git(framed, "remote", "add", "origin", str(place))
    change_code(framed, "two")
    git(framed, "-c", "core.hooksPath=/nonexistent", "commit", "-q", "--allow-empty", "-m", "x")
    for branch in ("main", "HEAD:refs/heads/other"):
        git(framed, "-c", "core.hooksPath=/nonexistent", "commit", "-q", "--allow-empty", "-m", "y")
        ran = run(framed, "git", "push", "origin", branch)
        assert "pushed notes and log to origin" in ran.out + ran.err
        everything_holds(framed)
    there = git(place, "for-each-ref", "--format=%(refname) %(objectname)")
    assert f"refs/notes/gitprov {head(framed, 'refs/notes/gitprov')}" in there
    assert "refs/gitprov/log/" in there
    change_code(framed, "three")
    ran = run(framed, "git", "push", "--dry-run", "origin", "HEAD:refs/heads/third")
    assert "gitprov: a dry run" in ran.out + ran.err


def test_both_ways_at_once_record_once(framed: Path) -> None:
    gitprov(framed, "install")
    before = log_commits(framed)
    change_code(framed, "two")
    assert log_commits(framed) == before + 1
    holds(framed)
    gitprov(framed, "uninstall")
    change_code(framed, "three")
    holds(framed)


def test_the_real_hooks_install_and_run(tmp_path: Path, home: Path) -> None:
    """What .pre-commit-hooks.yaml says, from a git repository, into the framework's own venv."""
    source = make_repo(tmp_path / "gitprov")
    tracked = git(TOP, "ls-files", "-z", "--", "gitprov", "hooks").split("\0")
    for name in [
        *(name for name in tracked if name and (TOP / name).exists()),
        *("pyproject.toml", "README.md", "LICENSE", ".pre-commit-hooks.yaml"),
    ]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(TOP / name, source / name)
    git(source, "add", "-A")
    git(source, "commit", "-qm", "gitprov")
    repo = make_repo(tmp_path / "r")
    hooks = [{"id": one} for one in IDS]
    gitprov(repo, "init", "--no-hooks")
    configured(repo, {"repos": [{"repo": str(source), "rev": head(source), "hooks": hooks}]})
    ran = run(repo, *PRE_COMMIT, "install-hooks", code=None)
    if ran.code and not ({"pip", "install"} - set((ran.out + ran.err).split())):
        reason = next((x for x in ran.out.splitlines() if "ERROR" in x), "pip failed").strip()
        print(f"skipped: the package registry gave nothing: {reason}")
        pytest.skip(f"the package registry gave nothing: {reason}")
    assert ran.code == 0, ran
    change_code(repo, "one")
    assert is_recorded(repo)
    change_data(repo, "one")
    everything = git(repo, "log", "--format=%H", "-2").split()
    holds(repo, *everything)
    write(repo, {"data/a.txt": "changed"})
    ran = run(repo, "git", "commit", "-q", "--allow-empty", "-m", "x", code=1)
    assert "data is not what its staged pointer says" in ran.out + ran.err
