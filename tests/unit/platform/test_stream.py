"""A file written from a second thread: every byte in order, and the descriptor as it was."""

import fcntl
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitprov.platform.stream import Buffers, StreamWriter

PAGE = 4096


@given(st.lists(st.binary(max_size=3 * PAGE), max_size=12), st.integers(0, PAGE), st.booleans())
def test_what_is_written_in_pieces_comes_out_whole(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], before: int, cached: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / f"stream-{os.getpid()}"
    with path.open("w+b") as file:
        file.write(b"x" * before)
        file.flush()
        stream = StreamWriter(file.fileno(), Buffers(2 * PAGE), cached=cached)
        for piece in pieces:
            stream.write(piece)
        stream.end()
    assert path.read_bytes() == b"x" * before + b"".join(pieces)


@pytest.mark.parametrize("size", [8 * PAGE, 8 * PAGE + 1, 9 * PAGE])
def test_the_descriptor_reads_like_any_other_afterwards(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    with (tmp_path / "file").open("w+b") as file:
        stream = StreamWriter(file.fileno(), Buffers(2 * PAGE))
        stream.write(data)
        stream.end()
        assert not fcntl.fcntl(file.fileno(), fcntl.F_GETFL) & getattr(os, "O_DIRECT", 0)
        file.seek(0)
        assert file.read() == data


def test_without_a_second_thread_it_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    data = os.urandom(20 * PAGE + 7)
    with (tmp_path / "file").open("w+b") as file:
        stream = StreamWriter(file.fileno(), Buffers(2 * PAGE))
        stream.write(data)
        stream.end()
    assert (tmp_path / "file").read_bytes() == data


def test_a_full_disk_is_told_by_the_next_call() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        stream = StreamWriter(full.fileno(), Buffers(2 * PAGE))
        stream.write(bytes(4 * PAGE))
        with pytest.raises(OSError, match="No space left"):
            stream.end()
