"""Sending to a remote: packs are filled and travel, and recipes go last.

What a push counted on may be announced for removal while it runs. So it looks at the end, and
sends again what is about to go: a push that says it is done has left everything there (ADR 12).
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import NamedTuple, Self

from blake3 import blake3

from gitprov.core.chunking import Chunker
from gitprov.errors import EnvironmentFault, UnavailableError
from gitprov.model.remote_index import Kind, recipe_blocks
from gitprov.store.base import BlobStore
from gitprov.store.remote import Remote, Wanted
from gitprov.store.remote_pack import PackBuilder, index_name, pack_name

WHOLE_BYTES = 1 << 20
"""Blobs up to this size are one block; larger ones are cut into chunks."""

_RECIPES_AT_ONCE = 256
_LOOKS = 5
"""So often a push begins again when what it counted on is taken away."""

_SALT_BYTES = 32

Sent = Callable[[int, int], None]
"""Is told of objects and bytes that are done."""


class Pushed(NamedTuple):
    """What a push did: objects and bytes that travelled, and the packs that were made."""

    objects: int
    sent_bytes: int
    packs: int


def push(
    remote: Remote,
    store: BlobStore,
    wanted: Iterable[Wanted],
    *,
    jobs: int = 4,
    sent: Sent | None = None,
) -> Pushed:
    """Sends what the remote lacks of these.

    Args:
        remote: where to; it was connected to for writing.
        store: where they are.
        wanted: blobs and manifests.
        jobs: how many packs travel at once.
        sent: is told of what is done.

    Raises:
        UnavailableError: the store lacks one of them, or the remote cannot be reached.
    """
    here = list(dict.fromkeys(wanted))
    there = remote.has(here)
    lacking = [one for one in here if one not in there]
    if not lacking:
        return Pushed(0, 0, 0)
    objects, size, packs = len(lacking), 0, 0
    large: set[Wanted] = set()
    for _ in range(_LOOKS):
        with Packer(remote, jobs) as packer:
            sender = _Sender(packer, store, sent, large)
            try:
                sender.send(lacking)
            except _TakenAwayError:
                done = False
            else:
                done = not packer.written or not remote.gone(packer.written)
        size, packs = size + packer.sent_bytes, packs + len(packer.written)
        if done:
            return Pushed(objects, size, packs)
        remote.look_again()
        there = remote.has(here)
        # A recipe that is there now may name chunks that are not.
        lacking = [one for one in here if one not in there or one in large]
    raise UnavailableError(
        f"{remote.transport.url} is being cleared by `gitprov gc --remote` again and again",
        hint="push again when that is done: what arrived stays",
    )


class _TakenAwayError(Exception):
    """Chunks that recipes are to name are about to be removed, or gone."""


class Packer:
    """Fills packs and lets them travel while the next one is filled; used by one thread.

    Attributes:
        sent_bytes: what has travelled.
        written: the packs that have arrived with their index.
    """

    def __init__(self, remote: Remote, jobs: int) -> None:
        """Takes the remote, and how many packs travel at once."""
        self.remote = remote
        self.sent_bytes = 0
        self.written: list[str] = []
        self._jobs = jobs
        self._pool = ThreadPoolExecutor(max_workers=jobs)
        self._pack = PackBuilder()
        self._idle: list[PackBuilder] = []
        self._under_way: set[Future[None]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def add(
        self, kind: Kind, digest: bytes, block: bytes | memoryview, block_digest: bytes
    ) -> None:
        """Adds a block; see `PackBuilder.add`."""
        self._pack.add(kind, digest, block, block_digest)
        if self._pack.full:
            self._close()

    def flush(self) -> None:
        """Waits until everything that was added has arrived; the first failure is raised."""
        self._close()
        self._wait(0)

    def _close(self) -> None:
        if self._pack.entries:
            self._wait(self._jobs - 1)
            self._under_way.add(self._pool.submit(self._upload, self._pack))
            self._pack = self._idle.pop() if self._idle else PackBuilder()

    def _upload(self, pack: PackBuilder) -> None:
        transport = self.remote.transport
        pack_id, data, index = pack.finish()
        # A pack that is there already may be about to be removed, or be half of somebody's push:
        # the same blocks get another id then.
        for _ in range(_LOOKS):
            if not self.remote.knows_pack(pack_id) and transport.put(pack_name(pack_id), data):
                break
            pack_id, data, index = pack.finish(os.urandom(_SALT_BYTES))
        else:
            raise EnvironmentFault(f"{transport.url} says that every new pack is there already")
        transport.put(index_name(pack_id), index)
        self.sent_bytes += len(data) + len(index)
        self.remote.keep_index(pack_id, index)
        self.remote.learn(pack_id, pack.entries)
        self.written.append(pack_id)
        pack.clear()
        self._idle.append(pack)

    def _wait(self, most: int) -> None:
        """Waits until at most so many packs are under way."""
        while len(self._under_way) > most:
            done, self._under_way = wait(self._under_way, return_when=FIRST_COMPLETED)
            for one in done:
                one.result()


class _Sender:
    """Takes what is lacking from the store, and cuts what is large."""

    def __init__(
        self, packer: Packer, store: BlobStore, sent: Sent | None, large: set[Wanted]
    ) -> None:
        self._packer, self._store, self._sent = packer, store, sent
        self._large = large
        self._new_chunks: set[bytes] = set()
        self._recipes: list[tuple[Kind, bytes, list[bytes]]] = []

    def send(self, lacking: list[Wanted]) -> None:
        sizes = self._store.sizes(one.digest for one in lacking)
        manifests = {one.digest for one in lacking if one.is_manifest}
        small = [one.digest for one in lacking if sizes.get(one.digest, 0) <= WHOLE_BYTES]
        for digest, data in self._store.read_many(small):
            is_manifest = digest in manifests
            block_digest = blake3(data).digest() if is_manifest else digest
            self._packer.add("m" if is_manifest else "b", digest, data, block_digest)
            self._tell(1, len(data))
        for one in lacking:
            if (size := sizes.get(one.digest, 0)) > WHOLE_BYTES:
                self._add_large(one, size)
        self._flush_recipes()

    def _add_large(self, one: Wanted, size: int) -> None:
        self._large.add(one)
        chunks: list[tuple[bytes, int]] = []
        with self._store.open(one.digest) as file:
            for chunk in Chunker().chunks(file.readinto):
                digest = blake3(chunk).digest()
                chunks.append((digest, len(chunk)))
                if digest not in self._new_chunks and not self._packer.remote.has_chunk(digest):
                    self._new_chunks.add(digest)
                    self._packer.add("c", digest, chunk, digest)
                self._tell(0, len(chunk))
        kind: Kind = "M" if one.is_manifest else "B"
        self._recipes.append((kind, one.digest, recipe_blocks(one.digest, size, chunks)))
        self._tell(1, 0)
        if len(self._recipes) >= _RECIPES_AT_ONCE:
            self._flush_recipes()

    def _flush_recipes(self) -> None:
        """Recipes go when all chunks have arrived: what a remote has a recipe of, it has."""
        self._packer.flush()
        recipes, self._recipes = self._recipes, []
        if recipes and self._packer.remote.gone(()):
            raise _TakenAwayError
        for kind, digest, blocks in recipes:
            for block in blocks[:-1]:
                name = blake3(block).digest()
                self._packer.add("c", name, block, name)
            self._packer.add(kind, digest, blocks[-1], blake3(blocks[-1]).digest())
        self._packer.flush()

    def _tell(self, objects: int, size: int) -> None:
        if self._sent is not None:
            self._sent(objects, size)
