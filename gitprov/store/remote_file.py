"""A large blob read from a remote by ranges: only the chunks that a range touches travel."""

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Protocol

from blake3 import blake3

from gitprov.core.digest import Digest
from gitprov.errors import VerificationError
from gitprov.store.range_file import RangeFile
from gitprov.store.remote_blocks import Chunk

CACHE_BYTES = 32 << 20
"""Chunks that are kept in memory, of all files of one source together."""

_FIRST_AHEAD = 1 << 20
_MOST_AHEAD = 8 << 20
"""What is fetched ahead of a reader that goes from start to end; it doubles up to this."""


class Source(Protocol):
    """Where chunks come from. Safe to use from several threads, and after a fork."""

    @property
    def cache(self) -> "ChunkCache":
        """Chunks that came a short while ago."""
        ...

    def chunks(self, chunks: Sequence[Chunk]) -> Iterator[bytes]:
        """Yields chunks' bytes in order, each checked; raises when one is missing or wrong."""
        ...


class ChunkCache:
    """The chunks that were used last, up to a number of bytes. Safe for several threads."""

    def __init__(self, most: int = CACHE_BYTES) -> None:
        """Keeps at most so many bytes."""
        self._most, self._size = most, 0
        self._lock = threading.Lock()
        self._chunks: OrderedDict[bytes, bytes] = OrderedDict()

    def get(self, digest: bytes) -> bytes | None:
        """Returns a chunk, or None."""
        with self._lock:
            found = self._chunks.get(digest)
            if found is not None:
                self._chunks.move_to_end(digest)
            return found

    def put(self, digest: bytes, data: bytes) -> None:
        """Keeps a chunk, and lets go of those that were not used for the longest time."""
        with self._lock:
            if digest in self._chunks:
                return
            self._chunks[digest] = data
            self._size += len(data)
            while self._size > self._most:
                self._size -= len(self._chunks.popitem(last=False)[1])


class RemoteFile(RangeFile):
    """Reads a blob that is cut into chunks.

    Each chunk is checked against the recipe before a byte of it is handed out. That the recipe is
    the blob's own is known when it was read from start to end: the read that would deliver the last
    byte raises when the whole does not match.
    """

    def __init__(self, source: Source, digest: bytes, chunks: Sequence[Chunk]) -> None:
        """Reads nothing yet.

        Args:
            source: where the chunks are.
            digest: what all of them together must hash to.
            chunks: digest and size of each, in order.
        """
        super().__init__(sum(length for _, length in chunks))
        self._source, self._digest, self._list = source, digest, chunks
        self._starts = [0, *accumulate(length for _, length in chunks)]
        self._hashed = self._expected = 0
        self._ahead = _FIRST_AHEAD
        self._hasher = blake3()

    def _read_at(self, view: memoryview, at: int) -> int:
        count = min(len(view), max(0, self._size - at))
        if not count:
            return 0
        # Only whoever goes on where the last read ended is read ahead for.
        is_sequential = at == self._expected and at > 0
        self._ahead = min(2 * self._ahead, _MOST_AHEAD) if is_sequential else _FIRST_AHEAD
        first = bisect_right(self._starts, at) - 1
        done = 0
        while done < count:
            offset = at + done - self._starts[first]
            ahead = self._ahead if is_sequential else 0
            data = self._chunk(first, count - done + offset + ahead)
            piece = data[offset : offset + count - done]
            view[done : done + len(piece)] = piece
            done += len(piece)
            first += 1
        if at == self._hashed:
            self._hash_along(view[:count])
        self._expected = at + count
        return count

    def _chunk(self, index: int, span: int) -> bytes:
        """Returns a chunk; when it has to be fetched, those of the next `span` bytes come along."""
        cache = self._source.cache
        found = cache.get(self._list[index][0])
        if found is not None:
            return found
        # What is fetched at once must not push its own beginning out of the cache.
        end = bisect_right(self._starts, self._starts[index] + min(span, CACHE_BYTES // 2) - 1)
        wanted = [self._list[index]]
        for chunk in self._list[index + 1 : end]:
            if cache.get(chunk[0]) is not None:
                break
            wanted.append(chunk)
        first = b""
        for number, ((digest, _), data) in enumerate(
            zip(wanted, self._source.chunks(wanted), strict=True)
        ):
            cache.put(digest, data)
            if not number:
                first = data
        return first

    def _hash_along(self, data: memoryview) -> None:
        self._hasher.update(data)
        self._hashed += len(data)
        if self._hashed == self._size and self._hasher.digest() != self._digest:
            raise VerificationError(
                f"the chunks of {Digest(self._digest)} together have another digest",
                hint="the remote has another file under this name; in a clone that has the right "
                "one: gitprov fsck --remote --repair",
            )
