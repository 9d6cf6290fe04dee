"""One suite over every remote: what `Transport` promises, on real servers."""

import os
import random
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gitprov.errors import EnvironmentFault, MalformedError, UnavailableError, UsageError
from gitprov.store.transport import Listed, MissingError, Patience, Transport, write_list
from gitprov.store.transports import open_transport
from tests.support.servers import Server, web_server

if TYPE_CHECKING:
    from tests.support.clouds import Cloud

HASTY = Patience(connect=2.0, silence=5.0, sending=20.0, pauses=(0.01, 0.02))
WRITABLE = ("folder", "s3", "gs", "az", "sftp", "ftp")
KINDS = (*WRITABLE, "http")

CLOUDS = {"gs": "google", "az": "azure"}

NOT_ALONE = {"ftp"}
"""Where two that write one name at once may both be told that they did: one of them is there."""


@dataclass
class Place:
    """A remote, and the folder in which its objects lie for who looks at the disk.

    The servers of Google and Azure keep theirs where nobody sees them: `is_seen`.
    """

    kind: str
    url: str
    folder: Path
    options: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def is_seen(self) -> bool:
        return self.kind not in CLOUDS

    def open(self, patience: Patience = HASTY) -> Transport:
        return open_transport(self.url, self.options, self.environ, patience=patience)

    def seed(self, objects: dict[str, bytes]) -> None:
        """Puts objects there; where nothing can be put, whoever runs the server does."""
        if self.kind != "http":
            with_transport = self.open()
            for name, data in objects.items():
                assert with_transport.put(name, data)
            with_transport.close()
            return
        for name, data in objects.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        listing = write_list(Listed(name, len(data)) for name, data in objects.items())
        (self.folder / "list").write_bytes(listing)


