"""Packs that a collection announced: nobody counts on them, and nobody loses by it."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitprov.core import car
from gitprov.errors import MalformedError, UnavailableError
from gitprov.model.remote_index import KINDS, Entry
from gitprov.model.remote_notice import Notice
from gitprov.store import remote as remote_module
from gitprov.store.local import LocalStore
from gitprov.store.remote import Remote, Wanted
from gitprov.store.remote_send import push
from gitprov.store.transport import Source
from gitprov.store.transport_folder import FolderTransport
from tests.unit.store.test_remote import MIB, fetched, noise, place, remote, stored

__all__ = ["place"]

PACK = st.integers(0, (1 << 256) - 1).map(lambda number: f"{number:064x}")


@given(st.builds(Notice.of, st.integers(0, 1 << 40), st.lists(PACK, min_size=1, max_size=5)))
def test_a_notice_is_read_as_it_was_written(notice: Notice) -> None:
    assert Notice.parse(notice.to_bytes(), what="x") == notice


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}\n",
        b'{"gitprov":1,"packs":[],"time":1,"type":"gc"}\n',
        b'{"gitprov":1,"packs":["../x"],"time":1,"type":"gc"}\n',
        b'{"gitprov":1,"packs":["%s","%s"],"time":1,"type":"gc"}\n' % (b"a" * 64, b"a" * 64),
        b'{"gitprov":1,"packs":["%s"],"time":-1,"type":"gc"}\n' % (b"a" * 64),
        b'{"gitprov":2,"packs":["%s"],"time":1,"type":"gc"}\n' % (b"a" * 64),
        b'{"gitprov":1,"packs":["%s"],"time":1,"type":"gc"}' % (b"a" * 64),
        b'{"gitprov":1, "packs":["%s"],"time":1,"type":"gc"}\n' % (b"a" * 64),
    ],
)
def test_another_spelling_of_a_notice_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        Notice.parse(data, what="x")


def announce(place: Path, *packs: str) -> Notice:
    notice = Notice.of(1, packs)
    with_transport = FolderTransport(str(place))
    with_transport.put(notice.name, notice.to_bytes())
    with_transport.close()
    return notice


def packs_of(place: Path) -> set[str]:
    return {path.name for path in (place / "index").iterdir()}


@pytest.mark.parametrize("size", [1000, 3 * MIB])
def test_what_is_announced_is_sent_again_and_under_another_name(
    tmp_path: Path, place: Path, size: int
) -> None:
    store, wanted = stored(tmp_path / "a", [noise(size)])
    with remote(place) as made:
        push(made, store, wanted)
    old = packs_of(place)
    announce(place, *old)
    with remote(place) as made:
        assert made.has(wanted) == set()
        assert push(made, store, wanted).objects == 1
    new = packs_of(place) - old
    assert len(new) == len(old)  # the same blocks would have the same name
    for pack in old:
        (place / "index" / pack).unlink()
        (place / "packs" / f"{pack}.car").unlink()
    with remote(place, "other") as made:
        back, result = fetched(made, tmp_path / "b", wanted)
        assert result.objects == 1
        assert back.has([wanted[0].digest])
    for pack in new:
        with (place / "packs" / f"{pack}.car").open("rb") as file:
            assert all(block.data for block in car.read(file)[1])


def test_another_copy_of_what_is_announced_counts(tmp_path: Path, place: Path) -> None:
    store, wanted = stored(tmp_path / "a", [noise(1000)])
    with remote(place) as made:
        push(made, store, wanted)
    announce(place, *packs_of(place))
    with remote(place) as made:
        push(made, store, wanted)
    with remote(place) as made:
        assert made.has(wanted) == set(wanted)
        assert push(made, store, wanted).sent_bytes == 0


@pytest.mark.parametrize("size", [1000, 3 * MIB])
@pytest.mark.parametrize("removes", [False, True])
def test_what_is_announced_while_a_push_runs_is_sent_again(
    tmp_path: Path, place: Path, size: int, removes: bool
) -> None:
    """The push counted on it at its start; a collection without grace even takes it away."""
    store, wanted = stored(tmp_path / "a", [noise(size), b"new"])
    with remote(place) as made:
        push(made, store, wanted[:1])
    old = packs_of(place)

    class Collected(FolderTransport):
        done = False

        def put(self, name: str, data: Source) -> bool:
            if not Collected.done:
                Collected.done = True
                notice = announce(place, *old)
                if removes:
                    for pack in old:
                        self.delete([f"index/{pack}", f"packs/{pack}.car"])
                    self.delete([notice.name])
            return super().put(name, data)

    with Remote(Collected(str(place)), str(tmp_path / "cache")) as made:
        made.connect(create=True)
        push(made, store, wanted)
    assert Collected.done
    for pack in () if removes else old:  # what is gone for good may come again as it was
        (place / "index" / pack).unlink()
        (place / "packs" / f"{pack}.car").unlink()
    with remote(place, "other") as made:
        _, result = fetched(made, tmp_path / "b", wanted)
        assert (result.objects, result.wrong) == (2, [])


def test_a_pack_that_was_taken_for_a_rest_is_sent_again(tmp_path: Path, place: Path) -> None:
    """Between the pack and its index a collection without grace came by."""
    store, wanted = stored(tmp_path / "a", [noise(1000)])

    class Swept(FolderTransport):
        swept = 0

        def put(self, name: str, data: Source) -> bool:
            if name.startswith("index/") and not Swept.swept:
                Swept.swept += 1
                self.delete([f"packs/{name.removeprefix('index/')}.car"])
            return super().put(name, data)

    with Remote(Swept(str(place)), str(tmp_path / "cache")) as made:
        made.connect(create=True)
        push(made, store, wanted)
    assert Swept.swept == 1
    assert packs_of(place) == {path.stem for path in (place / "packs").iterdir()}
    with remote(place, "other") as made:
        _, result = fetched(made, tmp_path / "b", wanted)
        assert result.objects == 1


def test_a_push_beside_a_collection_without_end_gives_up(tmp_path: Path, place: Path) -> None:
    store, wanted = stored(tmp_path / "a", [noise(1000)])

    class Greedy(FolderTransport):
        def put(self, name: str, data: Source) -> bool:
            wrote = super().put(name, data)
            if name.startswith("index/"):
                announce(place, name.removeprefix("index/"))
            return wrote

    with Remote(Greedy(str(place)), str(tmp_path / "cache")) as made:
        made.connect(create=True)
        with pytest.raises(UnavailableError, match="again and again"):
            push(made, store, wanted)


def test_a_pack_that_moved_while_it_was_fetched_is_found_again(tmp_path: Path, place: Path) -> None:
    store, wanted = stored(tmp_path / "a", [noise(1000), noise(3 * MIB, 2)])
    with remote(place) as made:
        push(made, store, wanted)
    old = packs_of(place)
    with remote(place, "reader", create=False) as reading:
        announce(place, *old)
        with remote(place) as made:
            push(made, store, wanted)
        for pack in old:
            (place / "index" / pack).unlink()
            (place / "packs" / f"{pack}.car").unlink()
        _, result = fetched(reading, tmp_path / "b", wanted)
    assert (result.objects, result.absent, result.wrong) == (2, [], [])


def test_what_a_missing_pack_held_is_named_and_the_rest_comes(tmp_path: Path, place: Path) -> None:
    store, wanted = stored(tmp_path / "a", [noise(1000), noise(2000, 2)])
    for one in wanted:
        with remote(place) as made:
            push(made, store, [one])
            lost = made.place(wanted[0].digest)
    assert lost is not None
    (place / "packs" / f"{lost.pack}.car").unlink()
    with remote(place, "other") as made:
        back, result = fetched(made, tmp_path / "b", wanted)
        assert result.absent == [wanted[0].digest]
        assert back.has([one.digest for one in wanted]) == {wanted[1].digest}


def test_a_remote_that_lists_without_end_is_refused(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, wanted = stored(tmp_path / "a", [noise(1000)])
    with remote(place) as made:
        push(made, store, wanted)
    monkeypatch.setattr(remote_module, "MAX_PACKS", 10)
    for number in range(11):
        (place / "index" / f"{number:064x}").write_bytes(b"")
    with pytest.raises(MalformedError, match="lists more below index/"), remote(place):
        pass


def test_an_index_larger_than_it_was_listed_is_damaged(tmp_path: Path, place: Path) -> None:
    store, wanted = stored(tmp_path / "a", [noise(1000)])
    with remote(place) as made:
        push(made, store, wanted)

    class Lying(FolderTransport):
        def list(self, prefix: str = "") -> "object":  # type: ignore[override]
            return (one._replace(size=1) for one in super().list(prefix))

    with Remote(Lying(str(place)), str(tmp_path / "other")) as lying:
        lying.connect(create=False)
        [reason] = lying.damaged.values()
    assert reason.endswith("is larger than 1 bytes")


def test_a_million_places_are_a_number_each() -> None:
    chance = random.Random(1)
    with Remote(FolderTransport("/"), "/nowhere") as one:
        for number in range(2000):
            place = remote_module.Place(
                f"{number % 7:064x}",
                chance.choice(KINDS),
                chance.randrange((1 << 50) + 1),
                chance.randrange((1 << 20) + 1),
            )
            digest = number.to_bytes(32, "big")
            one.learn(
                place.pack,
                [Entry(place.kind, digest, place.offset, place.size)],
            )
            found = one.chunk(digest) if place.kind == "c" else one.place(digest)
            assert found == place


def test_an_empty_store_is_no_reason_to_write(tmp_path: Path, place: Path) -> None:
    with remote(place) as made:
        assert push(made, LocalStore(str(tmp_path / "a")), list[Wanted]()).packs == 0
