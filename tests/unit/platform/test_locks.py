"""Locks between real processes: who waits for whom, what is said, what a killed holder leaves."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitprov.errors import EnvironmentFault
from gitprov.platform.locks import PATIENCE_SECONDS, file_lock

HOLDER = """
import sys
from gitprov.platform.locks import file_lock
with file_lock(sys.argv[1], shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    sys.stdin.read()
"""

COUNTER = """
import sys
from gitprov.platform.locks import file_lock
for _ in range(50):
    with file_lock(sys.argv[1]):
        with open(sys.argv[2]) as file:
            n = int(file.read())
        with open(sys.argv[2], "w") as file:
            file.write(str(n + 1))
"""


@contextmanager
def held(path: Path, how: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Another process that holds the lock until the end of the block."""
    command = [sys.executable, "-c", HOLDER, str(path), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        yield child
        if child.stdin is not None:
            child.stdin.close()


@contextmanager
def waiter(path: Path, *, shared: bool) -> Iterator[tuple[threading.Event, list[str]]]:
    """A thread that takes the lock; it says when it has it, and what it was told meanwhile."""
    got, told = threading.Event(), list[str]()

    def take() -> None:
        with file_lock(str(path), shared=shared, waiting=told.append):
            got.set()

    thread = threading.Thread(target=take)
    thread.start()
    yield got, told
    thread.join(30)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("holds", "shared"), [("exclusive", False), ("exclusive", True), ("shared", False)]
)
def test_a_lock_is_waited_for(tmp_path: Path, holds: str, shared: bool) -> None:
    path = tmp_path / "lock"
    with held(path, holds) as holder, waiter(path, shared=shared) as (got, told):
        assert not got.wait(0.3)
        holder.kill()
        assert got.wait(30)
        assert told == []


def test_shared_holders_do_not_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held(path, "shared"), held(path, "shared"), waiter(path, shared=True) as (got, _):
        assert got.wait(10)


def test_a_long_wait_is_told_once_and_then_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held(path, "exclusive") as holder:
        started = time.monotonic()
        with waiter(path, shared=False) as (got, told):
            while not told and time.monotonic() < started + 30:
                time.sleep(0.02)
            assert told == [f"waiting for another gitprov that holds {path}"]
            assert time.monotonic() - started >= PATIENCE_SECONDS
            assert not got.is_set()
            assert holder.stdin is not None
            holder.stdin.close()
            assert got.wait(30)
            assert len(told) == 1


def test_a_lock_is_free_after_an_error_inside_it(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with pytest.raises(ZeroDivisionError), file_lock(path):
        raise ZeroDivisionError
    with file_lock(path):
        pass


def test_no_step_of_many_processes_is_lost(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    command = [sys.executable, "-c", COUNTER, str(tmp_path / "lock"), str(counter)]
    children = [subprocess.Popen(command) for _ in range(4)]
    assert [child.wait(60) for child in children] == [0] * 4
    assert counter.read_text() == "200"


def test_a_lock_that_cannot_be_made_is_a_fault(tmp_path: Path) -> None:
    with (
        pytest.raises(EnvironmentFault, match="cannot open the lock"),
        file_lock(str(tmp_path / "missing" / "lock")),
    ):
        pass


def test_a_symlink_in_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EnvironmentFault), file_lock(str(tmp_path / "lock")):
        pass
    assert not (tmp_path / "elsewhere").exists()
