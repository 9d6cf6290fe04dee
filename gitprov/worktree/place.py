"""Puts one file or symlink into an open folder: whole, or not at all."""

import contextlib
import errno
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from threading import get_ident
from typing import BinaryIO, Literal, Protocol

from blake3 import blake3

from gitprov.core.paths import show
from gitprov.errors import EnvironmentFault, MalformedError, VerificationError
from gitprov.model.entry import Entry
from gitprov.platform.files import expect_sequential, write_all
from gitprov.platform.stream import Buffers, StreamWriter, fill
from gitprov.worktree.folders import TEMPORARY, fault, join
from gitprov.worktree.plan import ANYTHING, Write
from gitprov.worktree.reading import pack
from gitprov.worktree.walk import leaves

MAX_TARGET_BYTES = 4095
"""The longest target of a symlink, Linux' PATH_MAX without its NUL."""

_FICLONE = 0x40049409
_PIECE = 1 << 20
_BUFFER = 4 << 20
_MANY_THREADS_FROM = 32 << 20
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_UNNAMED = getattr(os, "O_TMPFILE", 0) and (os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC)
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


LinkMode = Literal["auto", "copy", "hardlink", "symlink"]
"""How a large file comes: reflink or else copy, copy, hardlink, symlink; if it cannot, copy."""


