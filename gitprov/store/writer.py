"""The writing half of a local store: everything is prepared in private, then published at once."""

import contextlib
import os
from collections.abc import Iterator

from blake3 import blake3

from gitprov.errors import EnvironmentFault
from gitprov.platform.files import fault, fsync_dir, write_all
from gitprov.platform.locks import Waiting, file_lock
from gitprov.store.base import LARGE, LinkMode, StoreWriter, changed, check_digest
from gitprov.store.bigfile import file_buffers, ingest
from gitprov.store.layout import Layout
from gitprov.store.packs import BLOB, MANIFEST, PackWriter
from gitprov.store.reading import Reader
from gitprov.store.sessions import Session

_BATCH_BYTES = 1 << 20
_BATCH_COUNT = 4096


class LocalWriter(StoreWriter):
    """Adds to a local store; made by `LocalStore.writer`, which holds the lock meanwhile."""

    def __init__(self, layout: Layout, reader: Reader, waiting: Waiting | None) -> None:
        """Begins a session of its own below `tmp`."""
        self._layout, self._reader, self._waiting = layout, reader, waiting
        self._index = reader.index()
        # Asking an empty index about every blob would double the work of the first add.
        self._fresh = self._index.is_empty()
        with _faults("write", layout.tmp):
            self._session = Session(layout)
        self._seen: set[bytes] = set()
        self._batch: list[tuple[int, bytes, bytes]] = []
        self._batch_bytes = 0
        self._pack: PackWriter | None = None
        self._staged: list[tuple[str, bytes]] = []
        self._modes: list[tuple[str, int]] = []
        self._publishing = False
        self._buffers = file_buffers()

    # ------------------------------------------------------------ adding

    def add(self, data: bytes) -> bytes:
        """See `StoreWriter.add`."""
        digest = blake3(data).digest()
        self.add_known(digest, data)
        return digest

    def add_known(self, digest: bytes, data: bytes) -> None:
        """See `StoreWriter.add_known`."""
        if digest in self._seen:
            return
        if len(data) >= LARGE:
            self._add_object(digest, data)
            return
        self._take(BLOB, digest, data)

    def add_manifest(self, root: bytes, data: bytes) -> None:
        """See `StoreWriter.add_manifest`."""
        if root not in self._seen:
            self._take(MANIFEST, root, data)

    def _take(self, kind: int, digest: bytes, data: bytes) -> None:
        self._seen.add(check_digest(digest))
        self._batch.append((kind, digest, data))
        self._batch_bytes += len(data)
        if self._batch_bytes >= _BATCH_BYTES or len(self._batch) >= _BATCH_COUNT:
            self._flush()

    def _flush(self) -> None:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        if not self._fresh:
            known = self._reader.has(digest for _, digest, _ in batch)
            batch = [blob for blob in batch if blob[1] not in known]
        if not batch:
            return
        with _faults("write", self._session.folder):
            if self._pack is None:
                self._pack = PackWriter(self._session.new_path())
            self._pack.append_many(batch)

    def _add_object(self, digest: bytes, data: bytes) -> None:
        self._seen.add(check_digest(digest))
        if self._reader.has((digest,)):
            return
        path = self._session.new_path()
        with _faults("write", path):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
            try:
                write_all(fd, data)
            finally:
                os.close(fd)
        self._staged.append((path, digest))

    def add_file(self, path: str, *, fd: int, size: int, link: LinkMode) -> bytes:
        """See `StoreWriter.add_file`."""
        if size < LARGE:
            return self.add(_read_exactly(path, fd, size))
        target = self._session.new_path()
        if link in ("hardlink", "symlink"):
            self._modes.append((target, os.fstat(fd).st_mode & 0o7777))
        digest = ingest(path, fd, size, link=link, target=target, buffers=self._buffers)
        self._stage(target, digest)
        return digest

    def add_known_file(self, digest: bytes, path: str) -> None:
        """See `StoreWriter.add_known_file`."""
        check_digest(digest)
        target = self._session.new_path()
        with _faults("write", target):
            os.rename(path, target)
            os.chmod(target, os.stat(target).st_mode & 0o444)
        self._stage(target, digest)

    def _stage(self, path: str, digest: bytes) -> None:
        """Publishes a file of the session with the next commit, unless the store has its bytes."""
        if digest in self._seen or self._reader.has((digest,)):
            with _faults("remove", path):
                os.unlink(path)
        else:
            self._staged.append((path, digest))
        self._seen.add(digest)

    def has(self, digest: bytes) -> bool:
        """See `StoreWriter.has`."""
        return digest in self._seen or bool(self._reader.has((digest,)))

    # ------------------------------------------------------------ ending

    def commit(self) -> None:
        """See `StoreWriter.commit`."""
        self._flush()
        if self._pack is None and not self._staged:
            return
        with _faults("write", self._layout.root):
            if self._pack is not None:
                self._pack.finish()
            for path, _ in self._staged:
                _sync(path)
        with file_lock(self._layout.publish_lock, waiting=self._waiting):
            self._publish()
        self._modes.clear()
        self._fresh = False

    def _publish(self) -> None:
        self._publishing = True
        name = os.urandom(16).hex()
        with _faults("write", self._layout.root):
            self._reader.objects.publish(self._staged)
            if self._pack is not None:
                os.rename(self._pack.path, self._layout.pack(name))
                fsync_dir(self._layout.packs)
        self._staged.clear()
        if self._pack is not None:
            # A process killed before this line leaves a pack without rows: gc takes it in.
            self._index.add_pack(name, self._pack.rows)
            self._pack.close()
            self._pack = None
        self._publishing = False

    def close(self) -> None:
        """Ends the session and throws away what was not committed."""
        if self._pack is not None:
            self._pack.close()
            self._pack = None
        for path, mode in self._modes:
            # A file that was to be hardlinked gets its permissions back.
            with contextlib.suppress(OSError):
                os.chmod(path, mode)
        if self._publishing:
            self._session.leave()
        else:
            self._session.close()


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _read_exactly(path: str, fd: int, size: int) -> bytes:
    try:
        data = os.pread(fd, size + 1, 0)
        while len(data) < size and (more := os.pread(fd, size + 1 - len(data), len(data))):
            data += more
    except OSError as exc:
        raise fault(exc, "read", path) from exc
    if len(data) != size:
        raise changed(path)
    return data


@contextlib.contextmanager
def _faults(doing: str, path: str) -> Iterator[None]:
    try:
        yield
    except EnvironmentFault:
        raise
    except OSError as exc:
        raise fault(exc, doing, path) from exc