def place_in(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    name = f"r{secrets.token_hex(6)}"
    if kind == "folder":
        (tmp_path / "remote").mkdir()
        yield Place(kind, str(tmp_path / "remote"), tmp_path / "remote")
    elif kind == "s3":
        s3: Server = request.getfixturevalue("s3_server")
        (s3.folder / name).mkdir()
        folder = s3.folder / name / "some" / "prefix"
        options = {"endpoint": s3.endpoint}
        yield Place(kind, f"s3://{name}/some/prefix", folder, options, s3.environ)
    elif kind in CLOUDS:
        cloud: Cloud = request.getfixturevalue(CLOUDS[kind])
        cloud.make_bucket(name)
        options = {"endpoint": cloud.endpoint}
        yield Place(kind, f"{kind}://{name}/some/prefix", tmp_path, options, cloud.environ)
    elif kind == "sftp":
        sshd: Server = request.getfixturevalue("sshd")
        folder = sshd.folder / name
        url = f"ssh://127.0.0.1:{sshd.port}{folder}"
        yield Place(kind, url, folder, {}, sshd.environ)
    elif kind == "ftp":
        ftp: Server = request.getfixturevalue("ftp_server")
        yield Place(kind, f"ftp://127.0.0.1:{ftp.port}/{name}", ftp.folder / name, {}, ftp.environ)
    else:
        with web_server(tmp_path / "web") as web:
            yield Place(kind, web.url, web.folder)


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from place_in(request.param, request, tmp_path)


@pytest.fixture(params=WRITABLE)
def writable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from place_in(request.param, request, tmp_path)


@pytest.fixture
def remote(place: Place) -> Iterator[Transport]:
    transport = place.open()
    yield transport
    transport.close()


@pytest.fixture
def store(writable: Place) -> Iterator[Transport]:
    transport = writable.open()
    yield transport
    transport.close()


BIG = random.Random(5).randbytes(3_000_000)


def test_what_was_put_is_got(place: Place, remote: Transport) -> None:
    place.seed({"packs/ab.car": BIG, "empty": b"", "a": b"1"})
    assert remote.get("packs/ab.car", limit=len(BIG)) == BIG
    assert remote.get("empty", limit=0) == b""
    assert remote.get("a", limit=10) == b"1"


def test_the_address_that_is_shown_holds_no_credentials(place: Place, remote: Transport) -> None:
    assert remote.url == place.url
    assert remote.read_only == (place.kind == "http")


def test_an_object_larger_than_its_limit_is_refused(place: Place, remote: Transport) -> None:
    place.seed({"a": b"x" * 1000})
    with pytest.raises(MalformedError, match="larger than 999 bytes"):
        remote.get("a", limit=999)
    assert remote.get("a", limit=1000) == b"x" * 1000


def test_a_missing_object_is_named(place: Place, remote: Transport) -> None:
    place.seed({"a/b": b"1"})
    for name in ("zz", "a/zz", "zz/b"):
        with pytest.raises(MissingError) as caught:
            remote.get(name, limit=10)
        assert caught.value.name == name
        assert name in str(caught.value)
        with pytest.raises(MissingError):
            remote.get_range(name, 0, 1)


def test_a_range_is_exactly_what_was_asked_for(place: Place, remote: Transport) -> None:
    place.seed({"a": BIG})
    assert remote.get_range("a", 0, 5) == BIG[:5]
    assert remote.get_range("a", 1_999_999, 1_000_001) == BIG[1_999_999:]
    assert remote.get_range("a", 7, 0) == b""


def test_a_range_past_the_end_is_never_short(place: Place, remote: Transport) -> None:
    place.seed({"a": b"0123456789"})
    for start, length in ((5, 6), (10, 1), (500, 3), (0, 11)):
        with pytest.raises(UnavailableError, match="cut short") as caught:
            remote.get_range("a", start, length)
        assert not isinstance(caught.value, MissingError)


def test_many_ranges_come_in_their_order(place: Place, remote: Transport) -> None:
    place.seed({"a": BIG})
    chance = random.Random(7)
    wanted = [(at, chance.randrange(5000)) for at in chance.sample(range(2_900_000), 200)]
    wanted += [(10, 20), (15, 20), (0, len(BIG)), (10, 20), (3, 0)]
    assert remote.get_ranges("a", wanted) == [BIG[at : at + size] for at, size in wanted]
    assert remote.get_ranges("a", []) == []


def test_hostile_ranges_are_refused(place: Place, remote: Transport) -> None:
    place.seed({"a": b"1"})
    for wanted in ((-1, 1), (0, -1)):
        with pytest.raises(MalformedError):
            remote.get_range("a", *wanted)


def test_a_list_has_names_and_sizes(place: Place, remote: Transport) -> None:
    objects = {f"packs/{number:03}": b"x" * number for number in range(30)}
    objects |= {"index/a.idx": b"12", "top": b"1", "packsother/a": b"", "index/deep/er/b": b"123"}
    place.seed(objects)
    sizes = {name: len(data) for name, data in objects.items()}
    found = list(remote.list())
    assert len(found) == len({one.name for one in found})
    assert {one.name: one.size for one in found if one.name != "list"} == sizes
    some = {name: size for name, size in sizes.items() if name.startswith("packs/")}
    assert dict(remote.list("packs")) == dict(remote.list("packs/")) == some
    assert dict(remote.list("index/deep")) == {"index/deep/er/b": 3}
    assert list(remote.list("nothing")) == []


HOSTILE_NAMES = (
    *("", "/a", "a/", "a//b", "../a", "a/../b", "a/..", ".a", "a/.b", "A", "ä", "a b", "a\0"),
    *("-a", "a\n", "a?b", "a%2fb", "a" * 300, "a\\b", "a:b"),
)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_names_are_refused_before_anything_is_asked(
    place: Place, remote: Transport, name: str
) -> None:
    with pytest.raises(MalformedError):
        remote.get(name, limit=10)
    with pytest.raises(MalformedError):
        remote.get_ranges(name, [(0, 1)])
    if name not in {"", "a/"}:
        with pytest.raises(MalformedError):
            list(remote.list(name))
    if place.kind != "http":
        with pytest.raises(MalformedError):
            remote.put(name, b"")
        with pytest.raises(MalformedError):
            remote.delete([name])


def test_many_threads_may_read_at_once(place: Place, remote: Transport) -> None:
    objects = {f"a/{number}": random.Random(number).randbytes(40_000) for number in range(60)}
    place.seed(objects)

    def read(name: str) -> bool:
        whole = remote.get(name, limit=40_000) == objects[name]
        return whole and remote.get_range(name, 9, 99) == objects[name][9:108]

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(read, list(objects) * 3))


def test_a_closed_transport_says_so(place: Place) -> None:
    place.seed({"a": b"1"})
    transport = place.open()
    transport.get("a", limit=1)
    transport.close()
    transport.close()
    with pytest.raises(UnavailableError, match=r"closed|cannot"):
        transport.get("a", limit=1)


def test_what_is_there_stays_as_it_is(store: Transport) -> None:
    assert store.put("a/b", b"first") is True
    assert store.put("a/b", b"second") is False
    assert store.get("a/b", limit=10) == b"first"


