"""Remotes that another program wrote: what they may do is read, and what they may not is named."""

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from blake3 import blake3

from gitprov.model import remote_index
from gitprov.model.remote_index import Kind, Recipe, format_recipe
from gitprov.store.local import LocalStore
from gitprov.store.remote import Remote, Wanted
from gitprov.store.remote_check import Inspection, Inspector
from gitprov.store.remote_fetch import Fetched, Fetcher
from gitprov.store.remote_pack import PackBuilder, index_name, pack_name
from gitprov.store.transport_folder import FolderTransport

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
