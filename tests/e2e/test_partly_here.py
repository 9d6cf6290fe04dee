"""A clone that fetched a part of an artifact, or only its list of files, is in good order."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import gitprov, ok
from tests.support.repos import clone, git, isolated_environment, make_repo, write


@pytest.fixture
def empty_clone(tmp_path: Path) -> Path:
    """A clone whose store has nothing of a folder with three files, and knows where it is."""
    repo = make_repo(tmp_path / "first")
    ok(repo, "init", "--no-hooks")
    ok(repo, "remote", "add", "nas", str(tmp_path / "nas"))
    write(repo, {"data/a/1": bytes(5 << 20), "data/b/2": "2", "data/b/3": "3"})
    ok(repo, "add", "data")
    git(repo, "commit", "-q", "-m", "one")
    ok(repo, "push")
    fresh = clone(repo, tmp_path / "fresh")
    ok(fresh, "init", "--no-hooks")
    ok(fresh, "remote", "add", "nas", str(tmp_path / "nas"))
    return fresh


def test_what_was_never_fetched_is_no_damage(empty_clone: Path) -> None:
    assert ok(empty_clone, "fsck", "--json").json["not_here"] == 3
    ok(empty_clone, "fetch", "--dry-run")  # brings the lists of files
    assert ok(empty_clone, "fsck", "--json").json["not_here"] == 3
    ok(empty_clone, "pull", "data/a")
    ended = ok(empty_clone, "fsck")
    assert "is intact" in ended.out
    assert "2 files of current artifacts are not here; gitprov fetch brings them" in ended.err
    ok(empty_clone, "pull")
    assert "not here" not in ok(empty_clone, "fsck").err


def test_the_status_of_a_fresh_clone_says_what_brings_the_data(empty_clone: Path) -> None:
    ended = gitprov(empty_clone, "status", "--exit-code")
    assert ended.code == 1
    assert ended.out.split()[:3] == ["data", "not", "fetched"]
    assert "problem" not in ended.out
    assert ended.err == "gitprov: hint: gitprov pull fetches them and checks them out\n"
    for known in (0, 3):
        [one] = ok(empty_clone, "status", "--json").json["artifacts"]
        assert (one["state"], one["fetched"], one["problem"]) == ("absent", False, None)
        assert len(one["missing"]) == known
        assert ok(empty_clone, "status").out.count("\n") == 1
        ok(empty_clone, "fetch", "--dry-run")  # brings the lists of files
    ok(empty_clone, "pull")
    assert ok(empty_clone, "status", "--exit-code").err == ""


def test_what_was_checked_out_and_is_lost_is_damage(empty_clone: Path) -> None:
    ok(empty_clone, "pull", "data/a")
    shutil.rmtree(empty_clone / ".git/gitprov/objects")  # a large file has one of its own there
    ended = gitprov(empty_clone, "fsck", "--json")
    assert ended.code == 1
    assert [one["files"] for one in ended.json["problems"]] == [["data/a/1"]]
    assert ended.json["not_here"] == 2
    assert gitprov(empty_clone, "fsck", "--remote").code == 1
    ok(empty_clone, "fsck", "--remote", "--repair")
    assert ok(empty_clone, "fsck", "--json").json["not_here"] == 2


def test_a_store_that_lost_everything_is_damaged(empty_clone: Path) -> None:
    ok(empty_clone, "pull")
    for name in ("objects", "packs"):
        shutil.rmtree(empty_clone / ".git/gitprov" / name)
        (empty_clone / ".git/gitprov" / name).mkdir()
    ended = gitprov(empty_clone, "fsck", "--rebuild-index", "--json")
    assert ended.code == 1
    assert "missing" in [one["kind"] for one in ended.json["problems"]]
    shutil.rmtree(empty_clone / "data")
    assert "not in the store" in ok(empty_clone, "status").out


def test_a_part_cannot_be_added_without_the_list_it_goes_into(empty_clone: Path) -> None:
    write(empty_clone, {"data/b/4": "4"})
    ended = gitprov(empty_clone, "add", "data/b/4")
    assert ended.code == 3
    assert "the list of files of data is not here" in ended.err
    assert "gitprov fetch --path data brings it" in ended.err
    ok(empty_clone, "fetch", "--path", "data", "--dry-run")
    ok(empty_clone, "add", "data/b/4")


def test_a_part_that_was_pulled_is_clean_and_may_be_changed_and_committed(
    empty_clone: Path,
) -> None:
    ok(empty_clone, "install")
    ok(empty_clone, "pull", "data/a")
    [before] = ok(empty_clone, "status", "--json").json["artifacts"]
    assert (before["state"], before["changes"]) == ("partial", [])
    assert (before["problem"], before["missing"]) == (None, [])
    assert ok(empty_clone, "status", "--exit-code").out.count("\n") == 1
    write(empty_clone, {"data/a/new": "new"})
    ok(empty_clone, "add", "data/a/new")
    git(empty_clone, "commit", "-q", "-m", "a file in a part")
    [after] = ok(empty_clone, "status", "--json").json["artifacts"]
    assert (after["state"], after["changes"]) == ("partial", [])
    shutil.rmtree(empty_clone / ".git/gitprov/objects")  # the large file's
    [lost] = ok(empty_clone, "status", "--json").json["artifacts"]
    assert (lost["state"], lost["missing"]) == ("partial", ["data/a/1"])
    (empty_clone / "data/a/1").unlink()
    [gone] = ok(empty_clone, "status", "--json").json["artifacts"]
    assert [one["path"] for one in gone["changes"]] == ["a/1"]


def test_a_commit_says_nothing_of_artifacts_that_never_came(empty_clone: Path) -> None:
    ok(empty_clone, "install")
    write(empty_clone, {"other/x": "1"})
    ok(empty_clone, "add", "other")
    done = subprocess.run(
        ["git", "commit", "-q", "-m", "another artifact"],
        cwd=empty_clone,
        env=isolated_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
