"""Where a file is cut into chunks: by content, so that files that share bytes share chunks.

The rule (docs/formats.md, section 12) is FastCDC as the crate fastcdc has it in `v2020`, with fixed
parameters: whoever changes one of them makes every chunk that is stored anywhere useless. Three
engines follow it and agree on every input: `pyfastcdc` (compiled), `numpy`, and plain `python`.
"""

import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from blake3 import blake3

from gitprov.errors import UnavailableError

if TYPE_CHECKING:
    from pyfastcdc import FastCDC

MIN_BYTES = 64 << 10
"""No chunk is smaller, but for the last one of a file."""

AVERAGE_BYTES = 256 << 10
"""Up to here a cut is hard to get, from here on easy."""

MAX_BYTES = 1 << 20
"""No chunk is larger."""

MASK_S = 0x0000D91707537000
MASK_L = 0x0000D90703537000
"""A byte is a cut where these bits of the hash are 0: 19 bits before the average, 17 after it."""

GEAR: tuple[int, ...] = tuple(
    int.from_bytes(hashlib.md5(bytes([byte]) * 64, usedforsecurity=False).digest()[:8], "big")
    for byte in range(256)
)
"""What a byte adds to the hash. MD5 only stands in for chance here."""

Data = bytes | bytearray | memoryview
"""A buffer in memory; whoever has another one (mmap) wraps it in a memoryview."""

Cut = Callable[[memoryview, int], int]
"""Returns where the chunk ends that begins at an offset before the end of a buffer of bytes.

It looks no further than `MAX_BYTES`: what comes after them does not matter. Each belongs to one
thread.
"""

_U64 = (1 << 64) - 1
_WINDOW_BYTES = 4 * MAX_BYTES
"""What is held of a stream: three quarters and more of it are new each time it is filled."""

_BLOCK_BYTES = 1 << 15
"""What numpy works on at once: the hashes of so many bytes stay in a processor's cache."""

_SHIFTS = (1, 2, 4, 8, 16, 32)
"""Doubling: sums over 2, 4, … 64 bytes. What is further back has left the 64 bits of the hash."""

_REACH = sum(_SHIFTS)
_KNOWN = [0, 94035, 387544, 603401]
"""Where chunks begin in the first MiB of the test vector of docs/formats.md."""

_HINT = "pip install pyfastcdc"


class Chunker:
    """Cuts buffers and streams. It has no state, so threads may share one.

    Args:
        engine: one of `ENGINES`, by default the fastest that there is; they only differ in speed.

    Raises:
        UnavailableError: what the engine needs is not installed.
    """

    def __init__(self, engine: str | None = None) -> None:
        self.engine = engine or fastest()
        self._make = ENGINES[self.engine]
        self._make()

    def cuts(self, data: Data) -> list[int]:
        """Returns where the chunks of a whole file end, in order; the last one is its size."""
        ends: list[int] = []
        view, cut, end = memoryview(data).cast("B"), self._make(), 0
        while end < len(view):
            end = cut(view, end)
            ends.append(end)
        return ends

    def chunks(self, readinto: Callable[[memoryview], int]) -> Iterator[memoryview]:
        """Yields the chunks of a file of any size, holding 4 MiB of it.

        Args:
            readinto: fills a buffer with the next bytes of the file and returns how many it were,
                as `io.BufferedIOBase.readinto` does; none at the end.

        Yields:
            Each chunk; it is another one's bytes when the next is asked for.
        """
        cut, window, held, more = self._make(), memoryview(bytearray(_WINDOW_BYTES)), 0, True
        while more:
            while held < _WINDOW_BYTES and (new := readinto(window[held:])):
                held += new
            more = held == _WINDOW_BYTES
            start = 0
            # With less than the largest chunk at hand, what is not read yet may move the cut.
            while start < held and (start + MAX_BYTES <= held or not more):
                end = cut(window[:held], start)
                yield window[start:end]
                start = end
            window[: held - start] = window[start:held]
            held -= start


def cuts(data: Data) -> list[int]:
    """Returns where the chunks of a whole file end, in order; the last one is its size."""
    return Chunker().cuts(data)


@cache
def fastest() -> str:
    """Returns the name of the fastest engine that is available."""
    for name in ENGINES:
        with suppress(UnavailableError):
            ENGINES[name]()
            break
    return name


