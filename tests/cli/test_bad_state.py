"""What a damaged or hostile repository and store get, and files that cannot be read."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from blake3 import blake3

from gitprov.core.digest import Digest
from gitprov.model.entry import Entry, manifest_root
from gitprov.model.manifest import encode
from gitprov.model.pointer import Pointer
from gitprov.store.local import LocalStore
from tests.support.cli import environment, gitprov, ok, refused
from tests.support.datasets import LARGE, everything, large_object, make, with_record
from tests.support.repos import git, make_repo, write

NONSENSE: dict[str, str | bytes] = {
    "words": "hello\n",
    "half": "gitprov: 1\npath: data\n",
    "version": "gitprov: 9\n",
    "conflict": "<<<<<<< HEAD\ngitprov: 1\n=======\ngitprov: 1\n>>>>>>> other\n",
    "binary": b"\xff\0gitprov",
    "large": "gitprov: 1\n" * 5000,
}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make(tmp_path / "repo")


@pytest.fixture
def data(repo: Path) -> Path:
    return with_record(repo)


# ---------------------------------------------------------------- reading


def as_nobody(repo: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Runs gitprov as a user without rights; the interpreter may lie where only root can look."""
    code = (
        "import os, sys\n"
        "import click, blake3, msgspec, importlib, pkgutil, gitprov.cli, gitprov.ops\n"
        "for package in (gitprov.cli, gitprov.ops):\n"
        "    for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if 'demo' not in found.name: importlib.import_module(found.name)\n"
        "import gitprov.store.local, gitprov.worktree.statcache, gitprov.git.tree_digest\n"
        "import gitprov.config, encodings.idna, difflib, json, yaml, gitprov.platform.sqlite\n"
        "from gitprov.cli.main import run\n"
        "os.setgid(65534); os.setgroups([]); os.setuid(65534)\n"
        "code = run(sys.argv[1:]); sys.stdout.flush(); sys.stderr.flush(); os._exit(code)\n"
    )
    env = environment(GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="safe.directory")
    return subprocess.run(
        [sys.executable, "-c", code, *args],
        cwd=repo,
        env={**env, "GIT_CONFIG_VALUE_0": "*"},
        capture_output=True,
        text=True,
        check=False,
    )


