"""Fetching from a remote: ranges of packs, each block checked before it enters the store."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import BinaryIO

from blake3 import blake3

from gitprov.core.chunking import MIN_BYTES
from gitprov.core.digest import Digest
from gitprov.errors import MalformedError, VerificationError
from gitprov.model.manifest import MAX_MANIFEST_BYTES, Manifest
from gitprov.model.remote_index import MAX_CHUNKS, MAX_RECIPE_BLOCKS, Recipe, parse_recipe
from gitprov.platform.files import fault
from gitprov.store.base import StoreWriter
from gitprov.store.remote import Place, Remote, Wanted
from gitprov.store.remote_send import Sent
from gitprov.store.transport import MissingError

_BATCH_BYTES = 4 << 20
_GAP_BYTES = 64 << 10
"""What lies between two wanted blocks is read along when it is less than this."""

_COMMIT_BYTES = 256 << 20
"""So much is lost at most when a fetch is interrupted."""

_LOOKS = 8
"""So often a fetch looks again what the remote has, when a pack is not where it was."""

_AHEAD = 2
"""Batches for each job that are under way or wait to be taken."""


@dataclass
class Fetched:
    """What a fetch did.

    Attributes:
        objects: how many blobs and manifests came.
        received_bytes: what travelled.
        absent: what the remote does not have.
        wrong: what it has, but not as it is named; none of it entered the store.
    """

    objects: int = 0
    received_bytes: int = 0
    absent: list[bytes] = field(default_factory=list)
    wrong: list[tuple[bytes, str]] = field(default_factory=list)


class Fetcher:
    """Brings objects into a store; used by one thread, which owns the writer."""

    def __init__(
        self, remote: Remote, writer: StoreWriter, pool: ThreadPoolExecutor, jobs: int, folder: str
    ) -> None:
        """Takes the remote, the store's writer, and a folder for large files on their way."""
        self._remote, self._writer, self._pool, self._jobs = remote, writer, pool, jobs
        self._folder = folder
        self._uncommitted = 0
        self.result = Fetched()

    def fetch(
        self,
        wanted: Iterable[Wanted],
        sent: Sent | None = None,
        *,
        sizes: Mapping[bytes, int] | None = None,
    ) -> None:
        """Fetches what the remote has of these; the rest is named in the result.

        Args:
            wanted: what is to come.
            sent: is told of what is done.
            sizes: how large blobs are by what names them: a remote cannot make them larger.

        Raises:
            UnavailableError: the remote cannot be reached; what came before is kept.
        """
        waiting = dict.fromkeys(wanted)
        for left in reversed(range(_LOOKS)):
            try:
                self._bring(waiting, sent, sizes or {})
            except MissingError as exc:
                if not left:
                    raise
                self._pack_is_missing(exc.name)
            else:
                break
        self._writer.commit()

    def _pack_is_missing(self, name: str) -> None:
        """A collection may have taken a pack away: what was live in it lies in another one now."""
        pack = name.removeprefix("packs/").removesuffix(".car")
        self._remote.look_again()
        if self._remote.has_index(pack):
            self._remote.set_vanished(pack)  # its index says what is not so
            self._remote.look_again()

    def _bring(
        self, waiting: dict[Wanted, None], sent: Sent | None, sizes: Mapping[bytes, int]
    ) -> None:
        """Brings what is waited for, and crosses it out."""
        small: list[tuple[Wanted, Place]] = []
        large: list[tuple[Wanted, Place]] = []
        for one in list(waiting):
            place = self._remote.place(one.digest)
            if place is None:
                self.result.absent.append(one.digest)
                del waiting[one]
            elif place.kind in {"B", "M"}:
                large.append((one, place))
            else:
                small.append((one, place))
        for one, data in self._blocks(small):
            self._take(one, data)
            del waiting[one]
            self._tell(sent, len(data))
        for one, place in large:
            try:
                size = self._assemble(one, place, sizes.get(one.digest))
            except (MalformedError, VerificationError) as exc:
                self.result.wrong.append((one.digest, str(exc)))
                size = 0
            del waiting[one]
            self._tell(sent, size)

    def _tell(self, sent: Sent | None, size: int) -> None:
        self._uncommitted += size
        if self._uncommitted >= _COMMIT_BYTES:
            self._writer.commit()
            self._uncommitted = 0
        if sent is not None:
            sent(1, size)

    def _take(self, one: Wanted, data: bytes) -> None:
        """Checks a block and keeps it."""
        try:
            if one.is_manifest:
                if Manifest.parse(data).root.raw != one.digest:
                    raise VerificationError("its entries do not give its root")
                self._writer.add_manifest(one.digest, data)
            else:
                if blake3(data).digest() != one.digest:
                    raise VerificationError("its bytes have another digest")
                self._writer.add_known(one.digest, data)
        except (MalformedError, VerificationError) as exc:
            self.result.wrong.append((one.digest, str(exc)))
        else:
            self.result.objects += 1

    def _assemble(self, one: Wanted, place: Place, expected: int | None) -> int:
        """Puts a large blob together from its chunks, each checked, and the whole once more."""
        most = MAX_MANIFEST_BYTES if one.is_manifest else expected
        recipes = list(self._recipes(one, place, most))
        chunks = [chunk for recipe in recipes for chunk in recipe.chunks]
        size = sum(length for _, length in chunks)
        if any(recipe.digest != one.digest or recipe.size != size for recipe in recipes):
            raise VerificationError("its recipe is of something else")
        if (most is not None and size > most) or (expected is not None and size != expected):
            raise VerificationError("its recipe has another size than it has")
        try:
            with tempfile.TemporaryFile(dir=self._folder) as file:
                whole = blake3(max_threads=blake3.AUTO)
                for data in self._chunks(chunks):
                    whole.update(data)
                    file.write(data)
                file.flush()
                self._keep(one, file, size, whole.digest())
        except OSError as exc:
            raise fault(exc, "write", self._folder) from exc
        self.result.objects += 1
        return size

    def _keep(self, one: Wanted, file: BinaryIO, size: int, digest: bytes) -> None:
        if one.is_manifest:
            file.seek(0)
            data = file.read()
            if Manifest.parse(data).root.raw != one.digest:
                raise VerificationError("its entries do not give its root")
            self._writer.add_manifest(one.digest, data)
            return
        if digest != one.digest:
            raise VerificationError("its chunks together have another digest")
        path = f"/proc/self/fd/{file.fileno()}"
        self._writer.add_file(path, fd=file.fileno(), size=size, link="copy")

    def _recipes(self, one: Wanted, place: Place, most: int | None) -> Iterator[Recipe]:
        """The recipe's blocks, the first one first; not more than so many bytes can need."""
        blocks = MAX_RECIPE_BLOCKS if most is None else most // (MAX_CHUNKS * MIN_BYTES) + 1
        found: list[Recipe] = []
        shown = str(Digest(one.digest))
        while len(found) < blocks:
            data = self._get(place.pack, place.offset, place.size)
            recipe = parse_recipe(data, what=f"the recipe of {shown}")
            found.append(recipe)
            if not recipe.after:
                return reversed(found)
            before = self._remote.chunk(recipe.after)
            if before is None:
                raise VerificationError("a part of its recipe is missing")
            place = before
        raise VerificationError("its recipe has no end")

    def _chunks(self, chunks: Sequence[tuple[bytes, int]]) -> Iterator[bytes]:
        """The chunks' bytes in order, each checked."""
        places: list[tuple[Wanted, Place]] = []
        for digest, size in chunks:
            place = self._remote.chunk(digest)
            if place is None or place.size != size:
                raise VerificationError(f"its chunk {Digest(digest)} is missing")
            places.append((Wanted(digest, is_manifest=False), place))
        for one, data in self._blocks(places, ordered=True):
            if blake3(data).digest() != one.digest:
                raise VerificationError(f"its chunk {Digest(one.digest)} has other bytes")
            yield data

    def _blocks(
        self, wanted: Sequence[tuple[Wanted, Place]], *, ordered: bool = False
    ) -> Iterator[tuple[Wanted, bytes]]:
        """Reads blocks, several batches at once; in their order, or in that of the packs."""
        if not ordered:
            wanted = sorted(wanted, key=lambda item: (item[1].pack, item[1].offset))
        waiting: list[tuple[list[tuple[Wanted, Place]], Future[list[bytes]]]] = []
        batches = _batches(wanted)
        try:
            while True:
                while len(waiting) < self._jobs * _AHEAD and (batch := next(batches, None)):
                    waiting.append((batch, self._pool.submit(self._read, batch)))
                if not waiting:
                    return
                batch, future = waiting.pop(0)
                for (one, _), data in zip(batch, future.result(), strict=True):
                    yield one, data
        finally:
            for _, future in waiting:
                future.cancel()

    def _read(self, batch: Sequence[tuple[Wanted, Place]]) -> list[bytes]:
        """Reads the blocks of one pack, neighbours together."""
        spans: list[list[int]] = []
        for _, place in batch:
            end = place.offset + place.size
            if spans and 0 <= place.offset - spans[-1][1] <= _GAP_BYTES:
                spans[-1][1] = end
            elif not spans or not spans[-1][0] <= place.offset <= end <= spans[-1][1]:
                spans.append([place.offset, end])
        name = f"packs/{batch[0][1].pack}.car"
        ranges = [(start, end - start) for start, end in spans if end > start]
        got = self._remote.transport.get_ranges(name, ranges) if ranges else []
        self.result.received_bytes += sum(len(data) for data in got)
        views = [(start, memoryview(data)) for (start, _), data in zip(ranges, got, strict=True)]
        return [_cut(views, place) for _, place in batch]

    def _get(self, pack: str, offset: int, size: int) -> bytes:
        self.result.received_bytes += size
        return self._remote.transport.get_range(f"packs/{pack}.car", offset, size)


def _cut(views: Sequence[tuple[int, memoryview]], place: Place) -> bytes:
    for start, data in views:
        if start <= place.offset and place.offset + place.size <= start + len(data):
            return bytes(data[place.offset - start : place.offset - start + place.size])
    return b""


def _batches(wanted: Sequence[tuple[Wanted, Place]]) -> Iterator[list[tuple[Wanted, Place]]]:
    """Cuts a list into parts of one pack each, of a few MiB."""
    batch: list[tuple[Wanted, Place]] = []
    size = 0
    for item in wanted:
        if batch and (item[1].pack != batch[0][1].pack or size >= _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += item[1].size
    if batch:
        yield batch


def refuse_wrong(fetched: Fetched, url: str) -> None:
    """Raises for what a remote had wrongly, once all else has come.

    Raises:
        VerificationError: there is something.
    """
    if not fetched.wrong:
        return
    digest, reason = fetched.wrong[0]
    more = f" (and {len(fetched.wrong) - 1:,} more)" if len(fetched.wrong) > 1 else ""
    raise VerificationError(
        f"{url} does not have what it says: {Digest(digest)}{more}: {reason}",
        hint="nothing of it entered the store; push it again from a clone that has it",
    )
