"""What was pushed whole, remembered here.

A push with nothing new reads no manifest and no index then, and one after a change only the
manifests that changed. What a push has left in packs stays there until a collection announces one
of them. So as long as each of these packs is listed and none is announced, what was there is there.
"""

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from blake3 import blake3

from gitprov.core.canonical import Fields, Json, dumps, loads
from gitprov.core.digest import DIGEST_BYTES
from gitprov.errors import MalformedError, UnavailableError
from gitprov.platform.files import atomic_write, read_bounded

FILE = "pushed"
"""In the folder of the remote's indexes, whose names are 64 digits."""

_MAX_BYTES = 128 << 20
_MOST = 100
"""Answers that are kept."""
_MOST_ROOTS = 10_000
"""Artifacts of which a version is kept."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a remote was left with.

    Attributes:
        packs: those that were counted on.
        answers: for each question how many objects it was about; None where nobody counted.
        roots: by the path of an artifact, the root of a version that the remote has whole.
    """

    packs: frozenset[str] = frozenset()
    answers: Mapping[str, int | None] = field(default_factory=dict)
    roots: Mapping[bytes, bytes] = field(default_factory=dict)

    def holds(self, listed: Collection[str], announced: Collection[str]) -> bool:
        """Whether all of it is still so: every pack has an index and none is to go."""
        return self.packs <= set(listed) and self.packs.isdisjoint(announced)


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


def recall(folder: str, listed: Collection[str], announced: Collection[str]) -> Memory:
    """Returns what was remembered and still holds; of what does not, or is damaged, nothing.

    Args:
        folder: where it was remembered.
        listed: the packs that have an index now.
        announced: those that are to go.
    """
    memory = _read(folder)
    return memory if memory.holds(listed, announced) else Memory()


def remember(
    folder: str,
    asked: str,
    packs: Collection[str],
    objects: int | None,
    roots: Mapping[bytes, bytes],
) -> None:
    """Remembers that the remote has everything that a question was about.

    Args:
        folder: where.
        asked: the question.
        packs: those in which all of it lies.
        objects: how many objects that are.
        roots: of the artifacts in it that are meant as a whole, by their paths.
    """
    before = _read(folder)
    if not before.packs <= set(packs):
        before = Memory()
    answers = [*(one for one in before.answers.items() if one[0] != asked), (asked, objects)]
    kept = [*(one for one in before.roots.items() if one[0] not in roots), *roots.items()]
    value: Json = {
        "gitprov": 1,
        "packs": [*sorted(packs)],
        "pushed": [list(one) for one in answers[-_MOST:]],
        "roots": [[path.decode(), root.hex()] for path, root in kept[-_MOST_ROOTS:]],
    }
    data = dumps(value)
    if len(data) <= _MAX_BYTES:
        atomic_write(os.path.join(folder, FILE), data, durable=False)


def _read(folder: str) -> Memory:
    path = os.path.join(folder, FILE)
    try:
        data = read_bounded(path, _MAX_BYTES)
        fields = Fields(loads(data, what=path, limit=_MAX_BYTES), what=path)
        fields.constant("gitprov", 1)
        packs = fields.array("packs")
        answers = fields.array("pushed")
        roots = fields.array("roots")
        fields.end()
        return Memory(
            frozenset(one for one in packs if isinstance(one, str)),
            dict(_answer(one) for one in answers),
            dict(_root(one) for one in roots),
        )
    except (MalformedError, UnavailableError):
        return Memory()


def _answer(pair: Json) -> tuple[str, int | None]:
    match pair:
        case [str(asked), int() | None as objects]:
            return asked, objects
    raise MalformedError("no answer")


def _root(pair: Json) -> tuple[bytes, bytes]:
    match pair:
        case [str(path), str(text)] if len(text) == 2 * DIGEST_BYTES:
            try:
                return path.encode(), bytes.fromhex(text)
            except ValueError as exc:
                raise MalformedError("no digest") from exc
    raise MalformedError("no root")
