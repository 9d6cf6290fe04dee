"""What every blob store promises, held against each of them."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3

from gitprov.errors import EnvironmentFault, MalformedError, UnavailableError, VerificationError
from gitprov.model.entry import Entry
from gitprov.model.manifest import Manifest
from gitprov.store.base import LARGE, BlobStore, FileChangedError
from gitprov.store.local import LocalStore
from gitprov.store.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

ABSENT = bytes(range(32))
SMALL = b"a small blob"
BIG = bytes(range(256)) * (LARGE // 256) * 5 + b"tail"


def local(folder: Path) -> BlobStore:
    return LocalStore(str(folder / "store"))


def memory(folder: Path) -> BlobStore:
    del folder
    return MemoryStore()


@pytest.fixture(params=[local, memory])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    make: Callable[[Path], BlobStore] = request.param
    return make(tmp_path)


def put(store: BlobStore, *blobs: bytes) -> list[bytes]:
    with store.writer() as writer:
        return [writer.add(blob) for blob in blobs]


def put_file(store: BlobStore, path: Path, size: int | None = None) -> bytes:
    with path.open("rb") as file, store.writer() as writer:
        length = path.stat().st_size if size is None else size
        return writer.add_file(str(path), fd=file.fileno(), size=length, link="auto")


def drain(store: BlobStore, digest: bytes) -> None:
    with store.open(digest) as stream:
        while stream.read(100_000):
            pass


def manifest() -> Manifest:
    return Manifest.of([Entry(b"a", "f", blake3(SMALL).digest(), len(SMALL))])


def test_a_file_of_the_callers_own_is_moved_in_and_read_only(
    store: BlobStore, tmp_path: Path
) -> None:
    digest = blake3(BIG).digest()
    for _ in range(2):  # the second time it is there already
        (tmp_path / "own").write_bytes(BIG)
        with store.writer() as writer:
            writer.add_known_file(digest, str(tmp_path / "own"))
            assert writer.has(digest)
            assert not (tmp_path / "own").exists()
        assert store.read(digest) == BIG
    if isinstance(store, LocalStore):
        path = store.path_of(digest)
        assert path is not None
        assert Path(path).stat().st_mode & 0o222 == 0
    with store.writer() as writer, pytest.raises(EnvironmentFault, match="cannot"):
        writer.add_known_file(ABSENT, str(tmp_path / "own"))
    assert not store.has([ABSENT])


def test_a_blob_comes_back_under_its_blake3_digest(store: BlobStore) -> None:
    for blob in (b"", SMALL, BIG, bytes(LARGE), bytes(LARGE - 1)):
        (digest,) = put(store, blob)
        assert digest == blake3(blob).digest()
        assert store.read(digest) == blob
        assert store.size(digest) == len(blob)


def test_a_manifest_comes_back_under_its_merkle_root(store: BlobStore) -> None:
    listing = manifest()
    with store.writer() as writer:
        writer.add_manifest(listing.root.raw, listing.to_bytes())
    assert store.read(listing.root.raw) == listing.to_bytes()
    assert dict(store.read_many([listing.root.raw])) == {listing.root.raw: listing.to_bytes()}


def test_a_manifest_under_a_foreign_root_is_never_handed_out(store: BlobStore) -> None:
    with store.writer() as writer:
        writer.add_manifest(ABSENT, manifest().to_bytes())
    with pytest.raises(VerificationError, match=ABSENT.hex()):
        store.read(ABSENT)


def test_bytes_that_are_no_manifest_are_never_handed_out_as_one(store: BlobStore) -> None:
    with store.writer() as writer:
        writer.add_manifest(blake3(SMALL).digest(), SMALL)
    with pytest.raises(VerificationError, match=blake3(SMALL).hexdigest()):
        store.read(blake3(SMALL).digest())


def test_bytes_that_do_not_match_are_set_aside_and_adding_the_right_ones_repairs(
    store: BlobStore,
) -> None:
    digest = blake3(SMALL).digest()
    with store.writer() as writer:
        writer.add_known(digest, b"something else")
    with pytest.raises(VerificationError, match=digest.hex()):
        store.read(digest)
    assert store.has([digest]) == set()
    put(store, SMALL)
    assert store.read(digest) == SMALL


def test_a_large_blob_that_does_not_match_is_set_aside_as_well(store: BlobStore) -> None:
    digest = blake3(BIG).digest()
    with store.writer() as writer:
        writer.add_known(digest, BIG[::-1])
    with pytest.raises(VerificationError, match=digest.hex()):
        drain(store, digest)
    with pytest.raises(UnavailableError):
        store.read(digest)


def test_a_file_comes_back_whatever_its_size(store: BlobStore, tmp_path: Path) -> None:
    for size in (0, 1, 4095, LARGE - 1, LARGE, LARGE + 1, 4 << 20, (9 << 20) + 4097):
        blob = os.urandom(size)
        path = tmp_path / str(size)
        path.write_bytes(blob)
        digest = put_file(store, path)
        assert digest == blake3(blob).digest()
        with store.open(digest) as stream:
            assert stream.read() == blob


def test_sizes_of_many_are_told_at_once_and_what_is_missing_is_left_out(
    store: BlobStore, tmp_path: Path
) -> None:
    sizes = {}
    for size in (0, 1, 4095, LARGE, 4 << 20):
        path = tmp_path / str(size)
        path.write_bytes(os.urandom(size))
        sizes[put_file(store, path)] = size
    assert store.sizes([*sizes, bytes(32)]) == sizes
    assert all(store.size(digest) == size for digest, size in sizes.items())


def test_a_file_of_another_size_than_believed_is_refused_and_nothing_is_visible(
    store: BlobStore, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    for size in (100, LARGE * 3):
        blob = os.urandom(size)
        path.write_bytes(blob)
        for believed in (size - 1, size + 1):
            with pytest.raises(FileChangedError, match=str(path)):
                put_file(store, path, believed)
        assert store.has([blake3(blob).digest()]) == set()


def test_what_is_absent_is_unavailable(store: BlobStore) -> None:
    with pytest.raises(UnavailableError, match=ABSENT.hex()):
        store.read(ABSENT)
    with pytest.raises(UnavailableError, match=ABSENT.hex()):
        store.open(ABSENT)
    with pytest.raises(UnavailableError, match=ABSENT.hex()):
        store.size(ABSENT)
    with pytest.raises(UnavailableError, match=ABSENT.hex()):
        list(store.read_many([ABSENT]))
    (digest,) = put(store, SMALL)
    with pytest.raises(UnavailableError, match=ABSENT.hex()):
        list(store.read_many([digest, ABSENT]))


def test_has_tells_those_that_are_there(store: BlobStore) -> None:
    assert store.has([ABSENT]) == set()
    digests = put(store, SMALL, BIG, b"third")
    assert store.has([*digests, ABSENT, digests[0]]) == set(digests)
    assert store.has([]) == set()


def test_has_and_read_many_hold_for_thousands(store: BlobStore) -> None:
    blobs = [str(number).encode() * 10 for number in range(5000)]
    digests = put(store, *blobs)
    absent = [blake3(blob + b"!").digest() for blob in blobs]
    assert store.has(digests + absent) == set(digests)
    assert dict(store.read_many(digests)) == dict(zip(digests, blobs, strict=True))
    assert dict(store.read_many(digests[:3000])) == dict(zip(digests[:3000], blobs, strict=False))


def test_read_many_gives_each_digest_once(store: BlobStore) -> None:
    digests = put(store, SMALL, BIG)
    found = list(store.read_many([*digests, *digests]))
    assert sorted(found) == sorted(zip(digests, [SMALL, BIG], strict=True))


def test_nothing_is_visible_before_the_commit(store: BlobStore) -> None:
    with store.writer() as writer:
        digests = [writer.add(SMALL), writer.add(BIG)]
        assert all(writer.has(digest) for digest in digests)
        assert not writer.has(ABSENT)
        assert store.has(digests) == set()
        writer.commit()
        assert store.has(digests) == set(digests)


def test_an_exception_leaves_nothing_visible(store: BlobStore) -> None:
    digests: list[bytes] = []

    def add_and_fail() -> None:
        with store.writer() as writer:
            digests.extend((writer.add(SMALL), writer.add(BIG)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add_and_fail()
    assert store.has(digests) == set()
    put(store, SMALL, BIG)
    assert store.has(digests) == set(digests)


def test_what_was_committed_before_an_exception_stays(store: BlobStore) -> None:
    digests: list[bytes] = []

    def commit_and_fail() -> None:
        with store.writer() as writer:
            digests.append(writer.add(SMALL))
            writer.commit()
            digests.append(writer.add(BIG))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        commit_and_fail()
    assert store.has(digests) == {blake3(SMALL).digest()}


def test_adding_again_changes_nothing(store: BlobStore) -> None:
    first = put(store, SMALL, BIG, SMALL)
    assert put(store, SMALL, BIG) == first[:2]
    assert store.read(first[0]) == SMALL
    assert store.read(first[1]) == BIG


def test_a_stream_gives_the_bytes_in_any_portion(store: BlobStore) -> None:
    for digest, blob in zip(put(store, SMALL, BIG), (SMALL, BIG), strict=True):
        for portion in (1 << 10, 1 << 18, len(blob), len(blob) + 1):
            with store.open(digest) as stream:
                parts = []
                while part := stream.read(portion):
                    parts.append(part)
            assert b"".join(parts) == blob


def test_a_digest_of_another_length_is_refused(store: BlobStore) -> None:
    for digest in (b"", b"../../etc/passwd", bytes(31), bytes(33)):
        with pytest.raises(MalformedError), store.writer() as writer:
            writer.add_known(digest, SMALL)
        with pytest.raises((MalformedError, UnavailableError)):
            store.read(digest)
