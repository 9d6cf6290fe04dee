"""Repairs a remote: what is good is copied, what a store has is sent, then what is bad goes.

Objects are never changed. Everything good of a pack that goes lies in a new one, with its index,
before the old index goes and then the old pack: so whoever reads meanwhile finds it, and a repair
that dies has lost nothing (docs/adr/0012).
"""

import contextlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from blake3 import blake3

from gitprov.core import car
from gitprov.errors import MalformedError
from gitprov.model.manifest import Manifest
from gitprov.model.remote_index import Entry, Kind, parse_recipe
from gitprov.store.base import BlobStore
from gitprov.store.remote import Remote, Wanted
from gitprov.store.remote_check import WHOLE_PACK_BYTES, Inspection
from gitprov.store.remote_pack import index_name, pack_name
from gitprov.store.remote_send import Packer, push
from gitprov.store.remote_survey import batches, read, read_recipes
from gitprov.store.transport import MissingError

_RECIPES = {"B", "M"}
_MANIFESTS = {"m", "M"}


def repair(
    remote: Remote,
    found: Inspection,
    store: BlobStore,
    wanted: Iterable[Wanted],
    *,
    jobs: int,
) -> list[bytes]:
    """Makes a remote whole, as far as it and a store have what it takes.

    Args:
        remote: the remote, for writing.
        found: what a check found.
        store: where things may be had.
        wanted: what the remote is to have beside what its indexes say.
        jobs: transfers at once.

    Returns:
        Blobs and manifests that it was to have, and that neither side has.
    """
    remote.transport.delete(found.bad_notices)
    sizes = remote.pack_sizes()
    going = found.unindexed | found.bad_packs | {pack for pack, _ in found.false}
    claims = {pack: entries for pack, entries in remote.indexes() if pack in going}
    for pack in found.unindexed:
        claims[pack] = _entries_of(remote, pack, sizes.get(pack))
    for pack in going:
        remote.set_vanished(pack)
    remote.look_again(writing=True)
    needed = {(one.digest, one.is_manifest) for one in wanted}
    for pack, entries in claims.items():
        if pack not in found.unindexed:
            needed |= {(one.digest, one.kind in _MANIFESTS) for one in entries if one.kind != "c"}
    rests = {}
    if not remote.has(Wanted(*one) for one in needed).issuperset(Wanted(*one) for one in needed):
        rests = {pack: _entries_of(remote, pack, sizes.get(pack)) for pack in found.rests}
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        copying = _Copying(remote, pool, jobs, sizes, found)
        copying.blocks({**claims, **rests})
        here = store.has(digest for digest, _ in needed)
        push(remote, store, [Wanted(*one) for one in sorted(needed) if one[0] in here], jobs=jobs)
        copying.recipes({**claims, **rests})
    remote.transport.delete([index_name(pack) for pack in sorted(going)])
    remote.transport.delete([pack_name(pack) for pack in sorted(going)])
    return sorted({digest for digest, _ in needed if remote.place(digest) is None})


class _Copying:
    """Copies what is good of packs that go, and lies nowhere else."""

    def __init__(
        self,
        remote: Remote,
        pool: ThreadPoolExecutor,
        jobs: int,
        sizes: Mapping[str, int],
        found: Inspection,
    ) -> None:
        self._remote, self._pool, self._jobs = remote, pool, jobs
        self._sizes, self._found = sizes, found

    def blocks(self, claims: Mapping[str, Sequence[Entry]]) -> None:
        """Copies blobs, manifests and chunks; each is checked once more."""
        work = (
            batch
            for pack, entries in claims.items()
            for batch in batches(
                pack,
                [one for one in entries if one.kind not in _RECIPES and self._lacks(pack, one)],
                self._sizes.get(pack, 0),
            )
        )
        with Packer(self._remote, self._jobs) as packer:
            for _, blocks in read(self._remote.transport, self._pool, self._jobs, work):
                for block in blocks:
                    if not block.wrong:
                        digest = blake3(block.data).digest()
                        packer.add(block.entry.kind, block.entry.digest, block.data, digest)
            packer.flush()

    def recipes(self, claims: Mapping[str, Sequence[Entry]]) -> None:
        """Copies recipes whose chunks are all there by now."""
        work = (
            batch
            for pack, entries in claims.items()
            for batch in batches(
                pack,
                [
                    one
                    for one in entries
                    if one.kind in _RECIPES and self._remote.place(one.digest) is None
                ],
                self._sizes.get(pack, 0),
            )
        )
        sizes = self._remote.pack_sizes()
        good: dict[str, list[Entry]] = {}
        for recipe in read_recipes(self._remote, self._pool, self._jobs, work, sizes):
            if not recipe.wrong and all(self._has(*chunk) for chunk in recipe.chunks()):
                good.setdefault(recipe.pack, []).append(recipe.entry)
        with Packer(self._remote, self._jobs) as packer:
            again = (one for pack, some in good.items() for one in batches(pack, some, sizes[pack]))
            for _, blocks in read(self._remote.transport, self._pool, self._jobs, again):
                for block in blocks:
                    digest = blake3(block.data).digest()
                    packer.add(block.entry.kind, block.entry.digest, block.data, digest)
            packer.flush()

    def _lacks(self, pack: str, entry: Entry) -> bool:
        if (pack, entry) in self._found.false:
            return False
        if entry.kind == "c":
            return not self._remote.has_chunk(entry.digest)
        return self._remote.place(entry.digest) is None

    def _has(self, digest: bytes, size: int) -> bool:
        place = self._remote.chunk(digest)
        return place is not None and place.size == size


def _entries_of(remote: Remote, pack: str, size: int | None) -> list[Entry]:
    """Makes an index again from the pack itself, as far as its blocks can be read."""
    if size is None or size > WHOLE_PACK_BYTES:
        return []
    try:
        data = remote.transport.get(pack_name(pack), limit=WHOLE_PACK_BYTES)
    except MissingError:
        return []
    file = io.BytesIO(data)
    found: list[Entry] = []
    with contextlib.suppress(MalformedError):  # what comes before damage is good
        for block in car.read(file)[1]:
            if block.is_raw:
                offset = file.tell() - len(block.data)
                for kind, digest in _names(block.data):
                    found.append(Entry(kind, digest, offset, len(block.data)))
    return found


def _names(block: bytes) -> Iterator[tuple[Kind, bytes]]:
    """All that a block can be called. It is a blob in any case; it may be a manifest, a recipe."""
    yield "b", blake3(block).digest()
    with contextlib.suppress(MalformedError):
        yield "m", Manifest.parse(block).root.raw
    with contextlib.suppress(MalformedError):
        yield "B", parse_recipe(block, what="it").digest
