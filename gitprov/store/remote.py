"""A remote: what it has, by one listing; sending what it lacks, fetching what we lack.

Everything is named by its content and written once: a pack, then its index, and a recipe only
when the chunks that it names are there. So whatever moment a push dies at, what has an index is
whole, and the next push sends the rest (docs/formats.md section 13).
"""

import os
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import NamedTuple, Self

from blake3 import blake3

from gitprov.core.canonical import Fields, dumps, loads
from gitprov.core.chunking import Chunker
from gitprov.errors import GitprovError, MalformedError, UnavailableError, UsageError
from gitprov.model.remote_index import MAX_INDEX_BYTES, Entry, Kind, parse_index, recipe_blocks
from gitprov.platform.files import atomic_write, fault, read_bounded
from gitprov.store.base import BlobStore
from gitprov.store.remote_pack import PackBuilder, index_name, pack_name
from gitprov.store.transport import MissingError, Transport

MARKER = "gitprov-remote"
VERSION = 1
WHOLE_BYTES = 1 << 20
"""Blobs up to this size are one block; larger ones are cut into chunks."""

_MAX_MARKER_BYTES = 4096
_RECIPES_AT_ONCE = 256

Sent = Callable[[int, int], None]
"""Is told of objects and bytes that are done."""


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
    """A remote that is there. Close it, or use it in a `with`."""

    def __init__(self, transport: Transport, cache: str) -> None:
        """Takes the connection, and the folder in which indexes are kept."""
        self.transport = transport
        self._cache = cache
        self._places: dict[bytes, Place] = {}
        self._chunks: dict[bytes, Place] = {}
        self.id = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.transport.close()

    def connect(self, *, create: bool) -> None:
        """Finds out whether this is a remote of ours, and what it has.

        Args:
            create: make it one where nothing is.

        Raises:
            UnavailableError: it is none, or cannot be reached.
            UsageError: a newer gitprov wrote it.
        """
        try:
            marker = self.transport.get(MARKER, limit=_MAX_MARKER_BYTES)
        except MissingError:
            if not create:
                raise UnavailableError(
                    f"nothing was pushed to {self.transport.url} yet", hint="gitprov push"
                ) from None
            made = {"gitprov": VERSION, "id": secrets.token_hex(16), "type": "remote"}
            self.transport.put(MARKER, dumps(made) + b"\n")  # type: ignore[arg-type]  # JSON
            marker = self.transport.get(MARKER, limit=_MAX_MARKER_BYTES)
        self.id = _read_marker(marker, self.transport.url)
        self._load()

    def has(self, wanted: Iterable[Wanted]) -> set[Wanted]:
        """Returns what the remote has of these."""
        return {one for one in wanted if self._places.get(one.digest) is not None}

    def place(self, digest: bytes) -> Place | None:
        """Returns where a blob's or manifest's block, or its recipe, lies."""
        return self._places.get(digest)

    def chunk(self, digest: bytes) -> Place | None:
        """Returns where a chunk lies."""
        return self._chunks.get(digest)

    def packs(self) -> dict[str, int]:
        """Returns the packs that are used, with the bytes that lie in them by their index."""
        sizes: dict[str, int] = {}
        for place in (*self._places.values(), *self._chunks.values()):
            end = place.offset + place.size
            sizes[place.pack] = max(sizes.get(place.pack, 0), end)
        return sizes

    def push(
        self,
        store: BlobStore,
        wanted: Iterable[Wanted],
        *,
        jobs: int = 4,
        sent: Sent | None = None,
    ) -> "Pushed":
        """Sends what the remote lacks of these.

        Args:
            store: where they are.
            wanted: blobs and manifests.
            jobs: how many packs travel at once.
            sent: is told of what is done.

        Raises:
            UnavailableError: the store lacks one of them, or the remote cannot be reached.
        """
        here = list(dict.fromkeys(wanted))
        lacking = [one for one in here if one.digest not in self._places]
        with ThreadPoolExecutor(max_workers=jobs) as pool:
            sender = _Sender(self, store, pool, jobs, sent)
            try:
                sender.send(lacking)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return Pushed(len(lacking), sender.sent_bytes, sender.packs)

    def _load(self) -> None:
        listed = {
            one.name.partition("/")[2]: one.size
            for one in self.transport.list("index")
            if _is_id(one.name.partition("/")[2])
        }
        folder = os.path.join(self._cache, self.id)
        try:
            os.makedirs(folder, exist_ok=True)
            kept = set(os.listdir(folder))
        except OSError as exc:
            raise fault(exc, "read", folder) from exc
        with ThreadPoolExecutor(max_workers=8) as pool:
            missing = [name for name in listed if name not in kept]
            for name, data in zip(missing, pool.map(self._fetch_index, missing), strict=True):
                parse_index(data, what=f"the index of {name}")
                self.keep_index(name, data)
        for name in kept - listed.keys():
            if _is_id(name):
                os.unlink(os.path.join(folder, name))  # collected there
        for name in listed:
            path = os.path.join(folder, name)
            try:
                entries = parse_index(read_bounded(path, MAX_INDEX_BYTES), what=path)
            except GitprovError:
                entries = parse_index(self._fetch_index(name), what=f"the index of {name}")
            self.learn(name, entries)

    def _fetch_index(self, pack_id: str) -> bytes:
        return self.transport.get(index_name(pack_id), limit=MAX_INDEX_BYTES)

    def keep_index(self, pack_id: str, data: bytes) -> None:
        """Keeps a pack's index here, so that it is not fetched again."""
        atomic_write(os.path.join(self._cache, self.id, pack_id), data, durable=False)

    def learn(self, pack_id: str, entries: Iterable[Entry]) -> None:
        """Is told what lies in a pack."""
        for entry in entries:
            place = Place(pack_id, entry.kind, entry.offset, entry.size)
            if entry.kind in {"c", "b"}:
                self._chunks.setdefault(entry.digest, place)
            if entry.kind != "c":
                self._places.setdefault(entry.digest, place)


