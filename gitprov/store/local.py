"""The store in a folder: `<git common dir>/gitprov`, or a cache that projects share."""

import contextlib
import os
import random
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from blake3 import blake3

from gitprov.errors import GitprovError, VerificationError
from gitprov.platform.files import fault
from gitprov.platform.locks import Waiting, file_lock
from gitprov.store.base import BlobStore, Progress, StoreWriter, Stream
from gitprov.store.check import Checker, Problem, Rebuilt, rebuild_index
from gitprov.store.gc import Collected, collect
from gitprov.store.layout import Layout
from gitprov.store.reading import Reader
from gitprov.store.sessions import clear_dead
from gitprov.store.writer import LocalWriter

_TICK_NS = 2_000_000_000
"""Within this time a folder may change twice and show it once; some file systems count seconds."""


@dataclass(frozen=True, slots=True)
class Stats:
    """How much a store holds."""

    packs: int
    packed_blobs: int
    packed_bytes: int
    objects: int
    object_bytes: int
    quarantined: int


class LocalStore(BlobStore):
    """Blobs in a folder; see docs/formats.md for what lies where.

    Reading is safe from several threads. The folder is made by the first writer.
    """

    def __init__(self, root: str, waiting: Waiting | None = None) -> None:
        """Opens nothing yet.

        Args:
            root: the folder.
            waiting: is told, once, when another gitprov is waited for longer than two seconds.
        """
        self.root = root
        self._layout = Layout(root)
        self._waiting = waiting
        self._reader = Reader(self._layout, waiting)

    def close(self) -> None:
        """Lets go of what is open; the store may be used again afterwards."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # ------------------------------------------------------------ BlobStore

    def has(self, digests: Iterable[bytes]) -> set[bytes]:
        """See `BlobStore.has`."""
        return self._reader.has(digests)

    def read(self, digest: bytes) -> bytes:
        """See `BlobStore.read`."""
        return self._reader.read(digest)

    def read_many(self, digests: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """See `BlobStore.read_many`."""
        return self._reader.read_many(digests)

    def open(self, digest: bytes) -> Stream:
        """See `BlobStore.open`."""
        return self._reader.open(digest)

    def size(self, digest: bytes) -> int:
        """See `BlobStore.size`."""
        return self._reader.size(digest)

    def sizes(self, digests: Iterable[bytes]) -> dict[bytes, int]:
        """See `BlobStore.sizes`."""
        return self._reader.sizes(digests)

    @contextlib.contextmanager
    def writer(self) -> Iterator[StoreWriter]:
        """See `BlobStore.writer`."""
        self._layout.create()
        with file_lock(self._layout.use_lock, shared=True, waiting=self._waiting):
            try:
                clear_dead(self._layout)
            except OSError as exc:
                raise fault(exc, "clear", self._layout.tmp) from exc
            writer = LocalWriter(self._layout, self._reader, self._waiting)
            with contextlib.closing(writer):
                yield writer
                writer.commit()

    # ------------------------------------------------------------ what only a folder can do

    def path_of(self, digest: bytes, *, verify: bool = True) -> str | None:
        """Returns the path of a large blob's own file, to clone or to link; None when it is packed.

        Args:
            digest: the blob.
            verify: whether to hash the file first. Leave that out only when what is made from the
                path is hashed afterwards.

        Raises:
            VerificationError: the file is damaged; it has been set aside.
        """
        path = self._reader.objects.path(digest)
        if path is not None and verify:
            self._reader.verify_object(digest)
        return path

    def quarantine(self, digest: bytes) -> bool:
        """Looks at one blob and sets it aside if it is damaged; returns whether it was.

        Raises:
            UnavailableError: the store does not have it.
        """
        error: GitprovError = self._reader.judged(digest)
        if isinstance(error, VerificationError):
            return True
        if not self.has((digest,)):
            raise error
        return False

    def was_set_aside(self, digest: bytes) -> bool:
        """Whether a blob of this name was found damaged once, and lies in quarantine."""
        try:
            names = os.listdir(self._layout.quarantine)
        except FileNotFoundError:
            return False
        except OSError as exc:
            raise fault(exc, "read", self._layout.quarantine) from exc
        return any(name.startswith(digest.hex()) for name in names)

    def verify_all(
        self,
        *,
        sample: float | None = None,
        quarantine: bool = False,
        progress: Progress | None = None,
        choose: Callable[[], float] = random.random,
    ) -> Iterator[Problem]:
        """Yields everything that is wrong with the store.

        Args:
            sample: the share of blobs to hash, between 0 and 1; None for all of them.
            quarantine: whether to set damaged blobs aside, so that adding them again repairs them.
            progress: is told of bytes that have been looked at.
            choose: gives numbers from 0 to 1 for the sample.
        """
        chosen = None if sample is None else lambda: choose() < sample
        checker = Checker(
            self._layout, self._reader, progress=progress, quarantine=quarantine, chosen=chosen
        )
        return checker.run(self._waiting)

    def rebuild_index(self, *, progress: Progress | None = None) -> Rebuilt:
        """Makes the index again from nothing but the packs."""
        return rebuild_index(self._layout, self._reader, progress=progress, waiting=self._waiting)

    def collect(self, live: Callable[[], set[bytes]], *, dry_run: bool) -> Collected:
        """Removes every blob that is not live, and joins or rewrites packs where it pays.

        Args:
            live: returns the digests to keep; called while no writer runs and none can begin. It
                may read from this store.
            dry_run: only count.
        """
        return collect(self._layout, self._reader, live, dry_run=dry_run, waiting=self._waiting)

    def fingerprint(self) -> bytes | None:
        """Returns a value that changes whenever a blob comes or goes; None while it might not yet.

        It looks at names and times, not at bytes: it costs milliseconds, however large the store.
        """
        index = self._reader.existing_index()
        hasher = blake3(os.fsencode(self.root))
        if index is not None:
            # Rows come only with a pack, so what goes shows in their number.
            hasher.update(b"%d" % index.count())
        latest = 0
        for folder in (self._layout.packs, self._layout.objects):
            try:
                with os.scandir(folder) as listing:
                    found = sorted((entry.name, entry.stat()) for entry in listing)
            except FileNotFoundError:
                continue
            except OSError as exc:
                raise fault(exc, "read", folder) from exc
            for name, status in found:
                # A pack never changes; a folder of objects has the time of its last change.
                hasher.update(os.fsencode(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0"))
                if stat.S_ISDIR(status.st_mode):
                    latest = max(latest, status.st_mtime_ns)
        if time.time_ns() - latest < _TICK_NS:
            return None
        return hasher.digest()

    def stats(self) -> Stats:
        """Counts what is there."""
        blobs = size = objects = object_bytes = 0
        index = self._reader.existing_index()
        for _, place in index.rows() if index is not None else ():
            blobs += 1
            size += place[2]
        for digest in self._reader.objects.digests():
            if (status := self._reader.objects.status(digest)) is not None:
                objects += 1
                object_bytes += status.st_size
        try:
            quarantined = len(os.listdir(self._layout.quarantine))
        except FileNotFoundError:
            quarantined = 0
        except OSError as exc:
            raise fault(exc, "read", self._layout.quarantine) from exc
        packs = len(index.packs()) if index is not None else 0
        return Stats(packs, blobs, size, objects, object_bytes, quarantined)
