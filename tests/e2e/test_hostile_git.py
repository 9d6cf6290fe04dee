"""What somebody who may push can put into refs and trees to mislead, stall or break `gitprov`."""

import json
import time
from pathlib import Path

import pytest

from tests.e2e.story import Story, gitprov
from tests.support.repos import commit, git

_SECONDS = 15.0
"""Far more than a verification takes, far less than what these trees stand for."""


def _tree(repo: Path, rows: list[tuple[str, str, str]]) -> str:
    """Makes a tree of (name, type, id) rows."""
    modes = {"tree": "040000", "blob": "100644"}
    text = "".join(f"{modes[kind]} {kind} {oid}\t{name}\n" for name, kind, oid in rows)
    return git(repo, "mktree", input=text.encode())


def _blob(repo: Path, data: bytes) -> str:
    return git(repo, "hash-object", "-w", "--stdin", input=data)


def _bomb(repo: Path, names: list[str], levels: int, innermost: str) -> str:
    """A tree of so many levels, each of which has the one below it under every name."""
    tree = innermost
    for _ in range(levels):
        tree = _tree(repo, [(name, "tree", tree) for name in names])
    return tree


def _put(repo: Path, ref: str, tree: str, *parents: str) -> str:
    options = [word for parent in parents for word in ("-p", parent)]
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    made = git(repo, *who, "commit-tree", tree, "-m", "x", *options)
    git(repo, "update-ref", ref, made)
    return made


def _notes_bomb(repo: Path) -> str:
    note = _blob(repo, b'{"type":"x"}\n')
    innermost = _tree(repo, [(f"{n:02x}", "blob", note) for n in range(10)])
    return _bomb(repo, [f"{n:02x}" for n in range(10)], 19, innermost)


def test_a_tag_does_not_choose_the_policy_in_place_of_a_branch(story: Story) -> None:
    git(story.repo, "fetch", "-q")
    git(story.repo, "tag", "origin/main", story.before)
    ran = gitprov(story.repo, "verify", "--policy-from", "origin/main", "HEAD")
    assert ran.code == 2
    assert "refs/tags/origin/main, refs/remotes/origin/main" in ran.err
    full = gitprov(story.repo, "verify", "--policy-from", "refs/remotes/origin/main", "HEAD")
    assert full.code == 0


def test_a_remotes_notes_that_stand_for_too_many_are_named(story: Story) -> None:
    _put(story.repo, "refs/notes/origin/gitprov", _notes_bomb(story.repo))
    began = time.monotonic()
    failed = story.verify().failed()
    assert time.monotonic() - began < _SECONDS
    assert "refs/notes/origin/gitprov" in failed["record-matches"]


def test_a_remotes_notes_that_stand_for_too_many_do_not_hold_up_a_push(story: Story) -> None:
    ours = git(story.repo, "rev-parse", "refs/notes/gitprov")
    _put(story.origin, "refs/notes/gitprov", _notes_bomb(story.origin))
    change = commit(story.repo, {"train.py": "import more\n"})
    began = time.monotonic()
    git(story.repo, "push", "-q")
    assert time.monotonic() - began < _SECONDS
    assert git(story.origin, "rev-parse", "main") == change
    git(story.repo, "merge-base", "--is-ancestor", ours, "refs/notes/gitprov")


def test_a_log_that_stands_for_too_many_folders_is_named(story: Story) -> None:
    empty = _tree(story.repo, [])
    names = [f"x{n:03}" for n in range(90)]
    ref = "refs/gitprov/remotes/origin/log/0011223344556677"
    _put(story.repo, ref, _bomb(story.repo, names, 8, empty))
    began = time.monotonic()
    failed = story.verify().failed()
    assert time.monotonic() - began < _SECONDS
    assert ref in failed["log"]


@pytest.mark.parametrize("what", ["pointers", "bytes"])
def test_code_that_stands_for_more_than_a_record_can_hold_is_refused(
    story: Story, what: str
) -> None:
    name = "model.safetensors.prov"
    oid = git(story.repo, "rev-parse", f"HEAD:{name}")
    if what == "bytes":
        name, oid = "x", _blob(story.repo, bytes(100_000))
    leaf = _tree(story.repo, [(name, "blob", oid)])
    names, levels = (["a", "b"], 60) if what == "bytes" else ([f"{n}" for n in range(10)], 9)
    _put(story.repo, "refs/heads/x", _bomb(story.repo, names, levels, leaf), story.head)
    began = time.monotonic()
    assert story.verify("--all").code == 1
    ran = gitprov(story.repo, "record", "x")
    assert time.monotonic() - began < 2 * _SECONDS
    assert ran.code == 1
    assert "has more than" in ran.err
    assert what in ran.err


def test_entries_that_the_key_did_not_sign_are_not_held_against_the_log(story: Story) -> None:
    tip = git(story.repo, "rev-parse", story.log_ref)
    copy = "refs/gitprov/remotes/origin/log/" + story.log_ref.rpartition("/")[2]
    commit(story.repo, {"train.py": "1\n"}, "Go on")  # an entry that nobody has signed yet
    longer = git(story.repo, "rev-parse", story.log_ref)
    assert longer != tip
    # A clone without the key sees the longer log at the remote, then the right one.
    git(story.repo, "update-ref", "-d", story.log_ref)
    for name in ("log.pub", "log.key", "heads.json"):
        (story.data_dir / name).unlink(missing_ok=True)
    git(story.repo, "update-ref", copy, longer)
    assert story.verify(story.head).code == 0
    heads = json.loads((story.data_dir / "heads.json").read_text())
    assert [head["size"] for head in heads["origin"].values()] == [2]
    git(story.repo, "update-ref", copy, tip)
    assert story.verify(story.head).code == 0


@pytest.mark.parametrize("below", [b"\xff/log/", b"other/log/"])
def test_a_log_below_another_name_of_the_remote_is_passed_over(story: Story, below: bytes) -> None:
    key_id = story.log_ref.rpartition("/")[2]
    ref = b"refs/gitprov/remotes/origin/log/" + below + key_id.encode()
    git(story.repo, "update-ref", ref, story.log_ref)
    assert story.verify().code == 0
    assert set(json.loads((story.data_dir / "heads.json").read_text())) <= {".", "origin"}


def test_copies_of_a_log_under_many_names_are_one_finding(story: Story) -> None:
    tip = git(story.repo, "rev-parse", story.log_ref)
    place = "refs/gitprov/remotes/origin/log"
    lines = "".join(f"create {place}/{n:016x} {tip}\n" for n in range(1500))
    git(story.repo, "update-ref", "--stdin", input=lines.encode())
    began = time.monotonic()
    failed = story.verify().failed()
    assert time.monotonic() - began < _SECONDS
    assert failed["log"].count("is not that of its name") == 1
