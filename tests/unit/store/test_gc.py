"""Collecting: what is live stays and reads, what is not goes, and packs become few."""

import os
from pathlib import Path
from random import Random

import pytest

from gitprov.errors import UnavailableError
from gitprov.store.base import LARGE
from gitprov.store.local import LocalStore
from tests.unit.store.support import LARGE_BLOB, digest_of, fill, flip, objects, packs, put


def test_what_is_not_live_goes_and_what_is_live_stays(store: LocalStore) -> None:
    content = fill(store)
    dead = [*put(store, b"dead"), *put(store, bytes(LARGE))]
    collected = store.collect(lambda: set(content), dry_run=False)
    assert collected.removed == 2
    assert collected.removed_bytes == len(b"dead") + LARGE
    assert collected.kept == len(content)
    assert collected.kept_bytes == sum(map(len, content.values()))
    assert store.has(dead) == set()
    assert dict(store.read_many(content)) == content
    assert len(objects(store)) == 1
    assert list(store.verify_all()) == []


def test_a_dry_run_counts_the_same_and_touches_nothing(store: LocalStore) -> None:
    content = fill(store)
    put(store, b"dead")
    before = {path: path.stat() for path in (*packs(store), *objects(store))}
    dry = store.collect(lambda: set(content), dry_run=True)
    assert {path: path.stat() for path in before} == before
    wet = store.collect(lambda: set(content), dry_run=False)
    assert (dry.removed, dry.removed_bytes, dry.kept) == (wet.removed, wet.removed_bytes, wet.kept)


def test_nothing_live_leaves_an_empty_store(store: LocalStore) -> None:
    content = fill(store)
    assert store.collect(set, dry_run=False).removed == len(content)
    assert packs(store) == objects(store) == []
    assert store.has(content) == set()
    fill(store)
    assert dict(store.read_many(content)) == content


def test_small_packs_are_joined_into_one(store: LocalStore) -> None:
    blobs = [f"blob {number}".encode() for number in range(10)]
    digests = [put(store, blob)[0] for blob in blobs]
    assert len(packs(store)) == 10
    assert store.collect(lambda: set(digests), dry_run=False).packs_rewritten == 10
    assert len(packs(store)) == 1
    assert dict(store.read_many(digests)) == dict(zip(digests, blobs, strict=True))
    # And the next time there is nothing to do.
    (path,) = packs(store)
    assert store.collect(lambda: set(digests), dry_run=False).packs_rewritten == 0
    assert packs(store) == [path]


def test_a_mostly_dead_pack_is_rewritten_and_a_mostly_live_one_is_not(store: LocalStore) -> None:
    random = Random(1)
    blobs = [random.randbytes(100_000) for _ in range(60)]
    digests = put(store, *blobs)
    store.collect(lambda: set(digests[:40]), dry_run=False)
    assert sum(path.stat().st_size for path in packs(store)) > 6_000_000
    store.collect(lambda: set(digests[:20]), dry_run=False)
    assert sum(path.stat().st_size for path in packs(store)) < 2_100_000
    assert dict(store.read_many(digests[:20])) == dict(zip(digests[:20], blobs, strict=False))
    assert list(store.verify_all()) == []


def test_a_reader_that_had_the_old_pack_open_reads_on(store: LocalStore) -> None:
    digests = [put(store, str(number).encode())[0] for number in range(5)]
    with LocalStore(store.root) as other:
        reading = other.read_many(digests)
        first = next(reading)
        store.collect(lambda: set(digests), dry_run=False)
        assert dict([first, *reading]).keys() == set(digests)
        assert all(other.read(digest) for digest in digests)


def test_live_is_asked_while_no_writer_can_run_and_may_read(store: LocalStore) -> None:
    content = fill(store)

    def live() -> set[bytes]:
        return {digest for digest, _ in store.read_many(content)}

    assert store.collect(live, dry_run=False).removed == 0


def test_a_failing_live_removes_nothing(store: LocalStore) -> None:
    content = fill(store)

    def live() -> set[bytes]:
        raise UnavailableError("a ref cannot be read")

    with pytest.raises(UnavailableError):
        store.collect(live, dry_run=False)
    assert dict(store.read_many(content)) == content


def test_a_pack_whose_rows_were_never_committed_is_taken_in(store: LocalStore) -> None:
    fill(store)
    with LocalStore(store.root + "-other") as other:
        (digest,) = put(other, b"from a killed writer")
        (orphan,) = packs(other)
        target = Path(store.root, "packs", orphan.name)
        orphan.rename(target)
    assert list(store.verify_all()) == []
    assert store.has([digest]) == set()
    store.collect(lambda: {digest}, dry_run=False)
    assert store.read(digest) == b"from a killed writer"
    assert list(store.verify_all()) == []


def test_a_pack_that_holds_nothing_new_or_nothing_good_is_removed(store: LocalStore) -> None:
    content = fill(store)
    (path,) = packs(store)
    Path(store.root, "packs", "0" * 32 + ".pack").write_bytes(path.read_bytes())
    Path(store.root, "packs", "1" * 32 + ".pack").write_bytes(b"garbage")
    store.collect(lambda: set(content), dry_run=False)
    assert packs(store) == [path]
    assert dict(store.read_many(content)) == content


def test_damage_met_while_rewriting_is_set_aside_and_the_rest_is_kept(store: LocalStore) -> None:
    digests = [put(store, f"blob {number}".encode())[0] for number in range(4)]
    flip(packs(store)[2], 16 + 41)
    collected = store.collect(lambda: set(digests), dry_run=False)
    (bad,) = collected.damaged
    assert store.has(digests) == set(digests) - {bad}
    assert len(list(Path(store.root, "quarantine").iterdir())) == 1
    assert list(store.verify_all()) == []


def test_a_hardlinked_original_outlives_the_store(store: LocalStore, tmp_path: Path) -> None:
    (digest,) = put(store, LARGE_BLOB)
    path = store.path_of(digest)
    assert path is not None
    os.link(path, tmp_path / "worktree")
    store.collect(set, dry_run=False)
    assert digest_of((tmp_path / "worktree").read_bytes()) == digest
