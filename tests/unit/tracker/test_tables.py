"""Tables have one leaf per column, and pandas and Arrow agree on all that both can hold."""

from typing import Any

import pytest

from gitprov.core.canonical import Json, dumps
from gitprov.core.digest import Digest
from gitprov.core.merkle import SAMPLES, root
from gitprov.errors import UsageError
from gitprov.tracker.samples import data_of
from tests.support.torch import need

need("pandas")
need("pyarrow")

import numpy as np  # noqa: E402  # only where they are installed
import pandas as pd  # noqa: E402
import pyarrow as pa  # noqa: E402


def frame() -> Any:
    return pd.DataFrame(
        {
            "i": np.arange(3, dtype="i4"),
            "f": [1.5, -0.0, 3.0],
            "b": [True, False, True],
            "s": ["a", "bü", ""],
            "o": np.array(["x", "y", "z"], object),
            "c": pd.Categorical(["p", "q", "p"]),
            "n": pd.Categorical([7, 8, 7]),
            "t": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"]).astype("M8[ns]"),
            "u": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"]).astype("M8[s]"),
            "z": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"], utc=True),
            "w": pd.to_datetime(["2024-01-01"] * 3).tz_localize("Europe/Zurich"),
            "d": pd.to_timedelta([1, 2, 3], unit="s"),
            "I": pd.array([1, 2, 3], "Int64"),
            "B": pd.array([True, False, True], "boolean"),
            "a": pd.array([1.0, 2.0, 3.0], pd.ArrowDtype(pa.float32())),
        }
    )


def root_of(table: Any) -> str:
    return str(data_of(table).root)


def test_the_root_is_that_of_docs_formats() -> None:
    leaves: list[dict[str, Json]] = [
        {
            "column": "x",
            "count": 2,
            "dtype": "I16",
            "values": str(Digest.of(b"\x01\x00\x02\x00")),
        },
        {
            "column": "t",
            "count": 2,
            "dtype": "utf8",
            "values": str(Digest.of(b"\x02" + bytes(7) + "ü".encode() + bytes(8))),
            "nulls": str(Digest.of(b"\x00\x01")),
        },
    ]
    table = pa.table({"x": pa.array([1, 2], pa.int16()), "t": ["ü", None]})
    expected = root(SAMPLES, [SAMPLES.leaf(dumps({**leaf})) for leaf in leaves])
    found = data_of(table)
    assert found.root.raw == expected
    assert (found.form, found.count) == ("table", 2)


def test_pandas_and_arrow_agree_column_by_column_and_as_a_whole() -> None:
    table = frame()
    for name in table.columns:
        one = table[[name]]
        assert root_of(one) == root_of(pa.Table.from_pandas(one)), name
    assert root_of(table) == root_of(pa.Table.from_pandas(table))


def test_chunks_do_not_matter() -> None:
    whole = pa.Table.from_pandas(frame())
    pieces = pa.concat_tables([whole.slice(0, 1), whole.slice(1, 2), whole.slice(3, 0)])
    assert root_of(pieces) == root_of(whole) == root_of(whole.combine_chunks())


def test_where_values_are_missing_pandas_and_arrow_agree_too() -> None:
    table = pd.DataFrame(
        {
            "I": pd.array([1, None, 3], "Int32"),
            "s": pd.array(["a", None, "c"], "string"),
            "t": pd.to_datetime(["2024-01-01", None, "2024-01-03"]),
            "B": pd.array([True, None, False], "boolean"),
            "a": pd.array([1.0, None, 3.0], pd.ArrowDtype(pa.float32())),
        }
    )
    arrow = pa.Table.from_pandas(table)
    assert all(column.null_count for column in arrow.columns)
    assert root_of(table) == root_of(arrow)
    assert root_of(table.fillna({"I": 0})) != root_of(table)


def test_an_index_that_only_counts_is_none_and_any_other_is_a_column() -> None:
    table = frame()
    named = table.set_index("i")
    assert root_of(table) == root_of(table.copy().reset_index(drop=True))
    assert root_of(named) == root_of(pa.Table.from_pandas(named, preserve_index=True))
    assert root_of(named) != root_of(table.drop(columns="i"))
    assert root_of(table[1:]) != root_of(table[1:].reset_index(drop=True))
    two = table.set_index(["i", "s"])
    assert root_of(two) == root_of(pa.Table.from_pandas(two))


def test_a_series_is_a_table_of_one_column() -> None:
    table = frame()
    assert data_of(table["f"]) == data_of(table[["f"]])


def test_order_names_types_and_values_of_columns_matter() -> None:
    table = frame()
    changed = table.copy()
    changed.loc[1, "i"] = 9
    others = [
        table,
        table[sorted(table.columns)],
        table.rename(columns={"i": "j"}),
        table.astype({"i": "i8"}),
        table.drop(columns="i"),
        table[:2],
        changed,
    ]
    assert len({root_of(other) for other in others}) == len(others)


def test_a_table_without_rows_or_columns_has_a_root() -> None:
    assert data_of(pd.DataFrame()) == data_of(pa.table({}))
    empty = frame()[:0]
    assert data_of(empty).count == 0
    assert root_of(empty) == root_of(pa.Table.from_pandas(empty)) != root_of(pd.DataFrame())


@pytest.mark.parametrize(
    "column",
    [
        np.array(["a", 1], object),
        np.array([[1], [2]], object).tolist(),
        pd.array([pd.Period("2024-01"), pd.Period("2024-02")]),
        pd.arrays.SparseArray([0, 1]),
    ],
)
def test_a_column_that_cannot_be_recorded_is_named(column: Any) -> None:
    with pytest.raises(UsageError, match="the column 'odd' holds"):
        data_of(pd.DataFrame({"odd": column}))


@pytest.mark.parametrize(
    "column", [pa.array([[1], [2]]), pa.array([{"a": 1}]), pa.array([b"x"]), pa.nulls(2)]
)
def test_a_column_of_arrow_that_cannot_be_recorded_is_named(column: Any) -> None:
    with pytest.raises(UsageError, match="the column 'odd' holds"):
        data_of(pa.table({"odd": column}))
