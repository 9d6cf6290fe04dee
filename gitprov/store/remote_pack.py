"""Packs of a remote: CAR archives of blocks, so that IPFS imports them, and their index."""

from dataclasses import dataclass, field
from typing import Final

from blake3 import blake3

from gitprov.core import car, cid
from gitprov.model.remote_index import Entry, Kind, format_index

PACK_BYTES: Final = 32 << 20
"""A pack is closed at this size: large enough for few requests, small enough to send again."""

_ROOT_BYTES = len(car.header([cid.PREFIXES["dag-cbor"] + bytes(32)]))


@dataclass
class PackBuilder:
    """A pack in memory while it grows.

    Attributes:
        entries: what lies in it.
        data: its bytes; the header is put in at the end, as it names the list of all blocks.
    """

    entries: list[Entry] = field(default_factory=list)
    data: bytearray = field(default_factory=lambda: bytearray(_ROOT_BYTES))
    _names: list[bytes] = field(default_factory=list)
    _places: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    _end: int = 0

    @property
    def full(self) -> bool:
        """Whether it is large enough to be closed."""
        return len(self.data) >= PACK_BYTES

    def add(self, kind: Kind, digest: bytes, block: bytes, block_digest: bytes) -> None:
        """Adds a block, once, and an entry for it.

        Args:
            kind: what it is.
            digest: what it is called.
            block: its bytes.
            block_digest: their BLAKE3.
        """
        place = self._places.get(block_digest)
        if place is None:
            name = cid.PREFIXES["raw"] + block_digest
            self.data += car.varint(len(name) + len(block)) + name
            place = len(self.data), len(block)
            self.data += block
            self._places[block_digest] = place
            self._names.append(name)
        self.entries.append(Entry(kind, digest, *place))

    def finish(self, salt: bytes = b"") -> tuple[str, bytearray, bytes]:
        """Returns the pack's id, its bytes and its index.

        Args:
            salt: bytes that no index names, to give the same blocks another id; used when a pack
                of the first id is there, and may be half-written or about to be removed.
        """
        end = self._end = self._end or len(self.data)
        names = list(self._names)
        if len(self.data) > end:
            self.data = self.data[:end]  # a transport may still hold the first one
        if salt:
            names.append(cid.PREFIXES["raw"] + blake3(salt).digest())
            self.data += car.section(car.Block(names[-1], salt))
        lists = car.lists(names)
        for block in lists:
            self.data += car.section(block)
        self.data[:_ROOT_BYTES] = car.header([lists[-1].name])
        pack_id = blake3(self.data, max_threads=blake3.AUTO).hexdigest()
        return pack_id, self.data, format_index(self.entries)


def pack_name(pack_id: str) -> str:
    """Returns where a pack lies."""
    return f"packs/{pack_id}.car"


def index_name(pack_id: str) -> str:
    """Returns where a pack's index lies; it is written after the pack."""
    return f"index/{pack_id}"
