"""What was pushed whole is remembered as long as the remote keeps the packs, and no longer."""

from pathlib import Path

import pytest

from gitprov.store.remote_memory import FILE, Memory, question, recall, remember

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
ASKED = question([("d", bytes(32), b"")])
OTHER = question([("d", bytes(32), b"part")])


ROOTS = {b"data": bytes(32), "größer/x".encode(): b"\x07" * 32}


def test_what_was_pushed_holds_while_its_packs_are_listed_and_not_announced(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert recall(folder, {A, B}, ()) == Memory()
    remember(folder, ASKED, {A, B}, 7, ROOTS)
    known = Memory(frozenset({A, B}), {ASKED: 7}, ROOTS)
    assert recall(folder, {A, B}, ()) == known
    assert recall(folder, {A, B, C}, {C}) == known
    assert recall(folder, {A}, ()) == Memory()
    assert recall(folder, {A, B}, {B}) == Memory()


def test_older_answers_and_roots_stay_while_the_packs_only_grow(tmp_path: Path) -> None:
    folder = str(tmp_path)
    newer = {b"data": b"\x08" * 32}
    remember(folder, ASKED, {A}, 1, ROOTS)
    remember(folder, OTHER, {A, B}, None, newer)
    known = recall(folder, {A, B}, ())
    assert (known.answers, known.roots) == ({ASKED: 1, OTHER: None}, ROOTS | newer)
    remember(folder, OTHER, {B, C}, 3, newer)
    assert recall(folder, {A, B, C}, ()) == Memory(frozenset({B, C}), {OTHER: 3}, newer)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'{"gitprov":2}',
        b"\xff",
        b'{"gitprov":1,"packs":[],"pushed":[],"roots":[["data","00"]]}\n',
        b'{"gitprov":1,"packs":[],"pushed":[],"roots":[["data","%s"]]}\n' % (b"x" * 64),
        b'{"gitprov":1,"packs":[],"pushed":[["%s"]],"roots":[]}\n' % (b"0" * 64),
    ],
)
def test_a_damaged_memory_is_none(tmp_path: Path, data: bytes) -> None:
    remember(str(tmp_path), ASKED, {A}, 1, ROOTS)
    (tmp_path / FILE).write_bytes(data)
    assert recall(str(tmp_path), {A}, ()) == Memory()
    remember(str(tmp_path), ASKED, {A}, 1, ROOTS)
    assert recall(str(tmp_path), {A}, ()).answers == {ASKED: 1}


def test_different_parts_are_different_questions() -> None:
    one, two = bytes(32), b"\x01" * 32
    asked = [
        [],
        [("d", one, b"")],
        [("f", one, b"")],
        [("d", two, b"")],
        [("d", one, b"a")],
        [("d", one, b""), ("d", two, b"")],
    ]
    assert len({question(parts) for parts in asked}) == len(asked)
    assert question([("d", one, b""), ("d", two, b"")]) == question(
        [("d", two, b""), ("d", one, b""), ("d", one, b"")]
    )
