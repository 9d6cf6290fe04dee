"""Large files: linked, cloned or copied, and always hashed as stored."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from gitprov.errors import EnvironmentFault
from gitprov.store.base import LARGE, FileChangedError
from gitprov.store.bigfile import hash_file
from gitprov.store.local import LocalStore
from tests.support.mounts import loop_mounted, why_no_mounts
from tests.unit.store.support import LARGE_BLOB, add_file, digest_of, objects


@pytest.fixture
def original(tmp_path: Path) -> Path:
    path = tmp_path / "original"
    path.write_bytes(LARGE_BLOB)
    return path


def test_hardlink_shares_the_bytes_and_makes_them_read_only(
    store: LocalStore, original: Path
) -> None:
    original.chmod(0o755)
    digest = add_file(store, original, "hardlink")
    (path,) = objects(store)
    assert digest == digest_of(LARGE_BLOB)
    assert path.samefile(original)
    assert stat.S_IMODE(path.stat().st_mode) == 0o555


@pytest.mark.parametrize("link", ["copy", "auto"])
def test_other_modes_leave_the_original_alone(store: LocalStore, original: Path, link: str) -> None:
    before = original.stat()
    assert add_file(store, original, link) == digest_of(LARGE_BLOB)
    (path,) = objects(store)
    assert not path.samefile(original)
    after = original.stat()
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)


def test_a_hardlink_that_is_not_committed_gives_the_permissions_back(
    store: LocalStore, original: Path
) -> None:
    def add_and_fail() -> None:
        with original.open("rb") as file, store.writer() as writer:
            size = len(LARGE_BLOB)
            writer.add_file(str(original), fd=file.fileno(), size=size, link="hardlink")
            raise KeyboardInterrupt

    original.chmod(0o640)
    with pytest.raises(KeyboardInterrupt):
        add_and_fail()
    assert stat.S_IMODE(original.stat().st_mode) == 0o640
    assert original.stat().st_nlink == 1


def test_a_path_that_became_another_file_is_noticed(
    store: LocalStore, original: Path, tmp_path: Path
) -> None:
    with original.open("rb") as file:
        (tmp_path / "new").write_bytes(LARGE_BLOB)
        (tmp_path / "new").rename(original)
        size = len(LARGE_BLOB)
        with pytest.raises(FileChangedError, match=str(original)), store.writer() as writer:
            writer.add_file(str(original), fd=file.fileno(), size=size, link="hardlink")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_hardlink_across_file_systems_copies(store: LocalStore) -> None:
    if (
        not Path("/dev/shm").is_dir()
        or Path("/dev/shm").stat().st_dev == Path("/tmp").stat().st_dev
    ):
        pytest.skip("/dev/shm is not another file system")
    original = Path("/dev/shm") / f"gitprov-test-{os.getpid()}"
    original.write_bytes(LARGE_BLOB)
    try:
        assert add_file(store, original, "hardlink") == digest_of(LARGE_BLOB)
    finally:
        original.unlink()
    assert objects(store)[0].stat().st_nlink == 1


def test_the_same_file_twice_is_stored_once(store: LocalStore, original: Path) -> None:
    with original.open("rb") as file, store.writer() as writer:
        size = len(LARGE_BLOB)
        first = writer.add_file(str(original), fd=file.fileno(), size=size, link="copy")
        second = writer.add_file(str(original), fd=file.fileno(), size=size, link="auto")
    assert first == second == add_file(store, original)
    assert len(objects(store)) == 1


def test_a_folder_in_the_place_of_a_file_is_an_error_that_names_it(
    store: LocalStore, tmp_path: Path
) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(EnvironmentFault, match=str(tmp_path)), store.writer() as writer:
            writer.add_file(str(tmp_path), fd=fd, size=LARGE, link="copy")
    finally:
        os.close(fd)


@pytest.mark.parametrize("size", [0, 1, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, 17 << 20])
def test_hashing_a_file_gives_its_blake3_and_size(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(data)
    told: list[int] = []
    with (tmp_path / "file").open("rb") as file:
        assert hash_file(file.fileno(), "file", told.append) == (blake3(data).digest(), size)
    assert sum(told) == size


@pytest.fixture(params=["btrfs", "xfs"])
def clonable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    if reason := why_no_mounts(request.param):
        pytest.skip(reason)
    with loop_mounted(request.param, tmp_path / "mounted") as mounted:
        yield mounted


@pytest.mark.root
def test_where_files_can_be_cloned_a_large_one_takes_no_space(clonable: Path) -> None:
    size = 64 << 20
    original = clonable / "original"
    original.write_bytes(os.urandom(size))
    os.sync()
    before = os.statvfs(clonable)
    with LocalStore(str(clonable / "store")) as store:
        digest = add_file(store, original)
        assert digest == blake3(original.read_bytes()).digest()
        (path,) = objects(store)
        assert not path.samefile(original)
        os.sync()
        after = os.statvfs(clonable)
        assert (before.f_bfree - after.f_bfree) * before.f_frsize < size // 2
        # A change of the original does not reach the clone.
        with original.open("r+b") as file:
            file.write(b"changed")
        assert list(store.verify_all()) == []


@pytest.mark.root
def test_copies_and_packs_hold_on_those_file_systems_too(clonable: Path) -> None:
    original = clonable / "original"
    original.write_bytes(os.urandom((9 << 20) + 17))
    with LocalStore(str(clonable / "store")) as store:
        add_file(store, original, "copy")
        with store.writer() as writer:
            for _ in range(200):
                writer.add(os.urandom(20_000))
        assert list(store.verify_all()) == []
