"""A disk that is full: a clear error, nothing lost, and everything works once there is room."""

import os
from pathlib import Path

import pytest

from gitprov.errors import EnvironmentFault
from gitprov.store.base import LARGE
from gitprov.store.local import LocalStore
from tests.support.mounts import tmpfs, why_no_mounts

pytestmark = [
    pytest.mark.fault,
    pytest.mark.root,
    pytest.mark.skipif(why_no_mounts("tmpfs") is not None, reason=str(why_no_mounts("tmpfs"))),
]

SIZE = 8 << 20


def add(store: LocalStore, sizes: list[int]) -> list[bytes]:
    with store.writer() as writer:
        return [writer.add(os.urandom(size)) for size in sizes]


@pytest.mark.parametrize(
    "sizes", [[1000] * 20_000, [LARGE] * 50, [16 << 20]], ids=["small", "large", "huge"]
)
def test_a_full_disk_is_an_error_that_changes_nothing(tmp_path: Path, sizes: list[int]) -> None:
    with tmpfs(tmp_path / "disk", SIZE) as disk, LocalStore(str(disk / "store")) as store:
        before = add(store, [100, LARGE])
        with pytest.raises(EnvironmentFault, match="No space left"):
            add(store, sizes)
        assert store.has(before) == set(before)
        assert list(store.verify_all()) == []
        assert list((disk / "store" / "tmp").iterdir()) == []
        after = add(store, [100, LARGE])
        assert {digest for digest, _ in store.read_many(after)} == set(after)


def test_a_file_that_does_not_fit_is_an_error_that_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(SIZE * 2))
    with (
        tmpfs(tmp_path / "disk", SIZE) as disk,
        LocalStore(str(disk / "store")) as store,
        path.open("rb") as file,
    ):
        with pytest.raises(EnvironmentFault, match="No space left"), store.writer() as writer:
            writer.add_file(str(path), fd=file.fileno(), size=SIZE * 2, link="auto")
        assert add(store, [100, LARGE])
        assert list(store.verify_all()) == []


def fill_up(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.mark.parametrize("room", [0, 4096, 16 << 10, 64 << 10])
def test_collecting_on_a_full_disk_loses_nothing(tmp_path: Path, room: int) -> None:
    with tmpfs(tmp_path / "disk", SIZE) as disk, LocalStore(str(disk / "store")) as store:
        keep = {digest for _ in range(10) for digest in add(store, [20_000] * 5)}
        filler = disk / "filler"
        with pytest.raises(OSError, match="No space left"):
            fill_up(filler)
        os.truncate(filler, max(0, filler.stat().st_size - room))
        with pytest.raises(EnvironmentFault):
            store.collect(lambda: keep, dry_run=False)
        assert {digest for digest, _ in store.read_many(keep)} == keep
        filler.unlink()
        store.collect(lambda: keep, dry_run=False)
        assert list(store.verify_all()) == []
        assert {digest for digest, _ in store.read_many(keep)} == keep
