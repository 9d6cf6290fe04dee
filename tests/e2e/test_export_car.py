"""`gitprov export --car`: what a real IPFS node makes of it."""

import io
import json
import os
import subprocess
from pathlib import Path

from gitprov.anchors.ipfs_client import Kubo
from gitprov.core import cid
from gitprov.core.car import MAX_BLOCK_BYTES, read
from gitprov.core.cid import text_of
from gitprov.core.digest import Digest
from gitprov.devnet.nodes import Node
from gitprov.model.manifest import Manifest
from gitprov.model.record_blocks import record_of_blocks
from gitprov.platform.http import Http
from tests.support.cli import gitprov, ok
from tests.support.nodes import program
from tests.support.repos import commit, make_repo, write

LARGE = bytes(range(256)) * 10_000


def test_a_node_imports_record_head_and_data_and_gives_them_back(
    kubo: Node, tmp_path: Path
) -> None:
    repo = make_repo(tmp_path / "r")
    ok(repo, "init", "--no-hooks")
    write(repo, {"data/a/small": "small", "data/large": LARGE, "data/empty": ""})
    (repo / "data" / "link").symlink_to("a/small")
    (repo / "data" / "same").write_bytes(LARGE)
    (repo / "data" / "a" / "none").mkdir()
    ok(repo, "add", "data", "--quiet")
    commit(repo, {"a.py": "1\n"}, "one")
    ok(repo, "record", "--quiet")
    ok(repo, "anchor", "--quiet")
    path = tmp_path / "all.car"
    done = ok(repo, "export", "--car", str(path), "--with-data", "--json").json
    archive = path.read_bytes()
    roots, found = read(io.BytesIO(archive))
    blocks = {text_of(block.name): block.data for block in found}
    assert [text_of(root) for root in roots] == done["roots"]
    assert len(blocks) == done["blocks"]
    assert max(map(len, blocks.values())) <= MAX_BLOCK_BYTES
    with Http(timeout=60) as http:
        node = Kubo(http, kubo.url)
        node.import_car(archive)
        # Everything is pinned, not only what the archive's roots are.
        http.request("POST", f"{kubo.url}/api/v0/repo/gc")
        everything, record, head, index = done["roots"]
        for name, block in blocks.items():
            if name != everything:
                assert node.get(cid.parse(name)) == block
    assert str(record_of_blocks([blocks[record]]).root) == done["root"]
    assert blocks[head].startswith(b"gitprov/r/")
    reader = _Reader(blocks, json.loads(blocks[index])["objects"])
    leaf = json.loads(blocks[record].splitlines()[1])
    assert reader.files(leaf["root"], "") == {
        "/a/small": b"small",
        "/empty": b"",
        "/large": LARGE,
        "/link": b"a/small",
        "/same": LARGE,
    }


class _Reader:
    """Reads an artifact back as docs/formats.md section 11 says, from nothing but blocks."""

    def __init__(self, blocks: dict[str, bytes], objects: dict[str, str]) -> None:
        self._blocks, self._objects = blocks, objects

    def bytes_of(self, digest: str) -> bytes:
        block = self._blocks[self._objects[digest]]
        if str(Digest.of(block)) == digest or block.startswith(b"\x92\x01"):
            return block
        listed = json.loads(block)
        assert listed.keys() == {"digest", "gitprov", "pieces", "size", "type"}
        assert (listed["digest"], listed["gitprov"], listed["type"]) == (digest, 1, "pieces")
        whole = b"".join(self._blocks[piece] for piece in listed["pieces"])
        assert len(whole) == listed["size"]
        assert str(Digest.of(whole)) == digest
        return whole

    def files(self, root: str, path: str) -> dict[str, bytes]:
        manifest = Manifest.parse(self.bytes_of(root))
        assert str(manifest.root) == root
        found: dict[str, bytes] = {}
        for entry in manifest.entries:
            name, digest = f"{path}/{entry.name.decode()}", str(Digest(entry.digest))
            if entry.kind == "d":
                found |= self.files(digest, name)
            else:
                found[name] = self.bytes_of(digest)
        return found


def test_many_objects_have_several_indexes_and_no_block_is_too_large(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    ok(repo, "init", "--no-hooks")
    write(repo, {f"data/{number}": f"{number}" for number in range(8000)})
    ok(repo, "add", "data", "--quiet")
    commit(repo, {"a.py": "1\n"}, "one")
    path = tmp_path / "all.car"
    done = ok(repo, "export", "--car", str(path), "--with-data", "--json").json
    with path.open("rb") as file:
        blocks = {text_of(block.name): block.data for block in read(file)[1]}
    _, _, *indexes = done["roots"]
    objects = [json.loads(blocks[index])["objects"] for index in indexes]
    assert [len(some) for some in objects] == [7000, 1001]
    assert {str(Digest.of(str(number).encode())) for number in range(8000)} < (
        objects[0].keys() | objects[1].keys()
    )


def test_the_stock_program_imports_an_archive(tmp_path: Path) -> None:
    binary = program("ipfs")
    repo = make_repo(tmp_path / "r")
    ok(repo, "init", "--no-hooks")
    write(repo, {"model.bin": LARGE})
    ok(repo, "add", "model.bin", "--quiet")
    commit(repo, {"a.py": "1\n"}, "one")
    path = tmp_path / "all.car"
    done = ok(repo, "export", "--car", str(path), "--with-data", "--json").json
    environ = {**os.environ, "IPFS_PATH": str(tmp_path / "ipfs"), "IPFS_TELEMETRY": "off"}

    def ipfs(*args: str) -> bytes:
        command = [binary, *args]
        return subprocess.run(command, env=environ, capture_output=True, check=True).stdout

    ipfs("init", "--empty-repo", "--profile=test")
    said = ipfs("dag", "import", "--stats", str(path)).decode()
    assert f"Imported {done['blocks']} blocks" in said
    assert said.count("success") == len(done["roots"])
    ipfs("repo", "gc")
    piece = LARGE[:MAX_BLOCK_BYTES]
    assert ipfs("block", "get", cid.to_text(Digest.of(piece))) == piece


def test_damaged_data_is_not_exported(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    ok(repo, "init", "--no-hooks")
    write(repo, {"model.bin": LARGE})
    ok(repo, "add", "model.bin", "--quiet")
    commit(repo, {"a.py": "1\n"}, "one")
    name = Digest.of(LARGE).hex
    stored = repo / ".git" / "gitprov" / "objects" / name[:2] / name[2:]
    stored.chmod(0o600)
    stored.write_bytes(LARGE[:-1] + b"x")
    path = tmp_path / "all.car"
    ended = gitprov(repo, "export", "--car", str(path), "--with-data")
    assert ended.code in {1, 3}, ended
    assert list(tmp_path.glob("all.car*")) == []


def test_an_archive_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    ok(repo, "init", "--no-hooks")
    commit(repo, {"a.py": "1\n"}, "one")
    ended = gitprov(repo, "export", "--car", str(tmp_path / "nowhere" / "x.car"))
    assert ended.code == 4
    assert not (tmp_path / "nowhere").exists()
