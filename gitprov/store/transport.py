"""The seam of remotes: bytes by name at another place, whatever it is made of.

A transport knows names, sizes and ranges, and nothing of packs or digests: whoever reads through
one checks what arrives. Names are content-addressed, so an object is written once, never changed.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gitprov.errors import MalformedError, UnavailableError, UsageError

LIST_NAME = "list"
"""Where a remote that cannot list (plain HTTP) has its listing: see `store.remote_listing`."""

MAX_LIST_BYTES = 256 << 20

Range = tuple[int, int]
"""Where it begins, and how many bytes it has."""

Parts = list[bytes]
"""Several ranges; `list` is something else inside a transport."""

Source = bytes | memoryview | str
"""What is put: bytes, or the path of a file (a text)."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(?:/[a-z0-9][a-z0-9._-]*)*", re.ASCII)
_MAX_NAME = 200
_LIST_LINE = re.compile(rb"(0|[1-9][0-9]{0,17}) ([a-z0-9._/-]{1,200})")


class Listed(NamedTuple):
    """One object of a remote."""

    name: str
    size: int


class MissingError(UnavailableError):
    """The remote does not have an object of this name."""

    def __init__(self, name: str, where: str) -> None:
        """Keeps the name."""
        super().__init__(f"{where} does not have {name}")
        self.name = name


class TransientError(UnavailableError):
    """It may work a moment later: no answer, half an answer, a server that is busy."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a remote is waited for.

    Attributes:
        connect: seconds until a connection stands.
        silence: seconds without a single byte; what is received may take as long as bytes come.
        sending: seconds in which one object must be sent and acknowledged.
        pauses: seconds before the second try, the third, and so on.
        tell: is given a sentence about what takes longer than one would think.
    """

    connect: float = 5.0
    silence: float = 60.0
    sending: float = 900.0
    pauses: tuple[float, ...] = (0.5, 2.0)
    tell: Callable[[str], None] = lambda _: None


class Transport(Protocol):
    """Objects by name. Methods may be called by several threads at once; not across a fork.

    A name is small letters, digits, `.`, `_`, `-` and `/`, see `check_name`. What can help is
    tried again with pauses, what cannot is not; both end in one of these, whatever is asked:

    Raises:
        UnavailableError: not reachable, no credentials, no permission to read, no bucket.
        EnvironmentFault: no space, no permission to write.
        UsageError: the remote can only be read.
    """

    @property
    def url(self) -> str:
        """The address as it is shown to people; it holds no credentials."""
        ...

    @property
    def read_only(self) -> bool:
        """Whether nothing can be put and deleted."""
        ...

    @property
    def unasked(self) -> int:
        """How many more bytes came than the ranges that were asked for have.

        Gaps between them, and whole objects; less than none where one of these served twice.
        """
        return 0

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """Yields what lies in a folder and in those below it, in no order.

        Objects whose names are none of ours, and what is half-written, are left out.

        Args:
            prefix: a folder such as `packs`; "" for everything.
        """
        ...

    def get(self, name: str, *, limit: int) -> bytes:
        """Returns a whole object.

        Raises:
            MissingError: there is none of this name.
            MalformedError: it is larger than `limit` bytes.
        """
        ...

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """Returns exactly `length` bytes.

        Raises:
            MissingError: there is none of this name.
            UnavailableError: the object ends before.
        """
        ...

    def get_ranges(self, name: str, ranges: Sequence[Range]) -> Parts:
        """Returns several ranges, in their order, in as few requests as possible."""
        ...

    def put(self, name: str, data: Source) -> bool:
        """Writes an object: whole and durable, or not at all.

        The buffer is the caller's again when this returns: nothing under way may look at it then.

        Returns:
            Whether it was written; False when there was one of this name, which stays as it is. Of
            several that write the same name at once, one is told True.
        """
        ...

    def replace(self, name: str, data: Source) -> None:
        """Writes an object, over what has its name: who reads finds the old one or the new one.

        For the one object that changes, the list of `store.remote_listing`.
        """
        ...

    def delete(self, names: Iterable[str]) -> None:
        """Deletes objects; one that is not there is no error."""
        ...

    def close(self) -> None:
        """Ends the connections, and what is under way on them. May be called twice."""
        ...


