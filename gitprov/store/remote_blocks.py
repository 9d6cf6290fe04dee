"""Reading blocks from a remote's packs: few requests, several at once, each chunk checked."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from blake3 import blake3

from gitprov.core.digest import Digest
from gitprov.errors import VerificationError
from gitprov.model.manifest import MAX_MANIFEST_BYTES
from gitprov.model.remote_index import Entry, parse_recipe, recipe_chain
from gitprov.store.remote import Claim, Place, Remote, Wanted

_BATCH_BYTES = 4 << 20
_GAP_BYTES = 64 << 10
"""What lies between two wanted blocks is read along when it is less than this."""

_BATCH_BLOCKS = 8192
"""Of empty or tiny blocks many more would fit, and each is looked for among all ranges."""

_AHEAD = 2
"""Batches for each job that are under way or wait to be taken."""

Chunk = tuple[bytes, int]
"""Digest and size."""


class Blocks:
    """Reads from one remote. Several threads may use it.

    Attributes:
        received: the bytes that have travelled.
        false: what indexes say and is not so: blocks that have other bytes, by their packs.
        blamed: how often something was; also what another blob had shown to be false before.
    """

    def __init__(self, remote: Remote, pool: ThreadPoolExecutor, jobs: int) -> None:
        """Takes a remote that is connected, and how many requests may be under way."""
        self._remote, self._pool, self._jobs = remote, pool, jobs
        self._lock = threading.Lock()
        self.received = 0
        self.false: set[Claim] = set()
        self.blamed = 0

    def blame(self, digest: bytes, place: Place) -> None:
        """Is told that what lies at a place is not what an index calls it."""
        with self._lock:
            self.blamed += 1
            self.false.add((place.pack, Entry(place.kind, digest, place.offset, place.size)))

    def recipe(self, one: Wanted, place: Place, expected: int | None) -> list[Chunk]:
        """Returns the chunks of a large blob or manifest, in order.

        Args:
            one: what it is.
            place: where its recipe lies.
            expected: how large a blob is by what names it; the remote cannot make it larger.

        Raises:
            VerificationError: the recipe is of something else, or has another size.
        """
        last = parse_recipe(
            self._read([(one, place)])[0], what=f"the recipe of {Digest(one.digest)}"
        )
        if last.digest != one.digest:
            raise VerificationError("its recipe is of something else")
        # Before a chain is followed whose length the size bounds.
        most = MAX_MANIFEST_BYTES if one.is_manifest else expected
        if (most is not None and last.size > most) or expected not in {None, last.size}:
            raise VerificationError("its recipe has another size than it has")
        blocks = [*recipe_chain(last, self._earlier)]
        chunks = [chunk for block in reversed(blocks) for chunk in block.chunks]
        if sum(length for _, length in chunks) != last.size:
            raise VerificationError("its recipe has another size than its chunks")
        return chunks

    def _earlier(self, digest: bytes) -> bytes:
        place = self._remote.chunk(digest)
        if place is None:
            raise VerificationError("a part of its recipe is missing")
        data = self._read([(Wanted(digest, is_manifest=False), place)])[0]
        if blake3(data).digest() != digest:
            self.blame(digest, place)
        return data

    def chunks(self, chunks: Sequence[Chunk]) -> Iterator[bytes]:
        """Yields the chunks' bytes in order, each checked.

        Raises:
            VerificationError: one is missing, or has other bytes.
        """
        places: list[tuple[Wanted, Place]] = []
        for digest, size in chunks:
            place = self._remote.chunk(digest)
            if place is None or place.size != size:
                if place is not None:
                    self.blame(digest, place)
                raise VerificationError(f"its chunk {Digest(digest)} is missing")
            places.append((Wanted(digest, is_manifest=False), place))
        for _, data in self._batched(places, self._read_chunks):
            yield data

    def blocks(self, wanted: Sequence[tuple[Wanted, Place]]) -> Iterator[tuple[Wanted, bytes]]:
        """Reads blocks, unchecked, several batches at once, in the order of the packs."""
        places = sorted(wanted, key=lambda item: (item[1].pack, item[1].offset))
        yield from self._batched(places, self._read)

    def _batched(
        self,
        wanted: Sequence[tuple[Wanted, Place]],
        read: Callable[[Sequence[tuple[Wanted, Place]]], list[bytes]],
    ) -> Iterator[tuple[Wanted, bytes]]:
        waiting: list[tuple[list[tuple[Wanted, Place]], Future[list[bytes]]]] = []
        batches = _batches(wanted)
        try:
            while True:
                while len(waiting) < self._jobs * _AHEAD and (batch := next(batches, None)):
                    waiting.append((batch, self._pool.submit(read, batch)))
                if not waiting:
                    return
                batch, future = waiting.pop(0)
                for (one, _), data in zip(batch, future.result(), strict=True):
                    yield one, data
        finally:
            for _, future in waiting:
                future.cancel()

    def _read_chunks(self, batch: Sequence[tuple[Wanted, Place]]) -> list[bytes]:
        """Reads chunks and checks each, in the thread that reads them."""
        found = self._read(batch)
        wrong = b""
        for (one, place), data in zip(batch, found, strict=True):
            if blake3(data).digest() != one.digest:
                self.blame(one.digest, place)
                wrong = wrong or one.digest
        if wrong:
            raise VerificationError(f"its chunk {Digest(wrong)} has other bytes")
        return found

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
        with self._lock:
            self.received += sum(len(data) for data in got)
        views = [(start, memoryview(data)) for (start, _), data in zip(ranges, got, strict=True)]
        return [_cut(views, place) for _, place in batch]


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
        is_full = size >= _BATCH_BYTES or len(batch) >= _BATCH_BLOCKS
        if batch and (item[1].pack != batch[0][1].pack or is_full):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += item[1].size
    if batch:
        yield batch
