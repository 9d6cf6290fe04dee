"""The store in a folder: what lies where, and what happens to what is damaged."""

import collections
import contextlib
import os
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gitprov.errors import EnvironmentFault, GitprovError, UnavailableError, VerificationError
from gitprov.store.base import LARGE
from gitprov.store.local import LocalStore
from tests.unit.store.support import (
    BLOBS,
    LARGE_BLOB,
    digest_of,
    fill,
    flip,
    listing,
    objects,
    packs,
    put,
)


def test_reading_from_a_folder_that_is_not_there_makes_nothing(tmp_path: Path) -> None:
    with LocalStore(str(tmp_path / "store")) as store:
        assert store.has([bytes(32)]) == set()
        with pytest.raises(UnavailableError):
            store.read(bytes(32))
        assert list(store.read_many([])) == []
        assert list(store.verify_all()) == []
        assert store.collect(set, dry_run=False).removed == 0
        assert store.stats().packs == 0
    assert not (tmp_path / "store").exists()


def test_small_blobs_and_manifests_share_a_pack_and_large_ones_are_files(store: LocalStore) -> None:
    fill(store)
    assert len(packs(store)) == 1
    name = digest_of(LARGE_BLOB).hex()
    (path,) = objects(store)
    assert path == Path(store.root, "objects", name[:2], name[2:])
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert path.read_bytes() == LARGE_BLOB
    assert store.path_of(digest_of(LARGE_BLOB)) == str(path)
    assert store.path_of(digest_of(BLOBS[1])) is None
    assert list(Path(store.root, "tmp").iterdir()) == []


def test_a_large_manifest_is_packed_too(store: LocalStore) -> None:
    data = bytes(LARGE)
    with store.writer() as writer:
        writer.add_manifest(bytes(32), data)
    assert objects(store) == []


def test_an_add_that_adds_nothing_new_writes_nothing(store: LocalStore) -> None:
    fill(store)
    before = [path.stat() for path in (*packs(store), *objects(store))]
    fill(store)
    assert [path.stat() for path in (*packs(store), *objects(store))] == before


def test_another_process_view_sees_the_commit_at_once(store: LocalStore) -> None:
    with LocalStore(store.root) as other:
        fill(store)
        assert other.read(digest_of(BLOBS[1])) == BLOBS[1]
        put(store, b"later")
        assert other.read(digest_of(b"later")) == b"later"


def test_the_store_reads_from_many_threads(store: LocalStore) -> None:
    content = fill(store)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(store.read, list(content) * 50)) == list(content.values()) * 50


def test_a_flip_of_any_byte_of_a_pack_is_found_and_no_wrong_byte_is_handed_out(
    store: LocalStore,
) -> None:
    content = fill(store, large=False)
    (path,) = packs(store)
    whole = path.read_bytes()
    for at in range(len(whole)):
        flip(path, at)
        with LocalStore(store.root) as other:
            problems = list(other.verify_all())
            assert problems, f"byte {at}"
            assert all(str(path) in problem.path for problem in problems)
        path.write_bytes(whole)
    assert list(store.verify_all()) == []
    assert dict(store.read_many(content)) == content


def test_a_flip_in_a_packed_blob_sets_it_aside_and_adding_it_again_repairs(
    store: LocalStore,
) -> None:
    content = fill(store, large=False)
    (path,) = packs(store)
    for digest, blob in content.items():
        at = path.read_bytes().index(digest)
        flip(path, at + 41 if blob else at)
        with pytest.raises(VerificationError, match=digest.hex()):
            store.read(digest)
        with pytest.raises(UnavailableError, match=digest.hex()):
            store.read(digest)
        flip(path, at + 41 if blob else at)
    assert len(list(Path(store.root, "quarantine").iterdir())) == len(content)
    fill(store, large=False)
    assert dict(store.read_many(content)) == content
    assert list(store.verify_all()) == []


def test_read_many_sets_aside_as_read_does(store: LocalStore) -> None:
    content = fill(store)
    digest = digest_of(BLOBS[2])
    (path,) = packs(store)
    flip(path, path.read_bytes().index(BLOBS[2]))
    with pytest.raises(VerificationError, match=digest.hex()):
        list(store.read_many(content))
    assert store.has([digest]) == set()
    (moved,) = Path(store.root, "quarantine").iterdir()
    assert moved.name.startswith(digest.hex())


