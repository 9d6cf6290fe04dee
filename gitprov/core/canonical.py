"""Canonical JSON (RFC 8785), written one way and read back only in that way."""

import json
from typing import NoReturn

import rfc8785

from gitprov.errors import MalformedError

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""A value of JSON."""

MAX_BYTES = 1 << 20
"""A document larger than this is refused before it is parsed, unless the caller says otherwise."""

MAX_DEPTH = 64
"""Arrays and objects nested deeper than this are refused, on every machine alike."""

_SHOWN = 80


def dumps(value: Json) -> bytes:
    """Returns the canonical bytes.

    Raises:
        MalformedError: the value has no canonical form (an integer beyond 2**53, a lone surrogate).
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeError) as exc:
        raise MalformedError(f"no canonical JSON for this value: {exc}") from exc


def loads(data: bytes, *, what: str, limit: int = MAX_BYTES) -> Json:
    """Parses canonical JSON. `dumps(loads(b)) == b`, and every other spelling is refused.

    Args:
        data: the bytes, UTF-8; whole numbers beyond 2**53 - 1 are refused.
        what: names the place in errors ("note of 1234abcd, line 2").
        limit: the most bytes that are looked at.

    Raises:
        MalformedError: too large, not JSON, duplicate keys, not canonical.
    """
    if len(data) > limit:
        raise MalformedError(f"{what} is larger than {limit} bytes")
    try:
        value: Json = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse
        )
    except MalformedError as exc:
        raise MalformedError(f"{what}: {exc}") from None
    except RecursionError:
        raise MalformedError(f"{what} is nested deeper than {MAX_DEPTH}") from None
    except ValueError as exc:
        raise MalformedError(f"{what} is not JSON: {exc}") from None
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
        raise MalformedError(f"{what} is nested deeper than {MAX_DEPTH}")
    try:
        again = dumps(value)
    except MalformedError as exc:
        raise MalformedError(f"{what}: {exc}") from None
    if again != data:
        raise MalformedError(f"{what} is not canonical JSON (RFC 8785)")
    return value


def _deeper_than(value: Json, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        inner: list[Json] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        level = inner
    return any(isinstance(item, (dict, list)) for item in level)


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise MalformedError("a key occurs twice")
    return value


def _refuse(constant: str) -> NoReturn:
    raise MalformedError(f"{constant} is not JSON")


class Fields:
    """Takes an object apart field by field; what is missing, wrong or left over is named."""

    __slots__ = ("_rest", "_what")

    def __init__(self, value: Json, *, what: str) -> None:
        """Takes the object; raises MalformedError when it is none."""
        if not isinstance(value, dict):
            raise MalformedError(f"{what} is not a JSON object")
        self._rest = dict(value)
        self._what = what

    def _take(self, key: str) -> Json:
        if key not in self._rest:
            raise MalformedError(f"{self._what} lacks {key!r}")
        return self._rest.pop(key)

    def has(self, key: str) -> bool:
        """Whether a field is there and not yet taken."""
        return key in self._rest

    def text(self, key: str, *, one_of: tuple[str, ...] = ()) -> str:
        """Takes a string, one of the given when any are given."""
        value = self._take(key)
        if not isinstance(value, str) or (one_of and value not in one_of):
            wanted = " or ".join(one_of) or "a string"
            raise MalformedError(f"{self._what}: {key!r} must be {wanted}")
        return value

    def integer(self, key: str, *, minimum: int = 0) -> int:
        """Takes an integer of at least `minimum`."""
        value = self._take(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise MalformedError(f"{self._what}: {key!r} must be a whole number from {minimum}")
        return value

    def array(self, key: str) -> list[Json]:
        """Takes an array."""
        value = self._take(key)
        if not isinstance(value, list):
            raise MalformedError(f"{self._what}: {key!r} must be an array")
        return value

    def object(self, key: str) -> dict[str, Json]:
        """Takes an object."""
        value = self._take(key)
        if not isinstance(value, dict):
            raise MalformedError(f"{self._what}: {key!r} must be an object")
        return value

    def constant(self, key: str, wanted: Json) -> None:
        """Takes a field that may have only one value."""
        value = self._take(key)
        if value != wanted or type(value) is not type(wanted):
            raise MalformedError(
                f"{self._what}: {key!r} must be {wanted!r}, not {repr(value)[:_SHOWN]}"
            )

    def end(self) -> None:
        """Refuses what nobody took."""
        if self._rest:
            names = ", ".join(repr(key[:_SHOWN]) for key in sorted(self._rest)[:5])
            raise MalformedError(f"{self._what} has unknown fields: {names}")
