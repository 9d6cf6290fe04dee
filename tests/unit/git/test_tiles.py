import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitprov.core import merkle
from gitprov.core.merkle import LOG
from gitprov.errors import MalformedError
from gitprov.git.tiles import (
    ENTRIES,
    WIDTH,
    Overlay,
    Tile,
    encode_number,
    format_entries,
    grow,
    parse_entries,
    subtree,
    tiles_of,
)

LEAVES = [LOG.leaf(b"%d" % n) for n in range(70_000)]
ENTRIES_DATA = [b"%d" % n for n in range(70_000)]
VECTORS = Path(__file__).parents[2] / "vectors" / "vectors.json"


class Memory:
    """Tiles in a dictionary, each under its widest width."""

    def __init__(self) -> None:
        self.tiles: dict[tuple[int, int], tuple[int, bytes]] = {}

    def put(self, made: dict[Tile, bytes]) -> None:
        for tile, data in made.items():
            self.tiles[tile.level, tile.number] = (tile.width, data)

    def tile(self, level: int, number: int, width: int) -> bytes:
        have, data = self.tiles[level, number]
        assert have >= width
        return data


def grown(*sizes: int) -> Memory:
    memory, at = Memory(), 0
    for size in sizes:
        memory.put(grow(memory, at, ENTRIES_DATA[at:size]))
        at = size
    return memory


BIG = grown(255, 256, 257, 600, 65_535, 65_537, 66_000)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "000"), (255, "255"), (1234, "x001/234"), (1_234_067, "x001/x234/067")],
)
def test_numbers_are_written_as_c2sp_writes_them(number: int, text: str) -> None:
    assert encode_number(number) == text


@given(st.builds(Tile, st.integers(-1, 7), st.integers(0, (1 << 48) - 1), st.integers(1, WIDTH)))
def test_a_path_parses_to_its_tile(tile: Tile) -> None:
    assert Tile.parse(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        b"tile/0/0",
        b"tile/0/x000/001",
        b"tile/00/001",
        b"tile/8/001",
        b"tile/0/001.p/0",
        b"tile/0/001.p/256",
        b"tile/0/001.p/01",
        b"tile/0/001.p/5/",
        b"tile/0/x001/x001",
        b"tile/0/001/234",
        b"tile/entries/../001",
        b"tile/0/" + b"x001/" * 20 + b"001",
        b"other",
        b"tile/0/001\n",
    ],
)
def test_no_other_spelling_of_a_path_is_accepted(path: bytes) -> None:
    with pytest.raises(MalformedError):
        Tile.parse(path)


@given(st.lists(st.binary(max_size=70)))
def test_bundles_round_trip(entries: list[bytes]) -> None:
    data = format_entries(entries)
    assert parse_entries(data) == entries


@given(st.lists(st.binary(max_size=70), min_size=1), st.data())
def test_a_bundle_that_is_cut_is_malformed_or_a_shorter_bundle(
    entries: list[bytes], data: st.DataObject
) -> None:
    whole = format_entries(entries)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with contextlib.suppress(MalformedError):
        assert parse_entries(cut) == entries[: len(parse_entries(cut))]
        assert format_entries(parse_entries(cut)) == cut


def test_entries_may_have_no_length_at_all() -> None:
    assert parse_entries(b"\0\0\0\x01a") == [b"", b"a"]
    with pytest.raises(MalformedError):
        parse_entries(b"\0")


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 513, 600])
def test_growing_one_by_one_gives_the_tiles_of_growing_at_once(size: int) -> None:
    assert grown(*range(1, size + 1)).tiles == grown(size).tiles


@given(st.integers(0, 66_000), st.data())
def test_roots_and_proofs_from_tiles_are_those_over_plain_lists(
    size: int, data: st.DataObject
) -> None:
    plain = merkle.subtree_of(LOG, LEAVES)
    root = subtree(BIG, 66_000, 0, size)
    assert root == merkle.root(LOG, LEAVES[:size])

    def tiles(start: int, end: int) -> bytes:
        return subtree(BIG, 66_000, start, end)

    old = data.draw(st.integers(0, size))
    assert merkle.consistency_proof(tiles, old, size) == merkle.consistency_proof(plain, old, size)
    if size:
        index = data.draw(st.integers(0, size - 1))
        path = merkle.inclusion_proof(tiles, index, size)
        merkle.verify_inclusion(LOG, LEAVES[index], index, size, path, root)


@pytest.mark.parametrize("size", [255, 256, 257, 65_535, 65_536, 65_537, 66_000])
def test_roots_around_the_borders_of_tiles(size: int) -> None:
    assert subtree(BIG, 66_000, 0, size) == merkle.root(LOG, LEAVES[:size])
    assert subtree(grown(size), size, 0, size) == merkle.root(LOG, LEAVES[:size])


def test_the_right_edge() -> None:
    assert [t.path for t in tiles_of(0)] == []
    assert [t.path for t in tiles_of(256)] == [b"tile/1/000.p/1"]
    assert [t.path for t in tiles_of(65_536 + 257)] == [
        b"tile/entries/257.p/1",
        b"tile/0/257.p/1",
        b"tile/1/001.p/1",
        b"tile/2/000.p/1",
    ]


def test_new_tiles_lie_over_old_ones() -> None:
    memory = grown(300)
    made = grow(memory, 300, ENTRIES_DATA[300:600])
    assert subtree(Overlay(made, memory), 600, 0, 600) == merkle.root(LOG, LEAVES[:600])
    assert parse_entries(made[Tile(ENTRIES, 1, WIDTH)]) == ENTRIES_DATA[256:512]


def test_a_range_outside_is_refused() -> None:
    with pytest.raises(ValueError, match="no subtree"):
        subtree(BIG, 66_000, 0, 66_001)


def test_the_vectors_of_the_design() -> None:
    log = json.loads(VECTORS.read_text())["log"]
    entries = [bytes.fromhex(entry) for entry in log["entries_hex"]]
    memory = Memory()
    memory.put(grow(memory, 0, entries))
    for size, root in enumerate(log["roots"]):
        assert f"sha256:{subtree(memory, len(entries), 0, size).hex()}" == root
    for proof in log["inclusion"]:
        path = merkle.inclusion_proof(
            lambda a, b: subtree(memory, len(entries), a, b), proof["index"], proof["size"]
        )
        assert [node.hex() for node in path] == proof["path"]
