"""A store in memory: the same promises, for tests and for throw-away work."""

import contextlib
import io
import os
from collections.abc import Iterable, Iterator

from blake3 import blake3

from gitprov.core.digest import Digest
from gitprov.errors import VerificationError
from gitprov.platform.files import fault, take_file
from gitprov.store.base import (
    BlobStore,
    LinkMode,
    StoreWriter,
    Stream,
    changed,
    check_digest,
    missing,
)
from gitprov.store.packs import BLOB, MANIFEST, matches


class MemoryStore(BlobStore):
    """Blobs in a dictionary. One thread at a time.

    Attributes:
        blobs: digest to kind and bytes; what has been committed.
        quarantined: digest to bytes that did not match it.
    """

    def __init__(self) -> None:
        """Begins empty."""
        self.blobs: dict[bytes, tuple[int, bytes]] = {}
        self.quarantined: dict[bytes, bytes] = {}

    def has(self, digests: Iterable[bytes]) -> set[bytes]:
        """See `BlobStore.has`."""
        return self.blobs.keys() & set(digests)

    def read(self, digest: bytes) -> bytes:
        """See `BlobStore.read`."""
        if digest not in self.blobs:
            raise missing(digest)
        kind, data = self.blobs[digest]
        if not matches(kind, digest, data):
            self.quarantined[digest] = self.blobs.pop(digest)[1]
            raise VerificationError(
                f"{Digest(digest)} is damaged in the store",
                hint="add the same file again, or fetch it from a remote",
            )
        return data

    def read_many(self, digests: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """See `BlobStore.read_many`."""
        for digest in dict.fromkeys(digests):
            yield digest, self.read(digest)

    def open(self, digest: bytes) -> Stream:
        """See `BlobStore.open`."""
        return io.BytesIO(self.read(digest))

    def size(self, digest: bytes) -> int:
        """See `BlobStore.size`."""
        if digest not in self.blobs:
            raise missing(digest)
        return len(self.blobs[digest][1])

    def sizes(self, digests: Iterable[bytes]) -> dict[bytes, int]:
        """See `BlobStore.sizes`."""
        return {one: self.size(one) for one in self.has(digests)}

    @contextlib.contextmanager
    def writer(self) -> Iterator[StoreWriter]:
        """See `BlobStore.writer`."""
        writer = _MemoryWriter(self)
        yield writer
        writer.commit()


class _MemoryWriter(StoreWriter):
    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._added: dict[bytes, tuple[int, bytes]] = {}

    def add(self, data: bytes) -> bytes:
        digest = blake3(data).digest()
        self.add_known(digest, data)
        return digest

    def add_known(self, digest: bytes, data: bytes) -> None:
        self._added[check_digest(digest)] = (BLOB, data)

    def add_manifest(self, root: bytes, data: bytes) -> None:
        self._added[check_digest(root)] = (MANIFEST, data)

    def add_file(self, path: str, *, fd: int, size: int, link: LinkMode) -> bytes:
        # There is nothing to link to in memory.
        _ = link
        try:
            with open(os.dup(fd), "rb") as file:
                file.seek(0)
                data = file.read()
        except OSError as exc:
            raise fault(exc, "read", path) from exc
        if len(data) != size:
            raise changed(path)
        return self.add(data)

    def add_known_file(self, digest: bytes, path: str) -> None:
        data = take_file(path)
        if blake3(data).digest() != digest:
            raise VerificationError(f"{Digest(digest)} did not stay as it arrived")
        self.add_known(digest, data)

    def has(self, digest: bytes) -> bool:
        return digest in self._added or digest in self._store.blobs

    def commit(self) -> None:
        for digest, blob in self._added.items():
            self._store.blobs.setdefault(digest, blob)
        self._added.clear()
