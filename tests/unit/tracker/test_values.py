"""Values of training code as JSON, as docs/formats.md section 6.1 has them."""

import math
from typing import Any

import numpy as np
import pytest

from gitprov.core.canonical import Json, dumps, loads
from gitprov.core.digest import Digest
from gitprov.errors import UsageError
from gitprov.tracker.values import describe

ONES = np.ones(2, "f4")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (2**53 - 1, 2**53 - 1),
        (2**53, {"$int": "9007199254740992"}),
        (-(10**30), {"$int": "-" + "1" + "0" * 30}),
        (1.5, 1.5),
        (1e16, {"$int": "10000000000000000"}),
        (1e300, 1e300),
        (math.nan, {"$float": "NaN"}),
        (-math.nan, {"$float": "NaN"}),
        (math.inf, {"$float": "Infinity"}),
        (-math.inf, {"$float": "-Infinity"}),
        ("text", "text"),
        (b"ab", {"$bytes": str(Digest.of(b"ab")), "size": 2}),
        (bytearray(b"ab"), {"$bytes": str(Digest.of(b"ab")), "size": 2}),
        ((1, [2, ("a",)]), [1, [2, ["a"]]]),
        ({"b": 1, "a": {"c": ()}}, {"a": {"c": []}, "b": 1}),
        (
            ONES,
            {"$array": str(Digest.of(bytes.fromhex("0000803f" * 2))), "dtype": "F32", "shape": [2]},
        ),
        (
            np.array(1, ">i2"),
            {"$array": str(Digest.of(b"\x01\x00")), "dtype": "I16", "shape": []},
        ),
        (np.float32(0.5), 0.5),
        (np.float64("nan"), {"$float": "NaN"}),
        (np.int64(7), 7),
        (np.bool_(1), True),
        (np.str_("x"), "x"),
    ],
)
def test_a_value_has_its_form(value: object, expected: Json) -> None:
    found = describe(value)
    assert found == expected
    assert type(found) is type(expected)
    assert loads(dumps(found), what="it") == found


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_values_may_be_nested_but_not_without_end() -> None:
    describe(nested(32))
    endless: list[object] = []
    endless.append(endless)
    for value in (nested(33), endless):
        with pytest.raises(UsageError, match="nested deeper"):
            describe(value)


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, 1j, np.datetime64("2024-01-01"), np.array([None]), {1: 2}, "\udcff"]
)
def test_what_has_no_form_is_refused(value: object) -> None:
    with pytest.raises(UsageError):
        describe([value])
