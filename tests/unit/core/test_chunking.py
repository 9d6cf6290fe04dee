"""Chunks: the rule of docs/formats.md, written again from its text, and every engine held to it."""

import hashlib
import io
import random
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitprov.core import chunking
from gitprov.core.chunking import AVERAGE_BYTES, ENGINES, MAX_BYTES, MIN_BYTES, Chunker, cuts
from gitprov.errors import UnavailableError

QUICK = ("pyfastcdc", "numpy")
SIZES = (
    0, 1, 2, 65_535, 65_536, 65_537, 65_538, 65_600, 65_601, 262_143, 262_144, 262_145,
    1_048_575, 1_048_576, 1_048_577, 1_114_111, 1_114_112, 1_114_113,
)  # fmt: skip


def reference(data: bytes) -> list[int]:
    """Section 12 of docs/formats.md, step by step."""
    gear = [int(hashlib.md5(bytes([b] * 64)).hexdigest()[:16], 16) for b in range(256)]  # noqa: S324
    ends, start = [], 0
    while start < len(data):
        n = len(data) - start
        length = min(n, 1_048_576)
        if n > 65_536:
            e = length // 2 * 2
            m = min(e, 262_144)
            h = 0
            for i in range(65_536, e):
                h = (2 * h + gear[data[start + i]]) % 2**64
                if h & (0x0000D91707537000 if i < m else 0x0000D90703537000) == 0:
                    length = i
                    break
        start += length
        ends.append(start)
    return ends


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def inputs() -> Iterator[bytes]:
    for size in SIZES:
        yield noise(size, size)
    yield bytes(1_500_001)
    yield b"ab" * 700_001
    yield bytes(range(256)) * 5_000
    yield noise(1, 977) * 1_500
    yield noise(2, 100_003) * 15
    yield bytes(b & 3 for b in noise(3, 1_300_000))


def sizes(ends: list[int]) -> list[int]:
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def pieces(data: bytes, ends: list[int]) -> list[bytes]:
    return [data[end - size : end] for end, size in zip(ends, sizes(ends), strict=True)]


def reader(data: bytes, *most: int) -> Callable[[memoryview], int]:
    """A `readinto` that gives at most so many bytes at once, in turn."""
    stream, turn = io.BytesIO(data), iter(range(1 << 62))
    return lambda into: stream.readinto(into[: most[next(turn) % len(most)]])


def streamed(engine: str | None, readinto: Callable[[memoryview], int]) -> list[bytes]:
    return [bytes(chunk) for chunk in Chunker(engine).chunks(readinto)]


def test_all_engines_are_here_and_the_compiled_one_is_taken() -> None:
    assert chunking.fastest() == Chunker().engine == "pyfastcdc"
    assert list(ENGINES) == [*QUICK, "python"]


@pytest.mark.parametrize("data", [*inputs()], ids=lambda data: str(len(data)))
def test_every_engine_cuts_where_the_text_says(data: bytes) -> None:
    expected = reference(data)
    for engine in ENGINES:
        assert Chunker(engine).cuts(data) == expected


BEFORE_AVERAGE = noise(30, 400_000)[386_266 - 63 : 386_267]
AFTER_AVERAGE = noise(30, 400_000)[297_599 - 63 : 297_600]
"""Bytes of which the last one is a cut: the first ones always, the others from the average on."""


