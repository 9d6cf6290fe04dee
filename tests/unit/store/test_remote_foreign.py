"""Remotes that others wrote or damaged: what can be had comes, what cannot is named."""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from blake3 import blake3

from gitprov.errors import UnavailableError, VerificationError
from gitprov.model import remote_index
from gitprov.model.remote_index import Entry, Kind, Recipe, format_index, format_recipe, parse_index
from gitprov.store import remote_fetch
from gitprov.store.local import LocalStore
from gitprov.store.remote import Remote, Wanted
from gitprov.store.remote_check import Inspection, Inspector
from gitprov.store.remote_fetch import Fetched, Fetcher
from gitprov.store.remote_gc import collect
from gitprov.store.remote_pack import PackBuilder, index_name, pack_name
from gitprov.store.transport import Listed
from gitprov.store.transport_folder import FolderTransport
from tests.unit.store.support import flip

Named = tuple[Kind, bytes, bytes]
"""Kind, digest and bytes of a block."""

LARGE = [random.Random(number).randbytes(70_000) for number in range(10)]
"""The chunks of a large file, cut where no writer of ours would."""
WHOLE = b"".join(LARGE)
NAME = blake3(WHOLE).digest()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "remote").mkdir()
    with opened(tmp_path / "remote", create=True):
        return tmp_path / "remote"


@contextmanager
def opened(place: Path, *, create: bool = False) -> Iterator[Remote]:
    with Remote(FolderTransport(str(place)), str(place.parent / "cache")) as made:
        made.connect(create=create)
        yield made


def lay(place: Path, *blocks: Named, salt: bytes = b"") -> str:
    """Writes a pack and its index, and returns its id."""
    pack = PackBuilder()
    for kind, digest, block in blocks:
        pack.add(kind, digest, block, blake3(block).digest())
    pack_id, data, index = pack.finish(salt)
    transport = FolderTransport(str(place))
    transport.put(pack_name(pack_id), data)
    transport.put(index_name(pack_id), index)
    transport.close()
    return pack_id


def blob(data: bytes) -> Named:
    return "b", blake3(data).digest(), data


def chunk(data: bytes) -> Named:
    return "c", blake3(data).digest(), data


def recipe(*parts: Sequence[bytes], size: int = len(WHOLE)) -> list[Named]:
    """Returns the blocks of a recipe that is cut into these."""
    blocks: list[bytes] = []
    for part in parts:
        after = blake3(blocks[-1]).digest() if blocks else b""
        chunks = tuple((blake3(one).digest(), len(one)) for one in part)
        blocks.append(format_recipe(Recipe(NAME, size, after, chunks)))
    return [*map(chunk, blocks[:-1]), ("B", NAME, blocks[-1])]


def fetch(place: Path, folder: Path, *digests: bytes) -> tuple[LocalStore, Fetched]:
    store = LocalStore(str(folder))
    with opened(place) as made, ThreadPoolExecutor(2) as pool, store.writer() as writer:
        fetcher = Fetcher(made, writer, pool, 2, str(folder / "partial"))
        fetcher.fetch(Wanted(digest, is_manifest=False) for digest in digests)
    return store, fetcher.result


def inspect(place: Path) -> Inspection:
    with Remote(FolderTransport(str(place)), str(place.parent / "cache")) as made:
        made.identify(create=False)
        with ThreadPoolExecutor(2) as pool:
            inspector = Inspector(made, pool, 2, lambda _: None)
            inspector.indexes()
            return inspector.run(None, 0)


@pytest.mark.parametrize("kind", ["b", "c"])
def test_a_chunk_may_be_there_as_a_blob_and_be_cut_anywhere(
    tmp_path: Path, place: Path, kind: Kind
) -> None:
    lay(place, *((kind, blake3(one).digest(), one) for one in LARGE), *recipe(LARGE))
    store, result = fetch(place, tmp_path / "store", NAME)
    assert (result.wrong, result.absent) == ([], [])
    assert store.read(NAME) == WHOLE
    assert inspect(place).problems == []


