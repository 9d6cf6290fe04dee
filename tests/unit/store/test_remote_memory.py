"""What was pushed whole is remembered as long as the remote keeps the packs, and no longer."""

from pathlib import Path

import pytest

from gitprov.store.remote_memory import FILE, question, recall, remember

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
ASKED = question([("d", bytes(32), b"")])
OTHER = question([("d", bytes(32), b"part")])


def test_an_answer_holds_while_its_packs_are_listed_and_not_announced(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert recall(folder, ASKED, {A, B}, ()) is None
    remember(folder, ASKED, {A, B}, 7)
    assert recall(folder, ASKED, {A, B}, ()) == 7
    assert recall(folder, ASKED, {A, B, C}, {C}) == 7
    assert recall(folder, OTHER, {A, B}, ()) is None
    assert recall(folder, ASKED, {A}, ()) is None
    assert recall(folder, ASKED, {A, B}, {B}) is None


def test_older_answers_stay_while_the_packs_only_grow(tmp_path: Path) -> None:
    folder = str(tmp_path)
    remember(folder, ASKED, {A}, 1)
    remember(folder, OTHER, {A, B}, 2)
    assert recall(folder, ASKED, {A, B}, ()) == 1
    assert recall(folder, OTHER, {A, B}, ()) == 2
    remember(folder, OTHER, {B, C}, 3)
    assert recall(folder, ASKED, {A, B, C}, ()) is None
    assert recall(folder, OTHER, {B, C}, ()) == 3


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"gitprov":2}', b"\xff"])
def test_a_damaged_memory_is_none(tmp_path: Path, data: bytes) -> None:
    remember(str(tmp_path), ASKED, {A}, 1)
    (tmp_path / FILE).write_bytes(data)
    assert recall(str(tmp_path), ASKED, {A}, ()) is None
    remember(str(tmp_path), ASKED, {A}, 1)
    assert recall(str(tmp_path), ASKED, {A}, ()) == 1


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
