"""One suite over every remote: what was pushed comes back, or is refused, on all of them."""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gitprov.core.digest import Digest
from gitprov.errors import UnavailableError, UsageError
from gitprov.store.local import LocalStore
from gitprov.store.remote import Remote, Wanted
from gitprov.store.remote_fetch import Fetched, Fetcher, refusal
from gitprov.store.remote_listing import refresh_listing, write_listing
from gitprov.store.remote_marker import MARKER
from gitprov.store.remote_send import push
from gitprov.store.transport import LIST_NAME, Transport
from gitprov.store.transport_folder import FolderTransport
from tests.conformance.test_transport import KINDS, WRITABLE, Place, place_in

MIB = 1 << 20
BLOBS = [random.Random(size).randbytes(size) for size in (0, 1, 5000, MIB, MIB + 1, 3 * MIB + 7)]


@dataclass
class Team:
    """A remote, somebody who pushes to it, and a folder for those who fetch.

    To a web server nobody can push: whoever owns its folder does, and writes the list.
    """

    place: Place
    tmp: Path

    def owner(self) -> Transport:
        if self.place.kind != "http":
            return self.place.open()
        self.place.folder.mkdir(exist_ok=True)
        return FolderTransport(str(self.place.folder))

    def push(self, blobs: Sequence[bytes]) -> list[Wanted]:
        store = LocalStore(str(self.tmp / "pusher"))
        with store.writer() as writer:
            wanted = [Wanted(writer.add(data), is_manifest=False) for data in blobs]
        with Remote(self.owner(), str(self.tmp / "pushers-cache")) as remote:
            remote.connect(create=True)
            self.travelled = push(remote, store, wanted).sent_bytes
            if self.place.kind == "http":
                write_listing(remote.transport)
        return wanted

    @contextmanager
    def opened(self, name: str) -> Iterator[Remote]:
        with Remote(self.place.open(), str(self.tmp / f"cache-{name}")) as remote:
            remote.connect(create=False)
            yield remote

    def fetch(self, name: str, wanted: Sequence[Wanted]) -> tuple[LocalStore, Fetched]:
        store = LocalStore(str(self.tmp / name))
        aside = self.tmp / "aside"
        aside.mkdir(exist_ok=True)
        with (
            self.opened(name) as remote,
            ThreadPoolExecutor(2) as pool,
            store.writer() as writer,
        ):
            fetcher = Fetcher(remote, writer, pool, 2, str(aside))
            fetcher.fetch(wanted)
        return store, fetcher.result

    def names(self, folder: str) -> list[str]:
        owner = self.owner()
        found = [one.name for one in owner.list(folder)] if folder != MARKER else [MARKER]
        owner.close()
        return found

    def change(self, folder: str, edit: Callable[[bytes], bytes], *, only: str = "") -> None:
        """Lets whoever owns the remote write other bytes over its objects."""
        owner = self.owner()
        for name in [only] if only else self.names(folder):
            owner.replace(name, edit(owner.get(name, limit=64 * MIB)))
        refresh_listing(owner)
        owner.close()


@pytest.fixture(params=KINDS)
def team(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Team]:
    for place in place_in(request.param, request, tmp_path):
        yield Team(place, tmp_path)


@pytest.fixture(params=WRITABLE)
def writers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Team]:
    for place in place_in(request.param, request, tmp_path):
        yield Team(place, tmp_path)


def read(store: LocalStore, one: Wanted) -> bytes:
    with store.open(one.digest) as file:
        return file.read()


def test_what_one_pushes_another_fetches(team: Team) -> None:
    wanted = team.push(BLOBS)
    store, result = team.fetch("other", wanted)
    assert (result.absent, result.wrong) == ([], [])
    assert [read(store, one) for one in wanted] == BLOBS
    team.push(BLOBS)
    assert team.travelled == 0


