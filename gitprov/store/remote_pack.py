"""Packs of a remote: CAR archives of blocks, so that IPFS imports them, and their index."""

import mmap
from dataclasses import dataclass, field
from typing import Final

from blake3 import blake3

from gitprov.core import car, cid
from gitprov.model.remote_index import Entry, Kind, format_index

PACK_BYTES: Final = 32 << 20
"""A pack is closed at this size: large enough for few requests, small enough to send again."""

_ROOM_BYTES = PACK_BYTES + (2 << 20)
"""The last block and the lists fit in, unless blocks are tiny."""

_ROOT_BYTES = len(car.header([cid.PREFIXES["dag-cbor"] + bytes(32)]))


@dataclass
class PackBuilder:
    """A pack in memory while it grows.

    It may be filled again after `clear`: fresh memory for each pack costs more than hashing it.

    Attributes:
        entries: what lies in it.
    """

    entries: list[Entry] = field(default_factory=list)
    # Anonymous memory: what is not written to takes no time and no room.
    _room: memoryview = field(default_factory=lambda: memoryview(mmap.mmap(-1, _ROOM_BYTES)))
    _size: int = _ROOT_BYTES
    _names: list[bytes] = field(default_factory=list)
    _places: dict[bytes, tuple[int, int]] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        """Whether it is large enough to be closed."""
        return self._size >= PACK_BYTES

    def clear(self) -> None:
        """Makes it empty; what `finish` gave out is no more."""
        self.entries, self._names, self._places = [], [], {}
        self._size = _ROOT_BYTES

    def add(
        self, kind: Kind, digest: bytes, block: bytes | memoryview, block_digest: bytes
    ) -> None:
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
            self._size = self._put(self._size, car.varint(len(name) + len(block)) + name)
            place = self._size, len(block)
            self._size = self._put(self._size, block)
            self._places[block_digest] = place
            self._names.append(name)
        self.entries.append(Entry(kind, digest, *place))

    def finish(self, salt: bytes = b"") -> tuple[str, memoryview, bytes]:
        """Returns the pack's id, its bytes and its index.

        The header is put in now, as it names the list of all blocks. The bytes are good until
        `finish` is called again.

        Args:
            salt: bytes that no index names, to give the same blocks another id; used when a pack
                of the first id is there, and may be half-written or about to be removed.
        """
        end, names = self._size, list(self._names)
        if salt:
            names.append(cid.PREFIXES["raw"] + blake3(salt).digest())
            end = self._put(end, car.section(car.Block(names[-1], salt)))
        lists = car.lists(names)
        for block in lists:
            end = self._put(end, car.section(block))
        self._put(0, car.header([lists[-1].name]))
        data = self._room[:end]
        pack_id = blake3(data, max_threads=blake3.AUTO).hexdigest()
        return pack_id, data, format_index(self.entries)

    def _put(self, at: int, data: bytes | memoryview) -> int:
        """Writes bytes at an offset, and returns where they end."""
        end = at + len(data)
        if end > len(self._room):
            # What was given out of the old one stays as it is.
            larger = memoryview(bytearray(max(end, 2 * len(self._room))))
            larger[:at], self._room = self._room[:at], larger
        self._room[at:end] = data
        return end


def pack_name(pack_id: str) -> str:
    """Returns where a pack lies."""
    return f"packs/{pack_id}.car"


def index_name(pack_id: str) -> str:
    """Returns where a pack's index lies; it is written after the pack."""
    return f"index/{pack_id}"