def open_up(folder: Path) -> None:
    """Lets everybody change everything below a folder, and come to it."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o777 if path.is_dir() else 0o666)
    for above in folder.parents:
        if above.stat().st_uid == os.geteuid() and str(above).startswith("/tmp/"):
            above.chmod(above.stat().st_mode | 0o711)


root_only = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")


@pytest.mark.root
@root_only
def test_a_file_that_cannot_be_read_is_named(data: Path) -> None:
    write(data, {"data/secret": "1"})
    open_up(data)
    (data / "data/secret").chmod(0)
    before = everything(data)
    ended = as_nobody(data, "add", "data")
    assert ended.returncode == 4, ended
    assert "cannot read data/secret: Permission denied" in ended.stderr
    assert everything(data) == before
    ended = as_nobody(data, "status")
    assert ended.returncode == 0, ended
    assert "data/secret" in ended.stdout or "secret" in ended.stdout


@pytest.mark.root
@root_only
def test_a_store_that_only_lets_itself_be_read_still_serves(tmp_path: Path) -> None:
    store = tmp_path / "store"
    repo = make_repo(tmp_path / "repo")
    ok(repo, "init", "--no-hooks", "--store", store)
    write(repo, {"data/a": "1", "data/large": b"x" * LARGE})
    ok(repo, "add", "data")
    open_up(repo)
    for path in (store, *store.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    for path in (repo / "data/a", repo / "data/large"):
        path.unlink()
    for verb in ("checkout", "status", "ls"):
        ended = as_nobody(repo, verb)
        assert ended.returncode == 0, (verb, ended)
    assert (repo / "data/a").read_text() == "1"
    write(repo, {"data/new": "2"})
    (repo / "data/new").chmod(0o666)
    before = everything(repo)
    for words in ("add data", "gc --yes", "fsck"):
        ended = as_nobody(repo, *words.split())
        assert ended.returncode == 4, ended
        assert "Permission denied" in ended.stderr
    assert everything(repo) == before


def test_a_file_that_does_not_stop_changing_is_named(repo: Path) -> None:
    write(repo, {"data/busy": bytes(8 << 20), "data/calm": "1"})
    ended = threading.Event()

    def keep_writing() -> None:
        number = 0
        with (repo / "data/busy").open("r+b") as file:
            while not ended.is_set():
                number += 1
                file.seek(0)
                file.write(b"%d" % number)
                file.flush()

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        refused(repo, "add", "data", code=4, says="data/busy changed while it was read")
        assert not (repo / "data.prov").exists()
    finally:
        ended.set()
        writer.join()
    ok(repo, "add", "data")
    ok(repo, "fsck")


# ---------------------------------------------------------------- pointers


@pytest.mark.parametrize("text", NONSENSE.values(), ids=NONSENSE)
def test_a_pointer_of_nonsense_is_named_by_every_verb(data: Path, text: str | bytes) -> None:
    write(data, {"other": "1"})
    ok(data, "add", "other")
    write(data, {"data.prov": text})
    listed = ok(data, "status", "--json").json["artifacts"]
    assert {item["path"]: item["state"] for item in listed} == {"data": "broken", "other": "clean"}
    assert "data.prov is not well formed" in listed[0]["problem"] or text == NONSENSE["large"]
    assert len(ok(data, "status", "--json", "other", "data").json["artifacts"]) == 2
    for verb in ("diff", "ls", "checkout", "checkout data", "add data/a", "remove --delete data"):
        ended = gitprov(data, *verb.split())
        assert ended.code == 1, (verb, ended)
        assert "data.prov" in ended.err
    assert gitprov(data, "fsck").code == 1
    ok(data, "gc", "--yes", "--grace", "0")
    assert (data / "data/a").read_text() == "1"
    git(data, "checkout", "--quiet", "--", "data.prov")
    ok(data, "checkout")


@pytest.mark.parametrize("name", ["half", "version", "conflict"])
def test_adding_writes_a_broken_pointer_anew(data: Path, name: str) -> None:
    write(data, {"data.prov": NONSENSE[name]})
    ok(data, "add", "data")
    assert git(data, "diff", "HEAD", "--name-only") == ""


def test_a_pointer_that_was_made_a_link_is_not_followed(data: Path) -> None:
    (data / "data.prov").unlink()
    (data / "data.prov").symlink_to("/etc/passwd")
    for verb in ("checkout", "checkout data", "status", "ls", "fsck"):
        ended = gitprov(data, *verb.split())
        assert ended.code in (0, 1, 2)
        assert "root:" not in ended.err + ended.out
    refused(data, "add", "data", code=2, says="data.prov is there, and is no pointer")
    assert (data / "data.prov").is_symlink()


def stored_manifest(repo: Path, entries: list[Entry]) -> Digest:
    """Puts a manifest into the store that no honest gitprov would write, and its pointer."""
    root = manifest_root(entries)
    with LocalStore(str(repo / ".git/gitprov")) as store, store.writer() as writer:
        writer.add(b"evil")
        writer.add_manifest(root, encode(tuple(entries)))
    size = sum(entry.size for entry in entries)
    pointer = Pointer("evil", "data", "dir", Digest(root), size, len(entries))
    write(repo, {"evil.prov": pointer.to_bytes()})
    return Digest(root)


@pytest.mark.parametrize(
    "name",
    [b"../../outside", b"..", b"/etc/x", b".git", b"git~1", b"a/b", b"a\\b", b"", b"a\0b", b"a\nb"],
)
def test_a_hostile_name_in_a_manifest_is_not_written(repo: Path, name: bytes) -> None:
    stored_manifest(repo, [Entry(name, "f", blake3(b"evil").digest(), 4)])
    before = everything(repo)
    refused(repo, "checkout", code=1, says="is damaged in the store")
    for verb in ("checkout --force evil", "ls evil"):  # it lies in quarantine now
        ended = gitprov(repo, *verb.split())
        assert ended.code == 3, ended
    assert gitprov(repo, "status").code == 0
    assert everything(repo) == before
    assert not (repo.parent / "outside").exists()


def test_colliding_names_in_a_manifest_are_not_written(repo: Path) -> None:
    digest = blake3(b"evil").digest()
    stored_manifest(repo, [Entry(b"A", "f", digest, 4), Entry(b"a", "f", digest, 4)])
    assert gitprov(repo, "checkout").code == 1
    assert not (repo / "evil").exists()


@pytest.mark.parametrize("target", [b"/etc/passwd", b"../../x", b""])
def test_a_hostile_link_in_a_manifest_is_not_written(repo: Path, target: bytes) -> None:
    with LocalStore(str(repo / ".git/gitprov")) as store, store.writer() as writer:
        writer.add(target)
    stored_manifest(repo, [Entry(b"link", "l", blake3(target).digest(), len(target))])
    assert gitprov(repo, "checkout").code == 1
    assert not (repo / "evil/link").is_symlink()


def test_a_manifest_that_lies_about_a_size_is_found_out(repo: Path) -> None:
    stored_manifest(repo, [Entry(b"a", "f", blake3(b"evil").digest(), 5)])
    refused(repo, "checkout", code=1, says="size")
    assert not (repo / "evil/a").exists()


def test_a_file_may_not_pose_as_a_manifest(repo: Path) -> None:
    inner = encode((Entry(b"a", "f", blake3(b"evil").digest(), 4),))
    with LocalStore(str(repo / ".git/gitprov")) as store, store.writer() as writer:
        writer.add(b"evil")
        root = writer.add(inner)
    pointer = Pointer("evil", "data", "dir", Digest(root), 4, 1)
    write(repo, {"evil.prov": pointer.to_bytes()})
    refused(repo, "checkout", code=1, says="is the digest of a file, not of a manifest")
    refused(repo, "ls", "evil", code=1, says="is the digest of a file, not of a manifest")


def test_a_folder_swapped_for_a_link_is_not_written_through(data: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for path in (data / "data/sub/b", data / "data/a"):
        path.unlink()
    (data / "data/sub").rmdir()
    (data / "data/sub").symlink_to(outside)
    ended = gitprov(data, "checkout")
    assert ended.code == 2, ended
    assert list(outside.iterdir()) == []
    ok(data, "checkout", "--force")
    assert (data / "data/sub/b").read_text() == "22"
    assert list(outside.iterdir()) == []


# ---------------------------------------------------------------- the store


def flip(path: Path, at: bytes) -> None:
    """Flips one bit where some bytes lie in a file."""
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[content.find(at)] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("where", ["packed", "large", "manifest"])
def test_a_flipped_byte_in_the_store_is_found_and_repaired_by_adding(
    data: Path, where: str
) -> None:
    (pack,) = (data / ".git/gitprov/packs").iterdir()
    named = {"packed": "data/sub/b", "large": "data/large", "manifest": "data/sub"}[where]
    if where == "large":
        flip(large_object(data), b"x")
    else:
        flip(pack, b"22" if where == "packed" else b"large")
    assert gitprov(data, "verify", "HEAD", "--deep").code == 1
    ended = gitprov(data, "fsck")
    assert ended.code == 1
    assert "data" in ended.out
    if where != "manifest":
        assert named in ended.out
        (data / named).rename(data / "aside")
        ended = gitprov(data, "checkout")
        assert ended.code in (1, 3), ended
        assert not (data / named).exists()
        (data / "aside").rename(data / named)
    gitprov(data, "fsck", "--quarantine")
    assert gitprov(data, "status", "--exit-code").code == 1
    ok(data, "add", "data")
    ok(data, "status", "--exit-code")
    ok(data, "fsck")
    assert gitprov(data, "verify", "HEAD", "--deep").code in (0, 3)


def test_a_lost_index_names_its_repair(data: Path) -> None:
    for path in (data / ".git/gitprov").glob("index.db*"):
        path.unlink()
    for verb in ("checkout --force", "add data", "fsck", "gc --yes"):
        ended = gitprov(data, *verb.split())
        assert ended.code == 4, (verb, ended)
        assert "gitprov fsck --rebuild-index" in ended.err
    ok(data, "fsck", "--rebuild-index")
    ok(data, "checkout", "--force")


def test_a_damaged_index_names_its_repair(data: Path) -> None:
    (data / ".git/gitprov/index.db").write_bytes(b"no database" * 1000)
    for path in (data / ".git/gitprov").glob("index.db-*"):
        path.unlink()
    assert "gitprov fsck --rebuild-index" in gitprov(data, "checkout", "--force").err
    ok(data, "fsck", "--rebuild-index")
    ok(data, "checkout", "--force")


@pytest.mark.parametrize("junk", [b"", b"no database" * 1000, bytes(100_000)])
def test_a_damaged_cache_is_made_anew(data: Path, junk: bytes) -> None:
    for path in (data / ".git/gitprov").glob("cache.db*"):
        path.unlink()
    (data / ".git/gitprov/cache.db").write_bytes(junk)
    ok(data, "status", "--exit-code")
    ok(data, "add", "data")
    ok(data, "checkout")


def test_a_cache_whose_pages_are_damaged_does_not_decide(data: Path) -> None:
    cache = data / ".git/gitprov/cache.db"
    for path in (data / ".git/gitprov").glob("cache.db-*"):
        path.unlink()
    content = cache.read_bytes()
    # The header stays: what is opened looks whole.
    cache.write_bytes(content[:4096] + bytes(byte ^ 0x55 for byte in content[4096:]))
    write(data, {"data/a": "2"})
    ended = gitprov(data, "status", "--json")
    if ended.code == 0:
        (found,) = ended.json["artifacts"]
        assert [change["path"] for change in found["changes"]] == ["a"]
    else:
        assert ended.code == 4, ended
        assert "cache" in ended.err


def test_missing_data_is_named(data: Path) -> None:
    large_object(data).unlink()
    (data / "data/large").unlink()
    (found,) = ok(data, "status", "--json").json["artifacts"]
    assert found["missing"] == ["data/large"]
    ended = gitprov(data, "checkout")
    assert ended.code == 3, ended
    assert "data/large" in ended.err
    assert "data/large" in gitprov(data, "fsck").out
