"""Records as blocks: whole lines, as many as fit, and one way to cut them."""

import itertools
from collections.abc import Callable

import pytest

from gitprov.core.car import MAX_BLOCK_BYTES
from gitprov.core.digest import Digest
from gitprov.errors import MalformedError
from gitprov.model.record import ArtifactLeaf, CodeLeaf, Record
from gitprov.model.record_blocks import record_blocks, record_of_blocks

DIGEST = Digest.of(b"")
CODE = CodeLeaf("sha1", "11" * 20, DIGEST, DIGEST)


def record(leaves: int) -> Record:
    return Record.of(
        CODE,
        [ArtifactLeaf(f"{number:06}", "data", "file", DIGEST, 0, 1) for number in range(leaves)],
    )


@pytest.mark.parametrize("leaves", [0, 1, 100, 10_000])
def test_a_record_is_read_back_from_its_blocks(leaves: int) -> None:
    made = record(leaves)
    blocks = list(record_blocks(made))
    assert record_of_blocks(blocks) == made
    assert all(len(block) <= MAX_BLOCK_BYTES and block.endswith(b"\n") for block in blocks)
    assert (len(blocks) > 1) is (leaves == 10_000)


def test_blocks_are_as_full_as_whole_lines_allow() -> None:
    blocks = list(record_blocks(record(10_000)))
    for block, after in itertools.pairwise(blocks):
        assert len(block) + after.index(b"\n") + 1 > MAX_BLOCK_BYTES


CHANGED: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "no block": lambda blocks: [],
    "another order": lambda blocks: blocks[::-1],
    "no end of the last line": lambda blocks: [*blocks[:-1], blocks[-1][:-1]],
    "one block": lambda blocks: [b"".join(blocks)],
    "a cut within a line": lambda blocks: [
        blocks[0] + blocks[1][:100],
        blocks[1][100:],
        *blocks[2:],
    ],
    "an empty line": lambda blocks: [blocks[0].replace(b"\n", b"\n\n", 1), *blocks[1:]],
    "no code leaf": lambda blocks: [blocks[0].partition(b"\n")[2], *blocks[1:]],
    "no leaf": lambda blocks: [b"{}\n"],
    "an empty block": lambda blocks: [*blocks, b""],
}


@pytest.mark.parametrize("what", CHANGED)
def test_blocks_that_no_record_gives_are_refused(what: str) -> None:
    changed = CHANGED[what](list(record_blocks(record(10_000))))
    with pytest.raises(MalformedError):
        record_of_blocks(changed)


def test_fewer_blocks_give_another_root() -> None:
    made = record(10_000)
    fewer = record_of_blocks(list(record_blocks(made))[:-1])
    assert fewer.root != made.root
