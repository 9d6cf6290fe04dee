"""`gitprov status`: what differs between the worktree, the pointers and the store."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gitprov.core.paths import RepoPath
from gitprov.errors import MalformedError, UnavailableError, UsageError
from gitprov.model.entry import Entry
from gitprov.model.pointer import Pointer
from gitprov.ops.add import store_link
from gitprov.ops.manifests import loader, reachable, top_entry, walk
from gitprov.ops.pointers import (
    Tracked,
    artifact_path,
    on_disk,
    pointer_paths,
    read_pointer,
    repo_path,
    select,
)
from gitprov.workspace import Workspace
from gitprov.worktree.compare import Change, compare
from gitprov.worktree.scan import Progress, Scanner
from gitprov.worktree.tree import Tree

State = Literal["clean", "modified", "absent", "broken"]


@dataclass(frozen=True, slots=True)
class Status:
    """How one artifact stands.

    Attributes:
        path: the artifact.
        pointer: its pointer in the worktree, None when that is not well formed.
        state: `absent` says that nothing is checked out, `broken` that the pointer is nonsense.
        changes: the files that differ from the manifest; paths relative to the artifact.
        odd: names on disk that no manifest can hold, with the reason.
        missing: files whose bytes the store lacks; paths in the repository.
        problem: what is wrong with the pointer or the store, one sentence, or "".
    """

    path: RepoPath
    pointer: Pointer | None
    state: State
    changes: tuple[Change, ...] = ()
    odd: tuple[tuple[bytes, str], ...] = ()
    missing: tuple[bytes, ...] = ()
    problem: str = ""

    @property
    def is_clean(self) -> bool:
        """Whether there is nothing to report."""
        return self.state in {"clean", "absent"} and not self.missing and not self.problem


def status(
    ws: Workspace, paths: Sequence[str] = (), *, progress: Progress | None = None
) -> list[Status]:
    """Returns the state of artifacts, all of them when no path is given.

    Raises:
        UsageError: a path is no artifact.
    """
    found: list[Tracked] = []
    broken: list[Status] = []
    for where in pointer_paths(ws.repo.git):
        artifact = artifact_path(where)
        try:
            pointer = read_pointer(ws.worktree, artifact)
        except MalformedError as exc:
            broken.append(Status(artifact, None, "broken", problem=str(exc)))
            continue
        if pointer is not None:
            found.append(Tracked(artifact, pointer))
    if paths:
        wanted = [repo_path(ws.worktree, ws.cwd, path) for path in paths]
        broken = [item for item in broken if any(path.contains(item.path) for path in wanted)]
        chosen = {item.path: item for item, _ in select(found, wanted)} if not broken else {}
        found = list(chosen.values())
    result = [examine(ws, item, progress=progress) for item in found]
    return sorted([*result, *broken], key=lambda item: item.path)


def artifact_status(ws: Workspace, artifact: RepoPath) -> Status:
    """Returns the state of one artifact.

    Raises:
        UsageError: it has no pointer.
    """
    pointer = read_pointer(ws.worktree, artifact)
    if pointer is None:
        raise UsageError(f"{artifact} is no artifact")
    return examine(ws, Tracked(artifact, pointer))


def examine(ws: Workspace, item: Tracked, *, progress: Progress | None = None) -> Status:
    """Compares one artifact on disk with its pointer, and its pointer with the store."""
    top = top_entry(item.pointer)
    tree: Tree | None = None
    if os.path.lexists(on_disk(ws.worktree, item.path)):
        scanner = Scanner(ws.worktree, ws.stats, progress=progress, store_link=store_link(ws))
        tree = scanner.scan(item.path, lenient=True)
    missing, problem = _missing(ws, item, top)
    if tree is None:
        return Status(item.path, item.pointer, "absent", missing=missing, problem=problem)
    odd = tuple(sorted(_odd(tree, b"")))
    if _same(tree, top) and not odd:
        return Status(item.path, item.pointer, "clean", missing=missing, problem=problem)
    try:
        changes = tuple(compare(top, tree, loader(ws.store)))
    except UnavailableError as exc:
        changes, problem = (), str(exc)
    return Status(item.path, item.pointer, "modified", changes, odd, missing, problem)


def _same(tree: Tree, top: Entry) -> bool:
    return tree.root == top.digest and tree.kind == top.kind


def _odd(tree: Tree, folder: bytes) -> list[tuple[bytes, str]]:
    found = [(folder + name, reason) for name, reason in tree.odd.items()]
    for name, child in tree.children.items():
        found += _odd(child, folder + name + b"/")
    return found


def _missing(ws: Workspace, item: Tracked, top: Entry) -> tuple[tuple[bytes, ...], str]:
    """The files whose bytes the store lacks, and what keeps us from telling."""
    needed, lost = reachable(ws.store, [(top.digest, top.kind == "d")])
    lacking = needed - ws.store.has(needed)
    if lost:
        return (), lost[0]
    if not lacking:
        return (), ""
    entries = walk(loader(ws.store), top, item.path.raw)
    return tuple(path for path, entry in entries if entry.digest in lacking), ""
