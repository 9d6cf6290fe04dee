"""The list that lets a web server stand in for a remote: never less than there is, never more."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitprov.errors import UnavailableError
from gitprov.store.remote_listing import refresh_listing, write_listing
from gitprov.store.transport import Listed, Source, read_list
from gitprov.store.transport_folder import FolderTransport


class Busy(FolderTransport):
    """A folder to which somebody else adds an object each time before the list is written."""

    def __init__(self, path: str, times: int) -> None:
        super().__init__(path)
        self.times = times

    def replace(self, name: str, data: Source) -> None:
        super().replace(name, data)
        if self.times:
            self.times -= 1
            self.put(f"index/{self.times}", b"1")


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[FolderTransport]:
    transport = FolderTransport(str(tmp_path))
    transport.put("packs/a.car", b"12345")
    transport.put("index/a", b"1")
    yield transport
    transport.close()


def listed(folder: Path) -> list[Listed]:
    return list(read_list((folder / "list").read_bytes(), "it"))


def test_a_remote_without_a_list_gets_none(remote: FolderTransport, tmp_path: Path) -> None:
    assert refresh_listing(remote) is None
    assert not (tmp_path / "list").exists()


def test_the_list_names_all_but_itself(remote: FolderTransport, tmp_path: Path) -> None:
    for _ in range(2):
        assert write_listing(remote) == 2
        assert listed(tmp_path) == [Listed("index/a", 1), Listed("packs/a.car", 5)]


def test_a_list_that_is_there_follows_what_comes_and_goes(
    remote: FolderTransport, tmp_path: Path
) -> None:
    write_listing(remote)
    remote.put("index/b", b"1")
    assert refresh_listing(remote) == 3
    remote.delete(["index/a", "packs/a.car"])
    assert refresh_listing(remote) == 1
    assert listed(tmp_path) == [Listed("index/b", 1)]


@pytest.mark.parametrize("text", [b"", b"nonsense", b"1 z"])
def test_a_list_that_is_damaged_is_written_anew(
    remote: FolderTransport, tmp_path: Path, text: bytes
) -> None:
    (tmp_path / "list").write_bytes(text)
    assert refresh_listing(remote) == 2
    assert len(listed(tmp_path)) == 2


def test_what_others_add_meanwhile_is_in_the_list(tmp_path: Path) -> None:
    remote = Busy(str(tmp_path), 5)
    remote.put("packs/a.car", b"1")
    assert write_listing(remote) == 6
    assert len(listed(tmp_path)) == 6
    remote.times = 10**6
    with pytest.raises(UnavailableError, match="changed while it was listed"):
        write_listing(remote)
    remote.close()


def test_of_many_that_list_at_once_the_last_one_names_everything(
    remote: FolderTransport, tmp_path: Path
) -> None:
    write_listing(remote)

    def push(number: int) -> None:
        remote.put(f"index/{number}", b"1")
        refresh_listing(remote)

    threads = [threading.Thread(target=push, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(listed(tmp_path)) == 2 + 8