def test_a_remote_to_which_nothing_was_pushed_says_so(team: Team) -> None:
    team.place.seed({})
    with (
        pytest.raises(UnavailableError, match=r"nothing was pushed|there is no git"),
        team.opened("other"),
    ):
        pass


def test_what_has_no_index_is_invisible_and_the_next_push_completes_it(writers: Team) -> None:
    # What a push leaves that died between a pack and its index.
    wanted = writers.push(BLOBS)
    owner = writers.owner()
    owner.delete([one.name for one in owner.list("index")])
    owner.close()
    store, result = writers.fetch("early", wanted)
    assert result.absent == [one.digest for one in wanted]
    assert store.has(one.digest for one in wanted) == set()
    writers.push(BLOBS)
    store, result = writers.fetch("late", wanted)
    assert [read(store, one) for one in wanted] == BLOBS


def test_a_wrong_block_is_refused_and_named_and_the_rest_comes(team: Team) -> None:
    wanted = team.push([BLOBS[2], b"x" * 5000, BLOBS[5]])
    team.change("packs", lambda data: data.replace(b"x" * 5000, b"y" * 5000))
    store, result = team.fetch("other", wanted)
    assert [digest for digest, _ in result.wrong] == [wanted[1].digest]
    assert str(Digest(wanted[1].digest)) in str(refusal(result, team.place.url, {}))
    assert store.has(one.digest for one in wanted) == {wanted[0].digest, wanted[2].digest}


def test_a_wrong_chunk_is_refused_and_nothing_of_its_blob_enters(team: Team) -> None:
    wanted = team.push([BLOBS[5]])
    team.change("packs", lambda data: data.replace(BLOBS[5][MIB : MIB + 64], bytes(64)))
    store, result = team.fetch("other", wanted)
    assert [digest for digest, _ in result.wrong] == [wanted[0].digest]
    assert "chunk" in result.wrong[0][1]
    assert store.has([wanted[0].digest]) == set()


def test_of_a_pack_cut_short_comes_what_is_left_and_the_rest_is_named(team: Team) -> None:
    wanted = team.push([b"first", b"x" * 5000, b"y" * 5000])
    team.change("packs", lambda data: data[: data.index(b"y" * 5000) + 100])
    store, result = team.fetch("other", wanted)
    assert [digest for digest, _ in result.wrong] == [wanted[2].digest]
    assert "is cut short" in result.wrong[0][1]
    assert store.has(one.digest for one in wanted) == {wanted[0].digest, wanted[1].digest}


def test_a_damaged_index_hides_what_it_lists_and_no_more(team: Team) -> None:
    wanted = team.push([BLOBS[2]])
    [first] = team.names("index")
    wanted += team.push([b"more"])
    for edit in (lambda data: data[:-1], lambda data: bytes(len(data)), lambda _: b""):
        team.change("index", edit, only=first)
        store, result = team.fetch("other", wanted)
        assert [digest for digest, _ in result.wrong] == [wanted[0].digest]
        assert result.wrong[0][1].startswith(f"the index of {first.removeprefix('index/')} is no")
        assert store.has([wanted[1].digest])


def test_a_remote_of_a_newer_layout_asks_for_a_newer_gitprov(team: Team) -> None:
    team.push([BLOBS[2]])
    team.change(MARKER, lambda data: data.replace(b'"gitprov":1', b'"gitprov":2'))
    with pytest.raises(UnavailableError, match="has the layout 2") as caught, team.opened("other"):
        pass
    assert caught.value.hint == "install a newer gitprov"


def test_a_web_server_takes_nothing(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    for place in place_in("http", request, tmp_path):
        team = Team(place, tmp_path)
        wanted = team.push([BLOBS[2]])
        store = LocalStore(str(tmp_path / "more"))
        with store.writer() as writer:
            wanted = [Wanted(writer.add(b"more"), is_manifest=False)]
        with team.opened("other") as remote, pytest.raises(UsageError, match="can only be read"):
            push(remote, store, wanted)
        assert (place.folder / LIST_NAME).is_file()
