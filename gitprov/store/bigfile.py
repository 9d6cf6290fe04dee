"""Takes a large file into the store: cloned, copied while it is hashed, or linked.

Whichever way, the digest is that of the bytes that are stored: a clone and a copy are private by
then, and a linked file is made read-only before it is hashed and looked at again after it.
"""

import contextlib
import errno
import fcntl
import os
import stat
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

from blake3 import blake3

from gitprov.errors import EnvironmentFault
from gitprov.platform.files import fault
from gitprov.platform.stream import Buffers, StreamWriter, fill
from gitprov.store.base import LinkMode, Progress, changed

if TYPE_CHECKING:
    import mmap

_CHUNK = 4 << 20
_READ_BUFFERS = 3
_FICLONE = 0x40049409
_NOT_CLONABLE = frozenset(
    (
        errno.EOPNOTSUPP,
        errno.ENOTTY,
        errno.EXDEV,
        errno.EINVAL,
        errno.ENOSYS,
        errno.EPERM,
        errno.ETXTBSY,
        errno.EACCES,
        errno.EBADF,
    )
)
_NOT_LINKABLE = frozenset(
    (errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOENT)
)


def file_buffers() -> Buffers:
    """Returns buffers of the size that suits large files."""
    return Buffers(_CHUNK)


def ingest(
    path: str, fd: int, size: int, *, link: LinkMode, target: str, buffers: Buffers
) -> bytes:
    """Makes `target` hold what the file holds, and returns the digest of `target`.

    Raises:
        FileChangedError: the file does not have `size` bytes, or was written to meanwhile.
        EnvironmentFault: reading or writing failed; `target` may be there, half made.
    """
    if link in ("hardlink", "symlink") and _link(path, fd, target):
        return _hash_linked(path, fd, size, buffers)
    with contextlib.ExitStack() as stack:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            out = os.open(target, flags, 0o444)
        except OSError as exc:
            raise fault(exc, "write", target) from exc
        stack.callback(os.close, out)
        if link == "auto" and _clone(fd, out):
            return _hash_clone(path, out, size, target)
        return _copy(path, fd, size, out=out, target=target, buffers=buffers)


def hash_file(
    fd: int, path: str, progress: Progress | None = None, buffers: Buffers | None = None
) -> tuple[bytes, int]:
    """Returns the digest and the size of an open file, reading and hashing side by side.

    Not through a memory map: a file that shrinks, or a disk that fails, would kill the process.
    """
    hasher = blake3()
    size = 0
    expect_sequential(fd)
    reader = _Reader(fd, path, buffers or file_buffers())
    try:
        while part := reader.next():
            hasher.update(part)
            size += len(part)
            if progress is not None:
                progress(len(part))
    finally:
        reader.stop()
    return hasher.digest(), size


def expect_sequential(fd: int) -> None:
    """Tells the kernel to read ahead: what the store writes past the cache is read from disk."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)


class _Reader:
    """Reads a file from its start, one buffer ahead of the caller."""

    def __init__(self, fd: int, path: str, buffers: Buffers) -> None:
        self._fd, self._path, self._buffers = fd, path, buffers
        self._taken: list[mmap.mmap] = []
        self._free: SimpleQueue[memoryview | None] = SimpleQueue()
        self._full: SimpleQueue[tuple[memoryview, int] | OSError] = SimpleQueue()
        self._current: memoryview | None = None
        self._thread: threading.Thread | None = None
        self._offset = 0

    def next(self) -> memoryview:
        """Returns the next bytes, valid until the call after; empty at the end."""
        if self._offset == 0:
            # Most files end within the first buffer, and a thread costs more than it would give.
            self._current = self._take()
            item: tuple[memoryview, int] | OSError = self._read(self._current)
        elif self._thread is None:
            if self._at_end():
                return memoryview(b"")
            for _ in range(_READ_BUFFERS):
                self._free.put(self._take())
            self._thread = threading.Thread(target=self._run, name="store-read", daemon=True)
            self._thread.start()
            item = self._full.get()
        else:
            self._free.put(self._current)
            item = self._full.get()
        if isinstance(item, OSError):
            raise fault(item, "read", self._path) from item
        self._current, count = item
        return self._current[:count]

    def stop(self) -> None:
        """Ends the thread and gives the buffers back."""
        if self._thread is not None:
            self._free.put(None)
            self._thread.join()
        self._buffers.give_back(self._taken)

    def _at_end(self) -> bool:
        try:
            return not os.pread(self._fd, 1, self._offset)
        except OSError as exc:
            raise fault(exc, "read", self._path) from exc

    def _take(self) -> memoryview:
        self._taken.append(self._buffers.take())
        return memoryview(self._taken[-1])

    def _read(self, view: memoryview) -> tuple[memoryview, int] | OSError:
        try:
            count = os.preadv(self._fd, [view], self._offset)
        except OSError as exc:
            return exc
        self._offset += count
        return view, count

    def _run(self) -> None:
        while (view := self._free.get()) is not None:
            self._full.put(self._read(view))


def _clone(fd: int, out: int) -> bool:
    try:
        fcntl.ioctl(out, _FICLONE, fd)
    except OSError as exc:
        if exc.errno in _NOT_CLONABLE:
            return False
        raise EnvironmentFault(f"cannot clone into the store: {exc.strerror}") from exc
    return True


def _hash_clone(path: str, out: int, size: int, target: str) -> bytes:
    if os.fstat(out).st_size != size:
        raise changed(path)
    hasher = blake3(max_threads=blake3.AUTO)
    if size:
        # Nobody else has the clone, so nobody can shrink it under the map.
        try:
            hasher.update_mmap(target)
        except OSError as exc:
            raise fault(exc, "read", target) from exc
    return hasher.digest()


def _copy(path: str, fd: int, size: int, *, out: int, target: str, buffers: Buffers) -> bytes:
    hasher = blake3()
    stream = StreamWriter(out, buffers)
    done = 0
    try:
        while True:
            buffer = stream.take()
            with memoryview(buffer) as view:
                count = _fill(path, fd, view, done)
                hasher.update(view[:count])
            done += count
            if done > size:
                raise changed(path)
            if count < _CHUNK:
                stream.finish(buffer, count)
                break
            stream.give(buffer)
    except OSError as exc:
        raise fault(exc, "write", target) from exc
    finally:
        stream.stop()
    if done != size:
        raise changed(path)
    return hasher.digest()


def _fill(path: str, fd: int, view: memoryview, offset: int) -> int:
    try:
        return fill(fd, view, offset)
    except OSError as exc:
        raise fault(exc, "read", path) from exc


def _link(path: str, fd: int, target: str) -> bool:
    try:
        os.link(path, target, follow_symlinks=False)
    except OSError as exc:
        if exc.errno in _NOT_LINKABLE:
            return False
        raise fault(exc, "link", path) from exc
    wanted, got = os.fstat(fd), os.lstat(target)
    if (wanted.st_dev, wanted.st_ino) != (got.st_dev, got.st_ino):
        raise changed(path)
    return True


def _hash_linked(path: str, fd: int, size: int, buffers: Buffers) -> bytes:
    before = os.fstat(fd)
    try:
        os.fchmod(fd, stat.S_IMODE(before.st_mode) & ~0o222)
    except OSError as exc:
        raise fault(exc, "make read-only", path) from exc
    digest, count = hash_file(fd, path, buffers=buffers)
    after = os.fstat(fd)
    if count != size or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise changed(path)
    return digest
