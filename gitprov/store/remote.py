"""A remote: what it has, by one listing, and what may be counted on.

Everything is named by its content and written once: a pack, then its index, and a recipe only
when the chunks that it names are there. So whatever moment a push dies at, what has an index is
whole, and the next push sends the rest (docs/formats.md section 13). A collection announces what
it is to remove, and who pushes does not count on that any more (docs/adr/0012).
"""

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Self

from gitprov.errors import GitprovError, MalformedError
from gitprov.model.remote_index import KINDS, MAX_INDEX_BYTES, Entry, Kind, parse_index
from gitprov.model.remote_notice import MAX_NOTICE_BYTES, Notice, is_pack_id
from gitprov.platform.files import atomic_write, fault, read_bounded
from gitprov.store.remote_marker import nothing_pushed, read_marker, write_marker
from gitprov.store.remote_pack import index_name, pack_name
from gitprov.store.transport import Listed, MissingError, Transport

MAX_PACKS = 1 << 20
"""Packs of one remote: 32 TiB of them."""

MAX_ALL_INDEX_BYTES = 1 << 30
"""All indexes of a remote together: 22 million things, which take some 4 GiB of memory."""

MAX_NOTICES = 1000
MAX_ALL_NOTICE_BYTES = 256 << 20

_AT_ONCE = 64
"""Indexes that are fetched, and held, at a time."""

_SIZE_BITS, _OFFSET_BITS, _KIND_BITS = 21, 51, 3
_NUMBER_OF = {kind: number for number, kind in enumerate(KINDS)}


Claim = tuple[str, Entry]
"""What the index of a pack says."""


class Place(NamedTuple):
    """Where a block lies."""

    pack: str
    kind: Kind
    offset: int
    size: int


class Wanted(NamedTuple):
    """Something that a remote is to have, or to give."""

    digest: bytes
    is_manifest: bool


