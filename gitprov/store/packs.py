r"""Packs: many small blobs and manifests in one file.

A pack is the file `packs/<id>.pack`, where the id is 32 lowercase hex digits drawn at random. It is
written once, synced, renamed into place, and never changed. All numbers are big-endian::

    pack   = magic version record*
    magic  = "gitprov-pack"             12 bytes
    version= 1                           4 bytes
    record = digest kind size bytes
    digest = the name of the blob       32 bytes
    kind   = "b" or "m"                  1 byte
    size   = length of bytes             8 bytes
    bytes  = the blob

Of a `b` the digest is BLAKE3 of the bytes; of an `m` the bytes are a manifest and the digest is its
Merkle root. A pack has at least one record and ends with the last byte of the last one. A digest
may be in several packs. A blob has less than 256 KiB when this gitprov writes it; a reader takes up
to `MAX_BLOB`. The index (`index.db`) says where a record begins; without it, reading a pack from
its start finds every record.
"""

import mmap
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from blake3 import blake3

from gitprov.errors import MalformedError
from gitprov.model.manifest import MAX_MANIFEST_BYTES, Manifest
from gitprov.platform.files import fault
from gitprov.platform.stream import Buffers, StreamWriter

MAGIC = b"gitprov-pack" + (1).to_bytes(4, "big")
RECORD_HEADER = 41
"""Digest, kind, size."""

BLOB = ord("b")
MANIFEST = ord("m")
MAX_BLOB = 16 << 20
"""A blob larger than this is not read from a pack, whatever a header says."""

_LIMITS = {BLOB: MAX_BLOB, MANIFEST: MAX_MANIFEST_BYTES}
_CHUNK = 1 << 20
_WINDOW = 4 << 20
_KIND_AND_SIZE = re.compile(rb"[bm]\x00\x00\x00\x00", re.DOTALL)

Row = tuple[bytes, int, int, int]
"""Digest, offset of the record in its pack, size of the blob, kind: what the index keeps."""


class Record(NamedTuple):
    """One record met while reading a pack from its start; `good` when it matches its name."""

    offset: int
    digest: bytes
    kind: int
    data: bytes
    good: bool


class Damage(NamedTuple):
    """A stretch of a pack that is no record."""

    offset: int
    reason: str


class DamagedRecordError(Exception):
    """A record is not where, or not what, the index says."""


def matches(kind: int, digest: bytes, data: bytes) -> bool:
    """Whether bytes are what their name says."""
    if kind == MANIFEST:
        try:
            return Manifest.parse(data).root.raw == digest
        except MalformedError:
            return False
    return bool(blake3(data).digest() == digest)


def header(digest: bytes, kind: int, size: int) -> bytes:
    """Returns what stands before a blob's bytes."""
    return digest + (b"b" if kind == BLOB else b"m") + size.to_bytes(8, "big")


