"""Rebases, merges and pulls, and what the artifacts in the worktree are afterwards."""

from pathlib import Path

import pytest

from tests.e2e.hook_repos import (
    change_code,
    change_data,
    clone,
    data,
    everything_holds,
    gitprov,
    head,
    holds,
    hook_file,
    is_recorded,
    log_commits,
    run,
)
from tests.support.repos import git, write


def editor(folder: Path, script: str) -> dict[str, str]:
    """An editor for the list of an interactive rebase."""
    return {"GIT_SEQUENCE_EDITOR": f"'{hook_file(folder / 'editor', script)}'"}


def diverge(repo: Path) -> None:
    """Three commits on `side`, one of them of data, and one of code on `main`; `side` is HEAD."""
    git(repo, "checkout", "-q", "-b", "side")
    change_code(repo, "1", path="one.py")
    change_data(repo, "side")
    change_code(repo, "3", path="three.py")
    git(repo, "checkout", "-q", "main")
    change_code(repo, "main", path="main.py")
    git(repo, "checkout", "-q", "side")


def test_a_rebase_is_one_batch(repo: Path) -> None:
    diverge(repo)
    before = log_commits(repo)
    run(repo, "git", "rebase", "-q", "main")
    assert log_commits(repo) == before + 1
    everything_holds(repo)
    assert data(repo) == "side"


def test_a_rebase_of_the_older_kind_is_one_batch_too(repo: Path) -> None:
    diverge(repo)
    before = log_commits(repo)
    run(repo, "git", "rebase", "-q", "--apply", "main")
    assert log_commits(repo) == before + 1
    everything_holds(repo)
    assert data(repo) == "side"


def test_a_rebase_restores_the_data_that_the_new_base_brings(repo: Path) -> None:
    git(repo, "checkout", "-q", "-b", "side")
    change_code(repo, "side", path="side.py")
    git(repo, "checkout", "-q", "main")
    change_data(repo, "two")
    git(repo, "checkout", "-q", "side")
    assert data(repo) == "one"
    ran = run(repo, "git", "rebase", "-q", "main")
    assert "restored data" in ran.err
    assert data(repo) == "two"
    everything_holds(repo)


@pytest.mark.parametrize("backend", ["--merge", "--apply"])
def test_a_rebase_that_only_fast_forwards_restores_the_data(repo: Path, backend: str) -> None:
    git(repo, "branch", "side")
    change_data(repo, "two")
    git(repo, "checkout", "-q", "side")
    assert data(repo) == "one"
    run(repo, "git", "rebase", "-q", backend, "main")
    assert data(repo) == "two"
    everything_holds(repo)


def test_commits_made_at_a_stop_of_a_rebase_are_in_the_batch(repo: Path, tmp_path: Path) -> None:
    diverge(repo)
    env = editor(tmp_path, 'sed -i "1s/^pick/edit/" "$1"')
    before = log_commits(repo)
    run(repo, "git", "rebase", "-i", "main", env=env)
    git(repo, "commit", "-q", "--amend", "-m", "amended")
    write(repo, {"extra.py": "extra"})
    git(repo, "add", "extra.py")
    run(repo, "git", "commit", "-qm", "extra")
    assert log_commits(repo) == before
    run(repo, "git", "rebase", "--continue", env={"GIT_EDITOR": "true"})
    assert git(repo, "log", "--format=%s").split("\n")[:4] == [
        "code 3",
        "data side",
        "extra",
        "amended",
    ]
    assert log_commits(repo) == before + 1
    everything_holds(repo)
    assert data(repo) == "side"


def test_a_rebase_may_reword_squash_and_drop(repo: Path, tmp_path: Path) -> None:
    diverge(repo)
    env = editor(tmp_path, 'sed -i "1s/^pick/reword/; 3s/^pick/squash/" "$1"')
    run(repo, "git", "rebase", "-i", "main", env={**env, "GIT_EDITOR": "true"})
    everything_holds(repo)
    env = editor(tmp_path, 'sed -i "2s/^pick/drop/" "$1"')
    run(repo, "git", "rebase", "-i", "HEAD~2", env=env)
    everything_holds(repo)
    assert data(repo) == "one"


def test_a_rebase_stopped_in_the_middle_of_the_data_lets_code_be_committed(
    repo: Path, tmp_path: Path
) -> None:
    diverge(repo)
    env = editor(tmp_path, 'sed -i "1s/^pick/edit/" "$1"')
    run(repo, "git", "rebase", "-i", "main", env=env)
    # The pointer is that of the first commit, the data still that of the branch.
    assert data(repo) == "side"
    write(repo, {"one.py": "again"})
    run(repo, "git", "commit", "-qa", "--amend", "--no-edit")
    run(repo, "git", "rebase", "--continue", env={"GIT_EDITOR": "true"})
    everything_holds(repo)


def test_a_rebase_given_up_leaves_everything_as_it_was(repo: Path) -> None:
    git(repo, "checkout", "-q", "-b", "side")
    change_code(repo, "side")
    change_data(repo, "two")
    git(repo, "checkout", "-q", "main")
    change_code(repo, "main")
    git(repo, "checkout", "-q", "side")
    before = (head(repo), log_commits(repo))
    run(repo, "git", "rebase", "main", code=1)
    run(repo, "git", "rebase", "--abort")
    assert (head(repo), log_commits(repo)) == before
    assert data(repo) == "two"
    holds(repo)
    assert "clean" in gitprov(repo, "status").out


