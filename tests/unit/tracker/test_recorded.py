"""Configuration, metrics and results: with text keys, in full, and named where that cannot be."""

import datetime
import decimal
import enum
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest

from gitprov.core.canonical import dumps
from gitprov.errors import UsageError
from gitprov.ops.redact import Redactor
from gitprov.tracker.recorded import Recorded


class Plain(enum.Enum):
    """Is no text and no number."""

    A = 1


class Text(enum.StrEnum):
    """Is a text."""

    A = "a"


class Mixed(str, enum.Enum):  # noqa: UP042  # as older code has it
    """Is a text whose str() is something else."""

    A = "a"


class Number(enum.IntEnum):
    """Is a number."""

    A = 7


class Hostile:
    """Raises whatever is asked of it."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("no")


def recorded(value: object, *, keep: bool = False) -> Recorded:
    return Recorded(value, "it", Redactor(), keep=keep)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Plain.A, "Plain.A"),
        (Text.A, "a"),
        (Mixed.A, "a"),
        (Number.A, 7),
        (datetime.time(1, 2), "01:02:00"),
        (datetime.timedelta(seconds=90), "0:01:30"),
        (decimal.Decimal("0.10"), "0.10"),
        (PurePosixPath("a/b"), "a/b"),
        (np.datetime64("2024-01-02T03:04:05.000000006"), "2024-01-02T03:04:05.000000006"),
        (np.array(0.5), 0.5),
        ([np.float32(0.5)], [0.5]),
        (
            {8: 1, 2.5: 2, True: 3, None: 4, (1, "a"): 5, np.int64(9): 6, Plain.A: 7},
            {"8": 1, "true": 3, "2.5": 2, "null": 4, "(1, a)": 5, "9": 6, "Plain.A": 7},
        ),
    ],
)
def test_what_people_name_and_read_is_text(value: Any, expected: Any) -> None:
    found = recorded(value)
    assert found.json == expected
    assert not found.problems
    dumps(found.json)


ENDLESS: list[Any] = [1]
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    ("value", "kept", "problem"),
    [
        ({"a": {1}}, {"a": {"$unrecorded": "set"}}, "it['a']: a set"),
        ([1j], [{"$unrecorded": "complex"}], "it[0]: a complex"),
        ({"$x": 1}, {"_$x": 1}, "it['$x']: a key may not begin with $"),
        ({1: "a", "1": "b"}, {"1": "a", "1 (2)": "b"}, "two keys are '1'"),
        ({frozenset(): 1}, {"<frozenset>": 1}, "a frozenset cannot be a key"),
        (["\udcff"], [{"$unrecorded": "str"}], "it[0]: the text"),
        ({"\udcff": 1}, {"\\udcff": 1}, "not Unicode"),
        (ENDLESS, [1, {"$unrecorded": "list"}], "it[1]: it contains itself"),
    ],
)
def test_what_cannot_be_recorded_is_named_and_the_rest_is_kept(
    value: Any, kept: Any, problem: str
) -> None:
    with pytest.raises(UsageError) as caught:
        recorded(value)
    assert problem in str(caught.value)
    found = recorded(value, keep=True)
    assert found.json == kept
    [said] = found.problems
    assert problem in said
    dumps(found.json)


def test_objects_that_raise_lose_only_themselves() -> None:
    found = recorded({"a": Hostile(), "b": 1}, keep=True)
    assert isinstance(found.json, dict)
    assert found.json["b"] == 1
    assert len(found.problems) == 1


def test_the_same_value_twice_is_no_endless_one() -> None:
    one = [1]
    assert recorded([one, one, {"x": one}]).json == [[1], [1], {"x": [1]}]
