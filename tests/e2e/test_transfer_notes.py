"""Notes and log travel with the data: push, fetch and pull, alone and when two clones race."""

import multiprocessing
import subprocess
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from gitprov.git.log import LogReader, known_logs
from gitprov.git.notes import Notes
from gitprov.git.repo import Repository
from tests.support.cli import gitprov, ok, refused
from tests.support.repos import bare, clone, commit, git, make_repo, write

ROUNDS = 20
NOTES = "refs/notes/gitprov"


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    return bare(tmp_path / "origin.git")


@pytest.fixture
def ada(tmp_path: Path, origin: Path) -> Path:
    """A clone with one commit of data, recorded, whose git remote has the commit and no notes."""
    repo = make_repo(tmp_path / "ada")
    git(repo, "remote", "add", "origin", str(origin))
    ok(repo, "init", "--no-hooks", "--quiet")
    add_data(repo, "one")
    git(repo, "push", "-q", "-u", "origin", "main")
    add_remote(repo)
    return repo


def add_remote(repo: Path) -> None:
    ok(repo, "remote", "add", "nas", repo.parent / "nas", "--quiet")


def add_data(repo: Path, text: str, name: str = "data") -> str:
    write(repo, {f"{name}/{text}": text, f"{name}/same": "same"})
    ok(repo, "add", name, "--quiet")
    done = commit(repo, message=text, options=["-q"])
    ok(repo, "record", "--quiet")
    return done


def other_clone(origin: Path, name: str = "bob") -> Path:
    repo = clone(origin, origin.parent / name)
    add_remote(repo)
    return repo


def refs(repo: Path, *patterns: str) -> list[str]:
    return git(repo, "for-each-ref", "--format=%(refname)", *patterns).splitlines()


def test_push_sends_notes_and_a_signed_log_and_pull_brings_them(ada: Path, origin: Path) -> None:
    sent = ok(ada, "push", "--json").json["notes"]
    assert sent["remote"] == "origin"
    assert sent["problem"] is None
    assert len(sent["refs"]) == 2
    assert refs(origin, NOTES, "refs/gitprov") == sent["refs"]
    bob = other_clone(origin)
    assert gitprov(bob, "verify").code == 3
    brought = ok(bob, "pull", "--json").json["notes"]
    assert brought == sent
    assert refs(bob, NOTES) == [NOTES]
    report = ok(bob, "verify", "--json").json
    passed = {f["check"] for f in report["commits"][0]["findings"] if f["verdict"] == "pass"}
    assert {"record-matches", "artifacts", "log", "anchor:tlog"} <= passed
    assert ok(bob, "pull", "--json").json["notes"]["refs"] == []
    assert ok(ada, "push", "--json").json["notes"]["refs"] == []


def test_fetch_brings_them_too_and_says_so(ada: Path, origin: Path) -> None:
    assert "sent notes and log to origin" in ok(ada, "push").out
    bob = other_clone(origin)
    assert "fetched notes and log from origin" in ok(bob, "fetch").out
    assert "notes" not in ok(bob, "fetch").out


@pytest.mark.parametrize("option", ["--no-notes", "--dry-run"])
def test_they_stay_when_they_are_not_wanted_and_in_a_dry_run(
    ada: Path, origin: Path, option: str
) -> None:
    before = git(ada, "for-each-ref")
    assert ok(ada, "push", option, "--json").json["notes"] is None
    assert git(ada, "for-each-ref") == before
    assert refs(origin) == ["refs/heads/main"]
    ok(ada, "push")
    bob = other_clone(origin)
    for verb in ("pull", "fetch"):
        assert ok(bob, verb, option, "--json").json["notes"] is None
    assert refs(bob, "refs/notes", "refs/gitprov") == []


def test_without_a_git_remote_nothing_is_said(ada: Path) -> None:
    git(ada, "remote", "remove", "origin")
    done = ok(ada, "push", "--json")
    assert done.json["notes"] is None
    assert done.err == ""


