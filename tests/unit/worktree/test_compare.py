import pytest

from gitprov.model.manifest import Manifest
from gitprov.worktree.compare import Change, compare, compare_stored
from tests.support.trees import Desk, File, Keeper, Link, Node, build


def changes(desk: Desk, old: Node, new: Node) -> list[Change]:
    keeper = Keeper()
    build(desk.data, old)
    before = desk.add(keeper)
    desk.data.rename(desk.root / "old")
    build(desk.data, new)
    found = list(compare(before, desk.scan(), keeper.load))
    assert found == list(compare_stored(before, desk.add(keeper), keeper.load))
    return found


CASES: list[tuple[Node, Node, list[Change]]] = [
    ({}, {}, []),
    ({}, {b"a": File(b"12")}, [Change(b"a", "added", None, 2)]),
    ({b"a": File(b"12")}, {}, [Change(b"a", "deleted", 2, None)]),
    ({b"a": File(b"1")}, {b"a": File(b"22")}, [Change(b"a", "modified", 1, 2)]),
    ({b"a": File(b"1")}, {b"a": File(b"1", executable=True)}, [Change(b"a", "type", 1, 1, "fx")]),
    ({b"a": File(b"1")}, {b"a": File(b"2", executable=True)}, [Change(b"a", "modified", 1, 1)]),
    ({b"a": File(b"b")}, {b"a": Link(b"b")}, [Change(b"a", "type", 1, 1, "fl")]),
    ({b"a": {}}, {}, [Change(b"a/", "deleted", 0, None)]),
    ({}, {b"a": {}}, [Change(b"a/", "added", None, 0)]),
    ({b"a": {b"b": File(b"1")}}, {b"a": {}}, [Change(b"a/b", "deleted", 1, None)]),
    (
        {b"a": File(b"1")},
        {b"a": {b"b": File(b"22")}},
        [Change(b"a", "deleted", 1, None), Change(b"a/b", "added", None, 2)],
    ),
    (
        {b"a": {}},
        {b"a": File(b"1")},
        [Change(b"a/", "deleted", 0, None), Change(b"a", "added", None, 1)],
    ),
    (File(b"1"), File(b"22"), [Change(b"", "modified", 1, 2)]),
]


@pytest.mark.parametrize(("old", "new", "wanted"), CASES)
def test_each_kind_of_change_is_named(
    desk: Desk, old: Node, new: Node, wanted: list[Change]
) -> None:
    assert changes(desk, old, new) == wanted


def test_what_is_equal_is_not_loaded(desk: Desk) -> None:
    same: Node = {b"x": File(b"1")}
    build(desk.data, {b"same": same, b"other": {b"y": File(b"1")}})
    keeper = Keeper()
    before = desk.add(keeper)
    (desk.data / "other" / "y").write_bytes(b"2")
    loaded: list[bytes] = []

    def load(root: bytes) -> Manifest:
        loaded.append(root)
        return keeper.load(root)

    assert [c.path for c in compare(before, desk.scan(), load)] == [b"other/y"]
    assert len(loaded) == 2


def test_nothing_against_something_is_all_of_it(desk: Desk) -> None:
    build(desk.data, {b"a": File(b"1"), b"b": {b"c": File(b"2")}})
    keeper = Keeper()
    entry = desk.add(keeper)
    gone = list(compare(entry, None, keeper.load))
    assert [(c.path, c.how) for c in gone] == [(b"a", "deleted"), (b"b/c", "deleted")]
    come = list(compare(None, desk.scan(), keeper.load))
    assert [(c.path, c.how) for c in come] == [(b"a", "added"), (b"b/c", "added")]
