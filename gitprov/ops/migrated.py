"""What imports from other tools have in common: what was built, what was left, and the pointers."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath
from gitprov.errors import GitprovError, UsageError
from gitprov.model.entry import Entry
from gitprov.model.pointer import MAX_COUNT, ArtifactKind, EntryType, Pointer, kind_for

_TYPES: dict[str, EntryType] = {"d": "dir", "f": "file", "x": "exec"}

T = TypeVar("T")


class Built(NamedTuple):
    """An artifact's content in the store: the entry has no name yet."""

    entry: Entry
    files: int
    weights: Digest | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """Something that was not imported.

    Attributes:
        path: what, printable.
        why: one sentence.
        code: the exit code that it is worth; 0 where nothing is wrong.
        hint: what to do, or None.
        commits: in how many commits; 0 where none were looked at.
    """

    path: str
    why: str
    code: int = 0
    hint: str | None = None
    commits: int = 0

    @classmethod
    def of(cls, path: RepoPath, error: GitprovError) -> "Left":
        """Says what an error says."""
        return cls(str(path), str(error), error.exit_code, error.hint)


class Lefts:
    """Collects what is left; the same in many commits is one."""

    def __init__(self) -> None:
        """Begins with none."""
        self._found: dict[Left, int] = {}

    def add(self, left: Left, commits: int = 0) -> None:
        """Adds one, seen in so many more commits."""
        self._found[left] = self._found.get(left, 0) + commits

    def all(self) -> tuple[Left, ...]:
        """Returns them in the order they came."""
        return tuple(replace(left, commits=count) for left, count in self._found.items())


def exit_code(left: Iterable[Left]) -> int:
    """Returns the code that a command ends with: wrong before missing before asked wrongly."""
    codes = {item.code for item in left}
    return next((code for code in (1, 4, 3, 2) if code in codes), 0)


def pointer_of(
    artifact: RepoPath, built: Built, kind: ArtifactKind | None, old: Pointer | None = None
) -> Pointer:
    """Returns the pointer of what was built; the kind as `gitprov add` chooses it.

    Raises:
        UsageError: it is larger than a pointer can say.
    """
    if built.entry.size > MAX_COUNT or built.files > MAX_COUNT:
        raise UsageError(f"{artifact} is too large: {built.entry.size} bytes")
    name = artifact.name.decode("utf-8")
    chosen = kind or (old.kind if old else kind_for(name))
    return Pointer(
        name,
        chosen,
        _TYPES[built.entry.kind],
        Digest(built.entry.digest),
        built.entry.size,
        built.files,
        built.weights if chosen == "model" else None,
    )


def is_same_version(one: Pointer, other: Pointer) -> bool:
    """Whether two pointers stand for the same bytes, whatever kind they say."""
    return (one.root, one.type) == (other.root, other.type)


def other_version(artifact: RepoPath, tool: str) -> Left:
    """Says that an artifact is left as it is."""
    why = f"it is an artifact already, of another version than {tool}'s, and stays as it is"
    return Left(str(artifact), why, hint=f"with {tool}'s version on disk the same command takes it")


class Once:
    """Remembers what a function said, errors included: thousands of commits ask the same."""

    def __init__(self) -> None:
        """Knows nothing yet."""
        self._known: dict[object, object] = {}

    def of(self, key: object, make: Callable[[], T]) -> T:
        """Returns or raises what `make` did, the first time it was asked with that key."""
        if key not in self._known:
            try:
                self._known[key] = make()
            except GitprovError as exc:
                self._known[key] = exc
        known = self._known[key]
        if isinstance(known, GitprovError):
            raise known.with_traceback(None)  # else each time makes it longer, and keeps more alive
        return known  # type: ignore[return-value]