@pytest.mark.parametrize(
    ("tail", "position", "size", "expected"),
    [
        (BEFORE_AVERAGE, 65_536 + 63, 300_000, 65_536 + 63),
        (BEFORE_AVERAGE, 65_536 + 46, 300_000, None),  # the hash does not know what is before
        (BEFORE_AVERAGE, 65_536 + 32_767, 300_000, 65_536 + 32_767),
        (BEFORE_AVERAGE, 65_536 + 32_768, 300_000, 65_536 + 32_768),
        (BEFORE_AVERAGE, 65_536 + 32_768 + 62, 300_000, 65_536 + 32_768 + 62),
        (AFTER_AVERAGE, 262_143, 300_000, None),
        (AFTER_AVERAGE, 262_144, 300_000, 262_144),
        (AFTER_AVERAGE, 262_144 + 62, 300_000, 262_144 + 62),
        (AFTER_AVERAGE, 1_048_575, 1_200_000, 1_048_575),
        (AFTER_AVERAGE, 1_048_576, 1_048_600, 1_048_576),  # not its hash, but the maximum
        (AFTER_AVERAGE, 299_999, 300_000, 299_999),
        (AFTER_AVERAGE, 300_000, 300_001, None),  # the last byte of an odd rest is not looked at
        (BEFORE_AVERAGE, 99_999, 100_000, 99_999),
        (BEFORE_AVERAGE, 100_000, 100_001, None),
        (noise(13_290, 40)[:2], 65_536 + 1, 300_000, 65_536 + 1),  # a hash of two bytes
        (noise(13_290, 40)[:2], 65_536 + 2, 300_000, None),
    ],
)
def test_a_cut_at_an_edge(tail: bytes, position: int, size: int, expected: int | None) -> None:
    data = bytearray(size)
    data[position + 1 - len(tail) : position + 1] = tail
    assert reference(bytes(data))[0] == (expected or size)
    for engine in ENGINES:
        assert Chunker(engine).cuts(data) == reference(bytes(data))


