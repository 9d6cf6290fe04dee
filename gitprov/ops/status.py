"""`gitprov status`: what differs between the worktree, the pointers and the store."""

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from gitprov.core.paths import RepoPath
from gitprov.errors import GitprovError, MalformedError, UsageError
from gitprov.model.entry import Entry
from gitprov.model.pointer import Pointer
from gitprov.ops.checkouts import CheckedOut, checked_out
from gitprov.ops.claims import contradictions, misstated, survey
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
            unchanged, `broken` that the pointer is nonsense, or says what is not so.
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
    is_on_disk = os.path.lexists(on_disk(ws.worktree, item.path))
    here = checked_out(ws, item.path)
    stored = _stored(ws, item, top)
    if here.is_partial and (stored.missing or stored.problem):
        stored = _stored_parts(ws, here, stored)
    missing, problem = stored.missing, stored.problem
    if stored.wrong:
        return Status(item.path, item.pointer, "broken", missing=missing, problem=stored.wrong)
    if not is_on_disk:
        if not here.is_known and (missing or stored.is_incomplete):
            return Status(item.path, item.pointer, "absent", missing=missing, is_fetched=False)
        return Status(item.path, item.pointer, "absent", missing=missing, problem=problem)
    return _examine_on_disk(ws, item, here, stored, progress)


def _examine_on_disk(
    ws: Workspace,
    item: Tracked,
    here: CheckedOut,
    stored: "_Stored",
    progress: Progress | None,
) -> Status:
    top = top_entry(item.pointer)
    missing, problem = stored.missing, stored.problem
    try:
        tree = _scan(ws, item.path, progress)
    except MalformedError as exc:  # a symlink on the way, or in its place
        return Status(item.path, item.pointer, "modified", (), (), missing, str(exc))
    odd = tuple(odd_names(tree))
    changes: tuple[Change, ...] = ()
    wrong: list[str] = []
    is_known = True
    try:
        changes = differences(ws, item.path, top, tree)
    except GitprovError as exc:
        problem, is_known = problem or str(exc), False
    if changes or odd or not is_known:
        return Status(item.path, item.pointer, "modified", changes, odd, missing, problem)
    state: State = "clean" if tree.root == top.digest else "partial"
    if state == "clean":
        wrong = misstated(top, item.pointer.files, tree)
    elif not here.is_partial:
        wrong = contradictions(ws.store, top, item.pointer.files)
    if wrong:
        return Status(item.path, item.pointer, "broken", (), (), missing, "; ".join(wrong))
    return Status(item.path, item.pointer, state, missing=missing, problem=problem)


def _scan(ws: Workspace, artifact: RepoPath, progress: Progress | None) -> Tree:
    scanner = Scanner(ws.worktree, ws.stats, progress=progress, store_link=store_link(ws))
    return scanner.scan(artifact, lenient=True)


class _Stored(NamedTuple):
    """The files whose bytes the store lacks, what keeps us from telling, and what is not so.

    `is_incomplete` when it is a manifest that the store lacks which keeps us from telling.
    """

    missing: tuple[bytes, ...] = ()
    problem: str = ""
    wrong: str = ""
    is_incomplete: bool = False


def _stored(ws: Workspace, item: Tracked, top: Entry) -> _Stored:
    fingerprint = ws.store.fingerprint()
    key = _key(top, item.pointer.files)
    if fingerprint is not None and _was_whole(ws, key, fingerprint):
        return _Stored()
    try:
        found = survey(ws.store, top, item.pointer.files)
        wrong = "; ".join(found.wrong)
        if found.lost:
            return _Stored((), found.lost[0], wrong, is_incomplete=True)
        lacking = found.needed - ws.store.has(found.needed)
        if lacking:
            entries = walk(loader(ws.store), top, item.path.raw)
            missing = tuple(path for path, entry in entries if entry.digest in lacking)
            return _Stored(missing, "", wrong)
        if wrong:
            return _Stored(wrong=wrong)
    except GitprovError as exc:
        return _Stored(problem=str(exc))
    if fingerprint is not None:
        with contextlib.suppress(sqlite3.DatabaseError):
            ws.cache.execute("INSERT OR REPLACE INTO stored VALUES (?, ?)", (key, fingerprint))
    return _Stored()


def _stored_parts(ws: Workspace, here: CheckedOut, stored: _Stored) -> _Stored:
    """The same of the parts that were brought here; for the rest nobody has asked."""
    missing: list[bytes] = []
    try:
        for part, entry in sorted(here.parts.items()):
            if not entry.kind:
                continue  # taken out
            needed, lost = reachable(ws.store, [(entry.digest, entry.kind == "d")])
            if lost:
                return stored._replace(missing=(), problem=lost[0])
            lacking = needed - ws.store.has(needed)
            below = walk(loader(ws.store), entry, part.raw) if lacking else ()
            missing += [path for path, one in below if one.digest in lacking]
    except GitprovError as exc:
        return stored._replace(missing=(), problem=str(exc))
    return _Stored(tuple(missing), "", stored.wrong)


def _was_whole(ws: Workspace, key: bytes, fingerprint: bytes) -> bool:
    """Whether the store had all of an artifact, and nothing has come or gone since."""
    query = "SELECT 1 FROM stored WHERE root = ? AND fingerprint = ?"
    try:
        return ws.cache.execute(query, (key, fingerprint)).fetchone() is not None
    except sqlite3.DatabaseError:
        return False


def _key(top: Entry, files: int) -> bytes:
    """What was found to be whole: the root, and what the pointer says of it."""
    return top.kind.encode() + top.digest + b"%d %d" % (top.size, files)
