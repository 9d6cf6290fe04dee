"""A record as blocks for IPFS: its leaves, one to a line, cut between lines (docs/formats.md)."""

from collections.abc import Iterable, Iterator

from gitprov.core.canonical import dumps, loads
from gitprov.core.car import MAX_BLOCK_BYTES
from gitprov.errors import MalformedError
from gitprov.model.record import Record


def record_blocks(record: Record) -> Iterator[bytes]:
    """Gives the blocks: as many whole lines as fit into each, each line ended by LF.

    Raises:
        MalformedError: a leaf alone is larger than a block.
    """
    block = bytearray()
    for leaf in record.to_json():
        line = dumps(leaf) + b"\n"
        if len(line) > MAX_BLOCK_BYTES:
            raise MalformedError("a leaf of the record is larger than a block")
        if len(block) + len(line) > MAX_BLOCK_BYTES:
            yield bytes(block)
            block.clear()
        block += line
    yield bytes(block)


def record_of_blocks(blocks: Iterable[bytes]) -> Record:
    """Returns the record of its blocks. `record_of_blocks(record_blocks(r)) == r`.

    Raises:
        MalformedError: the blocks are not those that a record gives.
    """
    some = list(blocks)
    data = b"".join(some)
    if not data.endswith(b"\n"):
        raise MalformedError("a record's blocks do not end with a line")
    lines = data[:-1].split(b"\n")
    record = Record.from_json([loads(line, what="a leaf of a record") for line in lines])
    if list(record_blocks(record)) != some:
        raise MalformedError("a record's blocks are cut at other places than they are written")
    return record
