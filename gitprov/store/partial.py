"""A large blob on its way: a file that outlives an interrupted fetch, so that the next goes on."""

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO

from blake3 import blake3

from gitprov.platform.files import fault

FOLDER = "partial"
"""Below the store's folder."""

_OWN = re.compile(r"[0-9a-f]{40,64}-[0-9]+-[0-9a-f]{8}")

_KEPT_SECONDS = 14 * 86_400
"""What nobody went on with for so long is removed."""


@contextlib.contextmanager
def partial_file(folder: str, digest: bytes) -> Iterator[BinaryIO]:
    """Opens the file of a blob that is on its way, to read and to write, at its start.

    It stays when the block ends with an error that asking again may mend, and goes when the caller
    has called `discard`, or moved it. Somebody else's fetch of the same blob has a file of its own,
    that goes with the block.

    Args:
        folder: where such files lie; made when it is not there.
        digest: the blob's.

    Yields:
        The file; its `name` is its path.

    Raises:
        EnvironmentFault: it cannot be made.
    """
    path = os.path.join(folder, digest.hex())
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        file = _locked(path)
    except OSError as exc:
        raise fault(exc, "write", path) from exc
    if file is None:
        with own_file(folder, digest.hex()) as own:
            yield own
        return
    with file:
        yield file


def _locked(path: str) -> BinaryIO | None:
    """Opens a file that nobody else has; None when somebody has it.

    Only whoever holds the lock moves or removes the file of that name.
    """
    while True:
        file = open(path, "r+b", opener=_open)  # noqa: SIM115 - handed on
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path, follow_symlinks=False)):
                return file
        except BlockingIOError:
            file.close()
            return None
        except FileNotFoundError:
            pass  # it was moved into the store between the two calls
        except BaseException:
            file.close()
            raise
        file.close()


def _open(path: str, _: int) -> int:
    # Readable for whom the umask lets: it becomes one of the store's files.
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)


@contextlib.contextmanager
def own_file(folder: str, name: str) -> Iterator[BinaryIO]:
    """Opens a file that nobody else has, to write and to read; it goes unless it is moved.

    Args:
        folder: where it lies; made when it is not there.
        name: a hexadecimal name of what it is to hold.

    Yields:
        The file; its `name` is its path.
    """
    path = os.path.join(folder, f"{name}-{os.getpid()}-{os.urandom(4).hex()}")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        file = open(path, "x+b")  # noqa: SIM115 - closed below
    except OSError as exc:
        raise fault(exc, "write", path) from exc
    try:
        with file:
            yield file
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)


def discard(file: BinaryIO) -> None:
    """Removes the file of a blob, which the caller has open: it will never be what it should."""
    with contextlib.suppress(OSError):
        os.unlink(file.name)


def kept_chunks(file: BinaryIO, chunks: Sequence[tuple[bytes, int]]) -> Iterator[bytes]:
    """Yields the first chunks that the file holds as they should be; cuts off the rest.

    Args:
        file: at its start.
        chunks: digests and sizes, as a checked recipe has them.
    """
    good = 0
    for digest, size in chunks:
        data = file.read(size)
        if len(data) != size or blake3(data).digest() != digest:
            break
        good += size
        yield data
    file.seek(good)
    file.truncate()
    os.lseek(file.fileno(), good, os.SEEK_SET)  # for whoever writes past the file's own buffer


def clear_old(folder: str, has: Callable[[Iterable[bytes]], set[bytes]]) -> None:
    """Removes files that nobody went on with for two weeks, and those of what the store has.

    The latter may have come from elsewhere meanwhile.

    Args:
        folder: where such files lie.
        has: which of some blobs the store has.
    """
    oldest = time.time() - _KEPT_SECONDS
    found: dict[bytes, float] = {}
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError, ValueError):
                changed = entry.stat(follow_symlinks=False).st_mtime
                if len(entry.name) == 64:
                    found[bytes.fromhex(entry.name)] = changed
                elif _OWN.fullmatch(entry.name) and changed < oldest:
                    os.unlink(entry.path)  # of a fetch that was killed
    done = has(found) if found else set()
    for digest, changed in found.items():
        if digest in done or changed < oldest:
            with contextlib.suppress(OSError):
                file = _locked(os.path.join(folder, digest.hex()))
                if file is not None:
                    with file:
                        discard(file)
