"""Finds blobs in packs and objects, verifies them, and sets aside what does not match its name."""

import contextlib
import io
import mmap
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator

from gitprov.core.digest import Digest
from gitprov.errors import EnvironmentFault, GitprovError, UnavailableError, VerificationError
from gitprov.platform.files import atomic_write, fault, fsync_dir
from gitprov.platform.locks import Waiting, file_lock
from gitprov.store.base import Progress, Stream, missing
from gitprov.store.bigfile import hash_file
from gitprov.store.index import Index, Place, Spot, damaged_index
from gitprov.store.layout import Layout
from gitprov.store.objects import Objects, VerifiedStream, buffered
from gitprov.store.packs import (
    BLOB,
    RECORD_HEADER,
    DamagedRecordError,
    PackFile,
    header,
    matches,
)

_OPEN_PACKS = 32
_RUN_BYTES = 1 << 20
"""Neighbouring records are read together up to this size, which fits into a processor's cache."""

_GAP_BYTES = 64 << 10
"""Reading this much for nothing is cheaper than another read."""

_BATCH = 131_072
"""Digests that are sorted into pack order at a time."""

_TRIES = 5
"""How often a blob is looked for again when `gc` moves it between two steps."""


class Reader:
    """The reading half of a local store. Safe to use from several threads."""

    def __init__(self, layout: Layout, waiting: Waiting | None) -> None:
        """Opens nothing yet."""
        self._layout = layout
        self._waiting = waiting
        self.objects = Objects(layout)
        self._lock = threading.Lock()
        self._index: Index | None = None
        self._packs: OrderedDict[str, PackFile] = OrderedDict()

    def close(self) -> None:
        """Lets go of the database and the packs."""
        with self._lock:
            if self._index is not None:
                self._index.close()
            self._index = None
            self._packs.clear()

    # ------------------------------------------------------------ finding

    def existing_index(self) -> Index | None:
        """Returns the index, or None when there is no store here yet."""
        if self._index is None and not os.path.exists(self._layout.index):
            self._refuse_lost_index()
            return None
        return self.index()

    def _refuse_lost_index(self) -> None:
        # The first writer makes the index before it makes a pack.
        if self._layout.pack_names() and not os.path.exists(self._layout.index):
            raise damaged_index(self._layout.index, "it is not there, and packs are")

    def index(self) -> Index:
        """Returns the index, making it when there is none."""
        with self._lock:
            if self._index is None:
                self._refuse_lost_index()
                self._index = Index(self._layout.index)
            return self._index

    def has(self, digests: Iterable[bytes]) -> set[bytes]:
        """See `BlobStore.has`."""
        wanted = set(digests)
        index = self.existing_index()
        found = index.present(wanted) if index is not None else set()
        return found | self.objects.present(wanted - found)

    def place(self, digest: bytes) -> Place | None:
        """Returns where in the packs a blob is."""
        index = self.existing_index()
        return index.get(digest) if index is not None else None

    def size(self, digest: bytes) -> int:
        """See `BlobStore.size`."""
        if (place := self.place(digest)) is not None:
            return place[2]
        if (status := self.objects.status(digest)) is not None:
            return status.st_size
        raise missing(digest)

    def sizes(self, digests: Iterable[bytes]) -> dict[bytes, int]:
        """See `BlobStore.sizes`."""
        wanted = set(digests)
        index = self.existing_index()
        places = index.lookup(wanted) if index is not None else {}
        found = {digest: place[2] for digest, place in places.items()}
        for digest in wanted - found.keys():
            if (status := self.objects.status(digest)) is not None:
                found[digest] = status.st_size
        return found

    def pack(self, name: str) -> PackFile:
        """Returns an open pack.

        Raises:
            FileNotFoundError: it is gone.
        """
        with self._lock:
            if (found := self._packs.get(name)) is not None:
                self._packs.move_to_end(name)
                return found
        opened = PackFile(self._layout.pack(name))
        with self._lock:
            self._packs[name] = opened
            # One that falls out is closed when the last of its users lets go of it.
            while len(self._packs) > _OPEN_PACKS:
                self._packs.popitem(last=False)
        return opened

    # ------------------------------------------------------------ reading

    def read(self, digest: bytes) -> bytes:
        """See `BlobStore.read`."""
        for _ in range(2):
            if (data := self._read_once(digest)) is not None:
                return data
            self._set_aside(digest)
        raise _fickle(digest)

    def _read_once(self, digest: bytes) -> bytes | None:
        """Returns the bytes, or None when they are damaged."""
        place = None
        for _ in range(_TRIES):
            place = self.place(digest)
            if place is None:
                return self._read_object(digest)
            name, offset, size, kind = place
            try:
                return self.pack(name).read(digest, offset, size, kind)
            except DamagedRecordError:
                return None
            except FileNotFoundError:
                continue  # gc has just moved the blob: the index knows where to
        raise _lost(digest, place)

    def _read_object(self, digest: bytes) -> bytes | None:
        with self.open_object(digest) as stream:
            data = stream.read()
        return data if matches(BLOB, digest, data) else None

    @contextlib.contextmanager
    def open_object(self, digest: bytes) -> Iterator[io.FileIO]:
        """Opens an object's file as it is, unverified."""
        with io.FileIO(self.objects.open(digest), "rb") as stream:
            try:
                yield stream
            except OSError as exc:
                raise fault(exc, "read", self._layout.object(digest)) from exc

    def open(self, digest: bytes) -> Stream:
        """See `BlobStore.open`."""
        if self.place(digest) is not None:
            return io.BytesIO(self.read(digest))
        path = self._layout.object(digest)
        return buffered(
            VerifiedStream(self.objects.open(digest), path, digest, lambda: self.judged(digest))
        )

    def verify_object(self, digest: bytes, progress: Progress | None = None) -> None:
        """Hashes an object's file in little memory; sets it aside when it is damaged."""
        fd = self.objects.open(digest)
        try:
            found, _ = hash_file(fd, self._layout.object(digest), progress)
        finally:
            os.close(fd)
        if found != digest:
            raise self.judged(digest)

    def read_many(self, digests: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """See `BlobStore.read_many`."""
        seen: set[bytes] = set()
        batch: list[bytes] = []
        for digest in digests:
            if digest not in seen:
                seen.add(digest)
                batch.append(digest)
                if len(batch) == _BATCH:
                    yield from self._read_batch(batch)
                    batch = []
        yield from self._read_batch(batch)

    def _read_batch(self, digests: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
        index = self.existing_index()
        left = set(digests)
        by_pack = index.by_pack(left) if index is not None and left else {}
        for name in sorted(by_pack):
            for digest, data in self._read_from(name, by_pack[name]):
                left.discard(digest)
                yield digest, data
        for digest in digests:
            if digest in left:
                yield digest, self.read(digest)

    def _read_from(self, name: str, spots: list[Spot]) -> Iterator[tuple[bytes, bytes]]:
        """Yields the blobs of one pack that are where the index said, and are good."""
        try:
            pack = self.pack(name)
        except FileNotFoundError:
            return
        pack.expect_sequential()
        buffer = mmap.mmap(-1, _RUN_BYTES)
        window: bytes | mmap.mmap
        for run in _runs(pack, spots):
            start = run[0][0]
            count = run[-1][0] + RECORD_HEADER + run[-1][1] - start
            if count <= _RUN_BYTES:
                pack.pread_into(buffer, count, start)
                window = buffer
            else:
                window = pack.pread(count, start)
            for offset, size, kind, digest in run:
                begin = offset - start + RECORD_HEADER
                data = window[begin : begin + size]
                head = window[begin - RECORD_HEADER : begin]
                if head == header(digest, kind, size) and matches(kind, digest, data):
                    yield digest, data

    # ------------------------------------------------------------ setting aside

    def judged(self, digest: bytes) -> GitprovError:
        """Sets a blob aside if it is damaged, and returns the error to raise."""
        try:
            self._set_aside(digest)
        except GitprovError as exc:
            return exc
        return _fickle(digest)

    def _set_aside(self, digest: bytes) -> None:
        """Reads a blob again under the lock; quarantines it unless it is good now.

        Raises:
            VerificationError: it is damaged, and no longer part of the store.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(file_lock(self._layout.publish_lock, waiting=self._waiting))
            except EnvironmentFault as exc:
                raise VerificationError(
                    f"{Digest(digest)} is damaged in the store, and cannot be set aside: {exc}"
                ) from exc
            if self._is_good(digest):
                return
            moved = self._quarantine(digest)
        raise VerificationError(
            f"{Digest(digest)} is damaged in the store; what was there is now {moved}",
            hint="add the same file again, or fetch it from a remote",
        )

    def _is_good(self, digest: bytes) -> bool:
        if self.place(digest) is not None:
            return self._read_once(digest) is not None
        fd = self.objects.open(digest)
        try:
            return hash_file(fd, self._layout.object(digest))[0] == digest
        finally:
            os.close(fd)

    def _quarantine(self, digest: bytes) -> str:
        name = f"{digest.hex()}-{os.urandom(4).hex()}"
        path = os.path.join(self._layout.quarantine, name)
        place = self.place(digest)
        try:
            os.makedirs(self._layout.quarantine, exist_ok=True)
            if place is None:
                source = self._layout.object(digest)
                os.rename(source, path)
                fsync_dir(self._layout.quarantine)
                fsync_dir(os.path.dirname(source))
        except OSError as exc:
            raise VerificationError(
                f"{Digest(digest)} is damaged in the store, and cannot be moved to {path}: "
                f"{exc.strerror}"
            ) from exc
        if place is not None:
            pack, offset, size, _ = place
            with contextlib.suppress(FileNotFoundError):
                atomic_write(path, self.pack(pack).pread(size, offset + RECORD_HEADER), mode=0o444)
            self.index().remove_at(digest, place)
        return path


def _runs(pack: PackFile, spots: list[Spot]) -> Iterator[list[Spot]]:
    """Groups spots that are read together; leaves out what cannot be there."""
    run: list[Spot] = []
    first = end = 0
    for spot in spots:
        offset, size, kind, _ = spot
        if not pack.fits(offset, size, kind):
            continue
        if offset > end + _GAP_BYTES or offset + RECORD_HEADER + size > first + _RUN_BYTES:
            if run:
                yield run
            run, first = [], offset
        run.append(spot)
        end = offset + RECORD_HEADER + size
    if run:
        yield run


def _fickle(digest: bytes) -> UnavailableError:
    return UnavailableError(
        f"reading {Digest(digest)} from the store gave wrong bytes once, and right ones now",
        hint="run the command again; if that goes on, look at the disk and the memory",
    )


def _lost(digest: bytes, place: Place | None) -> UnavailableError:
    pack = place[0] if place is not None else "?"
    return UnavailableError(
        f"{Digest(digest)} is lost: the store's pack {pack} is not there",
        hint="gitprov fsck --rebuild-index, then fetch from a remote or add the files again",
    )
