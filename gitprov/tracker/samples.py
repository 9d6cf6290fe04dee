"""The root over the samples of a data set, whatever holds them (docs/formats.md, section 6.2)."""

import os
import random
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from blake3 import blake3

from gitprov.core.digest import Digest
from gitprov.core.merkle import SAMPLES, Growing
from gitprov.errors import UsageError
from gitprov.ops.elements import a_type, elements, is_array, is_tensor
from gitprov.tracker.data_files import folder_root
from gitprov.tracker.tables import is_table, table_root
from gitprov.tracker.values import array_text, describe, leaf_text, rest_of_array

__all__ = ["DataDigest", "Form", "data_of", "describe"]

Form = Literal["samples", "table", "dir", "file"]

_PIECE = 16 << 20
"""So many bytes of an array are brought into C order, or from another device, at once."""

_HINT = (
    "these can be: a torch Dataset or DataLoader, a tensor, a numpy array, a pandas DataFrame or "
    "Series, a pyarrow Table, a path, or an iterable of samples"
)


@dataclass(frozen=True, slots=True)
class DataDigest:
    """What is recorded of data.

    Attributes:
        root: the samples root; of a folder its manifest's root, of a file its digest.
        form: what kind of data it was.
        count: samples, rows of a table, or files.
    """

    root: Digest
    form: Form
    count: int


def data_of(data: object) -> DataDigest:
    """Returns the root of data.

    Samples are read through the data set itself, in order: a loader's batch size, workers and
    sampler play no role. The states of the random generators are put back afterwards, so that
    recording a data set which augments its samples does not change the training; what is recorded
    of one are samples as they would come next. An iterator is used up.

    Args:
        data: a torch Dataset (with or without indices) or DataLoader, a tensor, a numpy array, a
            pandas DataFrame or Series, a pyarrow Table, the path of a folder or a file, or any
            iterable of samples: tensors, arrays, text, bytes, numbers, and tuples and mappings of
            them.

    Raises:
        UsageError: it is none of these, or a sample or a column cannot be recorded.
        UnavailableError: there is nothing at the path.
        MalformedError: a folder holds a name or a link that cannot be recorded.
        EnvironmentFault: a file cannot be read.
    """
    if isinstance(data, (str, os.PathLike)):
        root, form, files = folder_root(os.fspath(data))
        return DataDigest(root, form, files)
    if is_table(data):
        root, rows = table_root(data)
        return DataDigest(root, "table", rows)
    growing = Growing(SAMPLES)
    with _randomness_kept():
        _add_samples(growing, _without_loader(data))
    return DataDigest(Digest(growing.root()), "samples", growing.size)


def _add_samples(growing: Growing, data: Any) -> None:
    if is_tensor(data) or is_array(data):
        _add_rows(growing, [data], None, inside=False)
        return
    arrays, indices = _tensor_rows(data)
    if arrays:
        _add_rows(growing, arrays, indices, inside=True)
        return
    leaf, add = SAMPLES.leaf, growing.add
    for sample in _samples(data):
        try:
            text = leaf_text(sample)
        except UsageError as exc:
            raise UsageError(f"sample {growing.size}: {exc}", hint=exc.hint) from None
        add(leaf(text.encode()))


def _without_loader(data: object) -> object:
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(data, torch.utils.data.DataLoader):
        return data
    return data.dataset


def _tensor_rows(data: Any) -> tuple[list[Any], list[int] | None]:
    """The tensors whose rows are the samples, and which rows; nothing if that is not all of it.

    A subclass may do anything to its samples, so only the very classes of torch are known.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return [], None
    kinds = torch.utils.data
    indices: list[int] | None = None
    while type(data) is kinds.Subset:
        chosen = [int(index) for index in data.indices]
        indices = chosen if indices is None else [chosen[index] for index in indices]
        data = data.dataset
    if type(data) is not kinds.TensorDataset:
        return [], None
    return list(data.tensors), indices


def _add_rows(
    growing: Growing, arrays: list[Any], indices: list[int] | None, *, inside: bool
) -> None:
    """Adds the rows of arrays, each as an array or, `inside` a list, together with the others'."""
    if any(not len(array.shape) for array in arrays):
        raise UsageError("an array without dimensions has no samples", hint=_HINT)
    count = len(arrays[0]) if indices is None else len(indices)
    sizes = [_row_bytes(array) for array in arrays]
    step = max(1, _PIECE // max(1, *sizes))
    leaf, add = SAMPLES.leaf, growing.add
    for start in range(0, count, step):
        end = min(count, start + step)
        rows = slice(start, end) if indices is None else indices[start:end]
        columns = [_row_texts(array[rows], end - start) for array in arrays]
        if inside:
            for texts in zip(*columns, strict=True):
                add(leaf(f"[{','.join(texts)}]".encode()))
        else:
            for text in columns[0]:
                add(leaf(text.encode()))


def _row_bytes(array: Any) -> int:
    size = int(getattr(array, "itemsize", 0)) or int(array.element_size())
    for dimension in array.shape[1:]:
        size *= int(dimension)
    return size


def _row_texts(array: Any, count: int) -> Iterator[str]:
    """Yields the canonical JSON of each row: hashing apart, nothing is worked out twice."""
    found = elements(array, "the data")
    assert found is not None  # noqa: S101  # it is a tensor or an array
    rest = rest_of_array(found.dtype, found.shape[1:])
    data = found.data
    size = len(data) // count
    for start in range(0, count * size, size) if size else [0] * count:
        yield array_text(blake3(data[start : start + size]).digest(), rest)


def _samples(data: Any) -> Iterator[object]:
    if isinstance(data, Mapping):
        raise UsageError(
            f"{a_type(data)} is no data set",
            hint="pass a list of its values, or each of them by its own name",
        )
    torch = sys.modules.get("torch")
    by_index = hasattr(type(data), "__len__") and hasattr(type(data), "__getitem__")
    if torch is not None and isinstance(data, torch.utils.data.IterableDataset):
        by_index = False  # it inherits a __getitem__ that only raises
    if by_index and not isinstance(data, (list, tuple, bytes, bytearray, memoryview)):
        # A Dataset by index: many of them do not end when they are iterated over.
        return (data[index] for index in range(len(data)))
    if isinstance(data, Iterable) and not isinstance(data, (bytes, bytearray, memoryview)):
        return iter(data)
    raise UsageError(f"{a_type(data)} cannot be recorded as data", hint=_HINT)


@contextmanager
def _randomness_kept() -> Iterator[None]:
    """Puts the random generators back as they were: looking at data must not change a training."""
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    ours = random.getstate()
    numpys = numpy.random.get_state() if numpy is not None else None
    torchs = torch.get_rng_state() if torch is not None else None
    try:
        yield
    finally:
        random.setstate(ours)
        if numpy is not None:
            numpy.random.set_state(numpys)
        if torch is not None:
            torch.set_rng_state(torchs)
