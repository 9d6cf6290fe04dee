"""Ways to make a worktree look like its manifest when it is not, and to lose the last good copy."""

import os
from pathlib import Path

import pytest

from tests.support.cli import gitprov, ok, refused
from tests.support.repos import git, make_repo

BIG = os.urandom(300_000)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    repo = make_repo(tmp_path / "repo")
    ok(repo, "init")
    (repo / "data" / "sub").mkdir(parents=True)
    (repo / "data" / "a").write_text("a")
    (repo / "data" / "sub" / "b").write_text("b")
    (repo / "data" / "big").write_bytes(BIG)
    ok(repo, "add", "data")
    git(repo, "commit", "-qm", "first")
    return repo


def store_object(repo: Path) -> Path:
    (path,) = (repo / ".git" / "gitprov" / "objects").glob("*/*")
    return path


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
    (repo / "data" / "esc").symlink_to("p/p/p/../../../../etc/passwd")
    refused(repo, "add", "data", code=1, says="data/esc")


def test_a_link_beside_or_above_inside_the_artifact_is_fine(repo: Path) -> None:
    (repo / "data" / "sub" / "up").symlink_to("../a")
    (repo / "data" / "down").symlink_to("sub/b")
    ok(repo, "add", "data")


def test_a_branch_without_the_artifact_does_not_take_the_last_good_copy(repo: Path) -> None:
    git(repo, "branch", "-q", "with")
    git(repo, "checkout", "-q", "--orphan", "empty")
    git(repo, "rm", "-rqf", "--cached", ".")
    (repo / "data.prov").unlink()
    (repo / ".gitignore").write_text("/data\n")
    git(repo, "add", ".gitignore")
    git(repo, "commit", "-qm", "nothing")
    git(repo, "checkout", "-qf", "with")
    ok(repo, "checkout", "data")
    for pack in (repo / ".git" / "gitprov" / "packs").iterdir():
        data = bytearray(pack.read_bytes())
        at = data.rindex(b"b")
        pack.chmod(0o644)
        for offset in range(16, len(data)):
            if data[offset : offset + 1] == b"b" and offset == at:
                data[offset] ^= 1
        pack.write_bytes(bytes(data))
    git(repo, "checkout", "-q", "empty")
    assert (repo / "data" / "sub" / "b").read_text() == "b"


def test_a_pointer_that_is_a_link_does_not_stop_the_others(repo: Path) -> None:
    (repo / "x.prov").symlink_to("data.prov")
    (repo / "data" / "a").unlink()
    ok(repo, "checkout")
    assert (repo / "data" / "a").read_text() == "a"