def test_views_and_files_can_be_put(store: Transport, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(BIG)
    assert store.put("one", str(tmp_path / "file"))
    assert store.put("two", memoryview(BIG)[1:])
    assert store.put("three", memoryview(b""))
    whole = random.Random(3).randbytes((9 << 20) + 5)
    room = bytearray(whole)
    assert store.put("large", memoryview(room)[:-1])
    room[:] = bytes(len(room))  # it is the caller's again
    (tmp_path / "file").write_bytes(whole)
    assert store.put("large-file", str(tmp_path / "file"))
    assert store.get("large", limit=10 << 20) == whole[:-1]
    assert store.get("large-file", limit=10 << 20) == whole
    assert store.get("one", limit=len(BIG)) == BIG
    assert store.get("two", limit=len(BIG)) == BIG[1:]
    assert store.get("three", limit=0) == b""


def test_a_file_that_is_not_there_is_named(store: Transport, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"cannot read .*nothing"):
        store.put("one", str(tmp_path / "nothing"))
    assert list(store.list()) == []


def test_of_sixteen_that_write_one_name_one_wins(writable: Place) -> None:
    transports = [writable.open() for _ in range(4)]
    for number in range(4):
        begin = threading.Barrier(16)

        def write(one: int, name: str = f"race/{number}", begin: threading.Barrier = begin) -> bool:
            begin.wait()
            return transports[one % 4].put(name, b"%d" % one * 50_000)

        with ThreadPoolExecutor(16) as pool:
            won = list(pool.map(write, range(16)))
        data = transports[0].get(f"race/{number}", limit=1 << 20)
        if writable.kind in NOT_ALONE:
            assert any(won)
            assert data in {b"%d" % one * 50_000 for one in range(16) if won[one]}
            continue
        assert won.count(True) == 1
        assert data == b"%d" % won.index(True) * 50_000
    assert len(list(transports[0].list())) == 4
    for transport in transports:
        transport.close()


def test_nothing_half_written_lies_beside(writable: Place, store: Transport) -> None:
    store.put("a/b", BIG)
    store.put("a/b", BIG)
    assert [one.name for one in store.list()] == ["a/b"]
    if writable.is_seen:
        files = [path for path in writable.folder.rglob("*") if path.is_file()]
        assert [path.name for path in files] == ["b"]


def test_what_others_left_unfinished_is_thrown_away_after_a_day(
    writable: Place, store: Transport
) -> None:
    if writable.kind in {"s3", *CLOUDS}:
        pytest.skip("an object store keeps nothing unfinished of ours")
    aside = writable.folder / ".gitprov-tmp"
    aside.mkdir(parents=True)
    old, new = aside / "old", aside / "new"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 100_000,) * 2)
    store.put("a", b"1")
    assert not old.exists()
    assert new.exists()
    assert list(store.list()) == [Listed("a", 1)]


def test_what_is_replaced_is_the_new_one_and_was_never_half(
    writable: Place, store: Transport
) -> None:
    store.replace("list", b"0" * 100_000)
    with ThreadPoolExecutor(4) as pool:
        writing = pool.map(lambda one: store.replace("list", b"%d" % one * 100_000), range(1, 10))
        reader = writable.open()
        seen = [reader.get("list", limit=100_000) for _ in range(20)]
        list(writing)
    reader.close()
    assert all(data == data[:1] * 100_000 for data in seen)
    store.replace("list", b"last")
    assert store.get("list", limit=10) == b"last"
    assert list(store.list()) == [Listed("list", 4)]
    if writable.is_seen:
        files = [path.name for path in writable.folder.rglob("*") if path.is_file()]
        assert files == ["list"]


def test_what_was_deleted_is_gone_and_twice_is_no_error(store: Transport) -> None:
    for name in ("a", "b/c", "b/d"):
        store.put(name, b"1")
    store.delete(["a", "b/c", "nothing", "no/where"])
    store.delete(["a"])
    store.delete([])
    assert list(store.list()) == [Listed("b/d", 1)]
    with pytest.raises(MissingError):
        store.get("a", limit=1)
    assert store.put("a", b"2")


def test_foreign_files_are_not_listed(writable: Place, store: Transport) -> None:
    if not writable.is_seen:
        pytest.skip("nobody sees where this server keeps its objects")
    store.put("a/b", b"1")
    (writable.folder / "a" / "Foreign File").write_bytes(b"x")
    (writable.folder / ".hidden").write_bytes(b"x")
    assert list(store.list()) == [Listed("a/b", 1)]


def test_a_list_longer_than_a_page_is_whole(writable: Place, store: Transport) -> None:
    # Pages of a thousand; 100 for servers on which 1100 objects take a minute.
    count = 1100 if writable.kind in {"folder", "s3", "sftp"} else 100
    names = [f"p/{number:05}" for number in range(count)]
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(lambda name: store.put(name, b"x"), names))
    assert sorted(one.name for one in store.list("p")) == names
    store.delete(names)
    assert list(store.list()) == []


def test_a_web_server_can_only_be_read(tmp_path: Path) -> None:
    with web_server(tmp_path / "web") as web:
        transport = open_transport(web.url, {}, {}, patience=HASTY)
        with pytest.raises(UsageError, match="can only be read"):
            transport.put("a", b"1")
        with pytest.raises(UsageError, match="can only be read"):
            transport.replace("a", b"1")
        with pytest.raises(UsageError, match="can only be read"):
            transport.delete(["a"])
        assert web.asked == []
        transport.close()