def test_a_conflict_in_a_rebase_is_resolved_and_recorded(repo: Path) -> None:
    git(repo, "checkout", "-q", "-b", "side")
    change_code(repo, "side")
    git(repo, "checkout", "-q", "main")
    change_data(repo, "two")
    change_code(repo, "main")
    git(repo, "checkout", "-q", "side")
    run(repo, "git", "rebase", "main", code=1)
    write(repo, {"code.py": "both"})
    git(repo, "add", "code.py")
    run(repo, "git", "rebase", "--continue", env={"GIT_EDITOR": "true"})
    everything_holds(repo)
    assert data(repo) == "two"


def test_a_merge_commit_is_recorded_and_brings_the_data(repo: Path) -> None:
    diverge(repo)
    git(repo, "checkout", "-q", "main")
    assert data(repo) == "one"
    ran = run(repo, "git", "merge", "-q", "-m", "merge", "side")
    assert "restored data" in ran.err
    assert data(repo) == "side"
    everything_holds(repo)


def test_a_fast_forward_restores_the_data_and_records_nothing(repo: Path) -> None:
    git(repo, "checkout", "-q", "-b", "side")
    change_data(repo, "two")
    git(repo, "checkout", "-q", "main")
    before = log_commits(repo)
    run(repo, "git", "merge", "-q", "--ff-only", "side")
    assert data(repo) == "two"
    assert log_commits(repo) == before
    everything_holds(repo)


def test_a_merge_with_a_conflict_in_code_takes_the_data_along(repo: Path) -> None:
    git(repo, "checkout", "-q", "-b", "side")
    change_code(repo, "side")
    change_data(repo, "two")
    git(repo, "checkout", "-q", "main")
    change_code(repo, "main")
    run(repo, "git", "merge", "side", code=1)
    write(repo, {"code.py": "both"})
    # The pointer is the other branch's already, the data is not: that must not stop the merge.
    ran = run(repo, "git", "commit", "-qam", "merge")
    assert "restored data" in ran.err
    assert data(repo) == "two"
    everything_holds(repo)
    change_code(repo, "after")


def test_changed_data_stops_a_merge_from_being_committed(repo: Path) -> None:
    git(repo, "checkout", "-q", "-b", "side")
    change_code(repo, "side")
    change_data(repo, "two")
    git(repo, "checkout", "-q", "main")
    change_code(repo, "main")
    write(repo, {"data/a.txt": "mine"})
    run(repo, "git", "merge", "side", code=1)
    write(repo, {"code.py": "both"})
    ran = run(repo, "git", "commit", "-qam", "merge", code=1)
    assert "data is not what its staged pointer says" in ran.err
    assert data(repo) == "mine"


def test_a_conflict_in_a_pointer_is_resolved_with_either_side(repo: Path) -> None:
    git(repo, "checkout", "-q", "-b", "side")
    change_data(repo, "side")
    git(repo, "checkout", "-q", "main")
    change_data(repo, "main")
    run(repo, "git", "merge", "side", code=1)
    ran = run(repo, "git", "commit", "-qam", "broken", code=1)
    assert "data.prov is not well formed" in ran.err
    git(repo, "checkout", "--theirs", "data.prov")
    git(repo, "add", "data.prov")
    ran = run(repo, "git", "commit", "-qm", "merge")
    assert data(repo) == "side"
    everything_holds(repo)


def test_a_squash_merge_brings_the_data_before_the_commit(repo: Path) -> None:
    diverge(repo)
    git(repo, "checkout", "-q", "main")
    run(repo, "git", "merge", "-q", "--squash", "side")
    assert data(repo) == "side"
    run(repo, "git", "commit", "-qm", "squashed")
    everything_holds(repo)


def test_a_merge_that_is_given_up_keeps_the_data(repo: Path) -> None:
    git(repo, "checkout", "-q", "-b", "side")
    change_code(repo, "side")
    change_data(repo, "two")
    git(repo, "checkout", "-q", "main")
    change_code(repo, "main")
    run(repo, "git", "merge", "side", code=1)
    run(repo, "git", "merge", "--abort")
    assert data(repo) == "one"
    holds(repo)


def test_a_pull_brings_commits_records_and_data(repo: Path, tmp_path: Path) -> None:
    here = clone(repo, tmp_path / "here")
    change_data(repo, "two")
    run(here, "git", "pull", "-q", "--ff-only")
    assert data(here) == "two"
    holds(here)


def test_a_pull_that_merges_records_the_merge(repo: Path, tmp_path: Path) -> None:
    here = clone(repo, tmp_path / "here")
    change_code(repo, "theirs", path="theirs.py")
    change_code(here, "ours", path="ours.py")
    run(here, "git", "pull", "-q", "--no-rebase", "--no-edit")
    assert len(git(here, "rev-parse", "HEAD^@").split()) == 2
    everything_holds(here)


def test_a_pull_that_rebases_records_the_new_commits(repo: Path, tmp_path: Path) -> None:
    here = clone(repo, tmp_path / "here")
    change_code(repo, "theirs", path="theirs.py")
    change_code(here, "ours", path="ours.py")
    run(here, "git", "pull", "-q", "--rebase")
    assert len(git(here, "rev-parse", "HEAD^@").split()) == 1
    everything_holds(here)


def test_a_reset_and_a_new_commit_hold(repo: Path) -> None:
    change_data(repo, "two")
    git(repo, "reset", "-q", "--soft", "HEAD~1")
    run(repo, "git", "commit", "-qm", "again")
    everything_holds(repo)
    assert is_recorded(repo, "HEAD@{2}")
