"""Writes a new file from a second thread, past the page cache where the file system takes that.

Two gigabytes per second of data that is never read back soon would push everything else out of the
cache and then be written anyway; with O_DIRECT the disk is busy from the first buffer on, and the
final fsync has nothing left to do.
"""

import contextlib
import errno
import fcntl
import mmap
import os
import threading
from queue import SimpleQueue

_BUFFERS = 4
_DIRECT = getattr(os, "O_DIRECT", 0)


class Buffers:
    """Page-aligned buffers of one size that are used again: a fresh one costs a fault per page.

    Several threads may take from it.
    """

    def __init__(self, size: int) -> None:
        """Begins with none.

        Args:
            size: of each, a multiple of every block size.
        """
        self.size = size
        self._idle: list[mmap.mmap] = []

    def take(self) -> mmap.mmap:
        """Returns a buffer with anything in it."""
        try:
            return self._idle.pop()
        except IndexError:
            return mmap.mmap(-1, self.size)

    def give_back(self, buffers: list[mmap.mmap]) -> None:
        """Takes buffers that nobody looks at any more."""
        self._idle += buffers


def fill(fd: int, view: memoryview, offset: int) -> int:
    """Reads into a buffer until it is full or the file ends, and returns how many bytes came."""
    count = 0
    while count < len(view) and (more := os.preadv(fd, [view[count:]], offset + count)):
        count += more
    return count


class StreamWriter:
    """Writes buffers in order to a file descriptor that it does not own.

    `take` a buffer, fill it, `give` it back; only the last one may be less than full. Or `write`
    bytes as they come, which copies them, and `end`. A file of one buffer never starts the thread.
    Errors of the thread come out of the next call.
    """

    def __init__(self, fd: int, buffers: Buffers, *, cached: bool = False) -> None:
        """Begins with nothing.

        Args:
            fd: written to from its current position; past the cache only from a whole block on.
            buffers: where buffers come from.
            cached: whether the bytes are to be in the page cache, as somebody reads them soon.
        """
        self._fd = fd
        self._buffers = buffers
        self._taken: list[mmap.mmap] = []
        self._cached = cached
        self._direct = False
        self._thread: threading.Thread | None = None
        self._free: SimpleQueue[mmap.mmap] = SimpleQueue()
        self._full: SimpleQueue[tuple[mmap.mmap, int] | None] = SimpleQueue()
        self._error: OSError | None = None
        self._current: mmap.mmap | None = None
        self._filled = 0

    def take(self) -> mmap.mmap:
        """Returns an empty buffer, waiting for the disk when all are full."""
        if len(self._taken) < _BUFFERS:
            self._taken.append(self._buffers.take())
            return self._taken[-1]
        buffer = self._free.get()
        if self._error is not None:
            raise self._error
        return buffer

    def give(self, buffer: mmap.mmap) -> None:
        """Writes a full buffer, soon."""
        if self._thread is None:
            self._begin_direct()
            # A daemon, so that an interrupted process does not wait for a disk that hangs.
            thread = threading.Thread(target=self._run, name="write-ahead", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # there are too many
                self._write(buffer, self._buffers.size)
                self._free.put(buffer)
                return
            self._thread = thread
        self._full.put((buffer, self._buffers.size))

    def finish(self, buffer: mmap.mmap, count: int) -> None:
        """Writes the first `count` bytes of the last buffer, and waits until all is written."""
        if self._thread is None:
            self._write(buffer, count)
            return
        self._full.put((buffer, count))
        self.stop()
        if self._error is not None:
            raise self._error

    def write(self, data: bytes | memoryview) -> None:
        """Writes bytes, soon."""
        rest = memoryview(data)
        while rest:
            if self._current is None:
                self._current, self._filled = self.take(), 0
            count = min(len(rest), self._buffers.size - self._filled)
            self._current[self._filled : self._filled + count] = rest[:count]
            self._filled += count
            rest = rest[count:]
            if self._filled == self._buffers.size:
                self.give(self._current)
                self._current = None

    def end(self) -> None:
        """Writes what `write` was given, and waits until all is written."""
        if self._current is None:
            self._current, self._filled = self.take(), 0
        self.finish(self._current, self._filled)

    def stop(self) -> None:
        """Ends the thread, having written what it was given, and gives the buffers back."""
        if self._thread is not None:
            self._full.put(None)
            self._thread.join()
            self._thread = None
        if self._direct:
            with contextlib.suppress(OSError):
                self._end_direct()  # the descriptor is the caller's
        self._buffers.give_back(self._taken)
        self._taken = []

    def _run(self) -> None:
        while (item := self._full.get()) is not None:
            buffer, count = item
            if self._error is None:
                try:
                    self._write(buffer, count)
                except OSError as exc:
                    self._error = exc
            self._free.put(buffer)

    def _write(self, buffer: mmap.mmap, count: int) -> None:
        done = 0
        with memoryview(buffer) as view:
            while done < count:
                # The tail of a file is no whole block; it goes through the cache.
                if self._direct and (count - done) % mmap.PAGESIZE:
                    whole = count - (count - done) % mmap.PAGESIZE
                    if whole <= done:
                        self._end_direct()
                        whole = count
                else:
                    whole = count
                try:
                    done += os.write(self._fd, view[done:whole])
                except OSError as exc:
                    if exc.errno != errno.EINVAL or not self._direct:
                        raise
                    self._end_direct()

    def _begin_direct(self) -> None:
        if _DIRECT and not self._cached:
            flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
            try:
                fcntl.fcntl(self._fd, fcntl.F_SETFL, flags | _DIRECT)
            except OSError:
                return  # this file system does not take it; the cache does
            self._direct = True

    def _end_direct(self) -> None:
        flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
        fcntl.fcntl(self._fd, fcntl.F_SETFL, flags & ~_DIRECT)
        self._direct = False
