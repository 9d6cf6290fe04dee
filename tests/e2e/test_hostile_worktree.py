"""Ways to make a worktree look like its manifest when it is not, and to lose the last good copy."""

import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from gitprov.platform.locks import file_lock
from tests.support.cli import GITPROV, environment, gitprov, ok, refused
from tests.support.repos import git, make_repo

BIG = os.urandom(300_000)
GOOD = "the last good copy"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    repo = make_repo(tmp_path / "repo")
    ok(repo, "init")
    (repo / "data" / "sub").mkdir(parents=True)
    (repo / "data" / "a").write_text("a")
    (repo / "data" / "sub" / "b").write_text(GOOD)
    (repo / "data" / "big").write_bytes(BIG)
    ok(repo, "add", "data")
    git(repo, "commit", "-qm", "first")
    return repo


def store_object(repo: Path) -> Path:
    (path,) = (repo / ".git" / "gitprov" / "objects").glob("*/*")
    return path


def damage(repo: Path, content: bytes) -> None:
    """Flips a bit of the one small file with that content, in its pack."""
    for pack in (repo / ".git" / "gitprov" / "packs").glob("*.pack"):
        data = bytearray(pack.read_bytes())
        if content in data:
            data[data.index(content)] ^= 1
            pack.chmod(0o644)
            pack.write_bytes(data)


@pytest.mark.parametrize("spell", [str.upper, lambda name: name[:2] + "//" + name[2:]])
def test_a_link_that_only_looks_like_one_into_the_store_is_found(repo: Path, spell: object) -> None:
    path = store_object(repo)
    name = spell(path.name)  # type: ignore[operator]
    (repo / "data" / "big").unlink()
    (repo / "data" / "big").symlink_to(f"{path.parent}/{name}")
    ended = gitprov(repo, "verify")
    assert ended.code == 1
    assert "data/big" in ended.out


def test_bytes_written_through_a_link_into_the_store_are_found(repo: Path) -> None:
    (repo / ".gitprov.yaml").write_text("store: {link: symlink}\n")
    (repo / "data" / "big").unlink()
    ok(repo, "checkout", "data")
    git(repo, "commit", "-qam", "link")
    assert gitprov(repo, "verify").code == 0
    path = store_object(repo)
    assert (repo / "data" / "big").resolve() == path
    path.chmod(0o644)
    path.write_bytes(BIG[:-1] + bytes([BIG[-1] ^ 1]))
    assert gitprov(repo, "verify").code == 1
    assert gitprov(repo, "status", "--exit-code").code == 1


@pytest.mark.parametrize("name", [".gitprov-tmp-evil/f", ".gitprov-tmp-1-deadbeef-0"])
def test_a_file_with_a_temporary_name_is_no_hidden_data(repo: Path, name: str) -> None:
    path = repo / "data" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("x")
    ended = gitprov(repo, "verify")
    assert ended.code == 1
    assert ".gitprov-tmp-" in ended.out


def test_somebody_elses_file_with_our_prefix_survives_a_checkout(repo: Path) -> None:
    mine = repo / "data" / ".gitprov-tmp-notes"
    mine.write_text("mine")
    (repo / "data" / "a").unlink()
    ok(repo, "checkout", "data")
    assert mine.read_text() == "mine"


def test_ignore_rules_cannot_hide_themselves(repo: Path) -> None:
    (repo / "data" / ".gitprovignore").write_text(".gitprovignore\nevil*\n")
    (repo / "data" / "evil.csv").write_text("x")
    ended = gitprov(repo, "verify")
    assert ended.code == 1
    assert "data/.gitprovignore" in ended.out


def test_a_link_that_climbs_through_another_link_is_refused(repo: Path) -> None:
    (repo / "data" / "p").symlink_to(".")
    (repo / "data" / "esc").symlink_to("p/p/p/../../../etc/passwd")
    refused(repo, "add", "data", code=1, says="data/esc")


def test_a_link_beside_or_above_inside_the_artifact_is_fine(repo: Path) -> None:
    (repo / "data" / "sub" / "up").symlink_to("../a")
    (repo / "data" / "down").symlink_to("sub/b")
    ok(repo, "add", "data")


def test_a_branch_without_the_artifact_does_not_take_the_last_good_copy(repo: Path) -> None:
    tree = git(repo, "hash-object", "-t", "tree", "-w", "/dev/null").strip()
    empty = git(repo, "commit-tree", "-m", "nothing", tree).strip()
    copy = repo / "data" / "sub" / "b"
    git(repo, "checkout", "-q", empty)
    assert not copy.exists()
    git(repo, "checkout", "-q", "main")
    assert copy.read_text() == GOOD
    damage(repo, GOOD.encode())
    git(repo, "checkout", "-q", empty)
    assert copy.read_text() == GOOD
    git(repo, "checkout", "-q", "main")
    ok(repo, "add", "data")
    git(repo, "checkout", "-q", empty)
    assert not copy.exists()


def test_a_pointer_that_is_a_link_does_not_stop_the_others(repo: Path) -> None:
    (repo / "x.prov").symlink_to("data.prov")
    (repo / "data" / "a").unlink()
    ok(repo, "checkout")
    assert (repo / "data" / "a").read_text() == "a"


def test_a_checkout_does_not_replace_the_last_good_copy(repo: Path) -> None:
    (repo / "data" / "sub" / "b").write_text("later")
    ok(repo, "add", "data")
    git(repo, "commit", "-qm", "second")
    git(repo, "checkout", "-q", "HEAD~1")
    damage(repo, GOOD.encode())
    git(repo, "checkout", "-q", "main", "--", "data.prov")
    refused(repo, "checkout", "data", code=2, says="no good copy of what would go from data")
    assert (repo / "data" / "sub" / "b").read_text() == GOOD


def test_remove_does_not_delete_the_last_good_copy(repo: Path) -> None:
    damage(repo, GOOD.encode())
    refused(repo, "remove", "--delete", "data", code=2, says="gitprov add data repairs the store")
    assert (repo / "data" / "sub" / "b").read_text() == GOOD
    assert (repo / "data.prov").exists()
    ok(repo, "add", "data")
    ok(repo, "remove", "--delete", "data")
    assert not (repo / "data").exists()


def test_remove_waits_for_a_checkout_that_is_under_way(repo: Path) -> None:
    with file_lock(str(repo / ".git" / "gitprov-worktree.lock")):
        removing = subprocess.Popen(
            [GITPROV, "remove", "--delete", "data"], cwd=repo, env=environment()
        )
        with pytest.raises(subprocess.TimeoutExpired):
            removing.wait(timeout=3)
        assert (repo / "data" / "a").exists()
    assert removing.wait(timeout=60) == 0
    assert not (repo / "data").exists()


def test_verify_says_how_much_beside_the_recorded_files_is_ignored(repo: Path) -> None:
    (repo / ".gitprovignore").write_text("*.log\n")
    (repo / "data" / "x.log").write_text("x")
    (repo / "data" / "sub" / "y.log").write_text("y")
    ended = ok(repo, "verify")
    assert "2 ignored names beside them are no part of it" in ended.out


def test_a_damaged_cache_does_not_keep_a_link_into_the_store_from_being_known(repo: Path) -> None:
    (repo / ".gitprov.yaml").write_text("store: {link: symlink}\n")
    (repo / "data" / "big").unlink()
    ok(repo, "checkout", "data")
    with sqlite3.connect(repo / ".git" / "gitprov" / "cache.db") as cache:
        cache.execute("DROP TABLE objects")
    cache.close()
    assert "clean" in ok(repo, "status").out
