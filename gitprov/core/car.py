"""CAR archives of raw blocks (https://ipld.io/specs/transport/car/carv1): what IPFS imports."""

from collections.abc import Iterable, Iterator, Sequence

from gitprov.core.cid import RAW_BLAKE3, to_bytes
from gitprov.core.digest import DIGEST_BYTES, Digest
from gitprov.errors import MalformedError

MAX_BLOCK_BYTES = 1 << 20
"""Blocks that are larger are not passed on by every node."""

_CID_BYTES = len(RAW_BLAKE3) + DIGEST_BYTES
_MAX_HEADER_BYTES = 1 << 20


def header(roots: Sequence[Digest]) -> bytes:
    """Returns the header: DAG-CBOR of {"roots": [CID, …], "version": 1}."""
    links = b"".join(b"\xd8\x2a\x58\x25\x00" + to_bytes(root) for root in roots)
    body = b"\xa2\x65roots" + _cbor_array(len(roots)) + links + b"\x67version\x01"
    return varint(len(body)) + body


def section(digest: Digest, block: bytes) -> bytes:
    """Returns one block as it stands in the archive."""
    return varint(_CID_BYTES + len(block)) + to_bytes(digest) + block


def write(roots: Sequence[Digest], blocks: Iterable[bytes]) -> bytes:
    """Returns a whole archive; each block is named by its own digest."""
    return header(roots) + b"".join(section(Digest.of(block), block) for block in blocks)


def read(data: bytes) -> Iterator[tuple[Digest, bytes]]:
    """Gives the blocks of an archive of raw BLAKE3 blocks, each checked against its CID.

    Raises:
        MalformedError: it is no such archive, or a block is not what its CID names.
    """
    length, at = _varint(data, 0)
    if length > min(_MAX_HEADER_BYTES, len(data) - at):
        raise MalformedError("a CAR archive is cut short")
    at += length
    while at < len(data):
        length, at = _varint(data, at)
        if not _CID_BYTES <= length <= min(_CID_BYTES + MAX_BLOCK_BYTES, len(data) - at):
            raise MalformedError("a CAR archive has a block of a wrong length")
        cid, block = data[at : at + _CID_BYTES], data[at + _CID_BYTES : at + length]
        if cid != to_bytes(Digest.of(block)):
            raise MalformedError("a CAR archive has a block that is not what its CID names")
        yield Digest(cid[-DIGEST_BYTES:]), block
        at += length


def varint(number: int) -> bytes:
    """Returns an unsigned LEB128 number."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 63, 7):
        if at >= len(data):
            raise MalformedError("a CAR archive is cut short")
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if not byte & 0x80:
            if byte == 0 and shift:
                raise MalformedError("a CAR archive has a number that is not minimal")
            return number, at
    raise MalformedError("a CAR archive has a number that is too large")


def _cbor_array(length: int) -> bytes:
    if length < 24:
        return bytes([0x80 | length])
    if length < 256:
        return bytes([0x98, length])
    if length < 1 << 16:
        return b"\x99" + length.to_bytes(2, "big")
    return b"\x9a" + length.to_bytes(4, "big")
