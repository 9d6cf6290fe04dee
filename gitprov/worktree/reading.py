"""Reads files so that the bytes, their digest and their times belong together."""

import errno
import os
import stat
import threading
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from blake3 import blake3

from gitprov.core.paths import show
from gitprov.errors import EnvironmentFault, GitprovError
from gitprov.model.entry import Entry
from gitprov.platform.files import expect_sequential
from gitprov.worktree.folders import fault, join
from gitprov.worktree.statcache import STAT

LARGE = 256 << 10
"""Files from this size on go to the sink as a descriptor; smaller ones as bytes."""

_BUFFER = 8 << 20
_MANY_THREADS_FROM = 32 << 20
# O_NONBLOCK: a FIFO swapped in for the file must not hold us up.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Sink(Protocol):
    """Where a scan brings what it reads.

    Attributes:
        parallel: whether `large` may be called by two threads at a time.
        links: whether `large` may link the file or replace it by a link, which changes its ctime.
    """

    parallel: bool
    links: bool

    def small(self, digest: bytes, data: bytes) -> None:
        """Takes the bytes of a file below `LARGE`, or of a link's target. Called by one thread."""

    def large(self, path: str, fd: int, size: int) -> bytes:
        """Reads a file of at least `LARGE` from its descriptor and returns its digest."""

    def manifest(self, root: bytes, entries: tuple[Entry, ...]) -> None:
        """Takes a folder's entries, after everything in it."""


class NullSink:
    """Hashes and keeps nothing."""

    parallel = True
    links = False

    def __init__(self) -> None:
        self._local = threading.local()

    def small(self, digest: bytes, data: bytes) -> None:
        """Forgets it."""

    def manifest(self, root: bytes, entries: tuple[Entry, ...]) -> None:
        """Forgets it."""

    def large(self, path: str, fd: int, size: int) -> bytes:
        """Hashes a file.

        With reads and not with mmap: mmap is faster by half, but a file that is truncated while
        it is mapped kills the process with SIGBUS.
        """
        buffer: bytearray | None = getattr(self._local, "buffer", None)
        if buffer is None:
            buffer = self._local.buffer = bytearray(_BUFFER)
        view = memoryview(buffer)
        many = size >= _MANY_THREADS_FROM
        hasher = blake3(max_threads=blake3.AUTO if many else 1)
        # A smaller piece stays in the CPU's cache between reading and hashing.
        piece = [view] if many else [view[: 1 << 20]]
        offset = 0
        while count := os.preadv(fd, piece, offset):
            hasher.update(view[:count])
            offset += count
        return hasher.digest()


class Read(NamedTuple):
    """A file that was read; `data` is None when the sink has read it itself."""

    digest: bytes
    stat: bytes
    data: bytes | None


class Batch(NamedTuple):
    """Files that were read, in the order asked for; `moved` has new `STAT`s by position."""

    digests: list[bytes]
    datas: list[bytes | None]
    moved: dict[int, bytes]


def pack(status: os.stat_result) -> bytes:
    """Returns the `STAT` of a file."""
    return STAT.pack(
        status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
    )


class Reader:
    """Reads the files of one worktree for one sink."""

    def __init__(self, root: bytes, sink: Sink) -> None:
        self._root = root
        self._sink = sink

    def small(
        self, names: Sequence[bytes], stats: Sequence[bytes], folder_fd: int, folder: bytes
    ) -> Batch:
        """Reads files below `LARGE`; the sink is asked only for one that grew over it.

        Raises:
            EnvironmentFault: a file cannot be read, or does not stop changing.
        """
        batch = Batch([], [], {})
        digests, datas, moved = batch
        for position, (name, before) in enumerate(zip(names, stats, strict=True)):
            size = STAT.unpack(before)[1]
            try:
                fd = os.open(name, _FLAGS, dir_fd=folder_fd)
                try:
                    data = os.read(fd, size + 1)
                    after = pack(os.fstat(fd))
                finally:
                    os.close(fd)
            except OSError as exc:
                raise _gone_or(exc, join(folder, name)) from exc
            if after == before and len(data) == size:
                digests.append(blake3(data).digest())
                datas.append(data)
            else:
                fd = self.open(name, folder_fd, folder)
                again = self._stable(name, fd, folder_fd, folder, attempts=1)
                digests.append(again.digest)
                datas.append(again.data)
                moved[position] = again.stat
        return batch

    def open(self, name: bytes, folder_fd: int, folder: bytes) -> int:
        """Opens a file for `large`; no symlink is followed.

        Raises:
            EnvironmentFault: it cannot be opened.
        """
        try:
            fd = os.open(name, _FLAGS, dir_fd=folder_fd)
        except OSError as exc:
            raise _gone_or(exc, join(folder, name)) from exc
        expect_sequential(fd)
        return fd

    def large(self, name: bytes, fd: int, folder_fd: int, folder: bytes) -> Read:
        """Gives a file to the sink, once more if it changed meanwhile, and closes the descriptor.

        Raises:
            EnvironmentFault: it cannot be read, or does not stop changing.
        """
        return self._stable(name, fd, folder_fd, folder, attempts=2)

    def _stable(
        self, name: bytes, fd: int, folder_fd: int, folder: bytes, *, attempts: int
    ) -> Read:
        path = join(folder, name)
        try:
            for _attempt in range(attempts):
                before = os.fstat(fd)
                if not stat.S_ISREG(before.st_mode):
                    break
                data: bytes | None = None
                if before.st_size < LARGE:
                    data = os.pread(fd, LARGE, 0)
                    digest = blake3(data).digest()
                else:
                    os.lseek(fd, 0, os.SEEK_SET)
                    whole = os.fsdecode(join(self._root, path))
                    digest = self._sink.large(whole, fd, before.st_size)
                after = (
                    os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
                    if self._sink.links
                    else os.fstat(fd)
                )
                same = _unchanged(before, after, linked=self._sink.links)
                if same and (data is None or len(data) == after.st_size):
                    return Read(digest, pack(after), data)
        except OSError as exc:
            raise _gone_or(exc, path) from exc
        finally:
            os.close(fd)
        raise _changing(path)


def _unchanged(before: os.stat_result, after: os.stat_result, *, linked: bool) -> bool:
    if before.st_size != after.st_size or before.st_mtime_ns != after.st_mtime_ns:
        return False
    return linked or (before.st_ctime_ns == after.st_ctime_ns and before.st_ino == after.st_ino)


def _changing(path: bytes) -> GitprovError:
    return EnvironmentFault(
        f"{show(path)} changed while it was read",
        hint="stop the program that writes to it, then run this again",
    )


def _gone_or(exc: OSError, path: bytes) -> GitprovError:
    if exc.errno in {errno.ENOENT, errno.ELOOP}:
        return _changing(path)
    return fault(exc, "read", path)
