"""`gitprov status`: what differs between the worktree, the pointers and the store."""

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gitprov.core.paths import RepoPath
from gitprov.errors import GitprovError, MalformedError, UsageError
from gitprov.model.entry import Entry
from gitprov.model.pointer import Pointer
from gitprov.ops.checkouts import checked_out
from gitprov.ops.differences import differences, odd_names
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
from gitprov.ops.store_link import store_link
from gitprov.workspace import Workspace
from gitprov.worktree.compare import Change
from gitprov.worktree.scan import Progress, Scanner
from gitprov.worktree.tree import Tree

State = Literal["clean", "modified", "partial", "absent", "broken"]


@dataclass(frozen=True, slots=True)
class Status:
    """How one artifact stands.

    Attributes:
        path: the artifact.
        pointer: its pointer in the worktree, None when that is not well formed.
        state: `absent` says that nothing is checked out, `partial` that some of it is and is
            unchanged, `broken` that the pointer is nonsense.
        changes: the files that differ from the manifest; paths relative to the artifact.
        odd: names on disk that no manifest can hold, with the reason.
        missing: files whose bytes the store lacks; paths in the repository.
        problem: what is wrong with the pointer or the store, one sentence, or "".
        is_fetched: False when the store lacks it and it never was checked out: a fresh clone.
    """

    path: RepoPath
    pointer: Pointer | None
    state: State
    changes: tuple[Change, ...] = ()
    odd: tuple[tuple[bytes, str], ...] = ()
    missing: tuple[bytes, ...] = ()
    problem: str = ""
    is_fetched: bool = True

    @property
    def is_clean(self) -> bool:
        """Whether there is nothing to report."""
        here = self.state in {"clean", "partial", "absent"}
        return here and self.is_fetched and not self.missing and not self.problem


def status(
    ws: Workspace, paths: Sequence[str] = (), *, progress: Progress | None = None
) -> list[Status]:
    """Returns the state of artifacts, all of them when no path is given.

    Raises:
        UsageError: a path is no artifact.
    """
    worktree = ws.worktree
    found: list[Tracked] = []
    broken: dict[RepoPath, Status] = {}
    for where in pointer_paths(ws.repo.git):
        artifact = artifact_path(where)
        try:
            pointer = read_pointer(worktree, artifact)
        except MalformedError as exc:
            broken[artifact] = Status(artifact, None, "broken", problem=str(exc))
            continue
        if pointer is not None:
            found.append(Tracked(artifact, pointer))
    wanted = [repo_path(worktree, ws.cwd, path) for path in paths]
    chosen = select([item.path for item in found] + list(broken), wanted)
    names = {artifact for artifact, _ in chosen}
    result = [examine(ws, item, progress=progress) for item in found if item.path in names]
    result += [item for path, item in broken.items() if path in names]
    return sorted(result, key=lambda item: item.path)


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
    is_here = os.path.lexists(on_disk(ws.worktree, item.path))
    never = not is_here and not checked_out(ws, item.path).is_known
    if never and not ws.store.has((top.digest,)):
        return Status(item.path, item.pointer, "absent", is_fetched=False)
    missing, problem = _missing(ws, item, top)
    if not is_here:
        return Status(item.path, item.pointer, "absent", missing=missing, problem=problem)
    try:
        tree = _scan(ws, item.path, progress)
    except MalformedError as exc:  # a symlink on the way, or in its place
        return Status(item.path, item.pointer, "modified", (), (), missing, str(exc))
    odd = tuple(odd_names(tree))
    changes: tuple[Change, ...] = ()
    is_known = True
    try:
        changes = differences(ws, item.path, top, tree)
    except GitprovError as exc:
        problem, is_known = problem or str(exc), False
    if changes or odd or not is_known:
        return Status(item.path, item.pointer, "modified", changes, odd, missing, problem)
    state: State = "clean" if tree.root == top.digest else "partial"
    return Status(item.path, item.pointer, state, missing=missing, problem=problem)


def _scan(ws: Workspace, artifact: RepoPath, progress: Progress | None) -> Tree:
    scanner = Scanner(ws.worktree, ws.stats, progress=progress, store_link=store_link(ws))
    return scanner.scan(artifact, lenient=True)


def _missing(ws: Workspace, item: Tracked, top: Entry) -> tuple[tuple[bytes, ...], str]:
    """The files whose bytes the store lacks, and what keeps us from telling."""
    fingerprint = ws.store.fingerprint()
    if fingerprint is not None and _was_whole(ws, top, fingerprint):
        return (), ""
    try:
        needed, lost = reachable(ws.store, [(top.digest, top.kind == "d")])
        lacking = needed - ws.store.has(needed)
        if lost:
            return (), lost[0]
        if lacking:
            entries = walk(loader(ws.store), top, item.path.raw)
            return tuple(path for path, entry in entries if entry.digest in lacking), ""
    except GitprovError as exc:
        return (), str(exc)
    if fingerprint is not None:
        with contextlib.suppress(sqlite3.DatabaseError):
            ws.cache.execute(
                "INSERT OR REPLACE INTO stored VALUES (?, ?)", (_key(top), fingerprint)
            )
    return (), ""


def _was_whole(ws: Workspace, top: Entry, fingerprint: bytes) -> bool:
    """Whether the store had all of an artifact, and nothing has come or gone since."""
    query = "SELECT 1 FROM stored WHERE root = ? AND fingerprint = ?"
    try:
        return ws.cache.execute(query, (_key(top), fingerprint)).fetchone() is not None
    except sqlite3.DatabaseError:
        return False


def _key(top: Entry) -> bytes:
    return top.kind.encode() + top.digest
