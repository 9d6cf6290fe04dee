"""A collection of a remote: what stays whole whatever goes, and whoever collects beside it."""

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from gitprov.errors import VerificationError
from gitprov.model import remote_index
from gitprov.store.local import LocalStore
from gitprov.store.remote import Remote, Wanted
from gitprov.store.remote_gc import Collection, collect
from gitprov.store.remote_send import push
from gitprov.store.transport import Source
from gitprov.store.transport_folder import FolderTransport
from tests.unit.store.test_remote import MIB, fetched, noise, place, remote, stored

__all__ = ["place"]

DAY = 86400


def clear(
    place: Path,
    live: Iterable[Wanted],
    *,
    now: int = 1000 * DAY,
    grace: int = 0,
    act: bool = True,
    made: Remote | None = None,
) -> Collection:
    digests = {one.digest for one in live}
    if made is not None:
        return collect(made, lambda: digests, now=now, grace=grace, act=act, jobs=2)
    with remote(place) as opened:
        return collect(opened, lambda: digests, now=now, grace=grace, act=act, jobs=2)


def send(place: Path, store: LocalStore, *wanted: Wanted) -> None:
    with remote(place) as made:
        push(made, store, wanted)


def has_all(tmp_path: Path, place: Path, wanted: list[Wanted]) -> bool:
    with remote(place, os.urandom(4).hex(), create=False) as made:
        _, result = fetched(made, tmp_path / os.urandom(4).hex(), wanted)
    return (result.objects, result.absent, result.wrong) == (len(wanted), [], [])


def test_nothing_goes_before_its_time(tmp_path: Path, place: Path) -> None:
    store, wanted = stored(tmp_path / "a", [noise(1000), noise(2000, 2)])
    send(place, store, wanted[0])
    send(place, store, wanted[1])
    start = 1000 * DAY
    assert clear(place, wanted[:1], now=start, grace=14 * DAY).removed == []
    for day in (0, 1, 13):
        assert clear(place, wanted[:1], now=start + day * DAY, grace=14 * DAY).removed == []
    assert has_all(tmp_path, place, wanted)  # until then a fetch has it
    done = clear(place, wanted[:1], now=start + 14 * DAY, grace=14 * DAY)
    assert len(done.removed) == 1
    assert [*(place / "gc").iterdir()] == []
    assert has_all(tmp_path, place, wanted[:1])


def test_what_was_announced_and_is_needed_after_all_is_copied(tmp_path: Path, place: Path) -> None:
    store, wanted = stored(tmp_path / "a", [noise(1000), noise(3 * MIB, 2), noise(10, 3)])
    for one in wanted:
        send(place, store, one)
    clear(place, wanted[:1], grace=DAY)
    done = clear(place, wanted, now=1001 * DAY, grace=DAY)  # a clone with a commit came back
    assert done.copied > 3 * MIB
    assert len(done.removed) == 3
    assert has_all(tmp_path, place, wanted)


def test_a_recipe_that_stays_names_only_chunks_that_stay(tmp_path: Path, place: Path) -> None:
    """Both recipes lie in one pack; only one is needed, and the chunks of the other go."""
    store, wanted = stored(tmp_path / "a", [noise(3 * MIB), noise(4 * MIB, 2)])
    send(place, store, wanted[0])
    with remote(place) as made:
        before = {one.pack for one in map(made.chunk, [*made._chunks]) if one}
    send(place, store, *wanted)
    done = clear(place, wanted[1:], grace=14 * DAY)
    assert before <= {one.pack for one in done.doomed}
    with remote(place) as made:
        assert made.has(wanted) == {wanted[1]}  # nobody counts on what is half there
    clear(place, wanted[1:])
    with remote(place, "other") as made:
        assert made.has(wanted) == {wanted[1]}
        push(made, store, wanted)
    assert has_all(tmp_path, place, wanted)


def test_chunks_that_two_files_share_stay_for_the_one(tmp_path: Path, place: Path) -> None:
    data = noise(6 * MIB)
    store, wanted = stored(tmp_path / "a", [data, b"x" + data])
    send(place, store, wanted[0])
    send(place, store, wanted[1])
    clear(place, wanted[1:])
    assert has_all(tmp_path, place, wanted[1:])
    with remote(place) as made:
        assert made.has(wanted) == {wanted[1]}


def test_a_pack_full_of_tiny_live_blobs_is_left_alone(tmp_path: Path, place: Path) -> None:
    """Their names take more room than they do: that alone is no reason to copy them each time."""
    store, wanted = stored(tmp_path / "a", [b"%d" % number for number in range(500)])
    send(place, store, *wanted)
    assert clear(place, wanted, act=False).doomed == []


def test_two_collections_that_saw_the_same_copies_keep_one(tmp_path: Path, place: Path) -> None:
    """The same blob lies in two packs; the second one announces while the first looks on."""
    store, wanted = stored(tmp_path / "a", [noise(1000), noise(900, 2)])
    send(place, store, wanted[0])
    first = {path.name for path in (place / "index").iterdir()}
    with remote(place) as made:
        made.announced = set(first)
        made._writing = False
        push(made, store, wanted)  # the first blob again, in another pack

    class Rival(FolderTransport):
        once = False

        def put(self, name: str, data: Source) -> bool:
            if name.startswith("gc/") and not Rival.once:
                Rival.once = True
                clear(place, wanted[:1], grace=0)
            return super().put(name, data)

    with Remote(Rival(str(place)), str(tmp_path / "rival")) as made:
        made.connect(create=False, writing=True)
        clear(place, wanted[:1], made=made)
    assert has_all(tmp_path, place, wanted[:1])


@pytest.mark.parametrize("size", [1000, 3 * MIB])
def test_something_needed_that_is_damaged_stops_it(tmp_path: Path, place: Path, size: int) -> None:
    store, wanted = stored(tmp_path / "a", [noise(size), noise(9 * MIB, 2)])
    send(place, store, *wanted)
    with remote(place) as made:
        where = made.place(wanted[0].digest)
    assert where is not None
    pack = place / "packs" / f"{where.pack}.car"
    data = bytearray(pack.read_bytes())
    data[where.offset + 50] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    before = sorted(path.name for path in place.rglob("*"))
    with pytest.raises(VerificationError, match="nothing was removed"):
        clear(place, wanted[:1])
    assert sorted(path.name for path in place.rglob("*")) == before


def test_a_recipe_of_several_blocks_stays_whole(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_index, "MAX_CHUNKS", 4)
    store, wanted = stored(tmp_path / "a", [noise(6 * MIB), *(noise(900, n) for n in range(9))])
    send(place, store, *wanted)
    with remote(place) as made:
        where = made.place(wanted[0].digest)
        assert where is not None
        recipe = remote_index.parse_recipe(
            made.transport.get_range(f"packs/{where.pack}.car", where.offset, where.size), what="x"
        )
        assert recipe.after
        before = made.chunk(recipe.after)
    assert before is not None
    send_more, more = stored(tmp_path / "b", [noise(20 * MIB, 3)])
    send(place, send_more, *more)
    clear(place, wanted)
    assert has_all(tmp_path, place, wanted)
    pack = place / "packs" / f"{before.pack}.car"
    data = bytearray(pack.read_bytes())
    data[before.offset + 80] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    with pytest.raises(VerificationError, match="a part of its recipe is damaged"):
        clear(place, wanted)