def test_the_git_remote_is_the_one_that_git_would_take(ada: Path, tmp_path: Path) -> None:
    fork = bare(tmp_path / "fork.git")
    git(ada, "remote", "add", "fork", str(fork))
    git(ada, "config", "branch.main.pushRemote", "fork")
    assert ok(ada, "push", "--json").json["notes"]["remote"] == "fork"
    assert NOTES in refs(fork)
    assert ok(ada, "fetch", "--json").json["notes"]["remote"] == "origin"
    git(ada, "checkout", "-q", "--detach")
    assert ok(ada, "push", "--json").json["notes"]["remote"] == "origin"


def test_a_git_remote_that_is_away_is_told_and_the_data_has_travelled(
    ada: Path, origin: Path
) -> None:
    away = origin.rename(origin.parent / "away.git")
    ended = gitprov(ada, "push")
    assert ended.code == 3
    assert "sent 3 objects" in ended.out
    assert "gitprov: notes and log: cannot fetch from origin" in ended.err
    assert "--no-notes" in ended.err
    assert gitprov(ada, "push", "--json").json["notes"]["problem"].startswith("cannot fetch")
    ok(ada, "push", "--no-notes")
    away.rename(origin)
    assert len(ok(ada, "push", "--json").json["notes"]["refs"]) == 2


def test_a_log_that_was_cut_at_the_remote_is_a_verdict(ada: Path, origin: Path) -> None:
    ok(ada, "push")
    [log] = refs(origin, "refs/gitprov/log")
    first = git(origin, "rev-parse", log)
    add_data(ada, "two")
    ok(ada, "push")
    bob = other_clone(origin)
    ok(bob, "fetch")
    git(origin, "update-ref", log, first)
    ended = gitprov(bob, "fetch")
    assert ended.code == 1
    assert "the log was cut" in ended.err
    assert "nothing to fetch: the store has all" in ended.out


def test_push_and_pull_need_no_worktree_of_their_own(ada: Path, origin: Path) -> None:
    """A bare repository has branches and a store, so it can push; only a pull needs files."""
    ok(ada, "push")
    mirror = clone(origin, origin.parent / "mirror.git", "--bare")
    ok(mirror, "remote", "add", "nas", ada.parent / "nas")
    assert ok(mirror, "fetch", "--json").json["objects"] == 3
    assert ok(mirror, "push", "--json").json["objects"] == 0
    refused(mirror, "pull", code=2, says="this needs a worktree")


def _rounds(folder: str, name: str, barrier: Barrier) -> None:
    repo = Path(folder)
    for number in range(ROUNDS):
        add_data(repo, f"{name}{number}", name)
        barrier.wait(timeout=30)
        if number % 4 == 3:  # git's own push, through the hook, beside the other's
            subprocess.run(["git", "push", "-q", "origin", name], cwd=repo, check=True)
        ended = gitprov(repo, "push", "--quiet")
        assert ended.code == 0, ended


def test_two_clones_that_push_at_once_lose_nothing(ada: Path, origin: Path) -> None:
    ok(ada, "push")  # what bob has not fetched, he cannot send
    clones = {"ada": ada, "bob": other_clone(origin)}
    for name, repo in clones.items():
        ok(repo, "init", "--quiet")
        git(repo, "checkout", "-q", "-b", name)
        git(repo, "config", "core.hooksPath", str(repo / ".git" / "hooks"))
        (repo / ".git" / "hooks" / "post-commit").unlink()  # `record` below is quicker
        (repo / ".git" / "hooks" / "pre-commit").unlink()
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    running = [
        spawn.Process(target=_rounds, args=(str(repo), name, barrier))
        for name, repo in clones.items()
    ]
    for process in running:
        process.start()
    for process in running:
        process.join()
        assert process.exitcode == 0
    third = other_clone(origin, "third")
    ok(third, "fetch", "--all")
    commits = git(third, "rev-list", "--all", "--remotes=origin").split()
    with Repository.discover(str(third)) as seen:
        recorded = {one for one, lines in Notes(seen).lines_many(commits).items() if lines}
        logs = [LogReader(seen.objects, log.ref, log.commit) for log in known_logs(seen)]
    assert recorded >= {c for r in clones.values() for c in git(r, "rev-list", "main..").split()}
    assert sorted(log.size for log in logs) == [ROUNDS, ROUNDS + 1]
    assert (
        ok(third, "verify", "--all", "--deep", "--require-data", "--json").json["verdict"] == "pass"
    )
