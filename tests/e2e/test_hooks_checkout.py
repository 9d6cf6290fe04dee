from pathlib import Path

import pytest

from tests.e2e.hook_repos import (
    change_code,
    change_data,
    data,
    everything_holds,
    gitprov,
    head,
    holds,
    run,
)
from tests.support.repos import git, write


@pytest.fixture
def two(repo: Path) -> Path:
    """A repository whose branch `two` has another version of the artifact; `main` is HEAD."""
    git(repo, "checkout", "-q", "-b", "two")
    change_data(repo, "two")
    git(repo, "checkout", "-q", "main")
    return repo


@pytest.mark.parametrize("command", [["checkout", "two"], ["switch", "two"]])
def test_changing_the_branch_changes_the_data(two: Path, command: list[str]) -> None:
    assert data(two) == "one"
    ran = run(two, "git", *command)
    assert "gitprov: restored data" in ran.err
    assert data(two) == "two"
    holds(two)
    run(two, "git", "checkout", "-q", "-")
    assert data(two) == "one"
    assert "clean" in gitprov(two, "status").out


def test_a_checkout_of_an_old_commit_brings_its_data(two: Path) -> None:
    run(two, "git", "checkout", "-q", "two")
    run(two, "git", "checkout", "-q", "HEAD~1")
    assert data(two) == "one"
    holds(two)


def test_changed_files_are_kept_and_named(two: Path) -> None:
    write(two, {"data/a.txt": "mine", "data/new.txt": "new"})
    ran = run(two, "git", "checkout", "-q", "two")
    assert "gitprov: data was left as it is" in ran.err
    assert "data/a.txt" in ran.err
    assert data(two) == "mine"
    assert (two / "data/new.txt").read_text() == "new"
    ran = gitprov(two, "verify", code=1)
    assert "data/a.txt" in ran.out


def test_data_that_is_not_in_the_store_is_left_and_named(two: Path) -> None:
    run(two, "rm", "-rf", ".git/gitprov/packs", ".git/gitprov/objects", ".git/gitprov/index.db")
    ran = run(two, "git", "checkout", "-q", "two")
    assert "data is not in the store, so it was left as it is" in ran.err
    assert data(two) == "one"


def test_a_branch_without_the_artifact_takes_it_away_and_the_way_back_returns_it(
    repo: Path,
) -> None:
    ran = run(repo, "git", "checkout", "-q", "HEAD~1")
    assert "removed data" in ran.err
    assert data(repo) is None
    run(repo, "git", "checkout", "-q", "main")
    assert data(repo) == "one"
    holds(repo)


def test_restoring_may_be_switched_off(two: Path) -> None:
    text = (two / ".gitprov.yaml").read_text()
    write(two, {".gitprov.yaml": text + "hooks:\n  restore: off\n"})
    ran = run(two, "git", "checkout", "-q", "two")
    assert ran.err == ""
    assert data(two) == "one"


def test_a_checkout_of_a_file_restores_nothing(two: Path) -> None:
    run(two, "git", "checkout", "-q", "two", "--", "data.prov")
    assert data(two) == "one"
    ran = run(two, "git", "commit", "-qm", "x", code=1)
    assert "gitprov checkout data" in ran.err
    gitprov(two, "checkout", "data")
    run(two, "git", "commit", "-qm", "x")
    everything_holds(two)


def test_a_damaged_pointer_is_named_and_nothing_is_lost(two: Path) -> None:
    git(two, "checkout", "-q", "-b", "broken")
    write(two, {"data.prov": "nonsense\n"})
    git(two, "commit", "-qnam", "broken")
    git(two, "checkout", "-q", "two")
    ran = run(two, "git", "checkout", "-q", "broken")
    assert "the pointer data.prov is not well formed" in ran.err
    assert data(two) == "two"


def test_a_repository_without_artifacts_is_left_in_peace(repo: Path) -> None:
    git(repo, "rm", "-q", "data.prov", ".gitignore")
    git(repo, "commit", "-qm", "none")
    run(repo, "rm", "-rf", "data")
    git(repo, "branch", "other")
    ran = run(repo, "git", "checkout", "-q", "other")
    assert ran.err == ""


def test_a_bisection_goes_through_the_versions_of_the_data(repo: Path) -> None:
    first = head(repo)
    for text in ("two", "three", "four"):
        change_data(repo, text)
        change_code(repo, text)
    run(repo, "git", "bisect", "start", "HEAD", first)
    run(repo, "git", "bisect", "run", "grep", "-q", "one\\|two\\|three", "data/a.txt")
    bad = git(repo, "log", "-1", "--format=%s", "refs/bisect/bad")
    assert bad == "data four"
    run(repo, "git", "bisect", "reset")
    assert data(repo) == "four"
