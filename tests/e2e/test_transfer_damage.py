"""A remote that is damaged in one place: that is named, and all else comes and is restored."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from tests.e2e.test_transfer_notes import NOTES, add_data, add_remote, other_clone, refs
from tests.support.cli import gitprov, ok
from tests.support.repos import bare, clone, commit, git, make_repo, write

DIGEST = f"blake3:{blake3(b'damaged').hexdigest()}"


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """The git remote of a clone that pushed `good`, and then `bad`, whose file says `damaged`."""
    origin = bare(tmp_path / "origin.git")
    ada = make_repo(tmp_path / "ada")
    git(ada, "remote", "add", "origin", str(origin))
    ok(ada, "init", "--no-hooks", "--quiet")
    add_remote(ada)
    add_data(ada, "good", name="good")
    git(ada, "push", "-q", "-u", "origin", "main")
    ok(ada, "push", "--quiet")
    write(ada, {"bad/file": "damaged"})
    ok(ada, "add", "bad", "--quiet")
    commit(ada, message="bad", options=["-q"])
    ok(ada, "record", "--quiet")
    git(ada, "push", "-q")
    ok(ada, "push", "--quiet")
    return origin


@pytest.fixture
def bob(origin: Path) -> Path:
    return other_clone(origin)


def holders(nas: Path) -> Iterator[Path]:
    """The packs that have the file which says `damaged`."""
    return (path for path in (nas / "packs").iterdir() if b"damaged" in path.read_bytes())


def change(path: Path, old: bytes, new: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(old, new))


@pytest.fixture
def damaged(tmp_path: Path) -> None:
    for pack in holders(tmp_path / "nas"):
        change(pack, b"damaged", b"DAMAGED")


@pytest.mark.usefixtures("origin", "damaged")
def test_a_pull_restores_every_artifact_but_the_damaged_one_and_brings_notes(bob: Path) -> None:
    ended = gitprov(bob, "pull")
    assert ended.code == 1
    assert ended.out.splitlines()[-1].split() == ["restored", "good"]
    assert f"does not have what it says: bad/file, {DIGEST}: its bytes have" in ended.err
    assert "hint: nothing of it entered the store" in ended.err
    assert "left as it is, for lack of that: bad\n" in ended.err
    assert (bob / "good/good").read_bytes() == b"good"
    assert not (bob / "bad").exists()
    assert refs(bob, NOTES) == [NOTES]
    ok(bob, "fsck")


@pytest.mark.usefixtures("origin", "damaged")
def test_json_names_what_is_wrong_where_it_lies(bob: Path) -> None:
    wrong = [{"path": "bad/file", "digest": DIGEST, "reason": "its bytes have another digest"}]
    fetched = gitprov(bob, "fetch", "--json")
    assert (fetched.code, fetched.json["wrong"]) == (1, wrong)
    assert len(fetched.json["notes"]["refs"]) == 2
    pulled = gitprov(bob, "pull", "--json")
    assert (pulled.code, pulled.json["wrong"]) == (1, wrong)
    assert (pulled.json["left"], pulled.json["files"], pulled.json["lacking"]) == (["bad"], 2, [])
    # Where nothing else is asked for, nothing is restored, and that is no success either.
    alone = gitprov(bob, "pull", "bad")
    assert (alone.code, len(alone.err.splitlines())) == (1, 2)
    assert "nothing to fetch" not in alone.out


@pytest.mark.usefixtures("origin", "damaged")
def test_a_damaged_artifact_is_refused_to_other_repositories(tmp_path: Path, bob: Path) -> None:
    ended = gitprov(bob, "get", str(bob), "bad", "-o", str(tmp_path / "there"))
    assert ended.code == 1, ended
    assert "does not have what it says: " in ended.err
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("harm", ["changed", "too large"])
@pytest.mark.usefixtures("origin")
def test_a_damaged_index_is_named_and_what_the_others_list_is_restored(
    tmp_path: Path, bob: Path, harm: str
) -> None:
    for pack in holders(tmp_path / "nas"):
        index = tmp_path / "nas/index" / pack.stem
        index.chmod(0o600)
        if harm == "changed":
            index.write_bytes(b"junk")
        else:
            with index.open("r+b") as file:
                file.truncate(257 << 20)
    ended = gitprov(bob, "pull", "--json")
    assert ended.code == 1
    assert (bob / "good/good").read_bytes() == b"good"
    assert ended.json["left"] == ["bad"]
    assert index.name in ended.json["wrong"][0]["reason"]
    assert index.name in ended.err
    assert ended.json["notes"]["problem"] is None
    ok(tmp_path / "ada", "fsck", "--remote", "--repair")
    assert ok(bob, "pull", "--json").json["wrong"] == []
    assert (bob / "bad/file").read_bytes() == b"damaged"


@pytest.mark.usefixtures("origin", "damaged")
def test_what_ci_needs_to_verify_must_be_undamaged(tmp_path: Path) -> None:
    ada = tmp_path / "ada"
    text = (ada / ".gitprov.yaml").read_text()
    (ada / ".gitprov.yaml").write_text(text + "policy:\n  require_data: true\n")
    git(ada, "add", ".gitprov.yaml")
    git(ada, "commit", "-q", "-m", "policy")
    git(ada, "push", "-q")
    late = clone(tmp_path / "origin.git", tmp_path / "late")
    add_remote(late)
    ended = gitprov(late, "pull", "--for-verify")
    assert ended.code == 1
    assert f"bad/file, {DIGEST}" in ended.err
