"""What `gitprov add` returns, wherever the data lies."""

from dataclasses import dataclass
from typing import Literal

from gitprov.core.paths import RepoPath
from gitprov.model.pointer import Pointer

State = Literal["added", "modified", "unchanged"]


@dataclass(frozen=True, slots=True)
class AddedArtifact:
    """One artifact and its new pointer; `part` is what of it was read."""

    path: RepoPath
    part: RepoPath
    pointer: Pointer
    state: State


def state_of(old: Pointer | None, new: Pointer) -> State:
    """Returns what became of a pointer."""
    if old is None:
        return "added"
    return "unchanged" if old == new else "modified"
