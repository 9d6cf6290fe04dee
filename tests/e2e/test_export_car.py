"""`gitprov export --car`: what a real IPFS node makes of it."""

import json
from pathlib import Path

from gitprov.anchors.ipfs_client import Kubo
from gitprov.core import cid
from gitprov.core.car import MAX_BLOCK_BYTES, read
from gitprov.core.digest import Digest
from gitprov.devnet.nodes import Node
from gitprov.model.record_blocks import record_of_blocks
from gitprov.platform.http import Http
from tests.support.cli import ok
from tests.support.repos import commit, make_repo, write

LARGE = bytes(range(256)) * 10_000


def test_a_node_imports_record_head_and_data_and_gives_them_back(
    kubo: Node, tmp_path: Path
) -> None:
    repo = make_repo(tmp_path / "r")
    ok(repo, "init", "--no-hooks")
    write(repo, {"data/a/small": "small", "data/large": LARGE, "data/empty": ""})
    ok(repo, "add", "data", "--quiet")
    commit(repo, {"a.py": "1\n"}, "one")
    ok(repo, "record", "--quiet")
    ok(repo, "anchor", "--quiet")
    path = tmp_path / "all.car"
    done = ok(repo, "export", "--car", str(path), "--with-data", "--json").json
    archive = path.read_bytes()
    blocks = dict(read(archive))
    assert len(blocks) == done["blocks"]
    assert max(map(len, blocks.values())) <= MAX_BLOCK_BYTES
    with Http() as http:
        node = Kubo(http, kubo.url)
        node.import_car(archive)
        for digest, block in blocks.items():
            assert node.get(digest) == block
    record, _, index = (blocks[cid.parse(root)] for root in done["roots"])
    assert str(record_of_blocks([record]).root) == done["root"]
    objects = json.loads(index)["objects"]
    small = cid.parse(objects[str(Digest.of(b"small"))])
    assert blocks[small] == b"small"
    listed = json.loads(blocks[cid.parse(objects[str(Digest.of(LARGE))])])
    assert b"".join(blocks[cid.parse(piece)] for piece in listed["pieces"]) == LARGE


def test_an_archive_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    from tests.support.cli import gitprov

    repo = make_repo(tmp_path / "r")
    ok(repo, "init", "--no-hooks")
    commit(repo, {"a.py": "1\n"}, "one")
    ended = gitprov(repo, "export", "--car", str(tmp_path / "nowhere" / "x.car"))
    assert ended.code == 4
    assert not (tmp_path / "nowhere").exists()
