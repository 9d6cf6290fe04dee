"""Configuration, metrics and results as a run records them: in full, and without secrets.

Samples are described more strictly (`values.describe`), as their roots are compared; what people
name and read is recorded under text keys, and never lost for one value that cannot be.
"""

import datetime
import decimal
import enum
import fractions
import os
import uuid
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from gitprov.core.canonical import Json
from gitprov.errors import UsageError
from gitprov.ops.elements import a_type, is_array, is_tensor
from gitprov.ops.redact import Redactor
from gitprov.tracker.values import describe

_MAX_DEPTH = 32
"""As for values: deeper ones are refused."""

_TIMES = (datetime.date, datetime.time)  # a datetime is a date
_TEXTS = (uuid.UUID, decimal.Decimal, fractions.Fraction, datetime.timedelta)


class Recorded:
    """One value on its way into a leaf.

    Attributes:
        json: what is recorded.
        problems: what could not be, each with its place; empty when `keep` was not asked for.
    """

    def __init__(
        self, value: object, place: str, redactor: Redactor, *, keep: bool = False
    ) -> None:
        """Describes a value.

        Args:
            value: anything.
            place: what it is called in messages: `results`.
            redactor: knows the secrets.
            keep: put `{"$unrecorded": "<type>"}` in the place of what cannot be recorded, and go
                on, instead of raising.

        Raises:
            UsageError: something in it cannot be recorded, and `keep` was not asked for.
        """
        self.problems: list[str] = []
        self._keep = keep
        self._above: list[int] = []
        self.json = redactor.value(self._of(value, place))

    def _of(self, value: Any, place: str) -> Json:
        if not self._keep:
            return self._described(value, place)
        try:
            return self._described(value, place)
        except Exception as exc:  # noqa: BLE001  # training code's own objects may raise anything
            self.problems.append(str(exc) if isinstance(exc, UsageError) else f"{place}: {exc!r}")
            return _unrecorded(value)

    def _described(self, value: Any, place: str) -> Json:
        if isinstance(value, Mapping):
            with _Inside(self._above, value, place):
                return self._mapping(value, place)
        if isinstance(value, list | tuple):
            with _Inside(self._above, value, place):
                return [self._of(one, f"{place}[{i}]") for i, one in enumerate(value)]
        text = _text_of(value)
        if text is None and (is_tensor(value) or is_array(value)) and not tuple(value.shape):
            value = value.item()  # a loss, as people mean it
        try:
            return describe(value if text is None else text)
        except UsageError as exc:
            raise UsageError(f"{place}: {exc}", hint=exc.hint) from None

    def _mapping(self, value: Mapping[Any, Any], place: str) -> dict[str, Json]:
        found: dict[str, Json] = {}
        for key, one in value.items():
            inner = f"{place}[{key!r:.60}]"
            name = self._key(key, inner)
            if name in found:
                self._problem(f"{inner}: two keys are {name!r:.60} as text")
                number = 2
                while f"{name} ({number})" in found:
                    number += 1
                name = f"{name} ({number})"
            found[name] = self._of(one, inner)
        return found

    def _key(self, key: Any, place: str) -> str:
        name = _key_text(key)
        if name is None:
            self._problem(f"{place}: {a_type(key)} cannot be a key")
            name = f"<{type(key).__qualname__}>"
        if name.startswith("$"):
            self._problem(f"{place}: a key may not begin with $, which is reserved")
            name = f"_{name}"
        if not _is_unicode(name):
            self._problem(f"{place}: a key is not Unicode")
            name = name.encode("utf-8", "backslashreplace").decode()
        return name

    def _problem(self, text: str) -> None:
        if not self._keep:
            raise UsageError(text)
        self.problems.append(text)


class _Inside:
    """Stands for being inside a container: never twice in the same one, nor too deep."""

    def __init__(self, above: list[int], value: object, place: str) -> None:
        if id(value) in above:
            raise UsageError(f"{place}: it contains itself")
        if len(above) >= _MAX_DEPTH:
            raise UsageError(f"{place}: a value is nested deeper than {_MAX_DEPTH}")
        self._above, self._id = above, id(value)

    def __enter__(self) -> None:
        self._above.append(self._id)

    def __exit__(self, *_: object) -> None:
        self._above.pop()


def _text_of(value: Any) -> str | None:
    """The text of a value that has no form of its own but one that everybody would write."""
    if isinstance(value, str):
        return str.__str__(value)  # `str()` of an enumeration of texts gives its name
    if isinstance(value, int | float):
        return None
    if is_array(value) and value.dtype.kind in "mM" and not value.shape:
        return str(value)  # `item()` may give a number without its unit
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, _TIMES):
        return value.isoformat()
    if isinstance(value, PurePath):
        return os.fspath(value)
    return str(value) if isinstance(value, _TEXTS) else None


def _key_text(key: Any) -> str | None:
    if isinstance(key, bool):
        return "true" if key else "false"
    if key is None:
        return "null"
    if isinstance(key, int | float):
        return str(int(key)) if isinstance(key, int) else repr(float(key))
    if is_array(key) and not key.shape and key.dtype.kind in "biuf":
        return _key_text(key.item())
    if isinstance(key, tuple):
        parts = [_key_text(one) for one in key]
        return f"({', '.join(map(str, parts))})" if None not in parts else None
    return _text_of(key)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unrecorded(value: object) -> Json:
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    name = f"{module}{kind.__qualname__}"
    return {"$unrecorded": name.encode("utf-8", "backslashreplace").decode()}