@given(st.integers(0, 1 << 32), st.integers(0, 6 << 20), st.sampled_from([0, 1, 300, 70_000]))
@settings(max_examples=40)
def test_the_quick_engines_agree_on_long_files(seed: int, size: int, period: int) -> None:
    data = noise(seed, period or size)
    data = (data * (size // len(data) + 1))[:size] if data else data
    first, second = (Chunker(engine).cuts(data) for engine in QUICK)
    assert first == second
    if data:
        *lengths, last = sizes(first)
        assert all(MIN_BYTES <= length <= MAX_BYTES for length in lengths)
        assert 0 < last <= MAX_BYTES
        assert first[-1] == len(data)


@given(st.data())
@settings(max_examples=30)
def test_the_end_of_a_file_moves_no_earlier_cut(data: st.DataObject) -> None:
    whole = noise(4, 3 << 20)
    ends = cuts(whole)
    near = st.sampled_from([0, *ends]).flatmap(lambda end: st.integers(end - 3, end + 3))
    size = min(max(data.draw(near | st.integers(0, len(whole))), 0), len(whole))
    expected = reference(whole[max((end for end in ends if end <= size), default=0) : size])
    before = [end for end in ends if end <= size]
    start = before[-1] if before else 0
    for engine in QUICK:
        assert Chunker(engine).cuts(whole[:size]) == before + [start + end for end in expected]


@given(
    st.integers(0, 12 << 20)
    | st.sampled_from([k * MAX_BYTES + d for k in (3, 4, 8) for d in (-1, 0, 1)]),
    st.lists(st.integers(1, 5 << 20) | st.just(1 << 16), min_size=1, max_size=4),
    st.booleans(),
)
@settings(max_examples=40)
def test_a_stream_is_cut_like_the_whole_however_it_is_read(
    size: int, most: list[int], zeros: bool
) -> None:
    data = bytes(size) if zeros else noise(size, size)
    most.append(1 << 14)  # not all of them tiny
    expected = pieces(data, cuts(data))
    for engine in QUICK:
        assert streamed(engine, reader(data, *most)) == expected


def test_plain_python_streams_too_and_by_single_bytes() -> None:
    data = noise(5, 200_000)
    expected = pieces(data, reference(data))
    for engine in ENGINES:
        assert streamed(engine, reader(data, 1)) == expected


def test_two_streams_of_one_chunker_do_not_disturb_each_other() -> None:
    data = noise(6, 9 << 20)
    chunker = Chunker()
    one = chunker.chunks(io.BytesIO(data).readinto)
    two = chunker.chunks(io.BytesIO(data[1:]).readinto)
    both = [(bytes(first), bytes(second)) for first, second in zip(one, two, strict=False)]
    assert data.startswith(b"".join(chunk for chunk, _ in both))
    assert data[1:].startswith(b"".join(chunk for _, chunk in both))


def test_a_stream_of_any_length_needs_a_few_mebibytes() -> None:
    block = noise(7, 1 << 20)
    left = iter(range(256))

    def readinto(into: memoryview) -> int:
        if next(left, None) is None:
            return 0
        return io.BytesIO(block).readinto(into)

    chunks = Chunker().chunks(readinto)
    tracemalloc.start()
    assert sum(map(len, chunks)) > 200 << 20
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize("engine", QUICK)
def test_a_byte_in_front_changes_few_chunks(engine: str) -> None:
    data = noise(8, 16 << 20)
    chunker = Chunker(engine)
    known = {*pieces(data, chunker.cuts(data))}
    longer = b"\x07" + data
    new = [chunk for chunk in pieces(longer, chunker.cuts(longer)) if chunk not in known]
    assert len(known) > 30
    assert 1 <= len(new) <= 6


def test_the_mean_chunk_is_about_the_average_and_the_minimum() -> None:
    lengths = sizes(cuts(noise(9, 64 << 20)))
    assert AVERAGE_BYTES < sum(lengths) / len(lengths) < AVERAGE_BYTES + 2 * MIN_BYTES


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("engine", ENGINES)
def test_any_buffer_is_cut_and_let_go(
    engine: str, kind: Callable[[bytes], bytes | bytearray | memoryview]
) -> None:
    data = noise(10, 300_001)
    buffer = kind(data)
    assert Chunker(engine).cuts(buffer) == cuts(data)
    if isinstance(buffer, bytearray):
        buffer.clear()
    numbers = memoryview(noise(11, 4 * 75_000)).cast("I")
    assert Chunker(engine).cuts(numbers) == cuts(bytes(numbers))


@pytest.mark.parametrize("engine", QUICK)
def test_threads_share_a_chunker(engine: str) -> None:
    chunker = Chunker(engine)
    files = [noise(20 + number, 3 << 20) for number in range(4)]
    found: dict[int, list[int]] = {}
    threads = [
        threading.Thread(target=lambda n=n: found.update({n: chunker.cuts(files[n])}))
        for n in range(len(files))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[n] for n in range(len(files))] == [Chunker().cuts(data) for data in files]


def ask(before: str) -> str:
    """What the fastest engine is, in a fresh Python where warnings are errors."""
    code = f"import sys\n{before}\nfrom gitprov.core.chunking import fastest\nprint(fastest())"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ([], "pyfastcdc"),
        (["pyfastcdc"], "numpy"),
        (["pyfastcdc.cy.fastcdc"], "numpy"),  # installed, but not compiled
        (["pyfastcdc.cy.fastcdc", "numpy"], "python"),
        (["pyfastcdc", "numpy"], "python"),
    ],
)
def test_the_next_engine_stands_in_for_one_that_is_missing(
    missing: list[str], expected: str
) -> None:
    assert ask(f"sys.modules.update(dict.fromkeys({missing!r}))") == expected


def test_a_pyfastcdc_that_cuts_elsewhere_is_not_used() -> None:
    other = "import functools, pyfastcdc\nC = pyfastcdc.FastCDC\n"
    other += "class F:\n    def __new__(cls, *a, **k): return C(*a, **k, seed=1)\n"
    other += "F.__module__ = C.__module__\npyfastcdc.FastCDC = F"
    assert ask(other) == "numpy"


def test_an_engine_that_is_missing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(UnavailableError, match="numpy") as caught:
        Chunker("numpy")
    assert caught.value.hint == "pip install pyfastcdc"


def test_loading_the_module_loads_no_engine() -> None:
    code = "import sys, gitprov.core.chunking; print({'numpy', 'pyfastcdc'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
