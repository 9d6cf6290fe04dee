"""CAR archives of blocks named by BLAKE3 (https://ipld.io/specs/transport/car/carv1).

It is what IPFS imports. A node pins what the archive's roots lead to, and raw blocks lead nowhere:
so each archive has lists of its blocks, and the first root is the list above all others. One such
pin costs a node a fraction of what a pin for every block does.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, NamedTuple

from gitprov.core import cid
from gitprov.core.cid import CID_BYTES
from gitprov.core.digest import Digest
from gitprov.errors import MalformedError

MAX_BLOCK_BYTES = 1 << 20
"""Blocks that are larger are not passed on by every node."""

MAX_LINKS = 20_000
"""CIDs in one list: 41 bytes each, so a list stays below `MAX_BLOCK_BYTES`."""

MAX_ROOTS = 20_000
"""Roots of one archive, for the same reason."""

_MAX_HEADER_BYTES = MAX_BLOCK_BYTES
_LINK = b"\xd8\x2a\x58\x25\x00"
"""CBOR of a link, without the CID: tag 42, 37 bytes, 0x00 (DAG-CBOR)."""

_BEFORE_ROOTS = b"\xa2\x65roots"
_AFTER_ROOTS = b"\x67version\x01"


class Block(NamedTuple):
    """A block, and its name: the bytes of its CID."""

    name: bytes
    data: bytes

    @classmethod
    def raw(cls, data: bytes) -> "Block":
        """Returns a raw block."""
        return cls(cid.to_bytes(Digest.of(data)), data)

    @property
    def is_raw(self) -> bool:
        """Whether it is no list."""
        return self.name.startswith(cid.PREFIXES["raw"])


def lists(cids: Sequence[bytes]) -> list[Block]:
    """Returns the lists through which blocks are reached; the last one leads to all of them.

    A list is DAG-CBOR: an array of links, to the blocks or to the lists below it.
    """
    made: list[Block] = []
    level = list(cids)
    while not made or len(level) > 1:
        above: list[bytes] = []
        for start in range(0, max(len(level), 1), MAX_LINKS):
            data = _links(level[start : start + MAX_LINKS])
            made.append(Block(cid.to_bytes(Digest.of(data), "dag-cbor"), data))
            above.append(made[-1].name)
        level = above
    return made


def header(roots: Sequence[bytes]) -> bytes:
    """Returns the header: DAG-CBOR of {"roots": [CID, …], "version": 1}."""
    body = _BEFORE_ROOTS + _links(roots) + _AFTER_ROOTS
    return varint(len(body)) + body


def section(block: Block) -> bytes:
    """Returns one block as it stands in the archive."""
    return varint(len(block.name) + len(block.data)) + block.name + block.data


def write(blocks: Iterable[bytes], *, roots: int = 0) -> bytes:
    """Returns a whole archive of raw blocks, each once, and of the lists that lead to them.

    Args:
        blocks: the blocks.
        roots: how many of the first blocks are roots too, after the top list.
    """
    each = list(dict.fromkeys(Block.raw(data) for data in blocks))
    above = lists([block.name for block in each])
    named = [above[-1].name, *(block.name for block in each[:roots])]
    return header(named) + b"".join(section(block) for block in (*reversed(above), *each))


def read(file: IO[bytes]) -> tuple[tuple[bytes, ...], Iterator[Block]]:
    """Reads an archive from where the file stands: its roots, and its blocks one after the other.

    Each block is checked against its CID before it is given, and not more than one is held. An
    archive that ends between two blocks is accepted: the format does not say how many there are.

    Raises:
        MalformedError: it is no archive of blocks named by BLAKE3, or a block is not what its CID
            names; the second comes while the blocks are read.
    """
    roots = _read_header(file)
    return roots, _read_blocks(file)


def roots_of(archive: bytes) -> tuple[bytes, ...]:
    """Returns the roots of an archive.

    Raises:
        MalformedError: it is no archive of blocks named by BLAKE3.
    """
    return _read_header(io.BytesIO(archive))


def check_one_pin(file: IO[bytes]) -> None:
    """Checks that an archive's one root leads to all of its blocks: one pin keeps all of it.

    Raises:
        MalformedError: it does not, or it is no archive.
    """
    roots, blocks = read(file)
    if len(roots) != 1:
        raise MalformedError(f"a CAR archive has {len(roots)} roots instead of one")
    names: set[bytes] = set()
    links: dict[bytes, tuple[bytes, ...]] = {}
    for block in blocks:
        names.add(block.name)
        if not block.is_raw:
            links[block.name] = _read_links(block.data)
    waiting = [roots[0]]
    if roots[0] not in links:
        raise MalformedError("a CAR archive has a root that is none of its lists")
    while waiting:
        name = waiting.pop()
        names.discard(name)
        waiting += links.pop(name, ())  # each list once, whatever leads to it
    if names:
        raise MalformedError(
            f"a CAR archive has {len(names):,} blocks to which its root does not lead"
        )


def varint(number: int) -> bytes:
    """Returns an unsigned LEB128 number."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _read_header(file: IO[bytes]) -> tuple[bytes, ...]:
    length = _read_varint(file)
    if length is None or length > _MAX_HEADER_BYTES:
        raise MalformedError("a CAR archive has no header, or one that is too large")
    body = _read_exactly(file, length)
    step = len(_LINK) + CID_BYTES
    count = max(0, length - len(_BEFORE_ROOTS + b"\x80" + _AFTER_ROOTS)) // step
    end = length - len(_AFTER_ROOTS)
    roots = tuple(body[at - CID_BYTES : at] for at in range(end, end - count * step, -step))[::-1]
    # There is one way to write a header: what was read has to come out again.
    if count > MAX_ROOTS or header(roots) != varint(length) + body:
        raise MalformedError("a CAR archive has a header that is not of this kind")
    for root in roots:
        cid.parse_bytes(root)
    return roots


