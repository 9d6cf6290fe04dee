"""Files that are either the old one or the new one, whatever happens in between."""

import contextlib
import errno
import os
import re
import stat

from gitprov.core.paths import show
from gitprov.errors import EnvironmentFault, MalformedError, UnavailableError

_LEFTOVER = re.compile(rb"\.gitprov-tmp-([1-9][0-9]{0,9})-[0-9a-f]{8}")


def fault(exc: OSError, doing: str, path: str | bytes) -> EnvironmentFault:
    """Returns our error for a failed system call: what was being done, to what, and why."""
    return EnvironmentFault(f"cannot {doing} {show(os.fsencode(path))}: {exc.strerror or exc}")


def fsync_dir(path: str) -> None:
    """Makes the names in a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def expect_sequential(fd: int) -> None:
    """Tells the kernel that a file is about to be read from start to end: it reads ahead then."""
    advise = getattr(os, "posix_fadvise", None)  # not on macOS
    if advise is not None:
        with contextlib.suppress(OSError):  # a pipe takes no advice
            advise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Writes every byte; `os.write` may write fewer."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def clear_leftovers(folder: str | bytes) -> None:
    """Removes what processes left in a folder that were killed in `atomic_write`."""
    with contextlib.suppress(OSError), os.scandir(os.fsencode(folder)) as entries:
        for entry in entries:
            found = _LEFTOVER.fullmatch(entry.name)
            if found and not _is_alive(int(found[1])):
                os.unlink(entry.path)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # somebody else's
    return True


def take_file(path: str) -> bytes:
    """Returns what a file of our own holds, and removes it.

    Raises:
        EnvironmentFault: it cannot be read or removed.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
        os.unlink(path)
    except OSError as exc:
        raise fault(exc, "read", path) from exc
    return data


def atomic_write(path: str, data: bytes, *, mode: int = 0o666, durable: bool = True) -> None:
    """Replaces a file by new bytes: a temporary file beside it, fsync, rename, fsync of the folder.

    Args:
        path: the file; when it is a symlink, the link itself is replaced.
        data: its new bytes.
        mode: permissions before the umask.
        durable: whether to wait for the disk.

    Raises:
        EnvironmentFault: the file system refused; the old file is untouched.
    """
    folder = os.path.dirname(path) or "."
    temporary = os.path.join(folder, f".gitprov-tmp-{os.getpid()}-{os.urandom(4).hex()}")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(temporary, flags, mode)
        try:
            write_all(fd, data)
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
        if durable:
            fsync_dir(folder)
    except BaseException as exc:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(exc, OSError):
            raise fault(exc, "write", path) from exc
        raise


def read_bounded(path: str | bytes, limit: int) -> bytes:
    """Reads a regular file of at most `limit` bytes; a symlink is not followed.

    Raises:
        UnavailableError: there is no such file.
        MalformedError: it is larger, or not a regular file.
        EnvironmentFault: it cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as exc:
        raise UnavailableError(f"there is no file {show(os.fsencode(path))}") from exc
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise MalformedError(
                f"{show(os.fsencode(path))} is a symlink, not a regular file"
            ) from exc
        raise fault(exc, "read", path) from exc
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise MalformedError(f"{show(os.fsencode(path))} is not a regular file")
        if status.st_size > limit:
            raise MalformedError(f"{show(os.fsencode(path))} is larger than {limit} bytes")
        parts: list[bytes] = []
        room = limit + 1
        while room and (part := os.read(fd, min(room, 1 << 20))):
            parts.append(part)
            room -= len(part)
    except OSError as exc:
        raise fault(exc, "read", path) from exc
    finally:
        os.close(fd)
    data = b"".join(parts)
    if len(data) > limit:
        raise MalformedError(f"{show(os.fsencode(path))} is larger than {limit} bytes")
    return data
