"""Tables: one leaf per column, the same for pandas and Arrow (docs/formats.md, section 6.2)."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from blake3 import blake3

from gitprov.core.canonical import Json, dumps
from gitprov.core.digest import Digest
from gitprov.core.merkle import SAMPLES, root
from gitprov.errors import MalformedError, UsageError
from gitprov.ops.elements import a_type, elements

_BATCH = 10_000


def is_table(value: object) -> bool:
    """Whether a value is a pandas DataFrame or Series, or a pyarrow Table or RecordBatch."""
    pandas, arrow = sys.modules.get("pandas"), sys.modules.get("pyarrow")
    if pandas is not None and isinstance(value, (pandas.DataFrame, pandas.Series)):
        return True
    return arrow is not None and isinstance(value, (arrow.Table, arrow.RecordBatch))


def table_root(table: Any) -> tuple[Digest, int]:
    """Returns the samples root of a table, and how many rows it has.

    The index of a DataFrame is a column after the others, as Arrow has it, unless it only counts
    the rows. Categories and dictionaries are the values that they stand for.

    Raises:
        UsageError: a column holds what cannot be recorded.
    """
    arrow = sys.modules.get("pyarrow")
    if arrow is not None and isinstance(table, (arrow.Table, arrow.RecordBatch)):
        rows = int(table.num_rows)
        columns = zip(table.schema.names, table.columns, strict=True)
        leaves = [_arrow_leaf(str(name), column, rows) for name, column in columns]
    else:
        rows = len(table)
        leaves = [_pandas_leaf(name, column, rows) for name, column in _pandas_columns(table)]
    return Digest(root(SAMPLES, [SAMPLES.leaf(leaf) for leaf in leaves])), rows


def _leaf(column: str, count: int, dtype: str, values: bytes, nulls: bytes | None) -> bytes:
    fields: dict[str, Json] = {
        "column": column,
        "count": count,
        "dtype": dtype,
        "values": str(Digest(values)),
    }
    if nulls is not None:
        fields["nulls"] = str(Digest(nulls))
    try:
        return dumps(fields)
    except MalformedError as exc:
        raise UsageError(f"the name of a column is not Unicode text: {exc}") from None


def _pandas_columns(table: Any) -> Iterator[tuple[str, Any]]:
    pandas = sys.modules["pandas"]
    if isinstance(table, pandas.Series):
        yield "" if table.name is None else str(table.name), table
    else:
        for place, name in enumerate(table.columns):
            yield str(name), table.iloc[:, place]  # by place: a name may occur twice
    index = table.index
    counts = isinstance(index, pandas.RangeIndex) and index.start == 0 and index.step == 1
    if counts and index.name is None:
        return
    for level in range(index.nlevels):
        values = index.get_level_values(level)
        name = f"__index_level_{level}__" if values.name is None else str(values.name)
        yield name, values.to_series()


def _pandas_leaf(name: str, column: Any, count: int) -> bytes:
    numpy, pandas = sys.modules["numpy"], sys.modules["pandas"]
    dtype = column.dtype
    if isinstance(dtype, pandas.CategoricalDtype):
        column = column.astype(dtype.categories.dtype)
        dtype = column.dtype
    if isinstance(dtype, pandas.ArrowDtype):
        import pyarrow as arrow

        return _arrow_leaf(name, arrow.chunked_array(arrow.array(column.array)), count)
    kind = getattr(dtype, "kind", "O")
    if isinstance(dtype, pandas.StringDtype) or _holds_objects(dtype):
        return _pandas_text(name, column, count)
    if kind in "mM":
        missing = column.isna().to_numpy()
        zone = getattr(dtype, "tz", None)
        unit = dtype.unit if zone is not None else numpy.datetime_data(dtype)[0]
        kept = column.dt.tz_convert("UTC").dt.tz_localize(None) if zone is not None else column
        numbers = numpy.where(missing, 0, kept.to_numpy().view("i8"))
        what = "timestamp" if kind == "M" else "duration"
        text = f"{what}[{unit}]" if zone is None else f"{what}[{unit}, tz={zone}]"
        return _numbers_leaf(name, numbers, missing, count, text)
    if isinstance(dtype, numpy.dtype) and kind in "biufc":
        return _numbers_leaf(name, column.to_numpy(), None, count, "")
    if isinstance(getattr(dtype, "numpy_dtype", None), numpy.dtype) and kind in "biuf":
        missing = column.isna().to_numpy()
        filled = column.to_numpy(dtype=dtype.numpy_dtype, na_value=dtype.numpy_dtype.type(0))
        return _numbers_leaf(name, filled, missing, count, "")
    raise _refused(name, str(dtype))


def _numbers_leaf(name: str, numbers: Any, missing: Any, count: int, dtype: str) -> bytes:
    numpy = sys.modules["numpy"]
    found = elements(numbers, f"the column {name!r}")
    assert found is not None  # noqa: S101  # it is an array
    nulls = None
    if missing is not None and missing.any():
        nulls = blake3(numpy.ascontiguousarray(missing, numpy.uint8).data).digest()
    return _leaf(name, count, dtype or found.dtype, blake3(found.data).digest(), nulls)


def _pandas_text(name: str, column: Any, count: int) -> bytes:
    missing = None if _holds_objects(column.dtype) else column.isna().to_numpy()
    values = column.to_numpy(dtype=object)
    if missing is not None and missing.any():
        return _text_leaf(
            name,
            (None if absent else value for value, absent in zip(values, missing, strict=True)),
            count,
        )
    return _text_leaf(name, values, count)


def _holds_objects(dtype: Any) -> bool:
    numpy = sys.modules["numpy"]
    return isinstance(dtype, numpy.dtype) and bool(dtype.hasobject)


def _text_leaf(name: str, values: Iterable[Any], count: int) -> bytes:
    hasher = blake3()
    absent = bytearray()
    for batch in _batches(values):
        parts: list[bytes] = []
        for value in batch:
            if isinstance(value, str):
                try:
                    data = value.encode()
                except UnicodeEncodeError:
                    raise UsageError(f"the column {name!r} holds text that is no Unicode") from None
            elif value is None:
                data = b""
            else:
                raise _refused(name, f"objects, one of them {a_type(value)}")
            absent.append(value is None)
            parts += (len(data).to_bytes(8, "little"), data)
        hasher.update(b"".join(parts))
    return _leaf(
        name, count, "utf8", hasher.digest(), blake3(absent).digest() if any(absent) else None
    )


def _batches(values: Iterable[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for value in values:
        batch.append(value)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    yield batch


def _arrow_leaf(name: str, column: Any, count: int) -> bytes:
    import pyarrow as arrow

    kinds = arrow.types
    while kinds.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    chunks = column.chunks if isinstance(column, arrow.ChunkedArray) else [column]
    if kinds.is_string(kind) or kinds.is_large_string(kind) or str(kind) == "string_view":
        return _text_leaf(name, (item for chunk in chunks for item in chunk.to_pylist()), count)
    if kinds.is_null(kind):
        raise _refused(name, "nothing but nulls")
    dtype, plain = _arrow_numbers(arrow, name, kind)
    hasher, absent = blake3(), blake3()
    for chunk in chunks:
        found = elements(plain(chunk), f"the column {name!r}")
        assert found is not None  # noqa: S101  # it is an array
        dtype = dtype or found.dtype
        hasher.update(found.data)
        if column.null_count:
            nulls = chunk.is_null().to_numpy(zero_copy_only=False)
            absent.update(nulls.astype("u1").data)
    if not dtype:  # a column without a chunk, which has no rows
        empty = elements(plain(arrow.array([], kind)), f"the column {name!r}")
        assert empty is not None  # noqa: S101  # it is an array
        dtype = empty.dtype
    return _leaf(
        name, count, dtype, hasher.digest(), absent.digest() if column.null_count else None
    )


def _arrow_numbers(arrow: Any, name: str, kind: Any) -> tuple[str, Callable[[Any], Any]]:
    """Returns the type to record, "" for that of the numbers, and what makes a chunk numbers."""
    kinds = arrow.types
    if kinds.is_boolean(kind) or kinds.is_integer(kind) or kinds.is_floating(kind):
        view, text = None, ""
    elif kinds.is_timestamp(kind) or kinds.is_duration(kind):
        view, text = arrow.int64(), str(kind)
    elif kinds.is_date(kind) or kinds.is_time(kind):
        view, text = (arrow.int32() if kind.bit_width == 32 else arrow.int64()), str(kind)
    else:
        raise _refused(name, str(kind))

    def plain(chunk: Any) -> Any:
        numbers = chunk if view is None else chunk.view(view)
        if numbers.null_count:
            numbers = numbers.fill_null(
                arrow.scalar(0, numbers.type) if view else _zero(arrow, kind)
            )
        return numbers.to_numpy(zero_copy_only=False)

    return text, plain


def _zero(arrow: Any, kind: Any) -> Any:
    if arrow.types.is_boolean(kind):
        return arrow.scalar(value=False)
    return arrow.scalar(0, arrow.int64()).cast(kind)


def _refused(name: str, what: str) -> UsageError:
    return UsageError(
        f"the column {name!r} holds {what}, which cannot be recorded",
        hint="convert it to numbers, booleans, times or text, or leave it out",
    )
