import dataclasses

import pytest

from gitprov.worktree.statcache import STAT, Row, StatCache
from tests.support.trees import DATA, Desk, File, Keeper, Node, build, naive_root, settle

ROW = Row(b"a\0b", STAT.pack(0o100644, 3, -1, 5, 7) * 2, b"d" * 64, b"r" * 32, 6, 2)


def test_a_row_comes_back_as_it_was() -> None:
    assert Row.parse(ROW.to_bytes()) == ROW
    empty = dataclasses.replace(ROW, names=b"", stats=b"", digests=b"", size=0, files=0)
    assert Row.parse(empty.to_bytes()) == empty


def test_any_flipped_bit_makes_a_row_a_miss() -> None:
    data = ROW.to_bytes()
    for place in range(len(data)):
        broken = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        assert Row.parse(broken) is None


@pytest.mark.parametrize("end", range(0, 120, 7))
def test_a_cut_row_is_a_miss(end: int) -> None:
    assert Row.parse(ROW.to_bytes()[:end]) is None


def test_load_gives_a_path_and_what_is_below_and_no_neighbour(desk: Desk) -> None:
    paths = [b"data", b"data/a", b"data/a/b", b"data.x", b"data-", b"data0", b"dat", b"data/\xff"]
    desk.cache.store([(path, ROW) for path in paths], ())
    assert set(desk.cache.load(b"data")) == {b"data", b"data/a", b"data/a/b", b"data/\xff"}


def test_worktrees_do_not_see_each_other(desk: Desk) -> None:
    desk.cache.store([(b"data", ROW)], ())
    assert StatCache(desk.connection, "other").load(b"data") == {}


def test_rows_can_be_dropped(desk: Desk) -> None:
    desk.cache.store([(b"data", ROW), (b"data/a", ROW)], ())
    desk.cache.store([], [b"data/a"])
    assert set(desk.cache.load(b"data")) == {b"data"}


def test_damaged_rows_cost_only_time(desk: Desk) -> None:
    tree: Node = {b"a": File(b"1"), b"b": {b"c": File(b"2")}}
    build(desk.data, tree)
    settle()
    desk.scan()
    desk.connection.execute("UPDATE folders SET data = substr(data, 2)")
    keeper = Keeper()
    assert desk.scan(keeper).root == naive_root(tree)
    assert keeper.reads == 2
    again = Keeper()
    assert desk.scan(again).root == naive_root(tree)
    assert again.reads == 0


def test_a_database_without_the_table_costs_only_time(desk: Desk) -> None:
    build(desk.data, {b"a": File(b"1")})
    desk.connection.execute("DROP TABLE folders")
    assert desk.scan(path=DATA).root == naive_root({b"a": File(b"1")})
