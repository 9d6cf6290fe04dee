"""A file of known size that is read by offsets: what seeking means, once for every source."""

import contextlib
import io
import os
from abc import abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import WriteableBuffer


class RangeFile(io.RawIOBase):
    """A read-only stream over something that gives ranges. For one thread at a time.

    Attributes:
        naming: what reads happen in: it says in errors which file they are about.
    """

    def __init__(self, size: int) -> None:
        """Begins at the start of so many bytes."""
        super().__init__()
        self._size = size
        self._at = 0
        self.naming: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext

    @abstractmethod
    def _read_at(self, view: memoryview, at: int) -> int:
        """Fills the start of a buffer, which is not empty, and returns how many bytes came."""

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Returns where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Chooses where the next read begins."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Reads the next bytes."""
        view = memoryview(buffer).cast("B")
        if not len(view):
            return 0
        with self.naming():
            count = self._read_at(view, self._at)
        self._at += count
        return count

    def readall(self) -> bytes:
        """Reads the rest in one go; the inherited one takes 8 KiB at a time."""
        rest = bytearray(max(0, self._size - self._at))
        done = 0
        while count := self.readinto(memoryview(rest)[done:]):
            done += count
        return bytes(memoryview(rest)[:done])
