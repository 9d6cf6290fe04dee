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
    is_recorded,
    log_commits,
    make,
    run,
)
from tests.support.repos import git, isolated_environment, make_repo, write


def test_the_very_first_commit_and_those_after_it_are_recorded(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    gitprov(repo, "init")
    change_code(repo, "one")
    holds(repo)
    change_data(repo, "one")
    everything_holds(repo)
    assert "clean" in gitprov(repo, "status").out


def test_commit_a_records_what_it_staged_itself(repo: Path) -> None:
    write(repo, {"code.py": "two"})
    run(repo, "git", "commit", "-aqm", "all")
    holds(repo)
    assert git(repo, "show", "HEAD:code.py") == "two"


def test_a_partial_commit_leaves_the_rest_staged(repo: Path) -> None:
    write(repo, {"code.py": "two", "other.py": "other"})
    git(repo, "add", "code.py", "other.py")
    run(repo, "git", "commit", "-qm", "part", "code.py")
    holds(repo)
    assert git(repo, "diff", "--cached", "--name-only") == "other.py"


def test_a_partial_commit_looks_at_what_it_commits(repo: Path) -> None:
    write(repo, {"code.py": "two", "key.pem": PEM})
    git(repo, "add", "code.py", "key.pem")
    run(repo, "git", "commit", "-qm", "part", "code.py")
    ran = run(repo, "git", "commit", "-qm", "part", "key.pem", code=1)
    assert "key.pem holds a private key" in ran.err


def test_a_commit_from_a_subfolder_is_recorded(repo: Path) -> None:
    write(repo, {"sub folder/x": "x"})
    git(repo / "sub folder", "add", "x")
    run(repo / "sub folder", "git", "commit", "-qm", "from below")
    holds(repo)


def test_an_empty_commit_is_recorded(repo: Path) -> None:
    run(repo, "git", "commit", "-q", "--allow-empty", "-m", "nothing")
    everything_holds(repo)


def test_an_amended_commit_is_recorded_and_the_old_record_stays(repo: Path) -> None:
    before = head(repo)
    run(repo, "git", "commit", "-q", "--amend", "-m", "again")
    assert head(repo) != before
    holds(repo, "HEAD", before)


def test_an_amend_that_changes_the_data_is_recorded(repo: Path) -> None:
    write(repo, {"data/a.txt": "amended"})
    gitprov(repo, "add", "data")
    run(repo, "git", "commit", "-q", "--amend", "--no-edit")
    everything_holds(repo)
    assert data(repo) == "amended"


def test_no_verify_skips_the_check_but_not_the_record(repo: Path) -> None:
    write(repo, {"data/a.txt": "changed", "code.py": "two"})
    git(repo, "add", "code.py")
    run(repo, "git", "commit", "-qm", "x", code=1)
    run(repo, "git", "commit", "-qm", "x", "--no-verify")
    assert is_recorded(repo)


def test_a_cherry_pick_restores_the_data_that_it_brings(repo: Path) -> None:
    git(repo, "checkout", "-q", "-b", "side")
    picked = change_data(repo, "two")
    git(repo, "checkout", "-q", "main")
    assert data(repo) == "one"
    change_code(repo, "main")
    ran = run(repo, "git", "cherry-pick", picked)
    assert "gitprov: restored data" in ran.err
    assert data(repo) == "two"
    everything_holds(repo)
    change_code(repo, "after")


def test_several_cherry_picks_are_all_recorded(repo: Path) -> None:
    git(repo, "checkout", "-q", "-b", "side")
    for text in ("two", "three"):
        change_code(repo, text, path=f"{text}.py")
    git(repo, "checkout", "-q", "main")
    run(repo, "git", "cherry-pick", "main..side")
    everything_holds(repo)


def test_a_revert_brings_the_old_data_back(repo: Path) -> None:
    change_data(repo, "two")
    ran = run(repo, "git", "revert", "--no-edit", "HEAD")
    assert "gitprov: restored data" in ran.err
    assert data(repo) == "one"
    everything_holds(repo)


def test_a_revert_leaves_changed_data_alone_and_names_it(repo: Path) -> None:
    change_data(repo, "two")
    write(repo, {"data/a.txt": "mine"})
    ran = run(repo, "git", "revert", "--no-edit", "HEAD")
    assert "data was left as it is" in ran.err
    assert data(repo) == "mine"
    assert is_recorded(repo)


def test_a_revert_of_the_first_add_removes_the_data(repo: Path) -> None:
    run(repo, "git", "revert", "--no-edit", "HEAD")
    assert not (repo / "data.prov").exists()
    assert data(repo) is None
    everything_holds(repo)


def test_a_commit_of_code_does_not_restore_anything(repo: Path) -> None:
    write(repo, {"data/a.txt": "mine", "code.py": "two"})
    git(repo, "add", "code.py")
    ran = run(repo, "git", "commit", "-qnm", "x")
    assert ran.err == ""
    assert data(repo) == "mine"


def test_a_stash_and_its_return_leave_the_data_alone(repo: Path) -> None:
    write(repo, {"code.py": "two"})
    run(repo, "git", "stash")
    run(repo, "git", "stash", "pop")
    assert data(repo) == "one"
    run(repo, "git", "commit", "-aqm", "after the stash")
    everything_holds(repo)


def test_patches_that_git_am_applies_are_recorded_at_the_push(repo: Path, tmp_path: Path) -> None:
    change_code(repo, "two")
    patch = git(repo, "format-patch", "--stdout", "-1")
    git(repo, "reset", "-q", "--hard", "HEAD~1")
    run(repo, "git", "am", "-q", input=patch.encode() + b"\n", env={"GIT_COMMITTER_NAME": "B"})
    assert not is_recorded(repo)  # git runs no hook of ours for it
    run(tmp_path, "git", "init", "-q", "--bare", "o.git")
    git(repo, "remote", "add", "origin", str(tmp_path / "o.git"))
    run(repo, "git", "push", "-q", "origin", "main")
    everything_holds(repo)


def test_one_commit_writes_the_log_once(repo: Path) -> None:
    before = log_commits(repo)
    change_code(repo, "two")
    run(repo, "git", "commit", "-q", "--amend", "--no-edit", "--date=2020-01-01T00:00:00Z")
    assert log_commits(repo) == before + 2


def test_a_detached_head_is_recorded(repo: Path) -> None:
    git(repo, "checkout", "-q", "--detach")
    change_code(repo, "two")
    everything_holds(repo)


def test_an_orphan_branch_begins_with_a_recorded_commit(repo: Path) -> None:
    git(repo, "checkout", "-q", "--orphan", "new")
    git(repo, "rm", "-rqf", ".")
    change_code(repo, "fresh")
    assert git(repo, "rev-list", "--count", "HEAD") == "1"
    everything_holds(repo)


def test_a_commit_without_any_identity_for_git_fails_as_git_does(repo: Path) -> None:
    git(repo, "config", "--unset", "user.name")
    git(repo, "config", "--unset", "user.email")
    names = {f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    assert not names & isolated_environment().keys()
    git(repo, "config", "user.useConfigOnly", "true")
    write(repo, {"code.py": "two"})
    ran = run(repo, "git", "commit", "-aqm", "x", code=128)
    assert "gitprov" not in ran.err


def test_an_identity_from_the_command_line_is_enough(repo: Path) -> None:
    git(repo, "config", "--unset", "user.name")
    git(repo, "config", "--unset", "user.email")
    git(repo, "config", "user.useConfigOnly", "true")
    write(repo, {"code.py": "two"})
    run(repo, "git", "-c", "user.name=N", "-c", "user.email=e@x.org", "commit", "-aqm", "x")
    holds(repo)


@pytest.mark.parametrize("config", ["gitprov: 1\nname: x\nunknown: 1\n", "- no mapping\n"])
def test_a_configuration_of_nonsense_stops_the_commit_and_says_where(
    repo: Path, config: str
) -> None:
    write(repo, {".gitprov.yaml": config, "code.py": "two"})
    git(repo, "add", "code.py")
    ran = run(repo, "git", "commit", "-qm", "x", code=1)
    assert "gitprov: error: .gitprov.yaml" in ran.err


def test_a_damaged_note_does_not_stop_a_commit(repo: Path) -> None:
    git(repo, "notes", "--ref", "gitprov", "add", "-f", "-m", "no json", "HEAD")
    change_code(repo, "two")
    holds(repo)


def test_hooks_work_in_a_sha256_repository(tmp_path: Path) -> None:
    repo = make(tmp_path / "r", object_format="sha256")
    run(repo, "git", "commit", "-q", "--amend", "-m", "again")
    git(repo, "checkout", "-q", "-b", "side")
    change_data(repo, "two")
    git(repo, "checkout", "-q", "main")
    assert data(repo) == "one"
    run(repo, "git", "merge", "-q", "--no-ff", "-m", "m", "side")
    assert data(repo) == "two"
    everything_holds(repo)


PEM = (
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIHcHbQpzGKV9PBbBclGyZkXfTC+H68CZKrF3+6UduSwq\n"
    "-----END PRIVATE KEY-----\n"
)
