"""Manifests: one encoding, every deviation refused, bombs cheap."""

from typing import Any

import msgspec
import pytest

from gitprov.core.digest import Digest
from gitprov.errors import MalformedError
from gitprov.model import manifest as module
from gitprov.model.entry import Entry, leaf, leaf_hashes, manifest_root
from gitprov.model.manifest import Manifest

ZERO = bytes(32)
A = Entry(b"a", "f", Digest.of(b"a").raw, 1)
B = Entry(b"b", "d", ZERO, 12)
PLAIN = Manifest.of([A, B])

encode = msgspec.msgpack.encode


def rows(*entries: tuple[Any, ...]) -> bytes:
    return encode([1, [list(entry) for entry in entries]])


def test_entries_are_sorted_by_the_bytes_of_their_names() -> None:
    names = [b"b", b"a.b", b"a", "\u00fc".encode(), b"B2", b"a-b", b"~"]
    manifest = Manifest.of(Entry(name, "f", ZERO, 1) for name in names)
    assert [entry.name for entry in manifest.entries] == sorted(names)


def test_the_stored_bytes_are_the_documented_msgpack_array() -> None:
    assert PLAIN.to_bytes() == rows(A, B)
    assert msgspec.msgpack.decode(PLAIN.to_bytes()) == [1, [list(A), list(B)]]


def test_the_empty_directory_has_a_manifest() -> None:
    empty = Manifest.of([])
    assert empty.to_bytes() == b"\x92\x01\x90"
    assert Manifest.parse(b"\x92\x01\x90") == empty
    assert empty.size == 0


def test_size_and_lookup() -> None:
    assert PLAIN.size == 13
    assert PLAIN.get(b"a") == A
    assert PLAIN.get(b"c") is None


def test_a_leaf_is_kind_digest_size_name() -> None:
    assert leaf(A) == b"f" + A.digest + (1).to_bytes(8, "big") + b"a"
    assert manifest_root([A, B]) == PLAIN.root.raw
    assert len(leaf_hashes([A, B])) == 2


@pytest.mark.parametrize(
    "other",
    [
        Entry(b"b", "f", A.digest, 1),
        Entry(b"a", "x", A.digest, 1),
        Entry(b"a", "f", ZERO, 1),
        Entry(b"a", "f", A.digest, 2),
    ],
)
def test_the_root_binds_name_kind_digest_and_size(other: Entry) -> None:
    assert Manifest.of([other]).root != Manifest.of([A]).root


def test_a_name_cannot_move_into_the_size_and_out_again() -> None:
    one = Entry(b"ab", "f", ZERO, 1)
    assert len(leaf(one)) == 1 + 32 + 8 + 2


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not a manifest"),
        (b"\x90", "not a manifest"),
        (rows(A)[:-1], "not a manifest"),
        (rows(A) + b"\x00", "not a manifest"),
        (encode([2, [list(A)]]), "version 2"),
        (encode([0, []]), "version 0"),
        (encode([-1, []]), "version -1"),
        (encode([True, []]), "not a manifest"),
        (encode([1.0, []]), "not a manifest"),
        (encode(["1", []]), "not a manifest"),
        (encode([1, [], []]), "not a manifest"),
        (encode([1]), "not a manifest"),
        (encode({"version": 1}), "not a manifest"),
        (encode(None), "not a manifest"),
        (b"\x92\xcc\x01\x90", "canonical encoding"),
        (b"\x92\x01\xdc\x00\x00", "canonical encoding"),
        (b"\xdc\x00\x02\x01\x90", "canonical encoding"),
        (rows((b"a", "f", ZERO, 1)).replace(b"\xc4\x01a", b"\xc5\x00\x01a"), "canonical encoding"),
        (rows(("a", "f", ZERO, 1)), "not a manifest"),
        (rows((b"a", b"f", ZERO, 1)), "not a manifest"),
        (rows((b"a", "f", ZERO, 1, 2)), "not a manifest"),
        (rows((b"a", "f", ZERO)), "not a manifest"),
        (rows((b"a", "f", ZERO[1:], 1)), "bad digest"),
        (rows((b"a", "f", ZERO + b"\x00", 1)), "bad digest"),
        (rows((b"a", "f", b"", 1)), "bad digest"),
        (rows((b"a", "f", ZERO, -1)), "size"),
        (rows((b"a", "f", ZERO, 1 << 63)), "size"),
        (rows((b"a", "f", ZERO, 1.5)), "not a manifest"),
        (rows((b"a", "f", ZERO, None)), "not a manifest"),
        (rows((b"a", "m", ZERO, 0)), "the kind 'm'"),
        (rows((b"a", "F", ZERO, 0)), "the kind 'F'"),
        (rows((b"a", "", ZERO, 0)), "the kind ''"),
        (rows((b"a", "fx", ZERO, 0)), "the kind 'fx'"),
        (rows(B, A), "sorted"),
        (rows(A, A), "occurs twice"),
        (rows((b"aa", "f", ZERO, 1), (b"aa", "d", ZERO, 1)), "occurs twice"),
        (rows((b"A", "f", ZERO, 1), (b"a", "f", ZERO, 1)), "collide"),
        (rows((b"..", "f", ZERO, 1)), "is refused"),
        (rows((b".git", "d", ZERO, 1)), "is refused"),
        (rows((b"a/b", "f", ZERO, 1)), "is refused"),
        (rows((b"", "f", ZERO, 1)), "is refused"),
        (rows((b"a\x00", "f", ZERO, 1)), "is refused"),
        (rows((b"\xff", "f", ZERO, 1)), "is refused"),
        (b"\x92\x01\x91\x94\xc4\x01a\xa1\xff\xc4\x01a\x01", "not a manifest"),
    ],
)
def test_a_deviation_is_refused_with_its_reason(data: bytes, why: str) -> None:
    with pytest.raises(MalformedError, match=why):
        Manifest.parse(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x92\x01\xdd\xff\xff\xff\xff",
        b"\x92\x01\x91\x94\xc6\xff\xff\xff\xff",
        b"\x92\x01\x91\x94\xc4\x01a\xdb\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x00",
        b"\x91" * 1_000_000,
        b"\x92\x01" + b"\x91" * 1_000_000,
        b"\x81" * 1_000_000,
    ],
    ids=lambda data: data[:8].hex(),
)
def test_a_length_that_is_not_there_is_refused_without_making_room_for_it(data: bytes) -> None:
    with pytest.raises(MalformedError, match="not a manifest"):
        Manifest.parse(data)


def test_a_manifest_over_the_limit_is_not_even_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MANIFEST_BYTES", len(PLAIN.to_bytes()) - 1)
    with pytest.raises(MalformedError, match="larger than"):
        Manifest.parse(PLAIN.to_bytes())


@pytest.mark.parametrize(
    "entries",
    [
        [A, A],
        [A, Entry(b"A", "f", ZERO, 1)],
        [Entry(b"..", "d", ZERO, 0)],
        [Entry(b"x/y", "f", ZERO, 0)],
    ],
)
def test_a_manifest_with_bad_names_cannot_be_made(entries: list[Entry]) -> None:
    with pytest.raises(MalformedError):
        Manifest.of(entries)