class Source(Protocol):
    """Where the bytes come from; what it hands out by `many` and `stream` is verified."""

    def many(self, digests: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Yields each small blob with its digest, in any order."""

    def path(self, digest: bytes) -> str | None:
        """Returns the file that holds a blob and nothing else, None when there is none.

        It need not be verified: what is made from it is hashed.
        """

    def stream(self, digest: bytes) -> BinaryIO:
        """Opens a blob; the last read raises when the bytes are not the digest's."""


class Placer:
    """Writes files of one artifact. Several threads may use it, each in folders of its own."""

    def __init__(self, source: Source, link: LinkMode, artifact: bytes, mtime: int) -> None:
        """Takes where bytes come from.

        Args:
            source: as it says.
            link: how large files come.
            artifact: its path, which symlinks may not leave.
            mtime: given to every file written, in nanoseconds. It lies a little in the past, so
                that a change in the same tick of the clock as the writing still shows.
        """
        self._source = source
        self._link = link
        self._artifact = artifact
        self._times = (mtime, mtime)
        self._mask = 0o555 if link in {"hardlink", "symlink"} else 0o777
        # One name a thread, used again and again: a folder in which every file once had a long
        # name of its own makes ext4 a third slower.
        self._token = TEMPORARY + b"%d-%s-" % (os.getpid(), os.urandom(4).hex().encode())
        self._can_clone = link == "auto"
        self._buffers = Buffers(_BUFFER)
        self._can_be_unnamed = bool(_UNNAMED)
        self._minds_umask = False

    def small(self, write: Write, data: bytes, folder_fd: int) -> None:
        """Writes a file or symlink whose bytes are at hand.

        Raises:
            MalformedError: the manifest lies about the size, or a link leaves the artifact.
            EnvironmentFault: the file system refuses, or something else is there by now.
        """
        entry = write.entry
        if len(data) != entry.size:
            raise self._wrong_size(write)
        if write.before is None and entry.kind != "l" and self._unnamed(write, data, folder_fd):
            return
        temporary = self._token + b"%d" % get_ident()
        with _cleanly(write, temporary, folder_fd):
            if entry.kind == "l":
                self._check_target(write, data)
                os.symlink(data, temporary, dir_fd=folder_fd)
            else:
                fd = self._create(temporary, entry, folder_fd)
                try:
                    if data:
                        write_all(fd, data)
                    os.utime(fd, ns=self._times)
                finally:
                    os.close(fd)
            _rename(write, temporary, folder_fd)

    def large(self, write: Write, folder_fd: int) -> tuple[int, int] | None:
        """Writes a file straight from the store.

        Returns:
            The mtime and the size of what is there now, None for a symlink into the store.

        Raises:
            VerificationError: the store's bytes are not what their name says.
            MalformedError: the manifest lies about the size.
            UnavailableError: the store does not have it.
            EnvironmentFault: as `small`.
        """
        path = self._source.path(write.entry.digest)
        temporary = self._token + b"%d" % get_ident()
        with _cleanly(write, temporary, folder_fd):
            made = path is not None and self._from_path(write, path, temporary, folder_fd)
            if not made:
                self._from_stream(write, temporary, folder_fd)
            status = os.stat(temporary, dir_fd=folder_fd, follow_symlinks=False)
            _rename(write, temporary, folder_fd)
        return None if stat.S_ISLNK(status.st_mode) else (status.st_mtime_ns, status.st_size)

    def _unnamed(self, write: Write, data: bytes, folder_fd: int) -> bool:
        """Writes a new file that gets its name when it is whole; False where that cannot be.

        It costs half of what a temporary name and a rename cost.
        """
        if not self._can_be_unnamed:
            return False
        mode = 0o777 if write.entry.kind == "x" else 0o666
        try:
            fd = os.open(b".", _UNNAMED, mode & self._mask, dir_fd=folder_fd)
        except OSError:
            self._can_be_unnamed = False  # not on this file system
            return False
        try:
            if not self._minds_umask and not _minds_umask(fd):
                self._can_be_unnamed = False  # Linux before 6.0, where there are no ACLs
                return False
            self._minds_umask = True
            if data:
                write_all(fd, data)
            os.utime(fd, ns=self._times)
            os.link(b"/proc/self/fd/%d" % fd, write.entry.name, dst_dir_fd=folder_fd)
        except FileExistsError:
            raise changed_meanwhile(join(write.folder, write.entry.name)) from None
        except OSError as exc:
            if exc.errno in _FULL:
                raise fault(exc, "write", join(write.folder, write.entry.name)) from exc
            self._can_be_unnamed = False  # no /proc, or the file system would not
            return False
        finally:
            os.close(fd)
        return True

    def _create(self, name: bytes, entry: Entry, folder_fd: int) -> int:
        mode = 0o777 if entry.kind == "x" else 0o666
        return os.open(name, _NEW, mode & self._mask, dir_fd=folder_fd)

    def _check_target(self, write: Write, target: bytes) -> None:
        path = join(write.folder, write.entry.name)
        if not target or b"\0" in target or len(target) > MAX_TARGET_BYTES:
            raise MalformedError(f"the symbolic link {show(path)} has no possible target")
        if leaves(target, write.folder[len(self._artifact) :].strip(b"/")):
            raise MalformedError(
                f"the symbolic link {show(path)} -> {show(target)} leaves the artifact"
            )

    def _from_path(self, write: Write, path: str, temporary: bytes, folder_fd: int) -> bool:
        """Makes the file from the store's own; False when the source has to stream it."""
        entry = write.entry
        try:
            source = os.open(path, _READ)
        except FileNotFoundError:
            return False  # it was moved meanwhile, into a pack or into quarantine
        expect_sequential(source)
        try:
            # An executable file cannot share the inode of one that is not.
            if entry.kind == "f" and self._link_to(path, source, temporary, folder_fd):
                digest, size = _hash(source)
            else:
                digest, size = self._copy(source, entry, temporary, folder_fd)
        finally:
            os.close(source)
        if digest != entry.digest:
            with self._source.stream(entry.digest) as stream:
                while stream.read(_PIECE):  # the store looks for itself, and sets it aside
                    pass
            raise VerificationError(f"the store's bytes for {_shown(write)} are damaged")
        if size != entry.size:
            raise self._wrong_size(write)
        return True

    def _link_to(self, path: str, source: int, temporary: bytes, folder_fd: int) -> bool:
        if self._link == "symlink":
            os.symlink(os.fsencode(os.path.abspath(path)), temporary, dir_fd=folder_fd)
            return True
        if self._link != "hardlink":
            return False
        try:
            os.link(path, temporary, dst_dir_fd=folder_fd, follow_symlinks=False)
        except OSError:
            return False  # another file system, or too many links
        linked = os.stat(temporary, dir_fd=folder_fd, follow_symlinks=False)
        if linked.st_ino == os.fstat(source).st_ino:
            return True
        os.unlink(temporary, dir_fd=folder_fd)
        return False

    def _copy(
        self, source: int, entry: Entry, temporary: bytes, folder_fd: int
    ) -> tuple[bytes, int]:
        fd = self._create(temporary, entry, folder_fd)
        try:
            if self._clone(source, fd):
                digest, size = _hash(fd)
            else:
                digest, size = self._pour_file(source, fd)
            os.utime(fd, ns=self._times)
        finally:
            os.close(fd)
        return digest, size

    def _pour_file(self, source: int, fd: int) -> tuple[bytes, int]:
        """Reads and hashes in this thread while another one writes."""
        hasher, size = blake3(), 0
        stream = StreamWriter(fd, self._buffers, cached=True)
        try:
            while True:
                buffer = stream.take()
                with memoryview(buffer) as view:
                    count = fill(source, view, size)
                    hasher.update(view[:count])
                size += count
                if count < self._buffers.size:
                    stream.finish(buffer, count)
                    return hasher.digest(), size
                stream.give(buffer)
        finally:
            stream.stop()

    def _clone(self, source: int, fd: int) -> bool:
        if self._can_clone:
            try:
                fcntl.ioctl(fd, _FICLONE, source)
            except OSError:
                self._can_clone = False  # it will not work for the next one either
        return self._can_clone

    def _from_stream(self, write: Write, temporary: bytes, folder_fd: int) -> None:
        fd = self._create(temporary, write.entry, folder_fd)
        try:
            with self._source.stream(write.entry.digest) as stream:
                digest, size = _pour(lambda _: stream.read(_PIECE), fd)
            os.utime(fd, ns=self._times)
        finally:
            os.close(fd)
        if digest != write.entry.digest:
            raise VerificationError(f"the store's bytes for {_shown(write)} are damaged")
        if size != write.entry.size:
            raise self._wrong_size(write)

    def _wrong_size(self, write: Write) -> MalformedError:
        alone = join(write.folder, write.entry.name) == self._artifact
        who = "pointer" if alone else "manifest"
        return MalformedError(f"the {who}'s size of {_shown(write)} is not that of its content")


def unchanged(name: bytes, before: bytes, folder_fd: int) -> bool:
    """Whether a name still is what it was when the plan was made."""
    if before == ANYTHING:
        return True
    try:
        return pack(os.stat(name, dir_fd=folder_fd, follow_symlinks=False)) == before
    except FileNotFoundError:
        return False


def changed_meanwhile(path: bytes) -> EnvironmentFault:
    """Returns the error for a path that is not what it was when the plan was made."""
    return EnvironmentFault(
        f"{show(path)} was changed by another program meanwhile; it is left as it is",
        hint="look at it, then run this again",
    )


def _rename(write: Write, temporary: bytes, folder_fd: int) -> None:
    name, before = write.entry.name, write.before
    if before is None:
        there = True
        try:
            os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        except FileNotFoundError:
            there = False
        if there:
            raise changed_meanwhile(join(write.folder, name))
    elif not unchanged(name, before, folder_fd):
        raise changed_meanwhile(join(write.folder, name))
    os.rename(temporary, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)


@contextlib.contextmanager
def _cleanly(write: Write, temporary: bytes, folder_fd: int) -> Iterator[None]:
    """Removes the temporary file when anything fails, and says so in our words."""
    try:
        yield
    except BaseException as exc:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder_fd)
        if isinstance(exc, OSError):
            raise fault(exc, "write", join(write.folder, write.entry.name)) from exc
        raise


def _minds_umask(fd: int) -> bool:
    """Whether a new file has no permission that the process takes away."""
    try:
        with open("/proc/self/status", "rb") as file:
            found = re.search(rb"^Umask:\s*([0-7]+)$", file.read(), re.MULTILINE)
        return found is not None and not os.fstat(fd).st_mode & int(found[1], 8)
    except OSError:
        return False


def _pour(read: Callable[[int], bytes], fd: int) -> tuple[bytes, int]:
    hasher = blake3()
    offset = 0
    while piece := read(offset):
        hasher.update(piece)
        write_all(fd, piece)
        offset += len(piece)
    return hasher.digest(), offset


def _hash(fd: int) -> tuple[bytes, int]:
    size = os.fstat(fd).st_size
    hasher = blake3(max_threads=blake3.AUTO if size >= _MANY_THREADS_FROM else 1)
    buffer = bytearray(min(size + 1, _MANY_THREADS_FROM // 4))
    view = memoryview(buffer)
    offset = 0
    while count := os.preadv(fd, [buffer], offset):
        hasher.update(view[:count])
        offset += count
    return hasher.digest(), offset


def _shown(write: Write) -> str:
    return show(join(write.folder, write.entry.name))