class Pushed(NamedTuple):
    """What a push did: objects and bytes that travelled, and the packs that were made."""

    objects: int
    sent_bytes: int
    packs: int


class _Sender:
    """Fills packs and lets them travel while the next one is filled."""

    def __init__(
        self,
        remote: Remote,
        store: BlobStore,
        pool: ThreadPoolExecutor,
        jobs: int,
        sent: Sent | None,
    ) -> None:
        self._remote, self._store, self._pool, self._jobs = remote, store, pool, jobs
        self._sent = sent
        self._pack = PackBuilder()
        self._under_way: set[Future[None]] = set()
        self._new_chunks: set[bytes] = set()
        self._recipes: list[tuple[Kind, bytes, list[bytes]]] = []
        self.sent_bytes = 0
        self.packs = 0

    def send(self, lacking: list[Wanted]) -> None:
        sizes = self._store.sizes(one.digest for one in lacking)
        manifests = {one.digest for one in lacking if one.is_manifest}
        small = [one.digest for one in lacking if sizes.get(one.digest, 0) <= WHOLE_BYTES]
        for digest, data in self._store.read_many(small):
            is_manifest = digest in manifests
            block_digest = blake3(data).digest() if is_manifest else digest
            self._add("m" if is_manifest else "b", digest, data, block_digest)
            self._tell(1, len(data))
        for one in lacking:
            if (size := sizes.get(one.digest, 0)) > WHOLE_BYTES:
                self._add_large(one, size)
        self._close_pack()
        self._flush_recipes()

    def _add_large(self, one: Wanted, size: int) -> None:
        chunks: list[tuple[bytes, int]] = []
        with self._store.open(one.digest) as file:
            for chunk in Chunker().chunks(file.read):
                digest = blake3(chunk).digest()
                chunks.append((digest, len(chunk)))
                if self._remote.chunk(digest) is None and digest not in self._new_chunks:
                    self._new_chunks.add(digest)
                    self._add("c", digest, chunk, digest)
                self._tell(0, len(chunk))
        kind: Kind = "M" if one.is_manifest else "B"
        self._recipes.append((kind, one.digest, recipe_blocks(one.digest, size, chunks)))
        self._tell(1, 0)
        if len(self._recipes) >= _RECIPES_AT_ONCE:
            self._close_pack()
            self._flush_recipes()

    def _flush_recipes(self) -> None:
        """Recipes go when all chunks have arrived: what a remote has a recipe of, it has."""
        self._wait(0)
        recipes, self._recipes = self._recipes, []
        for kind, digest, blocks in recipes:
            for block in blocks[:-1]:
                name = blake3(block).digest()
                self._add("c", name, block, name)
            self._add(kind, digest, blocks[-1], blake3(blocks[-1]).digest())
        self._close_pack()
        self._wait(0)

    def _add(self, kind: Kind, digest: bytes, block: bytes, block_digest: bytes) -> None:
        self._pack.add(kind, digest, block, block_digest)
        if self._pack.full:
            self._close_pack()

    def _close_pack(self) -> None:
        pack, self._pack = self._pack, PackBuilder()
        if not pack.entries:
            return
        self._wait(self._jobs - 1)
        self._under_way.add(self._pool.submit(self._upload, pack))
        self.packs += 1

    def _upload(self, pack: PackBuilder) -> None:
        pack_id, data, index = pack.finish()
        self._remote.transport.put(pack_name(pack_id), memoryview(data))
        self._remote.transport.put(index_name(pack_id), index)
        self.sent_bytes += len(data) + len(index)
        self._remote.keep_index(pack_id, index)
        self._remote.learn(pack_id, pack.entries)

    def _wait(self, most: int) -> None:
        """Waits until at most so many packs are under way; the first failure is raised."""
        while len(self._under_way) > most:
            done, self._under_way = wait(self._under_way, return_when=FIRST_COMPLETED)
            for one in done:
                one.result()

    def _tell(self, objects: int, size: int) -> None:
        if self._sent is not None:
            self._sent(objects, size)


def _read_marker(data: bytes, url: str) -> str:
    value = loads(data.removesuffix(b"\n"), what=f"{url}/{MARKER}", limit=_MAX_MARKER_BYTES)
    if isinstance(value, dict) and isinstance(value.get("gitprov"), int):
        version = value["gitprov"]
        if isinstance(version, int) and version > VERSION:
            raise UsageError(
                f"{url} has the layout {version}, this gitprov knows {VERSION}",
                hint="install a newer gitprov",
            )
    fields = Fields(value, what=f"{url}/{MARKER}")
    fields.constant("gitprov", VERSION)
    fields.constant("type", "remote")
    found = fields.text("id")
    fields.end()
    if len(found) != 32 or not all(digit in "0123456789abcdef" for digit in found):
        raise MalformedError(f"{url}/{MARKER}: the id is not 32 hex digits")
    return found


def _is_id(name: str) -> bool:
    return len(name) == 64 and all(digit in "0123456789abcdef" for digit in name)