def test_a_flip_of_any_byte_of_a_large_blob_is_found(store: LocalStore) -> None:
    digest = digest_of(LARGE_BLOB)
    for at in (0, 1, LARGE // 2, len(LARGE_BLOB) - 1):
        put(store, LARGE_BLOB)
        (path,) = objects(store)
        flip(path, at, 0x80)
        assert [problem.digest for problem in store.verify_all()] == [digest]
        with pytest.raises(VerificationError, match=digest.hex()):
            store.path_of(digest)
        assert store.has([digest]) == set()
        assert objects(store) == []
    put(store, LARGE_BLOB)
    assert list(store.verify_all()) == []


@pytest.mark.parametrize("length", [0, 1, LARGE, len(LARGE_BLOB) - 1, len(LARGE_BLOB) + 1])
def test_a_large_blob_of_another_length_is_never_handed_out(store: LocalStore, length: int) -> None:
    (digest,) = put(store, LARGE_BLOB)
    (path,) = objects(store)
    path.chmod(0o644)
    os.truncate(path, length)
    with store.open(digest) as stream, pytest.raises(VerificationError):
        collections.deque(iter(lambda: stream.read(1 << 16), b""))
    assert store.has([digest]) == set()


def test_the_last_bytes_of_a_damaged_stream_are_never_delivered(store: LocalStore) -> None:
    (digest,) = put(store, LARGE_BLOB)
    flip(objects(store)[0], 0)
    with store.open(digest) as stream, pytest.raises(VerificationError):
        # Exactly the size: a caller that stops here must have been told.
        stream.read(len(LARGE_BLOB))


def test_quarantine_moves_what_is_damaged_and_leaves_what_is_not(store: LocalStore) -> None:
    content = fill(store)
    assert not any(store.quarantine(digest) for digest in content)
    flip(objects(store)[0], 5)
    assert store.quarantine(digest_of(LARGE_BLOB))
    with pytest.raises(UnavailableError):
        store.quarantine(digest_of(LARGE_BLOB))


def test_a_damaged_blob_in_a_store_that_cannot_be_written_is_still_not_handed_out(
    store: LocalStore,
) -> None:
    (digest,) = put(store, LARGE_BLOB)
    flip(objects(store)[0], 5)
    Path(store.root, "quarantine").rmdir()
    Path(store.root, "quarantine").write_bytes(b"in the way")
    with pytest.raises(VerificationError, match="cannot be moved"):
        store.read(digest)


def test_a_missing_pack_makes_its_blobs_unavailable_and_fsck_says_so(store: LocalStore) -> None:
    content = fill(store, large=False)
    packs(store)[0].unlink()
    for digest in content:
        with pytest.raises(UnavailableError, match=digest.hex()):
            store.read(digest)
    assert {problem.digest for problem in store.verify_all()} == {None, *content}
    store.rebuild_index()
    fill(store, large=False)
    assert dict(store.read_many(content)) == content


def test_a_file_that_does_not_belong_there_is_named(store: LocalStore) -> None:
    fill(store)
    for name in ("stray", "zz/0", "ab/stray", "ab/" + "A" * 62):
        path = Path(store.root, "objects", name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    found = {os.path.relpath(p.path, Path(store.root, "objects")) for p in store.verify_all()}
    assert found == {"stray", "zz", "ab/stray", "ab/" + "A" * 62}


def test_a_link_in_the_place_of_a_blob_is_not_followed(store: LocalStore, tmp_path: Path) -> None:
    (digest,) = put(store, LARGE_BLOB)
    (path,) = objects(store)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(GitprovError):
        store.read(digest)
    assert [problem.path for problem in store.verify_all()]


# ---------------------------------------------------------------- the index


def test_the_index_is_made_again_from_the_packs_alone(store: LocalStore) -> None:
    content = fill(store)
    content |= dict.fromkeys(put(store, b"more"), b"more")
    store.close()
    for path in Path(store.root).glob("index.db*"):
        path.unlink()
    with pytest.raises(EnvironmentFault, match="index") as caught:
        store.read(digest_of(b"more"))
    assert caught.value.hint is not None
    assert "rebuild-index" in caught.value.hint
    with pytest.raises(EnvironmentFault, match="index"), store.writer():
        pass
    rebuilt = store.rebuild_index()
    assert (rebuilt.packs, rebuilt.blobs, rebuilt.problems) == (2, len(content) - 1, [])
    assert dict(store.read_many(content)) == content
    assert list(store.verify_all()) == []


def test_the_index_is_made_again_when_it_is_garbage(store: LocalStore) -> None:
    content = fill(store)
    store.close()
    Path(store.root, "index.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(EnvironmentFault, match="damaged"):
        store.has(content)
    store.rebuild_index()
    assert dict(store.read_many(content)) == content


def test_making_the_index_again_leaves_out_what_is_damaged(store: LocalStore) -> None:
    content = fill(store)
    (path,) = packs(store)
    flip(path, path.read_bytes().index(BLOBS[3]))
    rebuilt = store.rebuild_index()
    assert [problem.digest for problem in rebuilt.problems] == [digest_of(BLOBS[3])]
    assert store.has(content) == content.keys() - {digest_of(BLOBS[3])}
    fill(store)
    assert dict(store.read_many(content)) == content


def test_a_flip_anywhere_in_the_index_gives_right_bytes_or_an_error(store: LocalStore) -> None:
    content = fill(store, large=False)
    store.close()
    path = Path(store.root, "index.db")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()
    whole = path.read_bytes()
    # Every byte that is used; most of a page is empty.
    used = [at for at, byte in enumerate(whole) if byte]
    for at in used[::3]:
        damaged = bytearray(whole)
        damaged[at] ^= 0x11
        path.write_bytes(damaged)
        with LocalStore(store.root) as other:
            for digest, blob in content.items():
                with contextlib.suppress(GitprovError):
                    assert other.read(digest) == blob
                    assert dict(other.read_many([digest])) == {digest: blob}
            with contextlib.suppress(GitprovError):
                list(other.verify_all())
        for leftover in Path(store.root).glob("index.db-*"):
            leftover.unlink()
    path.write_bytes(bytes(len(whole)))
    store.rebuild_index()
    assert dict(store.read_many(content)) == content


def test_wrong_rows_in_the_index_are_noticed(store: LocalStore) -> None:
    content = fill(store, large=False)
    digest = digest_of(BLOBS[3])
    store.close()
    for change in (
        "offset=offset+1",
        "offset=-1",
        "offset=1<<61",
        "size=size+1",
        "size=1<<61",
        "kind=0",
        "pack=999",
        "offset='abc'",
        "size=x'00'",
    ):
        connection = sqlite3.connect(Path(store.root, "index.db"), isolation_level=None)
        connection.execute(f"UPDATE blobs SET {change} WHERE digest=?", (digest,))  # noqa: S608
        connection.close()
        with LocalStore(store.root) as other, pytest.raises(GitprovError):
            other.read(digest)
        with LocalStore(store.root) as other:
            assert other.rebuild_index().problems == []
            assert dict(other.read_many(content)) == content


def test_a_sample_looks_at_the_chosen_share(store: LocalStore) -> None:
    fill(store, large=False)
    (path,) = packs(store)
    flip(path, path.read_bytes().index(listing().to_bytes()))
    assert list(store.verify_all(sample=0.5, choose=lambda: 0.9)) == []
    found = list(store.verify_all(sample=0.5, choose=lambda: 0.1))
    assert [problem.digest for problem in found] == [listing().root.raw]


def test_fsck_that_sets_aside_leaves_a_store_that_adding_repairs(store: LocalStore) -> None:
    content = fill(store)
    (path,) = packs(store)
    flip(path, path.read_bytes().index(BLOBS[3]))
    flip(objects(store)[0], 7)
    named = {problem.digest for problem in store.verify_all(quarantine=True)} - {None}
    assert named == {digest_of(BLOBS[3]), digest_of(LARGE_BLOB)}
    assert list(store.verify_all()) == []
    fill(store)
    assert dict(store.read_many(content)) == content


def test_progress_counts_the_bytes(store: LocalStore) -> None:
    content = fill(store)
    told: list[int] = []
    assert list(store.verify_all(progress=told.append)) == []
    assert sum(told) == sum(map(len, content.values()))
