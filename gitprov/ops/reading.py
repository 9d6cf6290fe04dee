"""Reading artifacts while a program runs: from the store, and from a remote what it lacks."""

import io
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from gitprov.core.digest import Digest
from gitprov.errors import GitprovError, UnavailableError, VerificationError
from gitprov.model.entry import Entry
from gitprov.model.manifest import Manifest
from gitprov.ops.intact import is_known_intact, remember_intact
from gitprov.ops.manifests import as_manifest
from gitprov.ops.remote_reading import RemoteReader
from gitprov.platform.files import fault
from gitprov.store.base import LARGE
from gitprov.store.kept import KEPT_BYTES, Arrived, Kept
from gitprov.store.object_file import ObjectFile
from gitprov.store.range_file import RangeFile
from gitprov.store.remote import Remote, Wanted
from gitprov.store.remote_file import RemoteFile, Source
from gitprov.workspace import Workspace

SMALL_BYTES = 8 << 20
"""Files up to this size come from a remote whole; of larger ones, the ranges that are read."""

_KEPT_ENTRIES = 1_000_000
"""Entries of manifests in memory: some hundred bytes each."""


class Blob(NamedTuple):
    """A file's content as its manifest or pointer names it."""

    digest: bytes
    size: int


class DataReader:
    """Reads blobs and manifests of one workspace. Safe for several threads, not across a fork.

    Attributes:
        remote: where what the store lacks comes from.
    """

    def __init__(
        self,
        ws: Workspace,
        lock: threading.RLock,
        connect: Callable[[], Remote],
        *,
        keep: bool | None,
        folder: str,
    ) -> None:
        """Reads nothing yet.

        Args:
            ws: the workspace.
            lock: held by whoever uses what of the workspace is for one thread only.
            connect: returns the remote, connected; called when something is missing here.
            keep: what of a remote goes into the store: small files (None), all (True), nothing.
            folder: where files lie for a moment.
        """
        self._ws, self._lock, self._keep = ws, lock, keep
        self.remote = RemoteReader(connect, folder)
        self._kept = Kept(None if keep is False else ws.store)
        self._manifests: OrderedDict[bytes, dict[bytes, Entry]] = OrderedDict()
        self._entries = 0

    def close(self) -> None:
        """Keeps what came, and ends the connection; everything can be used again afterwards."""
        self._kept.flush()
        self.remote.close()

    def manifest(self, root: bytes) -> dict[bytes, Entry]:
        """Returns the entries of a folder, by name.

        Raises:
            UnavailableError: neither the store nor the remote has it.
            VerificationError: it is not what its root says.
        """
        with self._lock:
            found = self._manifests.get(root)
            if found is None:
                manifest = self._parsed(root)
                found = {entry.name: entry for entry in manifest.entries}
                self._manifests[root] = found
                self._entries += len(found) + 1
                while self._entries > _KEPT_ENTRIES and len(self._manifests) > 1:
                    self._entries -= len(self._manifests.popitem(last=False)[1]) + 1
            else:
                self._manifests.move_to_end(root)
            return found

    def _parsed(self, root: bytes) -> Manifest:
        data = self._kept.get(root)
        if data is None:
            try:
                data = self._ws.store.read(root)
            except UnavailableError:
                data = self._fetched([Wanted(root, is_manifest=True)], {})[root]
        return as_manifest(root, data)

    def read(self, blob: Blob) -> bytes:
        """Returns a small blob's bytes, verified.

        Raises:
            UnavailableError: neither the store nor the remote has it.
            VerificationError: what they have is not what its name says.
        """
        data = self._kept.get(blob.digest)
        if data is None:
            try:
                # Whoever says that it is small may lie; what has no file of its own is small.
                if self._ws.store.path_of(blob.digest, verify=False) is not None:
                    size = self._ws.store.size(blob.digest)
                    if size != blob.size:
                        raise _other_size(blob, size)
                data = self._ws.store.read(blob.digest)
            except UnavailableError:
                data = self._fetched([_wanted(blob)], {blob.digest: blob.size})[blob.digest]
        if len(data) != blob.size:
            raise _other_size(blob, len(data))
        return data

    def open(self, blob: Blob, source: Source) -> io.BytesIO | RangeFile:
        """Opens a blob: small ones are read and verified here, large ones as they are read.

        Args:
            blob: what it is.
            source: where a large one's chunks come from while it is read; this one's remote, in
                whatever process that will be.

        Raises:
            UnavailableError: neither the store nor the remote has it.
            VerificationError: what they have is not what its name says.
        """
        if blob.size < LARGE or self._kept.get(blob.digest) is not None:
            return io.BytesIO(self.read(blob))
        file = self._open_object(blob)
        if file is not None:
            return file
        if self._ws.store.has((blob.digest,)) or (blob.size <= SMALL_BYTES and not self._keep):
            return io.BytesIO(self.read(blob))
        if not self._keep:
            return RemoteFile(source, blob.digest, self.remote.recipe(*blob))
        with self._ws.store.writer() as writer:
            self.remote.fetch([_wanted(blob)], {blob.digest: blob.size}, writer)
        return self._open_object(blob) or io.BytesIO(self.read(blob))

    def bring(self, blobs: Sequence[Blob]) -> dict[bytes, GitprovError]:
        """Fetches the small ones that are not here, many at once, where they are kept.

        What the remote lacks, or has wrong, is left to whoever reads it.

        Returns:
            By digest what cannot be had, and why: the remote does not answer.
        """
        wanted = {blob.digest: blob for blob in blobs}
        batch: list[Blob] = []
        size = 0
        try:
            for digest in sorted(self._lacking(wanted)):
                if wanted[digest].size > SMALL_BYTES:
                    continue
                batch.append(wanted[digest])
                size += wanted[digest].size
                if size >= KEPT_BYTES:
                    self._bring(batch)
                    batch, size = [], 0
            self._bring(batch)
        except GitprovError as exc:
            return dict.fromkeys(self._lacking(wanted), exc)
        return {}

    def _lacking(self, digests: Iterable[bytes]) -> set[bytes]:
        asked = {digest for digest in digests if self._kept.get(digest) is None}
        return asked - self._ws.store.has(asked)

    def _bring(self, batch: Sequence[Blob]) -> None:
        if batch:
            self._fetched([_wanted(blob) for blob in batch], dict(batch), some=True)

    def _fetched(
        self, wanted: Sequence[Wanted], sizes: dict[bytes, int], *, some: bool = False
    ) -> dict[bytes, bytes]:
        arrived = Arrived()
        try:
            self.remote.fetch(wanted, sizes, arrived, some=some)
        finally:
            self._kept.keep(arrived)  # each was checked, whatever became of the others
        return arrived.blobs

    def _open_object(self, blob: Blob) -> ObjectFile | None:
        """Opens a large blob's own file; None when there is none."""
        store, digest = self._ws.store, blob.digest
        path = store.path_of(digest, verify=False)
        if path is None:
            return None
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise fault(exc, "read", path) from exc
        status = os.fstat(fd)
        if status.st_size != blob.size:
            os.close(fd)
            store.path_of(digest)  # raises when it is damaged; if not, the manifest lies
            raise _other_size(blob, status.st_size)
        with self._lock:
            is_intact = is_known_intact(self._ws, digest, status)

        def proven(status: os.stat_result) -> None:
            with self._lock:
                remember_intact(self._ws, digest, status)

        def damaged() -> Exception:
            try:
                store.path_of(digest)
            except VerificationError as exc:
                return exc
            return UnavailableError(f"{Digest(digest)} gave wrong bytes once", hint="read it again")

        return ObjectFile(fd, path, digest, is_intact=is_intact, proven=proven, damaged=damaged)


def _wanted(blob: Blob) -> Wanted:
    return Wanted(blob.digest, is_manifest=False)


def _other_size(blob: Blob, size: int) -> VerificationError:
    return VerificationError(
        f"{Digest(blob.digest)} has {size:,} bytes, and what names it says {blob.size:,}"
    )
