"""What training code holds, described by JSON (docs/formats.md, section 6.1)."""

import math
import re
import sys
from collections.abc import Mapping
from typing import Any

from gitprov.core.canonical import Json, dumps
from gitprov.core.digest import Digest
from gitprov.errors import MalformedError, UsageError
from gitprov.ops.elements import a_type, elements, hash_raw, is_array, is_tensor

CAN_BE_PASSED = (
    "these can be recorded: numbers, text, bytes, None, torch tensors, numpy arrays, and lists, "
    "tuples and mappings of them"
)

_MAX_INT = (1 << 53) - 1

_MAX_DEPTH = 32
"""Deeper values are refused: they become part of a file whose reader ends at 64."""

_PLAIN = re.compile(r"[ !#-\[\]-~]*")
"""Text that is its own JSON: printable ASCII without quotes and backslashes."""


def describe(value: object) -> Json:
    """Returns the JSON that stands for a value.

    A numpy scalar (`numpy.float32(1)`) is a number like any other; an array without dimensions is
    an array.

    Raises:
        UsageError: it, or something inside it, is nothing that can be recorded.
    """
    return _describe(value, _MAX_DEPTH)


def leaf_text(value: object) -> str:
    """Returns the canonical JSON of `describe(value)` as text, quickly for the usual samples.

    Raises:
        UsageError: it, or something inside it, is nothing that can be recorded.
    """
    return _leaf_text(value, _MAX_DEPTH)


def array_text(raw: bytes, rest: str) -> str:
    """Returns the canonical JSON of an array: its digest, and what `rest_of_array` gave."""
    return f'{{"$array":"blake3:{raw.hex()}"{rest}'


def rest_of_array(dtype: str, shape: tuple[int, ...]) -> str:
    """Returns what follows the digest in the canonical JSON of an array."""
    return f',"dtype":"{dtype}","shape":[{",".join(map(str, shape))}]}}'


def _describe(value: Any, depth: int) -> Json:
    simple, found = _simple(value)
    if found:
        return simple
    array = elements(value, "a value")
    if array is not None:
        digest = Digest(hash_raw(array.data))
        return {"$array": str(digest), "dtype": array.dtype, "shape": [*array.shape]}
    if not depth:
        raise UsageError(f"a value is nested deeper than {_MAX_DEPTH}")
    if isinstance(value, (list, tuple)):
        return [_describe(item, depth - 1) for item in value]
    if isinstance(value, Mapping):
        return {_key(key): _describe(item, depth - 1) for key, item in value.items()}
    raise UsageError(f"{a_type(value)} cannot be recorded", hint=CAN_BE_PASSED)


def _simple(value: Any) -> tuple[Json, bool]:
    """Returns the JSON of a value that has no parts, and whether it is one."""
    if value is None or isinstance(value, bool):
        return value, True
    if _is_scalar(value):
        value = _number(value)
    if isinstance(value, str):
        return _text(value), True
    if isinstance(value, bool):
        return value, True
    if isinstance(value, int):
        plain = int(value)
        return (plain if abs(plain) <= _MAX_INT else {"$int": str(plain)}), True
    if isinstance(value, float):
        return _float(float(value)), True
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        return {"$bytes": str(Digest.of(data)), "size": len(data)}, True
    return None, False


def _float(value: float) -> Json:
    if math.isnan(value):
        return {"$float": "NaN"}
    if math.isinf(value):
        return {"$float": "Infinity" if value > 0 else "-Infinity"}
    if value.is_integer() and _MAX_INT < abs(value) < 1e21:
        # Canonical JSON writes such a float in digits, like a whole number that readers refuse.
        return {"$int": str(int(value))}
    return value


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the text {value[:40]!r} is not Unicode, so it has no JSON") from None
    return str(value)


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise UsageError(
            f"the key {str(key)[:40]!r} of a mapping is {a_type(key)}, not text",
            hint="use text as keys, or a list of pairs",
        )
    if key.startswith("$"):
        raise UsageError(f"the key {key[:40]!r} of a mapping begins with $, which is reserved")
    return _text(key)


def _is_scalar(value: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.generic)


def _number(value: Any) -> object:
    if value.dtype.kind not in "biufSU":
        raise UsageError(f"{a_type(value)} cannot be recorded", hint=CAN_BE_PASSED)
    # A long double has no number of Python's; the nearest float stands for it.
    return float(value) if value.dtype.kind == "f" else value.item()


def _leaf_text(value: Any, depth: int) -> str:
    if is_tensor(value) or (is_array(value) and not _is_scalar(value)):
        array = elements(value, "a sample")
        assert array is not None  # noqa: S101  # one of the two it is
        return array_text(hash_raw(array.data), rest_of_array(array.dtype, array.shape))
    kind = type(value)
    if kind is str and _PLAIN.fullmatch(value):
        return f'"{value}"'
    if kind is int and -_MAX_INT <= value <= _MAX_INT:
        return str(value)
    if (kind is tuple or kind is list) and depth:
        return f"[{','.join([_leaf_text(item, depth - 1) for item in value])}]"
    try:
        return dumps(_describe(value, depth)).decode()
    except MalformedError as exc:
        raise UsageError(f"{a_type(value)} cannot be recorded: {exc}") from None