def test_a_recipe_whose_blocks_are_full_but_for_the_last_is_read(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_index, "MAX_CHUNKS", 4)
    # An earlier block may be there as a blob, too.
    earlier = [("b", *named[1:]) for named in recipe(LARGE[:4], LARGE[4:8], LARGE[8:])[:-1]]
    lay(place, *map(chunk, LARGE), *earlier, recipe(LARGE[:4], LARGE[4:8], LARGE[8:])[-1])  # type: ignore[arg-type]
    store, result = fetch(place, tmp_path / "store", NAME)
    assert result.wrong == []
    assert store.read(NAME) == WHOLE
    assert inspect(place).problems == []


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ((LARGE[:4], LARGE[4:7], LARGE[7:]), "a part of its recipe has 3 chunks, not 4"),
        (([], LARGE[:4]), "a part of its recipe has 0 chunks, not 4"),
        ((LARGE[:4], LARGE[4:8], LARGE[8:], []), "the last block of its recipe is empty"),
        (
            (LARGE[:4], LARGE[:4], LARGE[4:8], LARGE[8:]),
            "its recipe has more blocks than its size can need",
        ),
    ],
)
def test_a_recipe_that_is_cut_into_other_blocks_is_refused_by_fetch_and_fsck_alike(
    tmp_path: Path,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    parts: Sequence[Sequence[bytes]],
    reason: str,
) -> None:
    lay(place, *map(chunk, LARGE), *recipe(*parts))
    monkeypatch.setattr(remote_index, "MAX_CHUNKS", 4)
    store, result = fetch(place, tmp_path / "store", NAME)
    assert result.wrong == [(NAME, reason)]
    assert store.has([NAME]) == set()
    [problem] = inspect(place).problems
    assert (problem.kind, problem.digest) == ("recipe", NAME)
    assert problem.detail.endswith(f"cannot be put together: {reason}")