class Remote:
    """A remote that is there. Close it, or use it in a `with`.

    Attributes:
        transport: the connection.
        id: what its marker calls it.
        announced: packs that a collection is to remove; known to whoever writes.
        notices: what says so, by the names of the objects, as of the last look.
        damaged: packs whose index is damaged, with what is wrong: nothing in them is known.
        false: what indexes say, and was found to be not so.
    """

    def __init__(self, transport: Transport, cache: str) -> None:
        """Takes the connection, and the folder in which indexes are kept."""
        self.transport = transport
        self.id = ""
        self.announced: set[str] = set()
        self._cache = cache
        self._writing = False
        # A place is one number: a tuple for each of a million blobs would take twice the memory.
        self._places: dict[bytes, int] = {}
        self._chunks: dict[bytes, int] = {}
        self._packs: list[str] = []
        self._numbers: dict[str, int] = {}
        self._vanished: set[str] = set()
        self.false: set[Claim] = set()
        self.notices: dict[str, Notice] = {}
        self.damaged: dict[str, str] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.transport.close()

    def connect(self, *, create: bool, writing: bool = False) -> None:
        """Finds out whether this is a remote of ours, and what it has.

        Args:
            create: make it one where nothing is.
            writing: whether what it has is counted on: then what it is about to remove is not.

        Raises:
            UnavailableError: it is none, cannot be reached, or a newer gitprov wrote it.
        """
        self.identify(create=create, writing=writing)
        self.look_again()

    def identify(self, *, create: bool, writing: bool = False) -> None:
        """Does the first half of `connect`: finds out whether this is a remote of ours."""
        self._writing = writing or create
        try:
            self.id = read_marker(self.transport)
        except MissingError:
            if not create:
                raise nothing_pushed(self.transport) from None
            write_marker(self.transport)
            self.id = read_marker(self.transport)
        try:
            os.makedirs(self.folder, exist_ok=True)
        except OSError as exc:
            raise fault(exc, "make", self.folder) from exc

    @property
    def folder(self) -> str:
        """Where this clone keeps what it knows of the remote."""
        return os.path.join(self._cache, self.id)

    def has(self, wanted: Iterable[Wanted]) -> set[Wanted]:
        """Returns what the remote has of these, and is not about to remove."""
        return {one for one in wanted if self._counts(self._places.get(one.digest))}

    def has_chunk(self, digest: bytes) -> bool:
        """Whether the remote has a chunk, and is not about to remove it."""
        return self._counts(self._chunk(digest))

    def place(self, digest: bytes) -> Place | None:
        """Returns where a blob's or manifest's block, or its recipe, lies."""
        found = self._places.get(digest)
        return None if found is None else self._unpacked(found)

    def chunk(self, digest: bytes) -> Place | None:
        """Returns where a chunk lies."""
        found = self._chunk(digest)
        return None if found is None else self._unpacked(found)

    def knows_pack(self, pack_id: str) -> bool:
        """Whether there is, or was, a pack of this id: it must not be written again."""
        return pack_id in self._numbers or pack_id in self._vanished or pack_id in self.announced

    def has_index(self, pack_id: str) -> bool:
        """Whether there is an index of this pack."""
        return pack_id in self._numbers

    def glance(self) -> dict[str, int]:
        """Lists the indexes, and reads what is announced: the first half of `look_again`."""
        listed = self.list_indexes()
        if self._writing:
            # After the indexes were listed: what is announced later is looked for at the end.
            self.read_notices()
        return listed

    def counted_on(self) -> set[str]:
        """Returns the packs that were there at the last look, or were written since, and stay."""
        return set(self._numbers) - self.announced

    def look_again(self, *, writing: bool = False, listed: Mapping[str, int] | None = None) -> None:
        """Learns anew what the remote has: others may have written and removed.

        Args:
            writing: whether what it has is counted on from now on, see `connect`.
            listed: what `glance` has just returned.
        """
        self._writing = self._writing or writing
        listed = self.glance() if listed is None else listed
        self._places.clear()
        self._chunks.clear()
        self._packs.clear()
        self._numbers.clear()
        self.damaged.clear()
        # What is to go, or was wrong, comes last, so that another copy counts; the order is
        # everybody's.
        bad = self.announced | {pack for pack, _ in self.false}
        order = sorted(listed, key=lambda name: (name in bad, name))
        for name, entries in self._read_indexes(listed, order):
            if self.false:
                entries = [one for one in entries if (name, one) not in self.false]
            self.learn(name, entries)

    def list_indexes(self) -> dict[str, int]:
        """Returns the packs that have an index, with its size.

        Raises:
            MalformedError: there are more than a remote can have.
        """
        return bounded_ids(
            self.transport.list("index"), MAX_PACKS, MAX_ALL_INDEX_BYTES, self.transport.url
        )

    def read_notices(self) -> dict[str, Notice]:
        """Returns what collections have announced, by the notice's name.

        Raises:
            MalformedError: there are too many, or one is damaged: what is to go is not known then.
        """
        listed = bounded_ids(
            self.transport.list("gc"), MAX_NOTICES, MAX_ALL_NOTICE_BYTES, self.transport.url
        )
        found: dict[str, Notice] = {}
        for name in (f"gc/{one}" for one in listed):
            known = self.notices.get(name)
            if known is None:
                try:
                    data = self.transport.get(name, limit=MAX_NOTICE_BYTES)
                except MissingError:
                    continue  # done with meanwhile
                known = Notice.parse(data, what=f"{name} of {self.transport.url}")
                if known.name != name:
                    raise MalformedError(f"{name} of {self.transport.url} is damaged")
            found[name] = known
        self.notices = found
        self.announced = {pack for notice in found.values() for pack in notice.packs}
        return found

    def indexes(self) -> Iterator[tuple[str, list[Entry]]]:
        """Yields every pack that was there at the last look, with what its index says."""
        for name in [*self._packs]:
            entries = self._entries(name, MAX_INDEX_BYTES, b"")
            if entries is not None:
                yield name, entries

    def pack_sizes(self) -> dict[str, int]:
        """Lists the packs that are there, with an index or without one."""
        return bounded_ids(self.transport.list("packs"), 2 * MAX_PACKS, 1 << 60, self.transport.url)

    def with_packs(self, listed: Mapping[str, int]) -> dict[str, int]:
        """Returns those of some indexes whose packs are there; the others are not read any more.

        Args:
            listed: what `glance` returned: a pack is written before its index.
        """
        there = self.pack_sizes()
        self._vanished.update(listed.keys() - there.keys())
        return {name: size for name, size in listed.items() if name in there}

    def gone(self, mine: Iterable[str]) -> bool:
        """Whether something that was counted on is announced, or gone, since the last look.

        Args:
            mine: packs that were written since then; a collection may have taken one for a rest.
        """
        before = self.counted_on()
        self.read_notices()
        lost = bool(before & self.announced or before - self.list_indexes().keys())
        written = list(mine)
        with ThreadPoolExecutor(max_workers=8) as pool:
            swept = [
                pack
                for pack, is_there in zip(written, pool.map(self._has_pack, written), strict=True)
                if not is_there
            ]
        self.transport.delete([index_name(pack) for pack in swept])
        self._vanished.update(swept)
        return lost or bool(swept)

    def _has_pack(self, pack_id: str) -> bool:
        try:
            self.transport.get_range(pack_name(pack_id), 0, 1)
        except MissingError:
            return False
        return True

    def set_vanished(self, pack_id: str) -> None:
        """Is told that a pack is not there, although it has an index."""
        self._vanished.add(pack_id)

    def disbelieve(self, claims: Iterable[Claim]) -> None:
        """Is told what indexes say and is not so, and learns anew what the remote has."""
        self.false.update(claims)
        self.look_again()

    def keep_index(self, pack_id: str, data: bytes) -> None:
        """Keeps a pack's index here, so that it is not fetched again."""
        atomic_write(os.path.join(self.folder, pack_id), data, durable=False)

    def learn(self, pack_id: str, entries: Iterable[Entry]) -> None:
        """Is told what lies in a pack."""
        with self._lock:
            number = self._numbers.get(pack_id)
            if number is None:
                number = self._numbers[pack_id] = len(self._packs)
                self._packs.append(pack_id)
        base = number << _KIND_BITS
        for kind, digest, offset, size in entries:
            place = (base | _NUMBER_OF[kind]) << _OFFSET_BITS | offset
            into = self._chunks if kind == "c" else self._places
            known = into.get(digest)
            if known is None or not self._counts(known):
                into[digest] = place << _SIZE_BITS | size

    def _counts(self, place: int | None) -> bool:
        if place is None:
            return False
        return not self.announced or self._unpacked(place).pack not in self.announced

    def _chunk(self, digest: bytes) -> int | None:
        """A whole blob is a chunk too, when it is one block."""
        found = self._chunks.get(digest)
        if found is None or not self._counts(found):
            whole = self._places.get(digest)
            if whole is not None and self._unpacked(whole).kind == "b":
                return whole
        return found

    def _unpacked(self, place: int) -> Place:
        size = place & (1 << _SIZE_BITS) - 1
        place >>= _SIZE_BITS
        offset = place & (1 << _OFFSET_BITS) - 1
        place >>= _OFFSET_BITS
        kind = KINDS[place & (1 << _KIND_BITS) - 1]
        return Place(self._packs[place >> _KIND_BITS], kind, offset, size)

    def _read_indexes(
        self, listed: Mapping[str, int], order: list[str]
    ) -> Iterator[tuple[str, list[Entry]]]:
        """Yields what the indexes say; those that are not kept here yet are fetched."""
        try:
            kept = set(os.listdir(self.folder))
        except OSError as exc:
            raise fault(exc, "read", self.folder) from exc
        for name in kept - listed.keys():
            if is_pack_id(name):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(self.folder, name))  # collected there
        with ThreadPoolExecutor(max_workers=8) as pool:
            for start in range(0, len(order), _AT_ONCE):
                some = [one for one in order[start : start + _AT_ONCE] if one not in self._vanished]
                missing = [name for name in some if name not in kept]
                sizes = [listed[name] for name in missing]
                fetched = dict(zip(missing, pool.map(self._fetch, missing, sizes), strict=True))
                for name in some:
                    entries = self._entries(name, listed[name], fetched.pop(name, b""))
                    if entries is not None:
                        yield name, entries

    def _entries(self, name: str, size: int, data: bytes | None) -> list[Entry] | None:
        """What an index says: as it was fetched just now, or as it is kept here."""
        if data == b"":
            path = os.path.join(self.folder, name)
            try:
                return parse_index(read_bounded(path, MAX_INDEX_BYTES), what=path)
            except GitprovError:
                data = self._fetch(name, size)
        if data is None:
            return None
        try:
            entries = parse_index(data, what=f"the index of {name}")
        except MalformedError as exc:
            self.damaged[name] = str(exc)  # the others are as good as before
            return None
        self.keep_index(name, data)
        return entries

    def _fetch(self, pack_id: str, size: int) -> bytes | None:
        """Fetches an index, at most as large as it was listed; None when it is gone meanwhile."""
        try:
            return self.transport.get(index_name(pack_id), limit=min(size, MAX_INDEX_BYTES))
        except MissingError:
            return None
        except MalformedError as exc:
            self.damaged[pack_id] = str(exc)
            return None


def bounded_ids(listed: Iterable[Listed], most: int, most_bytes: int, where: str) -> dict[str, int]:
    """Returns the objects of a folder that are named by a digest: their sizes by that.

    Raises:
        MalformedError: there are more than the most, or they are larger together.
    """
    found: dict[str, int] = {}
    total = 0
    for seen, one in enumerate(listed, 1):
        folder, _, rest = one.name.partition("/")
        name = rest.removesuffix(".car")
        if is_pack_id(name):
            found[name] = one.size
            total += one.size
        if seen > most or total > most_bytes:  # strangers count: they may never end
            raise MalformedError(
                f"{where} lists more below {folder}/ than a remote can have: "
                f"at most {most:,} objects of {most_bytes:,} bytes together"
            )
    return found