def _bounds(size: int, start: int) -> tuple[int, int, int]:
    """Returns, for a chunk from `start`: where cuts get easy, where they stop, its last end."""
    last = min(size - start, MAX_BYTES)
    stop = last & ~1
    return start + min(AVERAGE_BYTES, stop), start + stop, start + last


def _python() -> Cut:
    """The rule as it is written, at about 10 MB/s."""

    def cut(data: memoryview, start: int) -> int:
        first = start + MIN_BYTES
        if len(data) <= first:
            return len(data)
        middle, stop, last = _bounds(len(data), start)
        gear, value = GEAR, 0
        for low, high, mask in ((first, middle, MASK_S), (middle, stop, MASK_L)):
            for position, byte in enumerate(data[low:high], low):
                value = ((value << 1) + gear[byte]) & _U64
                if not value & mask:
                    return position
        return last

    return cut


def _numpy() -> Cut:
    """The hashes of a block of bytes at once, by doubling."""
    try:
        import numpy as np
    except ImportError:
        raise UnavailableError("numpy is not installed", hint=_HINT) from None
    gear = np.array(GEAR, np.uint64)
    shifts = [(shift, np.uint64(shift)) for shift in _SHIFTS]
    zero = np.uint64(0)
    room = np.empty((2, _REACH + _BLOCK_BYTES), np.uint64)

    def find(data: memoryview, first: int, low: int, high: int, mask: int) -> int | None:
        """Returns the first cut from `low` to before `high`, for a hash that starts at `first`."""
        bits = np.uint64(mask)
        for begin in range(low, high, _BLOCK_BYTES):
            begun, end = max(first, begin - _REACH), min(begin + _BLOCK_BYTES, high)
            hashes, other = room[:, : end - begun]
            np.take(gear, np.frombuffer(data[begun:end], np.uint8), out=hashes, mode="clip")
            for shift, by in shifts:
                np.left_shift(hashes[:-shift], by, out=other[shift:])
                np.add(hashes[shift:], other[shift:], out=hashes[shift:])
            found = np.bitwise_and(hashes, bits, out=other)[begin - begun :] == zero
            position = int(found.argmax())
            if found[position]:
                return begin + position
        return None

    def cut(data: memoryview, start: int) -> int:
        first = start + MIN_BYTES
        if len(data) <= first:
            return len(data)
        middle, stop, last = _bounds(len(data), start)
        found = find(data, first, first, middle, MASK_S)
        if found is None:
            found = find(data, first, middle, stop, MASK_L)
        return last if found is None else found

    return cut


def _pyfastcdc() -> Cut:
    """The compiled module; other threads run while it works."""
    rule = _compiled()(
        AVERAGE_BYTES, min_size=MIN_BYTES, max_size=MAX_BYTES, normalized_chunking=1, seed=0
    )

    def cut(data: memoryview, start: int) -> int:
        return start + next(rule.cut_buf(data[start : start + MAX_BYTES])).length

    return cut


@cache
def _compiled() -> "type[FastCDC]":
    """Returns pyfastcdc's class if it is the compiled one: its plain Python is slower than numpy.

    Only pinned versions of it are tested, so it has to show first that it cuts where it should.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns where it is not compiled
            from pyfastcdc import FastCDC
    except ImportError:
        raise UnavailableError("pyfastcdc is not installed", hint=_HINT) from None
    if FastCDC.__module__ != "pyfastcdc.cy.fastcdc":
        raise UnavailableError("pyfastcdc is not compiled", hint=_HINT)
    rule = FastCDC(AVERAGE_BYTES, min_size=MIN_BYTES, max_size=MAX_BYTES)
    known = blake3(b"gitprov chunks 12").digest(length=MAX_BYTES)
    if [chunk.offset for chunk in rule.cut_buf(known)] != _KNOWN:
        raise UnavailableError("this pyfastcdc cuts elsewhere", hint=_HINT)
    return FastCDC


ENGINES: Mapping[str, Callable[[], Cut]] = MappingProxyType(
    {"pyfastcdc": _pyfastcdc, "numpy": _numpy, "python": _python}
)
"""What makes a `Cut`, by name, the fastest first. It raises `UnavailableError` where it cannot."""
