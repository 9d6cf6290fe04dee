"""What came from a remote in small pieces: in memory at first, then into the store by the pack."""

import os
import threading
from collections import OrderedDict

from blake3 import blake3

from gitprov.core.digest import Digest
from gitprov.errors import EnvironmentFault, VerificationError
from gitprov.platform.files import take_file
from gitprov.store.base import LinkMode, StoreWriter
from gitprov.store.local import LocalStore

KEPT_BYTES = 8 << 20
"""So much is in memory at most before it goes into the store."""


class Arrived(StoreWriter):
    """A writer into memory: what one fetch of small things brought.

    Attributes:
        blobs: the bytes of each.
        manifests: which of them are manifests.
    """

    def __init__(self) -> None:
        """Begins with nothing."""
        self.blobs: dict[bytes, bytes] = {}
        self.manifests: set[bytes] = set()

    def add(self, data: bytes) -> bytes:
        """See `StoreWriter.add`."""
        digest = blake3(data).digest()
        self.blobs[digest] = data
        return digest

    def add_known(self, digest: bytes, data: bytes) -> None:
        """See `StoreWriter.add_known`."""
        self.blobs[digest] = data

    def add_manifest(self, root: bytes, data: bytes) -> None:
        """See `StoreWriter.add_manifest`."""
        self.blobs[root] = data
        self.manifests.add(root)

    def add_file(self, path: str, *, fd: int, size: int, link: LinkMode) -> bytes:
        """See `StoreWriter.add_file`; whoever fetches into memory asks for small files only."""
        del path, link
        return self.add(os.pread(fd, size, 0))

    def add_known_file(self, digest: bytes, path: str) -> None:
        """See `StoreWriter.add_known_file`."""
        data = take_file(path)
        if blake3(data).digest() != digest:
            raise VerificationError(f"{Digest(digest)} did not stay as it arrived")
        self.blobs[digest] = data

    def has(self, digest: bytes) -> bool:
        """See `StoreWriter.has`."""
        return digest in self.blobs

    def commit(self) -> None:
        """Does nothing: there is nothing to wait for."""


class Kept:
    """Small things that came, for a program that reads one file after the other.

    A pack for each would be too many, so they go into the store when they are some megabytes. Safe
    for several threads. What was not flushed is fetched again; nothing else is lost.
    """

    def __init__(self, store: LocalStore | None) -> None:
        """Takes the store; with None only what came last stays, in memory."""
        self._store = store
        self._lock = threading.Lock()
        self._blobs: OrderedDict[bytes, tuple[bool, bytes]] = OrderedDict()
        self._size = 0

    def get(self, digest: bytes) -> bytes | None:
        """Returns a blob or manifest that is in memory, or None."""
        with self._lock:
            found = self._blobs.get(digest)
            return None if found is None else found[1]

    def keep(self, arrived: Arrived) -> None:
        """Takes what came."""
        with self._lock:
            for digest, data in arrived.blobs.items():
                if digest not in self._blobs:
                    self._blobs[digest] = (digest in arrived.manifests, data)
                    self._size += len(data)
            if self._size >= KEPT_BYTES:
                self._flush()

    def flush(self) -> None:
        """Writes what is in memory into the store; one that cannot be written is left alone."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        if self._store is not None and self._blobs:
            try:
                with self._store.writer() as writer:
                    for digest, (is_manifest, data) in self._blobs.items():
                        (writer.add_manifest if is_manifest else writer.add_known)(digest, data)
            except EnvironmentFault:
                self._store = None
            else:
                self._blobs.clear()
                self._size = 0
        while self._size > KEPT_BYTES:
            self._size -= len(self._blobs.popitem(last=False)[1][1])
