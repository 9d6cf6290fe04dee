"""What a collection says before it removes packs of a remote (formats.md 13)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from blake3 import blake3

from gitprov.core.canonical import Fields, dumps, loads
from gitprov.errors import MalformedError

MAX_NOTICE_BYTES = 64 << 20
MAX_PACKS = 500_000
"""Packs that one notice may name."""

_MAX_TIME = 1 << 40
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Notice:
    """Packs that nobody may count on any more. `parse(n.to_bytes()) == n`, and back.

    Attributes:
        time: when it was written, in seconds since 1970 (UTC), by the writer's clock.
        packs: their ids, sorted.
    """

    time: int
    packs: tuple[str, ...]

    @classmethod
    def of(cls, time: int, packs: Iterable[str]) -> Self:
        """Makes one."""
        return cls(time, tuple(sorted(set(packs))))

    @classmethod
    def parse(cls, data: bytes, *, what: str) -> Self:
        """Parses a notice.

        Raises:
            MalformedError: it is not in the format.
        """
        if not data.endswith(b"\n"):
            raise MalformedError(f"{what} is cut short")
        fields = Fields(loads(data[:-1], what=what, limit=MAX_NOTICE_BYTES), what=what)
        fields.constant("gitprov", 1)
        fields.constant("type", "gc")
        time = fields.integer("time")
        packs = fields.array("packs")
        fields.end()
        before = ""
        for one in packs:
            if not isinstance(one, str) or not is_pack_id(one) or one <= before:
                raise MalformedError(f"{what} names packs that are none, or not sorted")
            before = one
        if time > _MAX_TIME or not 0 < len(packs) <= MAX_PACKS:
            raise MalformedError(f"{what} has a wrong time or a wrong number of packs")
        return cls(time, tuple(str(one) for one in packs))

    def to_bytes(self) -> bytes:
        """Returns the object's bytes."""
        value = {"gitprov": 1, "packs": list(self.packs), "time": self.time, "type": "gc"}
        return dumps(value) + b"\n"  # type: ignore[arg-type]  # JSON

    @property
    def name(self) -> str:
        """What the object is called: by its own digest, so that it cannot be changed."""
        return notice_name(blake3(self.to_bytes()).hexdigest())


def notice_name(notice_id: str) -> str:
    """Returns where a notice lies."""
    return f"gc/{notice_id}"


def is_pack_id(name: str) -> bool:
    """Whether this is 64 hexadecimal digits."""
    return len(name) == 64 and set(name) <= _HEX