class PackWriter:
    """Writes one new pack. It is no pack before `finish` and a rename."""

    def __init__(self, path: str) -> None:
        """Creates the file."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self.path = path
        self.rows: list[Row] = []
        self._fd = os.open(path, flags, 0o444)
        self._stream = StreamWriter(self._fd, Buffers(_CHUNK))
        self._buffer = self._stream.take()
        self._fill = 0
        self._offset = 0
        self._put(MAGIC)

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._offset

    def append(self, kind: int, digest: bytes, data: bytes) -> None:
        """Adds one record."""
        self.append_many([(kind, digest, data)])

    def append_many(self, blobs: list[tuple[int, bytes, bytes]]) -> None:
        """Adds records; a batch of about a megabyte is fastest."""
        for kind, digest, data in blobs:
            size = len(data)
            self.rows.append((digest, self._offset, size, kind))
            begin = self._fill + RECORD_HEADER
            end = begin + size
            if end >= _CHUNK:
                self._put(header(digest, kind, size))
                self._put(data)
                continue
            buffer = self._buffer
            buffer[self._fill : begin] = header(digest, kind, size)
            buffer[begin:end] = data
            self._fill = end
            self._offset += RECORD_HEADER + size

    def _put(self, data: bytes) -> None:
        self._offset += len(data)
        rest = memoryview(data)
        while len(rest) >= _CHUNK - self._fill:
            room = _CHUNK - self._fill
            self._buffer[self._fill : _CHUNK] = rest[:room]
            rest = rest[room:]
            self._stream.give(self._buffer)
            self._buffer = self._stream.take()
            self._fill = 0
        self._buffer[self._fill : self._fill + len(rest)] = rest
        self._fill += len(rest)

    def finish(self) -> None:
        """Waits until every byte is on the disk."""
        self._stream.finish(self._buffer, self._fill)
        os.fsync(self._fd)

    def close(self) -> None:
        """Lets go of the file, finished or not."""
        self._stream.stop()
        os.close(self._fd)


class PackFile:
    """A pack opened for reading. Nothing in it is believed before it is checked."""

    _fd = -1

    def __init__(self, path: str) -> None:
        """Opens it.

        Raises:
            FileNotFoundError: it is gone; the index says where its blobs are now.
        """
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            self.size = os.fstat(self._fd).st_size
        except FileNotFoundError:
            raise
        except OSError as exc:
            raise fault(exc, "read", path) from exc

    def close(self) -> None:
        """Lets go of the file."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()

    def pread(self, count: int, offset: int) -> bytes:
        """Reads up to `count` bytes; fewer when the file ends before."""
        count = max(0, min(count, self.size - offset))
        try:
            data = os.pread(self._fd, count, offset)
            while len(data) < count and (
                more := os.pread(self._fd, count - len(data), offset + len(data))
            ):
                data += more
        except OSError as exc:
            raise fault(exc, "read", self.path) from exc
        return data

    def pread_into(self, buffer: mmap.mmap, count: int, offset: int) -> None:
        """Reads into the start of a buffer; what the file does not have is zeroes."""
        with memoryview(buffer) as view:
            done = 0
            try:
                while done < count and (
                    more := os.preadv(self._fd, [view[done:count]], offset + done)
                ):
                    done += more
            except OSError as exc:
                raise fault(exc, "read", self.path) from exc
            view[done:count] = bytes(count - done)

    def expect_sequential(self) -> None:
        """Tells the kernel to read ahead."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def fits(self, offset: int, size: int, kind: int) -> bool:
        """Whether a record of that size can be there at all."""
        limit = _LIMITS.get(kind, -1)
        return (
            len(MAGIC) <= offset
            and 0 <= size <= limit
            and offset + RECORD_HEADER + size <= self.size
        )

    def read(self, digest: bytes, offset: int, size: int, kind: int) -> bytes:
        """Returns the verified bytes of one record.

        Raises:
            DamagedRecordError: it is not there, or not what its name says.
        """
        if not self.fits(offset, size, kind):
            raise DamagedRecordError
        record = self.pread(RECORD_HEADER + size, offset)
        data = record[RECORD_HEADER:]
        if record[:RECORD_HEADER] != header(digest, kind, size) or not matches(kind, digest, data):
            raise DamagedRecordError
        return data

    def scan(self) -> Iterator[Record | Damage]:
        """Reads the pack from its start, verifying every record, and finds its way after damage."""
        yield from _Scanner(self).run()


class _Scanner:
    """Walks over a pack whose content may be anything, in bounded memory and time."""

    def __init__(self, pack: PackFile) -> None:
        self._pack = pack
        self._window = b""
        self._base = 0
        # Each guess after damage costs a hash; a pack made of guesses must not cost for ever.
        self._budget = 4 * pack.size + (64 << 20)

    def run(self) -> Iterator[Record | Damage]:
        pack = self._pack
        pack.expect_sequential()
        offset = len(MAGIC)
        if self._bytes(0, offset) != MAGIC:
            yield Damage(0, "it does not begin like a pack")
        while offset < pack.size:
            record = self._record(offset)
            after = offset + RECORD_HEADER + len(record.data) if record else pack.size + 1
            if record is not None and (record.good or self._plausible(after)):
                yield record
                offset = after
                continue
            yield Damage(offset, "there is no record where one should begin")
            found = self._resume(offset + 1)
            if found is None:
                return
            offset = found

    def _bytes(self, offset: int, count: int) -> bytes:
        at = offset - self._base
        if at < 0 or at + count > len(self._window):
            self._window = self._pack.pread(max(_WINDOW, count), offset)
            self._base, at = offset, 0
        return self._window[at : at + count]

    def _header(self, offset: int) -> tuple[bytes, int, int] | None:
        head = self._bytes(offset, RECORD_HEADER)
        if len(head) < RECORD_HEADER:
            return None
        kind, size = head[32], int.from_bytes(head[33:], "big")
        return (head[:32], kind, size) if self._pack.fits(offset, size, kind) else None

    def _record(self, offset: int) -> Record | None:
        if (head := self._header(offset)) is None:
            return None
        digest, kind, size = head
        data = self._bytes(offset, RECORD_HEADER + size)[RECORD_HEADER:]
        return Record(offset, digest, kind, data, len(data) == size and matches(kind, digest, data))

    def _plausible(self, offset: int) -> bool:
        return offset == self._pack.size or self._header(offset) is not None

    def _resume(self, offset: int) -> int | None:
        """Returns where the next good record begins."""
        while offset + RECORD_HEADER <= self._pack.size:
            window = self._pack.pread(_WINDOW, offset)
            for match in _KIND_AND_SIZE.finditer(window, 32):
                guess = offset + match.start() - 32
                head = self._header(guess)
                if head is None:
                    continue
                self._budget -= RECORD_HEADER + head[2]
                if self._budget < 0:
                    return None
                record = self._record(guess)
                if record is not None and record.good:
                    return guess
            offset += max(1, len(window) - RECORD_HEADER)
        return None
