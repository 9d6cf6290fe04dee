"""What was pushed whole, remembered here: a push with nothing new reads no manifest and no index.

What a push has left in packs stays there until a collection announces one of them. So as long as
each of these packs is listed and none is announced, the same question has the same answer.
"""

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from blake3 import blake3

from gitprov.core.canonical import Fields, dumps, loads
from gitprov.errors import MalformedError, UnavailableError
from gitprov.platform.files import atomic_write, read_bounded

FILE = "pushed"
"""In the folder of the remote's indexes, whose names are 64 digits."""

_MAX_BYTES = 128 << 20
_MOST = 100
"""Answers that are kept."""


@dataclass(frozen=True, slots=True)
class _Memory:
    """The packs that were counted on, and for each question how many objects it was about."""

    packs: frozenset[str] = frozenset()
    answers: tuple[tuple[str, int], ...] = ()


def question(parts: Iterable[tuple[str, bytes, bytes]]) -> str:
    """Returns a name for what a push is about.

    Args:
        parts: kind and digest of artifacts, and the path below each that is meant.
    """
    rows = {
        kind.encode() + digest + len(below).to_bytes(4, "big") + below
        for kind, digest, below in parts
    }
    return blake3(b"".join(sorted(rows))).hexdigest()


def recall(
    folder: str, asked: str, listed: Collection[str], announced: Collection[str]
) -> int | None:
    """Returns how many objects a question was about, all of which the remote has.

    Args:
        folder: where it was remembered.
        asked: the question.
        listed: the packs that have an index now.
        announced: those that are to go.

    Returns:
        None when that is not known.
    """
    memory = _read(folder)
    if not memory.packs <= set(listed) or not memory.packs.isdisjoint(announced):
        return None
    return dict(memory.answers).get(asked)


def remember(folder: str, asked: str, packs: Collection[str], objects: int) -> None:
    """Remembers that the remote has everything that a question was about.

    Args:
        folder: where.
        asked: the question.
        packs: those in which all of it lies.
        objects: how many objects that are.
    """
    before = _read(folder)
    kept = before.answers if before.packs <= set(packs) else ()
    answers = [*(one for one in kept if one[0] != asked), (asked, objects)][-_MOST:]
    value = {"gitprov": 1, "packs": sorted(packs), "pushed": [list(one) for one in answers]}
    data = dumps(value)  # type: ignore[arg-type]  # JSON
    if len(data) <= _MAX_BYTES:
        atomic_write(os.path.join(folder, FILE), data, durable=False)


def _read(folder: str) -> _Memory:
    """What is not there, or damaged, is not remembered."""
    path = os.path.join(folder, FILE)
    try:
        data = read_bounded(path, _MAX_BYTES)
        fields = Fields(loads(data, what=path, limit=_MAX_BYTES), what=path)
        fields.constant("gitprov", 1)
        packs = fields.array("packs")
        answers = fields.array("pushed")
        fields.end()
    except (MalformedError, UnavailableError):
        return _Memory()
    pairs = [one for one in answers if isinstance(one, list) and len(one) == 2]
    return _Memory(
        frozenset(one for one in packs if isinstance(one, str)),
        tuple((one[0], one[1]) for one in pairs if isinstance(one[0], str) and type(one[1]) is int),
    )
