"""A large blob's own file, read anywhere in it, verified."""

import os
from collections.abc import Callable

from blake3 import blake3

from gitprov.platform.files import fault
from gitprov.store.bigfile import hash_file
from gitprov.store.range_file import RangeFile


class ObjectFile(RangeFile):
    """Reads a file of the store.

    From its start on it is hashed along, and the read that would deliver the last byte raises when
    the whole does not match. A read anywhere else first has the whole file verified. It reads by
    offset, so processes that share it after a fork do not disturb each other.
    """

    def __init__(
        self,
        fd: int,
        path: str,
        digest: bytes,
        *,
        is_intact: bool,
        proven: Callable[[os.stat_result], None],
        damaged: Callable[[], Exception],
    ) -> None:
        """Owns the descriptor from now on.

        Args:
            fd: the file.
            path: for messages.
            digest: what its bytes must hash to.
            is_intact: whether that is known already.
            proven: is told when the whole has been verified, with the status that it had.
            damaged: sets the file aside and returns the error to raise.
        """
        self._status = os.fstat(fd)
        super().__init__(self._status.st_size)
        self._fd, self._path, self._digest = fd, path, digest
        self._is_intact = is_intact
        self._proven, self._damaged = proven, damaged
        self._hasher = blake3()
        self._hashed = 0

    def _read_at(self, view: memoryview, at: int) -> int:
        if not self._is_intact and at != self._hashed:
            self._judge(hash_file(self._fd, self._path)[0])
        try:
            count = os.preadv(self._fd, [view], at)
        except OSError as exc:
            raise fault(exc, "read", self._path) from exc
        if not self._is_intact:
            self._hash_along(view[:count])
        return count

    def _hash_along(self, data: memoryview) -> None:
        self._hasher.update(data)
        self._hashed += len(data)
        if data and self._hashed < self._size:
            return
        self._judge(self._hasher.digest())

    def _judge(self, digest: bytes) -> None:
        if digest != self._digest:
            raise self._damaged()
        self._is_intact = True
        if _times(os.fstat(self._fd)) == _times(self._status):
            self._proven(self._status)

    def close(self) -> None:
        """Lets go of the file."""
        if not self.closed:
            os.close(self._fd)
        super().close()


def _times(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