def test_an_earlier_block_of_a_recipe_is_held_against_its_digest(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = recipe(LARGE[:4], LARGE[4:8], LARGE[8:])
    pack = place / "packs" / f"{lay(place, *map(chunk, LARGE), *blocks)}.car"
    data = pack.read_bytes()
    other = format_recipe(
        Recipe(NAME, len(WHOLE), b"", tuple((blake3(LARGE[0]).digest(), 70_000) for _ in range(4)))
    )
    pack.chmod(0o600)
    pack.write_bytes(data.replace(blocks[0][2], other))
    monkeypatch.setattr(remote_index, "MAX_CHUNKS", 4)
    _, result = fetch(place, tmp_path / "store", NAME)
    assert result.wrong == [(NAME, "a part of its recipe is damaged")]


SMALL = [b"%d" % number * 3000 for number in range(5)]
ALL = [NAME, *(blake3(one).digest() for one in SMALL)]


def twice(place: Path) -> list[Path]:
    """Lays the same things into two packs; returns the packs in the order they are looked at."""
    blocks = [*map(blob, SMALL), *map(chunk, LARGE), *recipe(LARGE)]
    ids = [lay(place, *blocks), lay(place, *blocks, salt=bytes(32))]
    return [place / "packs" / f"{one}.car" for one in sorted(ids)]


def change(path: Path, edit: Callable[[bytes], bytes]) -> None:
    path.chmod(0o600)
    path.write_bytes(edit(path.read_bytes()))


HARMS: dict[str, Callable[[Path], None]] = {
    "empty": lambda pack: change(pack, lambda _: b""),
    "cut in the middle": lambda pack: change(pack, lambda data: data[: len(data) // 2]),
    "cut in its list": lambda pack: change(pack, lambda data: data[:-10]),
    "a blob": lambda pack: change(pack, lambda data: data.replace(SMALL[2], bytes(3000))),
    "a chunk": lambda pack: change(pack, lambda data: data.replace(LARGE[2], bytes(70_000))),
    "its recipe": lambda pack: change(pack, lambda data: data.replace(b"GPRR", b"GPRQ")),
    "everything": lambda pack: change(pack, lambda data: bytes(len(data))),
    "missing": lambda pack: pack.unlink(),
    "index": lambda pack: change(
        pack.parent.parent / "index" / pack.stem, lambda data: data[:99] + b"?" + data[100:]
    ),
}


@pytest.mark.parametrize("harmed", [0, 1])
@pytest.mark.parametrize("harm", HARMS)
def test_what_is_damaged_in_one_pack_comes_from_another(
    tmp_path: Path, place: Path, harm: str, harmed: int
) -> None:
    HARMS[harm](twice(place)[harmed])
    store, result = fetch(place, tmp_path / "store", *ALL)
    assert (result.wrong, result.absent, result.objects) == ([], [], len(ALL))
    assert store.has(ALL) == set(ALL)
    assert store.read(NAME) == WHOLE


@pytest.mark.parametrize("harm", ["a blob", "a chunk", "its recipe"])
def test_what_is_damaged_in_every_pack_is_named_once_and_the_rest_comes(
    tmp_path: Path, place: Path, harm: str
) -> None:
    for pack in twice(place):
        HARMS[harm](pack)
    store, result = fetch(place, tmp_path / "store", *ALL)
    [(digest, _)] = result.wrong
    assert digest == (ALL[3] if harm == "a blob" else NAME)
    assert (result.absent, store.has(ALL)) == ([], {*ALL} - {digest})


def test_an_index_that_names_what_lies_past_the_end_of_its_pack_hides_nothing_else(
    tmp_path: Path, place: Path
) -> None:
    pack_id = lay(place, *map(blob, SMALL))

    def edit(data: bytes) -> bytes:
        lie = Entry("b", NAME, 1 << 30, 5)
        return format_index([*parse_index(data, what="x"), lie])

    change(place / "index" / pack_id, edit)
    store, result = fetch(place, tmp_path / "store", *ALL)
    assert result.wrong == [(NAME, f"the pack {pack_id} is cut short")]
    assert store.has(ALL) == {*ALL[1:]}


def test_nothing_is_collected_where_what_is_live_was_found_damaged(
    tmp_path: Path, place: Path
) -> None:
    """What is live is read first, through the same remote, and any copy will do for that."""
    first, _ = twice(place)
    HARMS["cut in the middle"](first)
    store = LocalStore(str(tmp_path / "store"))
    with opened(place) as made, ThreadPoolExecutor(1) as pool, store.writer() as writer:

        def live() -> set[bytes]:
            fetcher = Fetcher(made, writer, pool, 1, str(tmp_path / "partial"))
            fetcher.fetch(Wanted(digest, is_manifest=False) for digest in ALL)
            assert fetcher.result.wrong == []
            return set()

        with pytest.raises(VerificationError, match=f"the pack {first.stem} is damaged; nothing"):
            collect(made, live, now=0, grace=0, act=True, jobs=1)
    assert first.exists()


def test_nothing_is_collected_where_an_index_is_damaged(place: Path) -> None:
    first, _ = twice(place)
    HARMS["index"](first)
    with opened(place) as made, pytest.raises(VerificationError, match="nothing was removed"):
        collect(made, lambda: {NAME}, now=0, grace=0, act=True, jobs=1)
    assert first.exists()


def test_two_blobs_that_share_a_damaged_chunk_both_come_from_another_pack(
    tmp_path: Path, place: Path
) -> None:
    packs = sorted(lay(place, chunk(LARGE[0]), salt=bytes([salt])) for salt in range(2))
    names = []
    for other in LARGE[1:3]:
        whole = LARGE[0] + other
        chunks = tuple((blake3(one).digest(), len(one)) for one in (LARGE[0], other))
        names.append(blake3(whole).digest())
        block = format_recipe(Recipe(names[-1], len(whole), b"", chunks))
        lay(place, chunk(other), ("B", names[-1], block))
    flip(place / pack_name(packs[0]), (place / pack_name(packs[0])).read_bytes().find(LARGE[0]))
    store, result = fetch(place, tmp_path / "store", *names)
    assert (result.wrong, result.absent) == ([], [])
    assert store.has(names) == {*names}


def test_a_blob_comes_whose_chunks_are_damaged_in_more_packs_than_one_look_finds(
    tmp_path: Path, place: Path
) -> None:
    # A look ends at the first wrong chunk: the packs with the good ones come last.
    for part in LARGE:
        ids = sorted(lay(place, chunk(part), salt=bytes([salt])) for salt in range(5))
        for path in (place / pack_name(bad) for bad in ids[:4]):
            flip(path, path.read_bytes().find(part))
    lay(place, *recipe(LARGE))
    store, result = fetch(place, tmp_path / "store", NAME)
    assert (result.wrong, result.absent) == ([], [])
    assert store.read(NAME) == WHOLE


def test_a_blob_comes_although_many_packs_are_missing(tmp_path: Path, place: Path) -> None:
    ids = sorted(lay(place, *map(blob, SMALL), salt=bytes([salt])) for salt in range(12))
    for pack in ids[:11]:
        (place / pack_name(pack)).unlink()
    store, result = fetch(place, tmp_path / "store", *ALL[1:])
    assert (result.wrong, result.absent) == ([], [])
    assert store.has(ALL) == {*ALL[1:]}


def test_a_server_that_makes_up_packs_without_end_is_left(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_fetch, "_LOOKS", 4)
    made_up = blob(b"x" * 1000)
    looks: list[str] = []

    class Endless(FolderTransport):
        def list(self, prefix: str = "") -> Iterator[Listed]:
            if prefix == "index":
                looks.append(lay(place, made_up, salt=len(looks).to_bytes(32, "big")))
                flip(place / pack_name(looks[-1]), at=500)
            return super().list(prefix)

    with (
        Remote(Endless(str(place)), str(tmp_path / "cache")) as made,
        ThreadPoolExecutor(1) as pool,
        LocalStore(str(tmp_path / "store")).writer() as writer,
    ):
        made.connect(create=False)
        fetcher = Fetcher(made, writer, pool, 1, str(tmp_path / "partial"))
        with pytest.raises(UnavailableError, match="lists something else whenever it is asked"):
            fetcher.fetch([Wanted(made_up[1], is_manifest=False)])
    assert len(looks) == 5
