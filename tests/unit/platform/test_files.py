"""Files are the old one or the new one, also when the writer is killed."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gitprov.errors import EnvironmentFault, MalformedError, UnavailableError
from gitprov.platform.files import (
    atomic_write,
    clear_leftovers,
    fault,
    fsync_dir,
    read_bounded,
    write_all,
)

BYTES = 200_000

WRITER = f"""
import itertools, sys
from gitprov.platform.files import atomic_write
print("ready", flush=True)
for n in itertools.count(1):
    atomic_write(sys.argv[1], bytes([n % 256]) * {BYTES}, durable=False)
"""


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.glob(".gitprov-tmp-*")]


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_made_and_replaced(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "file"
    atomic_write(str(path), b"old", durable=durable)
    atomic_write(str(path), b"new", durable=durable)
    assert path.read_bytes() == b"new"
    assert leftovers(tmp_path) == []


def test_a_relative_path_is_written_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    atomic_write("file", b"here")
    assert (tmp_path / "file").read_bytes() == b"here"


def test_the_mode_is_the_one_asked_for_less_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic_write(str(tmp_path / "open"), b"")
        atomic_write(str(tmp_path / "secret"), b"", mode=0o600)
    finally:
        os.umask(before)
    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_symlink_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"mine")
    link.symlink_to(target)
    atomic_write(str(link), b"new")
    assert target.read_bytes() == b"mine"
    assert not link.is_symlink()
    assert link.read_bytes() == b"new"


def test_a_refused_write_leaves_nothing_behind_and_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    (folder / "inside").mkdir(parents=True)
    with pytest.raises(EnvironmentFault, match=r"cannot write .*a folder: "):
        atomic_write(str(folder), b"x")
    with pytest.raises(EnvironmentFault, match=r"cannot write .*: No such file"):
        atomic_write(str(tmp_path / "missing" / "file"), b"x")
    assert leftovers(tmp_path) == []


def test_an_interrupted_write_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_old: str, _new: str) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(str(path), b"new")
    assert path.read_bytes() == b"old"
    assert leftovers(tmp_path) == []


@pytest.mark.fault
def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(BYTES))
    delays = random.Random(20)
    for _ in range(20):
        command = [sys.executable, "-c", WRITER, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(delays.uniform(0, 0.01))
            child.send_signal(signal.SIGKILL)
        data = path.read_bytes()
        assert len(data) == BYTES
        assert len(set(data)) == 1


def test_a_bounded_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data in (b"", b"12345"):
        path.write_bytes(data)
        assert read_bounded(str(path), 5) == data
        assert read_bounded(os.fsencode(path), 5) == data


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"123456")
    with pytest.raises(MalformedError, match="larger than 5 bytes"):
        read_bounded(str(path), 5)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux' /proc")
def test_a_file_that_lies_about_its_size_is_still_bounded() -> None:
    assert Path("/proc/self/status").stat().st_size == 0
    with pytest.raises(MalformedError, match="larger than 5 bytes"):
        read_bounded("/proc/self/status", 5)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "file").write_bytes(b"x")
    for name in ("fifo", "link", "."):
        with pytest.raises(MalformedError, match="not a regular file"):
            read_bounded(str(tmp_path / name), 5)


def test_a_missing_file_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"there is no file .*missing"):
        read_bounded(str(tmp_path / "missing"), 5)


def test_a_path_through_a_file_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFault, match=r"cannot read"):
        read_bounded(str(tmp_path / "file" / "below"), 5)


def test_all_bytes_are_written_to_a_pipe_that_takes_few() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, True)
    data = os.urandom(300_000)
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            os.close(reader)
            write_all(writer, data)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        assert stream.read() == data
    os.waitpid(pid, 0)


def test_a_folder_is_synced_and_a_fault_names_what_was_done(tmp_path: Path) -> None:
    fsync_dir(str(tmp_path))
    error = fault(PermissionError(13, "Permission denied"), "open", b"/x/\xff")
    assert str(error) == "cannot open /x/\\xff: Permission denied"


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    gone = tmp_path / f".gitprov-tmp-{ended.pid}-0badf00d"
    kept = [
        tmp_path / f".gitprov-tmp-{os.getpid()}-0badf00d",
        tmp_path / ".gitprov-tmp-notes",
        tmp_path / f"gitprov-tmp-{ended.pid}-0badf00d",
    ]
    for path in (gone, *kept):
        path.write_bytes(b"")
    clear_leftovers(tmp_path.as_posix())
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    clear_leftovers(str(tmp_path / "nothing"))
