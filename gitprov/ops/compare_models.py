"""`gitprov diff --model`: how two models differ, tensor by tensor, and by how much."""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

from gitprov.core.digest import Digest
from gitprov.model.weights import TensorDigest
from gitprov.ops.models import Find, OpenModel

How = Literal["added", "removed", "changed"]

_NUMPY = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "<u1",
    "C64": "<f4", "C128": "<f8",  # real and imaginary parts in turn: the same to a norm
}  # fmt: skip

_TORCH = {
    "F8_E5M2": "float8_e5m2", "F8_E4M3": "float8_e4m3fn", "F8_E8M0": "float8_e8m0fnu",
    "F8_E5M2FNUZ": "float8_e5m2fnuz", "F8_E4M3FNUZ": "float8_e4m3fnuz",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorChange:
    """How one tensor differs.

    Attributes:
        name: the tensor.
        how: what happened to it.
        old: it in the first model, if it is there.
        new: it in the second model, if it is there.
        norm: its L2 norm, in the second model unless it was removed; None when it is unknown.
        change_norm: the L2 norm of the difference; None when it is unknown, or there is none.
        problem: why a norm is unknown, a few words, or "".
    """

    name: str
    how: How
    old: TensorDigest | None
    new: TensorDigest | None
    norm: float | None
    change_norm: float | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ModelDiff:
    """How two models differ.

    Attributes:
        old_root: the first one's weights root.
        new_root: the second one's.
        same: how many tensors are the same.
        changes: those that are not, sorted by name.
    """

    old_root: Digest
    new_root: Digest
    same: int
    changes: tuple[TensorChange, ...]


class _UnknownNormError(Exception):
    """A norm cannot be told; the message says why in a few words."""


def diff_models(old: str, new: str, find: Find) -> ModelDiff:
    """Compares two models; of the tensors that differ, pieces of some megabytes are read at once.

    Args:
        old: a file, or `REV:PATH` of a file in an artifact.
        new: the same.
        find: opens the workspace; called only for `REV:PATH`.

    Raises:
        UsageError: there is no such file, or it is no model that can be read.
        MalformedError: one is not in the format that its ending says.
        UnavailableError: the store lacks one.
        EnvironmentFault: one cannot be read.
    """
    with OpenModel.open(old, find) as first, OpenModel.open(new, find) as second:
        before = {tensor.name: tensor for tensor in first.weights.tensors}
        after = {tensor.name: tensor for tensor in second.weights.tensors}
        changes = tuple(
            _change(name, before.get(name), after.get(name), first, second)
            for name in sorted(before.keys() | after.keys())
            if before.get(name) != after.get(name)
        )
        same = len(before.keys() | after.keys()) - len(changes)
        return ModelDiff(first.weights.root, second.weights.root, same, changes)


def _change(
    name: str,
    old: TensorDigest | None,
    new: TensorDigest | None,
    first: OpenModel,
    second: OpenModel,
) -> TensorChange:
    how: How = "added" if old is None else "removed" if new is None else "changed"
    norm, change_norm, problem = None, None, ""
    try:
        if old is not None and new is not None and old.shape == new.shape:
            norm, change_norm = _norms(old, new, first, second)
        elif new is not None:
            norm = _norm(_floats(new, second))
        elif old is not None:
            norm = _norm(_floats(old, first))
    except _UnknownNormError as exc:
        problem = str(exc)
    if how == "changed" and change_norm is None and not problem:
        problem = "another shape"
    values = [value for value in (norm, change_norm) if value is not None]
    if not all(map(math.isfinite, values)):
        norm, change_norm, problem = None, None, "it holds infinities or NaN"
    return TensorChange(name, how, old, new, norm, change_norm, problem)


def _norm(pieces: Iterator[Any]) -> float:
    with _silence():
        return math.sqrt(sum(_squares(piece) for piece in pieces))


def _norms(
    old: TensorDigest, new: TensorDigest, first: OpenModel, second: OpenModel
) -> tuple[float, float]:
    """Returns the norm of the new tensor, and of the difference."""
    if (old.dtype[0] == "C") != (new.dtype[0] == "C"):
        raise _UnknownNormError("one of them is complex")
    total = change = 0.0
    ours, theirs = _Pieces(_floats(old, first)), _Pieces(_floats(new, second))
    with _silence():
        while count := min(ours.ready(), theirs.ready()):
            now = theirs.take(count)
            total += _squares(now)
            change += _squares(now - ours.take(count))
    return math.sqrt(total), math.sqrt(change)


def _squares(piece: Any) -> float:
    return float(piece @ piece)


def _silence() -> AbstractContextManager[None]:
    """Lets numpy not warn of what is not finite: the result tells."""
    numpy: Any = sys.modules["numpy"]  # whoever has pieces has imported it
    silence: AbstractContextManager[None] = numpy.errstate(all="ignore")
    return silence


class _Pieces:
    """Numbers that come in pieces: the same count from two types has different bytes."""

    def __init__(self, pieces: Iterator[Any]) -> None:
        self._pieces = pieces
        self._left: Any = None

    def ready(self) -> int:
        """Returns how many numbers can be taken now; none at the end."""
        while self._left is None or not len(self._left):
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = piece
        return len(self._left)

    def take(self, count: int) -> Any:
        """Returns the next numbers, not more than are ready."""
        taken, self._left = self._left[:count], self._left[count:]
        return taken


def _floats(tensor: TensorDigest, model: OpenModel) -> Iterator[Any]:
    convert = _converter(tensor.dtype)
    return (convert(piece) for piece in model.read(tensor.name))


def _converter(dtype: str) -> Callable[[bytes], Any]:
    """Returns what makes elements numbers of 64 bits."""
    try:
        import numpy as np
    except ImportError:
        raise _UnknownNormError("norm needs numpy") from None
    if dtype in _NUMPY:
        return lambda data: np.frombuffer(data, _NUMPY[dtype]).astype("f8")
    if dtype == "BF16":  # the upper half of a number of 32 bits
        return lambda data: (
            (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").astype("f8")
        )
    try:
        import torch
    except ImportError:
        raise _UnknownNormError("norm needs torch") from None
    kind = getattr(torch, _TORCH.get(dtype, ""), None)
    if kind is None:
        raise _UnknownNormError(f"no norm for {dtype}")
    return lambda data: torch.frombuffer(bytearray(data), dtype=kind).double().numpy()
