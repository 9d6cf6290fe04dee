"""CAR archives: the bytes that the dag-cbor library gives, read back, and nothing else read."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitprov.core import car, cid
from gitprov.core.car import MAX_BLOCK_BYTES, MAX_LINKS, Block
from gitprov.core.digest import Digest
from gitprov.errors import MalformedError

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "ipfs.json").read_text()
)
BLOCKS = [bytes.fromhex(text) for text in VECTORS["car"]["blocks_hex"]]
ARCHIVE = bytes.fromhex(VECTORS["car"]["archive_hex"])
HEADER = car.header([cid.to_bytes(Digest.of(b"root"))])


def read(archive: bytes) -> tuple[tuple[bytes, ...], list[Block]]:
    roots, blocks = car.read(io.BytesIO(archive))
    return roots, list(blocks)


def name(data: bytes) -> bytes:
    return cid.to_bytes(Digest.of(data))


def _links(block: Block) -> list[bytes]:
    """The CIDs in a list, found by what stands before each."""
    return [part[:36] for part in block.data.split(b"\xd8\x2a\x58\x25\x00")[1:]]


def test_an_archive_is_what_other_libraries_write() -> None:
    assert car.write(BLOCKS, roots=VECTORS["car"]["roots"]) == ARCHIVE


@pytest.mark.parametrize("count", list(VECTORS["lists"]))
def test_a_list_is_what_dag_cbor_writes(count: str) -> None:
    [block] = car.lists([name(b"%d" % number) for number in range(int(count))])
    digest = Digest(bytes.fromhex(VECTORS["lists"][count]))
    assert block.name == cid.to_bytes(digest, "dag-cbor")
    assert Digest.of(block.data) == digest


@given(st.lists(st.binary(max_size=300), max_size=30), st.integers(0, 30))
def test_an_archive_is_read_back(blocks: list[bytes], count: int) -> None:
    each = list(dict.fromkeys(blocks))
    roots, found = read(car.write(blocks, roots=count))
    assert [block.data for block in found if block.is_raw] == each
    assert roots[1:] == tuple(name(block) for block in each[:count])
    [top] = [block for block in found if not block.is_raw]
    assert roots[0] == top.name
    assert _links(top) == [name(block) for block in each]


def test_more_blocks_than_a_list_holds_have_a_list_of_lists() -> None:
    cids = [name(b"%d" % number) for number in range(2 * MAX_LINKS + 1)]
    *below, top = car.lists(cids)
    assert len(below) == 3
    assert _links(top) == [block.name for block in below]
    assert [link for block in below for link in _links(block)] == cids
    assert all(len(block.data) <= MAX_BLOCK_BYTES for block in below)


def test_the_largest_block_is_read_and_no_larger_one() -> None:
    largest = bytes(MAX_BLOCK_BYTES)
    assert read(HEADER + car.section(Block.raw(largest)))[1] == [Block.raw(largest)]
    with pytest.raises(MalformedError, match="wrong length"):
        read(HEADER + car.section(Block.raw(largest + b"\0")))


def test_blocks_are_read_one_by_one() -> None:
    roots, blocks = car.read(io.BytesIO(ARCHIVE[:-1]))
    assert len(roots) == 2
    assert not next(blocks).is_raw
    assert next(blocks).data == BLOCKS[0]
    with pytest.raises(MalformedError, match="cut short"):
        next(blocks)


def test_a_cut_archive_is_refused_unless_it_is_cut_between_blocks() -> None:
    whole = {len(ARCHIVE)}
    at = len(car.header(read(ARCHIVE)[0]))
    for block in read(ARCHIVE)[1]:
        whole.add(at)
        at += len(car.section(block))
    for length in range(len(ARCHIVE)):
        if length not in whole:
            with pytest.raises(MalformedError):
                read(ARCHIVE[:length])


@pytest.mark.parametrize("count", [0, 1, 23, 24, 300, MAX_LINKS, MAX_LINKS + 5])
def test_one_pin_keeps_an_archive_of_any_number_of_blocks(count: int) -> None:
    car.check_one_pin(io.BytesIO(car.write(b"%d" % number for number in range(count))))


def _archive(roots: list[bytes], *blocks: Block) -> bytes:
    return car.header(roots) + b"".join(map(car.section, blocks))


def test_an_archive_of_which_one_pin_keeps_a_part_is_refused() -> None:
    one, two = Block.raw(b"one"), Block.raw(b"two")
    [both] = car.lists([one.name, two.name])
    [half] = car.lists([one.name])
    [other] = car.lists([two.name])
    text = Block(cid.to_bytes(Digest.of(b"text"), "dag-cbor"), b"text")
    for archive, said in (
        (_archive([both.name], one, two, both) + b"junk", "is cut short|wrong length"),
        (_archive([half.name], one, two, half), "has 1 blocks to which its root does not lead"),
        (_archive([half.name], one, two, other, half), "has 2 blocks to which"),
        (_archive([both.name, one.name], one, two, both), "has 2 roots instead of one"),
        (_archive([], one, two, both), "has 0 roots"),
        (_archive([one.name], one), "a root that is none of its lists"),
        (_archive([both.name], one, two), "a root that is none of its lists"),
        (_archive([text.name], text), "a list that is not of this kind"),
    ):
        with pytest.raises(MalformedError, match=said):
            car.check_one_pin(io.BytesIO(archive))
    car.check_one_pin(io.BytesIO(_archive([both.name], both, two, one)))


def test_a_changed_bit_anywhere_is_noticed_or_gives_another_archive() -> None:
    before = read(ARCHIVE)
    for at in range(len(ARCHIVE)):
        for bit in range(8):
            changed = bytearray(ARCHIVE)
            changed[at] ^= 1 << bit
            try:
                after = read(bytes(changed))
            except MalformedError:
                continue
            # What may change unnoticed is which blocks are called roots.
            assert after[1] == before[1]
            assert after[0] != before[0]


def _header(body: bytes) -> bytes:
    return car.varint(len(body)) + body


REFUSED = {
    "nothing": b"",
    "garbage": b"garbage",
    "an empty header": b"\0",
    "a header that goes on for ever": b"\xff" * 20,
    "a huge header": car.varint(1 << 40) + b"x",
    "a number that is not minimal": b"\x91\x00" + HEADER[1:],
    "another version": HEADER[:-1] + b"\2",
    "no roots": _header(b"\xa1\x67version\x01"),
    "keys in another order": _header(b"\xa2\x67version\x01\x65roots\x80"),
    "more keys": _header(b"\xa3\x65roots\x80\x67version\x01\x61x\x01"),
    "an array with a longer head": _header(b"\xa2\x65roots\x98\x00\x67version\x01"),
    "an array that says more than there is": _header(b"\xa2\x65roots\x82\x67version\x01"),
    "bytes after the header": _header(b"\xa2\x65roots\x80\x67version\x01\x00"),
    "a root that is no such CID": car.header([b"\1\x55\x12\x20" + bytes(32)]),
    "a block of no length": HEADER + b"\0",
    "a block that is a CID of SHA-256": HEADER + b"\x24" + b"\1\x55\x12\x20" + bytes(32),
    "a block of another name": HEADER + car.section(Block(name(b"a"), b"b")),
    "a huge block": HEADER + car.varint(1 << 40) + name(b"a"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_such_archive_is_refused(what: str) -> None:
    with pytest.raises(MalformedError, match=r"CAR archive|CID"):
        read(REFUSED[what])


@given(st.binary(max_size=200))
def test_any_bytes_are_an_archive_or_refused(data: bytes) -> None:
    for archive in (data, HEADER + data):
        try:
            roots, blocks = read(archive)
        except MalformedError:
            continue
        assert car.header(roots) + b"".join(map(car.section, blocks)) == archive
