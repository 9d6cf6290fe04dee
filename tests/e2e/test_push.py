"""Pushing to real remotes: what they get, what stops a push and what does not."""

import time
from pathlib import Path

import pytest

from gitprov.cli import hook
from gitprov.git import sync
from tests.e2e.hook_repos import (
    change_code,
    change_data,
    clone,
    everything_holds,
    gitprov,
    head,
    hook_file,
    is_recorded,
    judged,
    run,
)
from tests.support.repos import bare, git, write


@pytest.fixture
def origin(repo: Path, tmp_path: Path) -> Path:
    """A bare remote of `repo`, with nothing in it yet."""
    path = bare(tmp_path / "the origin.git")
    git(repo, "remote", "add", "origin", str(path))
    return path


def refs(remote: Path) -> dict[str, str]:
    """The remote's refs; the log under a name that does not depend on its key."""
    lines = git(remote, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    pairs = (line.split(" ") for line in lines)
    ours = "refs/gitprov/log/"
    return {"log" if name.startswith(ours) else name: oid for name, oid in pairs}


def evidence(repo: Path) -> dict[str, str]:
    """The notes and the log as they are here."""
    found = refs(repo)
    return {name: found[name] for name in ("refs/notes/gitprov", "log")}


def has_all_evidence(remote: Path, repo: Path) -> bool:
    """Whether the remote has this clone's notes and log as they are."""
    return evidence(repo).items() <= refs(remote).items()


def required(repo: Path) -> None:
    """Makes the policy require the log."""
    text = (repo / ".gitprov.yaml").read_text()
    change_code(repo, text + "policy:\n  required: [tlog]\n", path=".gitprov.yaml")


def anchored(repo: Path, rev: str = "HEAD") -> bool:
    """Whether a signed head of the log covers the commit."""
    [one] = judged(repo, rev)
    return ("anchor:tlog", "pass") in {(f["check"], f["verdict"]) for f in one["findings"]}


def test_a_push_sends_notes_and_a_signed_log_along(repo: Path, origin: Path) -> None:
    ran = run(repo, "git", "push", "-q", "origin", "main")
    assert "gitprov: pushed notes and log to origin" in ran.err
    assert refs(origin)["refs/heads/main"] == head(repo)
    assert has_all_evidence(origin, repo)
    assert anchored(repo)
    everything_holds(repo)
    gitprov(repo, "log", "--check", "origin")


def test_the_second_push_sends_what_is_new(repo: Path, origin: Path) -> None:
    run(repo, "git", "push", "-q", "origin", "main")
    change_data(repo, "two")
    assert not has_all_evidence(origin, repo)
    run(repo, "git", "push", "-q", "origin", "main")
    assert has_all_evidence(origin, repo)
    assert anchored(repo)
    gitprov(repo, "log", "--check", "origin")


def test_a_push_with_nothing_new_sends_nothing_and_says_nothing(repo: Path, origin: Path) -> None:
    run(repo, "git", "push", "-q", "origin", "main")
    before = refs(origin)
    ran = run(repo, "git", "push", "-q", "origin", "main")
    assert "gitprov" not in ran.err
    assert refs(origin) == before


def test_a_remote_added_after_gitprov_is_fetched_with_its_evidence_from_then_on(
    repo: Path, origin: Path
) -> None:
    ran = run(repo, "git", "push", "-q", "origin", "main")
    assert "git fetch origin brings its notes and logs along" in ran.err
    git(origin, "update-ref", "refs/notes/gitprov-other", "refs/heads/main")
    run(repo, "git", "fetch", "-q")
    assert "refs/notes/origin/gitprov-other" in refs(repo)


def test_one_push_runs_the_hook_once(repo: Path, origin: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    hook_file(repo / ".git/hooks/pre-push.legacy", f"echo called >> '{calls}'; cat > /dev/null")
    run(repo, "git", "push", "-q", "origin", "main")
    assert calls.read_text() == "called\n"
    assert hook.PUSHING == sync.PUSHING


def test_several_branches_and_a_tag_in_one_push(repo: Path, origin: Path) -> None:
    git(repo, "checkout", "-q", "-b", "side")
    change_code(repo, "side")
    git(repo, "tag", "-a", "v1", "-m", "v1")
    run(repo, "git", "push", "-q", "origin", "main", "side", "v1")
    assert {"refs/heads/main", "refs/heads/side", "refs/tags/v1"} <= refs(origin).keys()
    assert has_all_evidence(origin, repo)
    everything_holds(repo)


def test_a_push_of_a_tag_alone_records_its_commit(repo: Path, origin: Path) -> None:
    git(repo, "-c", "core.hooksPath=/nonexistent", "commit", "-q", "--allow-empty", "-m", "x")
    assert not is_recorded(repo)
    git(repo, "tag", "-a", "v1", "-m", "v1")
    run(repo, "git", "push", "-q", "origin", "v1")
    assert has_all_evidence(origin, repo)
    everything_holds(repo)


def test_a_tag_of_a_file_can_be_pushed(repo: Path, origin: Path) -> None:
    git(repo, "tag", "file", "HEAD:code.py")
    ran = run(repo, "git", "push", "-q", "origin", "file")
    assert "warning" not in ran.err
    assert "refs/tags/file" in refs(origin)


def test_a_deleted_branch_takes_no_evidence_away(repo: Path, origin: Path) -> None:
    run(repo, "git", "push", "-q", "origin", "main", "main:side")
    ran = run(repo, "git", "push", "-q", "origin", "--delete", "side")
    assert "warning" not in ran.err
    assert "refs/heads/side" not in refs(origin)
    assert has_all_evidence(origin, repo)


def test_a_forced_push_keeps_the_records_of_what_it_replaces(repo: Path, origin: Path) -> None:
    change_code(repo, "two")
    old = head(repo)
    run(repo, "git", "push", "-q", "origin", "main")
    run(repo, "git", "commit", "-q", "--amend", "-m", "rewritten")
    run(repo, "git", "push", "-q", "--force", "origin", "main")
    assert has_all_evidence(origin, repo)
    assert is_recorded(repo, old)
    everything_holds(repo)


@pytest.mark.parametrize("option", ["--dry-run", "-n", "-qn"])
def test_a_dry_run_changes_nothing_there(repo: Path, origin: Path, option: str) -> None:
    ran = run(repo, "git", "push", option, "origin", "main")
    assert "gitprov: a dry run" in ran.err
    assert refs(origin) == {}


@pytest.mark.parametrize("options", [["-o", "n"], ["-on"]])
def test_an_option_with_a_value_is_no_dry_run(repo: Path, origin: Path, options: list[str]) -> None:
    git(origin, "config", "receive.advertisePushOptions", "true")
    ran = run(repo, "git", "push", "-q", *options, "origin", "main")
    assert "dry run" not in ran.err
    assert has_all_evidence(origin, repo)


def test_commits_made_without_the_hooks_are_recorded_when_they_are_pushed(
    repo: Path, origin: Path
) -> None:
    for n in range(3):
        git(
            repo, "-c", "core.hooksPath=/nonexistent", "commit", "-q", "--allow-empty", "-m", f"{n}"
        )
    run(repo, "git", "push", "-q", "origin", "main")
    everything_holds(repo)
    assert has_all_evidence(origin, repo)


def test_a_push_that_the_remote_refuses_still_sent_the_evidence(repo: Path, origin: Path) -> None:
    hook_file(origin / "hooks/update", "case $1 in refs/heads/*) echo no >&2; exit 1 ;; esac")
    ran = run(repo, "git", "push", "-q", "origin", "main", code=1)
    assert "hook declined" in ran.err
    assert has_all_evidence(origin, repo)
    assert "refs/heads/main" not in refs(origin)


def test_a_remote_that_refuses_the_notes_does_not_stop_the_push(repo: Path, origin: Path) -> None:
    hook_file(origin / "hooks/update", "case $1 in refs/notes/*) echo no >&2; exit 1 ;; esac")
    ran = run(repo, "git", "push", "-q", "origin", "main")
    assert "gitprov: warning: origin did not take the notes" in ran.err
    assert refs(origin)["refs/heads/main"] == head(repo)


def test_a_remote_that_refuses_the_notes_stops_the_push_when_the_policy_requires_them(
    repo: Path, origin: Path
) -> None:
    required(repo)
    hook_file(origin / "hooks/update", "case $1 in refs/notes/*) echo no >&2; exit 1 ;; esac")
    ran = run(repo, "git", "push", "-q", "origin", "main", code=1)
    assert "the policy requires" in ran.err
    assert "refs/heads/main" not in refs(origin)
    run(repo, "git", "push", "-q", "--no-verify", "origin", "main")


def test_an_unreachable_place_for_fetching_does_not_stop_the_push(repo: Path, origin: Path) -> None:
    git(repo, "remote", "set-url", "--push", "origin", str(origin))
    git(repo, "remote", "set-url", "origin", "/nonexistent/repo.git")
    ran = run(repo, "git", "push", "-q", "origin", "main")
    assert "gitprov: warning: cannot fetch from origin" in ran.err
    assert refs(origin)["refs/heads/main"] == head(repo)


def test_a_required_policy_with_an_unreachable_place_stops_the_push(
    repo: Path, origin: Path
) -> None:
    required(repo)
    git(repo, "remote", "set-url", "--push", "origin", str(origin))
    git(repo, "remote", "set-url", "origin", "/nonexistent/repo.git")
    ran = run(repo, "git", "push", "-q", "origin", "main", code=1)
    assert "nothing was pushed" in ran.err
    assert refs(origin) == {}


def test_an_unreachable_remote_fails_as_git_fails(repo: Path) -> None:
    git(repo, "remote", "add", "origin", "/nonexistent/repo.git")
    ran = run(repo, "git", "push", "-q", "origin", "main", code=128)
    assert "does not appear to be a git repository" in ran.err


def test_a_remote_that_hangs_is_given_up_in_time(repo: Path, origin: Path, tmp_path: Path) -> None:
    text = (repo / ".gitprov.yaml").read_text()
    write(repo, {".gitprov.yaml": f"{text}hooks:\n  push_seconds: 1\n"})
    hanging = hook_file(tmp_path / "hangs", "exec sleep 60")
    git(repo, "remote", "set-url", "--push", "origin", str(origin))
    git(repo, "remote", "set-url", "origin", f"ext::{hanging} %S")
    began = time.monotonic()
    ran = run(repo, "git", "-c", "protocol.ext.allow=always", "push", "-q", "origin", "main")
    assert time.monotonic() - began < 20
    assert "gitprov: warning: git fetch did not end within 1 s" in ran.err
    assert refs(origin)["refs/heads/main"] == head(repo)


def test_a_push_to_an_address_says_that_notes_need_a_name(repo: Path, tmp_path: Path) -> None:
    place = bare(tmp_path / "unnamed.git")
    ran = run(repo, "git", "push", "-q", place, "main")
    assert "notes and log are pushed to named remotes only" in ran.err
    assert refs(place) == {"refs/heads/main": head(repo)}


def test_two_clones_push_in_turn_and_both_have_everything(
    repo: Path, origin: Path, tmp_path: Path
) -> None:
    run(repo, "git", "push", "-q", "origin", "main")
    other = clone(repo, tmp_path / "other")
    git(other, "remote", "set-url", "origin", str(origin))
    change_code(other, "theirs", path="theirs.py")
    run(other, "git", "push", "-q", "origin", "main")
    change_code(repo, "ours", path="ours.py")
    run(repo, "git", "push", "-q", "origin", "main", code=1)
    run(repo, "git", "pull", "-q", "--rebase", "origin", "main")
    run(repo, "git", "push", "-q", "origin", "main")
    everything_holds(repo)
    assert len(git(origin, "for-each-ref", "refs/gitprov/log").splitlines()) == 2
    run(other, "git", "pull", "-q")
    gitprov(other, "log", "--check", "origin")
    everything_holds(other)


def test_a_copied_key_is_told_and_stops_the_push(repo: Path, origin: Path, tmp_path: Path) -> None:
    run(tmp_path, "cp", "-r", repo, "copy")
    run(repo, "git", "push", "-q", "origin", "main")
    change_code(repo, "ours", path="ours.py")
    run(repo, "git", "push", "-q", "origin", "main")
    copy = tmp_path / "copy"
    change_code(copy, "theirs", path="theirs.py")
    ran = run(copy, "git", "push", "-q", "origin", "main:side", code=1)
    assert "is no beginning of ours" in ran.err
    assert "refs/heads/side" not in refs(origin)


def test_a_push_from_a_subfolder_and_from_a_worktree(
    repo: Path, origin: Path, tmp_path: Path
) -> None:
    write(repo, {"sub/x": "x"})
    git(repo, "add", "sub")
    git(repo, "commit", "-qm", "sub")
    run(repo / "sub", "git", "push", "-q", "origin", "main")
    assert has_all_evidence(origin, repo)
    git(repo, "worktree", "add", "-q", str(tmp_path / "w t"), "-b", "wt")
    change_code(tmp_path / "w t", "wt")
    run(tmp_path / "w t", "git", "push", "-q", "origin", "wt")
    assert has_all_evidence(origin, repo)
    assert refs(origin)["refs/heads/wt"] == head(repo, "wt")


def test_a_push_from_a_shallow_clone(repo: Path, origin: Path, tmp_path: Path) -> None:
    run(repo, "git", "push", "-q", "origin", "main")
    here = tmp_path / "shallow"
    run(tmp_path, "git", "clone", "-q", "--depth=1", f"file://{origin}", here)
    for name in ("user.name", "user.email"):
        git(here, "config", name, "x@example.org")
    gitprov(here, "init")
    change_code(here, "shallow")
    run(here, "git", "push", "-q", "origin", "main")
    everything_holds(here)
    assert refs(origin)["refs/heads/main"] == head(here)