def check_name(name: str) -> str:
    """Returns the name of an object, which may become part of a path and of a URL.

    Raises:
        MalformedError: it has another form.
    """
    if len(name) > _MAX_NAME or ".." in name or not _NAME.fullmatch(name):
        raise MalformedError(f"{name!r:.100} is no name of an object in a remote")
    return name


def is_name(name: str) -> bool:
    """Whether an object of a remote may be one of ours."""
    return len(name) <= _MAX_NAME and ".." not in name and _NAME.fullmatch(name) is not None


def check_prefix(prefix: str) -> str:
    """Returns a folder's name without the slash at its end; "" is everything.

    Raises:
        MalformedError: it has another form.
    """
    return check_name(prefix.removesuffix("/")) if prefix else ""


def check_ranges(ranges: Sequence[Range]) -> None:
    """Refuses ranges that nobody can have meant.

    Raises:
        MalformedError: one begins before 0, or has less than no byte.
    """
    for start, length in ranges:
        if start < 0 or length < 0:
            raise MalformedError(f"{length} bytes from {start} on are no range")


def too_large(name: str, where: str, limit: int) -> MalformedError:
    """Returns the error for an object that is larger than what it can be."""
    return MalformedError(f"{name} of {where} is larger than {limit:,} bytes")


def cut_short(name: str, where: str, wanted: Range) -> UnavailableError:
    """Returns the error for an object that ends before a range does."""
    return UnavailableError(
        f"{name} of {where} is cut short: it has no {wanted[1]:,} bytes from {wanted[0]:,} on",
        hint="gitprov fsck --remote names what is damaged there",
    )


def read_only(where: str) -> UsageError:
    """Returns the error for writing where nothing can be written."""
    return UsageError(
        f"{where} can only be read",
        hint="write to the folder or bucket that it serves",
    )


def gaps_joined(ranges: Sequence[Range], gap: int) -> list[Range]:
    """Returns few ranges that cover all: those with at most `gap` bytes between them are joined."""
    joined: list[Range] = []
    for start, length in sorted(one for one in ranges if one[1]):
        if joined and start <= sum(joined[-1]) + gap:
            first, before = joined[-1]
            joined[-1] = (first, max(before, start + length - first))
        else:
            joined.append((start, length))
    return joined


def cut_out(parts: Mapping[Range, bytes | memoryview], wanted: Range) -> bytes:
    """Returns a range out of the one that covers it; b"" when none does."""
    start, length = wanted
    for (first, size), data in parts.items():
        if first <= start and start + length <= first + size:
            return bytes(data[start - first : start - first + length])
    return b""


def write_list(objects: Iterable[Listed]) -> bytes:
    """Returns the bytes of the object `list`: a line `<size> <name>` for each, sorted by name."""
    lines = sorted((check_name(name), size) for name, size in objects)
    return b"".join(b"%d %s\n" % (size, name.encode("ascii")) for name, size in lines)


def read_list(data: bytes, where: str) -> Iterator[Listed]:
    """Yields what the object `list` holds.

    Raises:
        MalformedError: it is not as `write_list` writes it.
    """
    before = ""
    lines = data.split(b"\n")
    if lines.pop():
        raise MalformedError(f"the list of {where} is cut short")
    for number, line in enumerate(lines, 1):
        found = _LIST_LINE.fullmatch(line)
        name = found[2].decode("ascii") if found else ""
        if found is None or not is_name(name) or name <= before:
            raise MalformedError(f"the list of {where} is malformed in line {number}")
        before = name
        yield Listed(name, int(found[1]))
