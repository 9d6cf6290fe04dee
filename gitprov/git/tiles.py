"""The files of a log, C2SP tlog-tiles: their paths, their contents, and how they grow.

Specification: https://c2sp.org/tlog-tiles. Tile height 8: a full tile has 256 hashes. Tile `N` of
level `L` holds the roots of complete subtrees of `256**L` leaves, from the subtree `256 * N` on.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from gitprov.core.merkle import LOG, largest_power_below, root
from gitprov.errors import MalformedError

HEIGHT = 8
WIDTH = 1 << HEIGHT
HASH_BYTES = 32
ENTRIES = -1
"""The level that stands for `tile/entries`."""

MAX_LEVEL = 7
MAX_INDEX = 1 << 48
MAX_BUNDLE_BYTES = WIDTH * (2 + 0xFFFF)

_PATH = re.compile(
    rb"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?"
)


class Tile(NamedTuple):
    """One file: level (or `ENTRIES`), number, and how many of the 256 it holds."""

    level: int
    number: int
    width: int

    @property
    def path(self) -> bytes:
        """The path that C2SP gives it. `Tile.parse(t.path) == t`."""
        level = "entries" if self.level == ENTRIES else str(self.level)
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{encode_number(self.number)}{partial}".encode()

    @classmethod
    def parse(cls, path: bytes) -> "Tile":
        """Parses a path; no second spelling is accepted.

        Raises:
            MalformedError: it is not the path of a tile.
        """
        match = _PATH.fullmatch(path)
        if match is None:
            raise MalformedError("it is not the path of a tile")
        level, number, width = match.groups()
        tile = cls(
            ENTRIES if level == b"entries" else int(level),
            int(re.sub(rb"[x/]", b"", number)),
            WIDTH if width is None else int(width),
        )
        if tile.path != path or tile.level > MAX_LEVEL or tile.number >= MAX_INDEX:
            raise MalformedError("it is not the path of a tile")
        return tile


class TileSource(Protocol):
    """Where tiles come from. A wider one than asked for may be given."""

    def tile(self, level: int, number: int, width: int) -> bytes:
        """Returns at least the first `width` things of a tile, or raises MalformedError."""
        ...


def encode_number(number: int) -> str:
    """Returns a tile's number as C2SP writes it: 1234067 is `x001/x234/067`."""
    text = f"{number % 1000:03d}"
    while number >= 1000:
        number //= 1000
        text = f"x{number % 1000:03d}/{text}"
    return text


def tiles_of(size: int) -> Iterator[Tile]:
    """Gives the partial tiles of a log of that size: the right edge."""
    if size % WIDTH:
        yield Tile(ENTRIES, size >> HEIGHT, size % WIDTH)
    for level in range(MAX_LEVEL + 1):
        count = size >> (HEIGHT * level)
        if count % WIDTH:
            yield Tile(level, count >> HEIGHT, count % WIDTH)


def format_entries(entries: Iterable[bytes]) -> bytes:
    """Returns an entry bundle: each entry after its length in two bytes."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def parse_entries(data: bytes) -> list[bytes]:
    """Parses an entry bundle. `format_entries(parse_entries(b)) == b`.

    Raises:
        MalformedError: it is cut short.
    """
    entries: list[bytes] = []
    at = 0
    while at < len(data):
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or at > len(data):
            raise MalformedError("an entry bundle is cut short")
        entries.append(data[start:at])
    return entries


def split_hashes(data: bytes) -> list[bytes]:
    """Cuts a tile into its hashes."""
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


def subtree(source: TileSource, size: int, start: int, end: int) -> bytes:
    """Returns the root over leaves `start <= i < end` of a log of `size`, read from its tiles.

    The range is one that occurs in the tree of RFC 9162: it begins at a multiple of the smallest
    power of two that is not below its length.
    """
    if not 0 <= start <= end <= size:
        raise ValueError(f"no subtree from {start} to {end} in a log of {size}")
    if start == end:
        return LOG.empty()
    count = end - start
    if count & (count - 1):
        middle = start + largest_power_below(count)
        return LOG.node(subtree(source, size, start, middle), subtree(source, size, middle, end))
    level = (count.bit_length() - 1) // HEIGHT
    first = start >> (HEIGHT * level)
    some = count >> (HEIGHT * level)
    number, offset = divmod(first, WIDTH)
    width = min(WIDTH, (size >> (HEIGHT * level)) - number * WIDTH)
    data = source.tile(level, number, width)
    return root(LOG, split_hashes(data[offset * HASH_BYTES : (offset + some) * HASH_BYTES]))


def grow(source: TileSource, size: int, entries: Sequence[bytes]) -> dict[Tile, bytes]:
    """Returns the tiles to write when entries are appended to a log of `size`."""
    written: dict[Tile, bytes] = {}
    if not entries:
        return written
    bundle, width = size >> HEIGHT, size % WIDTH
    known = parse_entries(source.tile(ENTRIES, bundle, width))[:width] if width else []
    for number, some in _cut(bundle, [*known, *entries]):
        written[Tile(ENTRIES, number, len(some))] = format_entries(some)

    fresh = [LOG.leaf(entry) for entry in entries]
    for level in range(MAX_LEVEL + 1):
        if not fresh:
            break
        number, width = divmod(size >> (HEIGHT * level), WIDTH)
        edge = split_hashes(source.tile(level, number, width))[:width] if width else []
        above: list[bytes] = []
        for at, some in _cut(number, edge + fresh):
            written[Tile(level, at, len(some))] = b"".join(some)
            if len(some) == WIDTH:
                above.append(root(LOG, some))
        fresh = above
    return written


def _cut(number: int, things: list[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    for at in range(0, len(things), WIDTH):
        yield number + at // WIDTH, things[at : at + WIDTH]


class Overlay:
    """Tiles that were just made, over those that are there."""

    def __init__(self, made: Mapping[Tile, bytes], below: TileSource) -> None:
        """Takes the new tiles by their widest width."""
        self._made = {(t.level, t.number): data for t, data in made.items()}
        self._below = below

    def tile(self, level: int, number: int, width: int) -> bytes:
        """Returns the new tile, or the old one."""
        data = self._made.get((level, number))
        return self._below.tile(level, number, width) if data is None else data