def _read_blocks(file: IO[bytes]) -> Iterator[Block]:
    while (length := _read_varint(file)) is not None:
        if not CID_BYTES <= length <= CID_BYTES + MAX_BLOCK_BYTES:
            raise MalformedError("a CAR archive has a block of a wrong length")
        name = _read_exactly(file, CID_BYTES)
        data = _read_exactly(file, length - CID_BYTES)
        _, digest = cid.parse_bytes(name)
        if Digest.of(data) != digest:
            raise MalformedError("a CAR archive has a block that is not what its CID names")
        yield Block(name, data)


def _read_exactly(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise MalformedError("a CAR archive is cut short")
    return data


def _read_varint(file: IO[bytes]) -> int | None:
    """Reads a number, None at the end of the file."""
    number = 0
    for shift in range(0, 63, 7):
        one = file.read(1)
        if not one:
            if shift:
                raise MalformedError("a CAR archive is cut short")
            return None
        number |= (one[0] & 0x7F) << shift
        if one[0] < 0x80:
            if one[0] == 0 and shift:
                raise MalformedError("a CAR archive has a number that is not minimal")
            return number
    raise MalformedError("a CAR archive has a number that is too large")


def _links(cids: Sequence[bytes]) -> bytes:
    return _cbor_array(len(cids)) + b"".join(_LINK + one for one in cids)


def _read_links(data: bytes) -> tuple[bytes, ...]:
    step = len(_LINK) + CID_BYTES
    first = len(data) % step + len(_LINK)  # the array's head is shorter than a link
    found = tuple(data[at : at + CID_BYTES] for at in range(first, len(data), step))
    if len(found) > MAX_LINKS or _links(found) != data:
        raise MalformedError("a CAR archive has a list that is not of this kind")
    return found


def _cbor_array(length: int) -> bytes:
    if length < 24:
        return bytes([0x80 | length])
    if length < 256:
        return bytes([0x98, length])
    return b"\x99" + length.to_bytes(2, "big")
