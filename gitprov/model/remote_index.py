"""What lies in a remote's pack, and how a large blob is put together again (formats.md 13)."""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from blake3 import blake3

from gitprov.core.chunking import MIN_BYTES
from gitprov.core.digest import DIGEST_BYTES
from gitprov.errors import MalformedError, VerificationError

Kind = Literal["b", "m", "c", "B", "M"]
"""A blob, a manifest, a chunk; in capitals a blob or a manifest that is made of chunks."""

KINDS: tuple[Kind, ...] = ("B", "M", "b", "c", "m")

MAX_ENTRIES = 1 << 22
MAX_INDEX_BYTES = 256 << 20
MAX_CHUNKS = 25_000
"""Chunks in one recipe block: 36 bytes each, so a block stays below 1 MiB."""

MAX_RECIPE_BLOCKS = 4096
"""Blocks of one recipe: 100 million chunks, some 30 TiB."""

_INDEX_MAGIC = b"GPRX\x01"
_RECIPE_MAGIC = b"GPRR\x01"
_ENTRY = struct.Struct(">c32sQQ")
_CHUNK = struct.Struct(">32sI")
_NONE = bytes(DIGEST_BYTES)


class Entry(NamedTuple):
    """One thing in a pack.

    Attributes:
        kind: what it is.
        digest: its name: of a manifest the root, of what is made of chunks the whole's.
        offset: where its block's bytes begin in the pack.
        size: how many they are.
    """

    kind: Kind
    digest: bytes
    offset: int
    size: int


class Recipe(NamedTuple):
    """A block of a recipe: the chunks, in order, of one blob or manifest, or the last of them.

    Attributes:
        digest: what the whole is called.
        size: its bytes.
        after: the digest of the recipe block before this one; b"" for the first.
        chunks: digest and size of each.
    """

    digest: bytes
    size: int
    after: bytes
    chunks: tuple[tuple[bytes, int], ...]


def format_index(entries: Iterable[Entry]) -> bytes:
    """Returns the index of a pack: its entries sorted, and a digest over all of it."""
    rows = sorted(_ENTRY.pack(e.kind.encode(), e.digest, e.offset, e.size) for e in set(entries))
    body = _INDEX_MAGIC + len(rows).to_bytes(8, "big") + b"".join(rows)
    return body + blake3(body).digest()


def parse_index(data: bytes, *, what: str) -> list[Entry]:
    """Parses an index. `format_index(parse_index(b)) == b`.

    Raises:
        MalformedError: it is not in the format.
    """
    body, digest = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
    head = len(_INDEX_MAGIC) + 8
    if not body.startswith(_INDEX_MAGIC) or len(body) < head or blake3(body).digest() != digest:
        raise MalformedError(f"{what} is no index of a pack, or damaged")
    count = int.from_bytes(body[len(_INDEX_MAGIC) : head], "big")
    if count > MAX_ENTRIES or len(body) != head + count * _ENTRY.size:
        raise MalformedError(f"{what} has a length that does not fit its entries")
    entries = []
    last = b""
    for start in range(head, len(body), _ENTRY.size):
        row = body[start : start + _ENTRY.size]
        kind, name, offset, size = _ENTRY.unpack(row)
        letter = kind.decode("latin-1")
        if letter not in KINDS or row <= last or size > 1 << 20 or offset > 1 << 50:
            raise MalformedError(f"{what} has an entry that is not of this kind")
        last = row
        entries.append(Entry(letter, name, offset, size))
    return entries


def format_recipe(recipe: Recipe) -> bytes:
    """Returns a recipe's block."""
    chunks = b"".join(_CHUNK.pack(digest, size) for digest, size in recipe.chunks)
    head = _RECIPE_MAGIC + recipe.digest + recipe.size.to_bytes(8, "big")
    return head + (recipe.after or _NONE) + chunks


def parse_recipe(data: bytes, *, what: str) -> Recipe:
    """Parses a recipe's block. `format_recipe(parse_recipe(b)) == b`.

    Raises:
        MalformedError: it is not in the format.
    """
    head = len(_RECIPE_MAGIC) + 2 * DIGEST_BYTES + 8
    count, rest = divmod(len(data) - head, _CHUNK.size)
    if not data.startswith(_RECIPE_MAGIC) or rest or not 0 <= count <= MAX_CHUNKS:
        raise MalformedError(f"{what} is no recipe")
    start = len(_RECIPE_MAGIC)
    digest = data[start : start + DIGEST_BYTES]
    size = int.from_bytes(data[start + DIGEST_BYTES : start + DIGEST_BYTES + 8], "big")
    after = data[head - DIGEST_BYTES : head]
    chunks = tuple(_CHUNK.iter_unpack(data[head:]))
    if any(not 0 < length <= 1 << 20 for _, length in chunks):
        raise MalformedError(f"{what} has a chunk of a wrong size")
    return Recipe(digest, size, b"" if after == _NONE else after, chunks)


def recipe_blocks(digest: bytes, size: int, chunks: Sequence[tuple[bytes, int]]) -> list[bytes]:
    """Returns the blocks of a recipe; the last one stands for the whole."""
    blocks: list[bytes] = []
    after = b""
    for start in range(0, max(len(chunks), 1), MAX_CHUNKS):
        part = tuple(chunks[start : start + MAX_CHUNKS])
        blocks.append(format_recipe(Recipe(digest, size, after, part)))
        after = blake3(blocks[-1]).digest()
    return blocks


def recipe_chain(last: Recipe, earlier: Callable[[bytes], bytes]) -> Iterator[Recipe]:
    """Yields a recipe's blocks from the last one to the first, each as it has to be.

    There is one way to cut a recipe, so a chain has an end that its size tells beforehand.

    Args:
        last: the block that stands for the whole.
        earlier: returns the bytes of an earlier block, by its digest.

    Raises:
        VerificationError: the blocks are not those of one recipe.
    """
    most = min(last.size // (MAX_CHUNKS * MIN_BYTES) + 1, MAX_RECIPE_BLOCKS)
    block, seen = last, 1
    yield block
    while block.after:
        if seen == most:
            raise VerificationError("its recipe has more blocks than its size can need")
        if not block.chunks:
            raise VerificationError("the last block of its recipe is empty")
        data = earlier(block.after)
        if blake3(data).digest() != block.after:
            raise VerificationError("a part of its recipe is damaged")
        block, seen = parse_recipe(data, what="a part of its recipe"), seen + 1
        if (block.digest, block.size) != (last.digest, last.size):
            raise VerificationError("a part of its recipe is of something else")
        if len(block.chunks) != MAX_CHUNKS:
            raise VerificationError(
                f"a part of its recipe has {len(block.chunks):,} chunks, not {MAX_CHUNKS:,}"
            )
        yield block
