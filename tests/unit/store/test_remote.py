"""A remote: what was pushed comes back, whatever was pushed before, and nothing wrong gets in."""

import fcntl
import itertools
import os
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from gitprov.core import car
from gitprov.core.canonical import dumps
from gitprov.errors import MalformedError, UnavailableError
from gitprov.model.entry import Entry as ManifestEntry
from gitprov.model.manifest import Manifest
from gitprov.model.remote_index import (
    KINDS,
    Entry,
    Recipe,
    format_index,
    format_recipe,
    parse_index,
    parse_recipe,
    recipe_blocks,
)
from gitprov.store.local import LocalStore
from gitprov.store.partial import clear_old, discard, partial_file
from gitprov.store.remote import Remote, Wanted, bounded_ids
from gitprov.store.remote_fetch import Fetched, Fetcher, refusal
from gitprov.store.remote_send import push
from gitprov.store.transport import Listed, Range, Source
from gitprov.store.transport_folder import FolderTransport

DIGESTS = st.binary(min_size=32, max_size=32)
MIB = 1 << 20


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


class Counting(FolderTransport):
    """A folder that counts what is asked of it."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.asked: list[str] = []

    def get(self, name: str, *, limit: int) -> bytes:
        self.asked.append(name)
        return super().get(name, limit=limit)

    def get_ranges(self, name: str, ranges: Sequence[Range]) -> list[bytes]:
        self.asked.append(name)
        return super().get_ranges(name, ranges)

    def put(self, name: str, data: Source) -> bool:
        self.asked.append(f"put {name}")
        return super().put(name, data)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "remote").mkdir()
    return tmp_path / "remote"


@contextmanager
def remote(place: Path, cache: str = "cache", *, create: bool = True) -> Iterator[Remote]:
    with Remote(Counting(str(place)), str(place.parent / cache)) as made:
        made.connect(create=create)
        yield made


def stored(folder: Path, blobs: Sequence[bytes]) -> tuple[LocalStore, list[Wanted]]:
    store = LocalStore(str(folder))
    wanted = []
    with store.writer() as writer:
        for data in blobs:
            wanted.append(Wanted(writer.add(data), is_manifest=False))
    return store, wanted


def fetched(made: Remote, folder: Path, wanted: Sequence[Wanted]) -> tuple[LocalStore, Fetched]:
    store = LocalStore(str(folder))
    temporary = folder.parent / "tmp"
    temporary.mkdir(exist_ok=True)
    with ThreadPoolExecutor(2) as pool, store.writer() as writer:
        fetcher = Fetcher(made, writer, pool, 2, str(temporary))
        fetcher.fetch(wanted)
    return store, fetcher.result


SIZES = [0, 1, 100, 256 * 1024, MIB - 1, MIB, MIB + 1, 3 * MIB + 7, 9 * MIB]


def test_blobs_of_all_sizes_come_back(tmp_path: Path, place: Path) -> None:
    blobs = [noise(size, size) for size in SIZES]
    store, wanted = stored(tmp_path / "a", blobs)
    with remote(place) as made:
        done = push(made, store, wanted)
        assert done.objects == len(blobs)
    with remote(place, "other", create=False) as made:
        back, result = fetched(made, tmp_path / "b", wanted)
    assert not result.absent
    assert not result.wrong
    for one, data in zip(wanted, blobs, strict=True):
        with back.open(one.digest) as file:
            assert file.read() == data


def test_manifests_come_back_small_and_large(tmp_path: Path, place: Path) -> None:
    store = LocalStore(str(tmp_path / "a"))
    wanted = []
    with store.writer() as writer:
        for count in (0, 3, 30_000):
            entries = [
                ManifestEntry(b"%06d" % number, "f", blake3(b"%d" % number).digest(), 5)
                for number in range(count)
            ]
            manifest = Manifest.of(entries)
            writer.add_manifest(manifest.root.raw, manifest.to_bytes())
            wanted.append(Wanted(manifest.root.raw, is_manifest=True))
    with remote(place) as made:
        push(made, store, wanted)
        kind = made.place(wanted[-1].digest)
        assert kind is not None
        assert kind.kind == "M"
        back, result = fetched(made, tmp_path / "b", wanted)
    assert result.objects == 3
    for one in wanted:
        assert back.read(one.digest) == store.read(one.digest)


def test_what_is_there_does_not_travel_again(tmp_path: Path, place: Path) -> None:
    store, wanted = stored(tmp_path / "a", [noise(1000), noise(5 * MIB)])
    with remote(place) as made:
        push(made, store, wanted)
    with remote(place) as made:
        again = push(made, store, wanted)
        assert again.sent_bytes == 0
        transport = made.transport
        assert isinstance(transport, Counting)
        assert not [name for name in transport.asked if name.startswith(("put", "packs"))]
        assert [name for name in transport.asked if name.startswith("index")] == []


def test_one_byte_in_front_of_a_large_file_sends_a_chunk_or_two(
    tmp_path: Path, place: Path
) -> None:
    data = noise(64 * MIB)
    store, wanted = stored(tmp_path / "a", [data])
    with remote(place) as made:
        push(made, store, wanted)
    store, wanted = stored(tmp_path / "a", [b"x" + data])
    with remote(place) as made:
        assert push(made, store, wanted).sent_bytes < 3 * MIB
        back, _result = fetched(made, tmp_path / "b", wanted)
        with back.open(wanted[0].digest) as file:
            assert file.read() == b"x" + data


def test_many_small_files_travel_in_few_requests(tmp_path: Path, place: Path) -> None:
    store, wanted = stored(tmp_path / "a", [b"%d" % number * 100 for number in range(5000)])
    with remote(place) as made:
        push(made, store, wanted)
        transport = made.transport
        assert isinstance(transport, Counting)
        assert len([name for name in transport.asked if name.startswith("put")]) == 3
        transport.asked.clear()
        fetched(made, tmp_path / "b", wanted)
        assert len(transport.asked) == 1


def test_a_pack_is_an_archive_that_ipfs_reads(tmp_path: Path, place: Path) -> None:
    store, wanted = stored(tmp_path / "a", [noise(1000), noise(3 * MIB, 2)])
    with remote(place) as made:
        push(made, store, wanted)
    blocks = 0
    for path in (place / "packs").iterdir():
        assert path.name == f"{blake3(path.read_bytes()).hexdigest()}.car"
        with path.open("rb") as file:
            roots, found = car.read(file)
            assert len(roots) == 1
            blocks += sum(block.is_raw for block in found)
    assert blocks >= 4


@pytest.mark.parametrize("size", [1000, 3 * MIB])
def test_wrong_bytes_are_named_and_never_enter_the_store(
    tmp_path: Path, place: Path, size: int
) -> None:
    store, wanted = stored(tmp_path / "a", [noise(size), b"good"])
    with remote(place) as made:
        push(made, store, wanted)
        where = made.place(wanted[0].digest) if size < MIB else None
        if where is None:
            where = next(p for p in map(made.chunk, [*made._chunks]) if p and p.size > 5000)
    pack = place / "packs" / f"{where.pack}.car"
    data = bytearray(pack.read_bytes())
    data[where.offset + 10] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    with remote(place, create=False) as made:
        back, result = fetched(made, tmp_path / "b", wanted)
        assert [digest for digest, _ in result.wrong] == [wanted[0].digest]
        assert wanted[0].digest.hex() in str(refusal(result, "there", {}))
    assert back.has([one.digest for one in wanted]) == {wanted[1].digest}


def test_a_remote_cannot_make_a_blob_larger_than_it_is(tmp_path: Path, place: Path) -> None:
    store, wanted = stored(tmp_path / "a", [noise(3 * MIB)])
    with remote(place) as made:
        push(made, store, wanted)
        with ThreadPoolExecutor(2) as pool, LocalStore(str(tmp_path / "b")).writer() as writer:
            fetcher = Fetcher(made, writer, pool, 2, str(tmp_path))
            fetcher.fetch(wanted, sizes={wanted[0].digest: 5})
        assert [reason for _, reason in fetcher.result.wrong] == [
            "its recipe has another size than it has"
        ]
        assert fetcher.result.received_bytes < MIB  # no chunk was asked for


def test_a_pack_cut_short_is_no_data(tmp_path: Path, place: Path) -> None:
    store, wanted = stored(tmp_path / "a", [noise(100_000)])
    with remote(place) as made:
        push(made, store, wanted)
    [pack] = (place / "packs").iterdir()
    pack.chmod(0o600)
    os.truncate(pack, 5000)
    with remote(place, create=False) as made:
        back, result = fetched(made, tmp_path / "b", wanted)
    assert result.wrong == [(wanted[0].digest, f"the pack {pack.stem} is cut short")]
    assert back.has([wanted[0].digest]) == set()


def test_a_damaged_index_is_counted_on_by_nobody_and_a_damaged_copy_fetched_again(
    tmp_path: Path, place: Path
) -> None:
    store, wanted = stored(tmp_path / "a", [noise(1000)])
    with remote(place) as made:
        push(made, store, wanted)
    with remote(place) as made:
        [kept] = (tmp_path / "cache" / made.id).iterdir()
    kept.write_bytes(b"junk")
    with remote(place) as made:
        assert made.has(wanted) == set(wanted)
    [index] = (place / "index").iterdir()
    index.chmod(0o600)
    index.write_bytes(index.read_bytes()[:-1] + b"x")
    with remote(place, "x") as made:
        assert made.damaged == {
            index.name: f"the index of {index.name} is no index of a pack, or damaged"
        }
        assert push(made, store, wanted).objects == 1
    with remote(place, "x") as made:
        assert made.has(wanted) == set(wanted)


def test_what_a_remote_lost_is_not_believed_to_be_there(tmp_path: Path, place: Path) -> None:
    store, wanted = stored(tmp_path / "a", [noise(1000)])
    with remote(place) as made:
        push(made, store, wanted)
    for index in (place / "index").iterdir():
        index.unlink()
    with remote(place) as made:
        assert made.has(wanted) == set()
        assert push(made, store, wanted).objects == 1


def test_a_recipe_without_its_chunks_is_never_there(tmp_path: Path, place: Path) -> None:
    """A push that dies: chunks may be there without the recipe, never the other way round."""
    store, wanted = stored(tmp_path / "a", [noise(80 * MIB)])

    class Dying(Counting):
        left = 2

        def put(self, name: str, data: Source) -> bool:
            if name.startswith("packs/"):
                Dying.left -= 1
                if Dying.left < 0:
                    raise UnavailableError("the line is dead")
            return super().put(name, data)

    with Remote(Dying(str(place)), str(tmp_path / "cache")) as made:
        made.connect(create=True)
        with pytest.raises(UnavailableError):
            push(made, store, wanted)
    with remote(place) as made:
        assert made.has(wanted) == set()
        done = push(made, store, wanted)
        assert 0 < done.sent_bytes < 60 * MIB  # what had arrived did not travel again
        _, result = fetched(made, tmp_path / "b", wanted)
        assert result.objects == 1


def test_a_newer_layout_and_no_remote_at_all_are_told_apart(place: Path) -> None:
    with pytest.raises(UnavailableError, match="nothing was pushed"), remote(place, create=False):
        pass
    newer = {"gitprov": 2, "id": "0" * 32, "type": "remote"}
    (place / "gitprov-remote").write_bytes(dumps(newer) + b"\n")  # type: ignore[arg-type]
    with pytest.raises(UnavailableError, match="has the layout 2"), remote(place):
        pass
    known = dumps({**newer, "gitprov": 1})  # type: ignore[dict-item]
    for data in (b"something else", b"", known, known + b"\n\n", known + b"\r\n"):
        (place / "gitprov-remote").write_bytes(data)
        with pytest.raises(UnavailableError, match="is no gitprov remote"), remote(place):
            pass
    (place / "gitprov-remote").write_bytes(known + b"\n")
    with remote(place) as made:
        assert made.id == "0" * 32


def test_what_neither_side_has_is_named(tmp_path: Path, place: Path) -> None:
    unknown = Wanted(bytes(32), is_manifest=False)
    with remote(place) as made:
        _, result = fetched(made, tmp_path / "b", [unknown])
        assert result.absent == [bytes(32)]
        with pytest.raises(UnavailableError):
            push(made, LocalStore(str(tmp_path / "b")), [unknown])


ENTRIES = st.builds(
    Entry, st.sampled_from(KINDS), DIGESTS, st.integers(0, 1 << 40), st.integers(0, 1 << 20)
)


@given(st.lists(ENTRIES, max_size=20))
def test_an_index_is_read_as_it_was_written(entries: list[Entry]) -> None:
    data = format_index(entries)
    assert set(parse_index(data, what="x")) == set(entries)
    assert format_index(parse_index(data, what="x")) == data


@given(st.lists(ENTRIES, min_size=1, max_size=3), st.data())
def test_no_byte_of_an_index_can_be_changed(entries: list[Entry], data: st.DataObject) -> None:
    good = format_index(entries)
    at = data.draw(st.integers(0, len(good) - 1))
    with pytest.raises(MalformedError):
        parse_index(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :], what="x")


CHUNKS = st.lists(st.tuples(DIGESTS, st.integers(1, 1 << 20)), max_size=10).map(tuple)


@given(st.builds(Recipe, DIGESTS, st.integers(0, 1 << 60), DIGESTS, CHUNKS))
def test_a_recipe_is_read_as_it_was_written(recipe: Recipe) -> None:
    again = parse_recipe(format_recipe(recipe), what="x")
    assert again == recipe or recipe.after == bytes(32)


def test_a_very_large_recipe_is_several_blocks() -> None:
    chunks = [(blake3(b"%d" % number).digest(), 1) for number in range(60_000)]
    blocks = recipe_blocks(b"\x01" * 32, 60_000, chunks)
    assert len(blocks) == 3
    assert all(len(block) <= MIB for block in blocks)
    parsed = [parse_recipe(block, what="x") for block in blocks]
    assert parsed[0].after == b""
    assert parsed[2].after == blake3(blocks[1]).digest()
    assert [chunk for one in parsed for chunk in one.chunks] == chunks


class Breaking(FolderTransport):
    """The line breaks after so many ranges were read."""

    def __init__(self, url: str, left: int) -> None:
        super().__init__(url)
        self.left = left

    def get_ranges(self, name: str, ranges: Sequence[Range]) -> list[bytes]:
        self.left -= 1
        if self.left < 0:
            raise UnavailableError("the line broke")
        return super().get_ranges(name, ranges)


def broken(place: Path, folder: Path, wanted: Sequence[Wanted], *, after: int) -> Fetched:
    """Fetches with one job until the line breaks; the store is as a next command finds it."""
    with Remote(Breaking(str(place), after), str(place.parent / "third")) as made:
        made.connect(create=False)
        store, result = LocalStore(str(folder)), Fetched()

        def fetch() -> None:  # the error leaves the writer, too, as it does in a command
            nonlocal result
            with ThreadPoolExecutor(1) as pool, store.writer() as into:
                fetcher = Fetcher(made, into, pool, 1, str(folder / "partial"))
                result = fetcher.result
                fetcher.fetch(wanted)

        with pytest.raises(UnavailableError, match="the line broke"):
            fetch()
    return result


def test_a_large_blob_goes_on_where_the_line_broke(tmp_path: Path, place: Path) -> None:
    data = noise(40 * MIB, 5)
    store, wanted = stored(tmp_path / "a", [data])
    with remote(place) as made:
        push(made, store, wanted)
    first = broken(place, tmp_path / "b", wanted, after=7)
    assert first.received_bytes > 20 * MIB
    [kept] = (tmp_path / "b" / "partial").iterdir()
    assert kept.read_bytes() == data[: kept.stat().st_size]
    assert kept.stat().st_size > 8 * MIB
    # What it says is looked at again: a byte that has changed meanwhile ends what is good.
    with kept.open("r+b") as file:
        file.seek(8 * MIB)
        file.write(bytes([data[8 * MIB] ^ 1]))
    with remote(place, "third", create=False) as made:
        into = LocalStore(str(tmp_path / "b"))
        with ThreadPoolExecutor(1) as pool, into.writer() as writer:
            fetcher = Fetcher(made, writer, pool, 1, str(kept.parent))
            fetcher.fetch(wanted)
    assert fetcher.result.received_bytes < 34 * MIB
    assert into.read(wanted[0].digest) == data
    assert [*kept.parent.iterdir()] == []


def test_small_blobs_that_came_before_the_line_broke_are_kept(tmp_path: Path, place: Path) -> None:
    blobs = [noise(1000, n) for n in range(50)] + [noise(2 * MIB, 99)]
    store, wanted = stored(tmp_path / "a", blobs)
    with remote(place) as made:
        push(made, store, wanted)
    broken(place, tmp_path / "b", wanted, after=1)
    kept = LocalStore(str(tmp_path / "b"))
    assert kept.has(one.digest for one in wanted) == {one.digest for one in wanted[:50]}


def test_two_fetches_of_one_blob_have_a_file_each(tmp_path: Path) -> None:
    folder = str(tmp_path / "partial")
    with partial_file(folder, bytes(32)) as one, partial_file(folder, bytes(32)) as two:
        one.write(b"one")
        two.write(b"two")
        one.flush()
        assert Path(one.name).name == "0" * 64
        assert Path(two.name).read_bytes() == b""
        two.flush()
        assert Path(two.name).read_bytes() == b"two"
    assert [path.name for path in Path(folder).iterdir()] == ["0" * 64]
    assert (tmp_path / "partial" / ("0" * 64)).read_bytes() == b"one"


def test_a_file_on_its_way_is_moved_and_removed_by_whoever_holds_it_only(tmp_path: Path) -> None:
    folder, name = str(tmp_path), tmp_path / ("0" * 64)
    with partial_file(folder, bytes(32)) as one:
        clear_old(folder, lambda digests: set(digests))
        assert name.exists()
        with partial_file(folder, bytes(32)) as two:
            discard(two)
        assert name.exists()
        name.rename(tmp_path / "object")  # into the store
        with partial_file(folder, bytes(32)) as three:
            assert not os.path.samestat(os.fstat(one.fileno()), os.fstat(three.fileno()))
    clear_old(folder, lambda digests: set(digests))
    assert [path.name for path in tmp_path.iterdir()] == ["object"]


def test_one_who_waits_for_the_lock_does_not_get_what_was_moved_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = tmp_path / ("0" * 64)
    name.write_bytes(b"whole")
    real = fcntl.flock

    def moved_first(fd: int, how: int) -> None:
        if name.exists() and name.read_bytes() == b"whole":
            name.rename(tmp_path / "object")
        real(fd, how)

    monkeypatch.setattr("gitprov.store.partial.fcntl.flock", moved_first)
    with partial_file(str(tmp_path), bytes(32)) as file:
        file.write(b"new")
    assert (tmp_path / "object").read_bytes() == b"whole"


def test_what_nobody_went_on_with_is_removed_after_a_while_and_what_is_there_at_once(
    tmp_path: Path,
) -> None:
    killed, at_work = "d" * 64 + "-7-0badf00d", "d" * 64 + "-8-0badf00d"
    for name in ("a" * 64, "b" * 64, "c" * 64, "other", killed, at_work):
        (tmp_path / name).write_bytes(b"")
    for name in ("a" * 64, "other", killed):
        os.utime(tmp_path / name, (0, 0))
    clear_old(str(tmp_path), lambda digests: {bytes.fromhex("c" * 64)}.intersection(digests))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b" * 64, at_work, "other"]


def test_a_listing_that_never_ends_is_given_up_whatever_it_names() -> None:
    for name in ("index/no-pack", "index/" + "a" * 64):
        endless = (Listed(name, 0) for _ in itertools.count())
        with pytest.raises(MalformedError, match="more below index/ than a remote can have"):
            bounded_ids(endless, 1000, 1 << 20, "there")
