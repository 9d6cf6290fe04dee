"""`gitprov diff` and `gitprov ls`: artifacts of revisions and of the worktree, file by file."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath
from gitprov.errors import GitprovError, UsageError
from gitprov.model.entry import Entry
from gitprov.model.record import ArtifactLeaf
from gitprov.ops.differences import differences, is_same
from gitprov.ops.manifests import find, loader, top_entry, walk
from gitprov.ops.pointers import on_disk, repo_path, select, tracked
from gitprov.ops.record import compute_record
from gitprov.ops.store_link import store_link
from gitprov.workspace import Workspace
from gitprov.worktree.compare import Change, compare, compare_stored
from gitprov.worktree.scan import Progress, Scanner

_KINDS = {"dir": "d", "file": "f", "exec": "x"}


@dataclass(frozen=True, slots=True)
class ArtifactDiff:
    """How one artifact differs; sizes are None where it does not exist.

    Attributes:
        path: the artifact.
        old_root: its root on the old side.
        new_root: its root on the new side.
        changes: its files that differ, paths relative to the artifact.
        problem: why its files cannot be told, one sentence, or "".
    """

    path: RepoPath
    old_root: Digest | None
    new_root: Digest | None
    changes: tuple[Change, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """One file of an artifact."""

    path: RepoPath
    kind: str
    size: int
    digest: Digest


def diff(
    ws: Workspace,
    old: str | None,
    new: str | None,
    paths: Sequence[str] = (),
    *,
    progress: Progress | None = None,
) -> list[ArtifactDiff]:
    """Returns the artifacts that differ.

    Args:
        ws: the workspace.
        old: a revision; the pointers in the worktree when None.
        new: a revision; the data in the worktree when None.
        paths: artifacts, or folders that hold some; all when empty.
        progress: is told of data that is hashed.
    """
    wanted = [repo_path(ws.worktree, ws.cwd, path) for path in paths]
    before = _at_revision(ws, old) if old else _pointers(ws)
    after = _at_revision(ws, new) if new else None
    found: list[ArtifactDiff] = []
    known = sorted(before.keys() | (after if after is not None else _pointers(ws)).keys())
    for path in sorted({artifact for artifact, _ in select(known, wanted)}):
        if after is not None:
            item = _between(ws, path, before.get(path), after.get(path))
        else:
            item = _worktree(ws, path, before.get(path), progress)
        if item is not None:
            found.append(item)
    ws.digests.save()
    return found


def ls(ws: Workspace, rev: str | None, path: str) -> list[Listed]:
    """Lists the files at a path of an artifact, at a revision or as the worktree's pointers say.

    Raises:
        UsageError: the path is in no artifact, and holds none.
        UnavailableError: a manifest is not in the store.
    """
    where = repo_path(ws.worktree, ws.cwd, path) if path else RepoPath(b"")
    tops = _at_revision(ws, rev) if rev else _pointers(ws)
    ws.digests.save()
    load = loader(ws.store)
    listed: list[Listed] = []
    chosen = select(sorted(tops), [where] if where.raw else [])
    for artifact, start in chosen:
        names = start.below(artifact)
        entry = find(load, tops[artifact], names.split(b"/")) if names else tops[artifact]
        if entry is None:
            raise UsageError(
                f"there is no {start} in the artifact {artifact}",
                hint=f"gitprov ls {artifact} lists its files",
            )
        listed += [
            Listed(RepoPath(raw), item.kind, item.size, Digest(item.digest))
            for raw, item in walk(load, entry, start.raw)
        ]
    return listed


def _pointers(ws: Workspace) -> dict[RepoPath, Entry]:
    return {item.path: top_entry(item.pointer) for item in tracked(ws.repo.git, ws.worktree)}


def _at_revision(ws: Workspace, rev: str) -> dict[RepoPath, Entry]:
    record = compute_record(ws, ws.repo.resolve(rev))
    return {RepoPath(leaf.path.encode()): leaf_entry(leaf) for leaf in record.artifacts}


def leaf_entry(leaf: ArtifactLeaf) -> Entry:
    """Returns a record's artifact as an entry, as if a folder above it named it."""
    name = leaf.path.rpartition("/")[2].encode()
    return Entry(name, _KINDS[leaf.entry], leaf.root.raw, leaf.size)


def _between(
    ws: Workspace, path: RepoPath, old: Entry | None, new: Entry | None
) -> ArtifactDiff | None:
    if old is not None and new is not None and old[1:3] == new[1:3]:
        return None
    roots = (Digest(old.digest) if old else None, Digest(new.digest) if new else None)
    try:
        changes = tuple(compare_stored(old, new, loader(ws.store)))
    except GitprovError as exc:
        return ArtifactDiff(path, *roots, (), str(exc))
    return ArtifactDiff(path, *roots, changes)


def _worktree(
    ws: Workspace, path: RepoPath, old: Entry | None, progress: Progress | None
) -> ArtifactDiff | None:
    if not os.path.lexists(on_disk(ws.worktree, path)):
        return None  # not checked out, which is no difference
    scanner = Scanner(ws.worktree, ws.stats, progress=progress, store_link=store_link(ws))
    tree = scanner.scan(path, lenient=True)
    if old is not None and is_same(tree, old):
        return None
    roots = (Digest(old.digest) if old else None, Digest(tree.root))
    try:
        if old is None:
            changes = tuple(compare(None, tree, loader(ws.store)))
        else:
            changes = differences(ws, path, old, tree)
    except GitprovError as exc:
        return ArtifactDiff(path, *roots, (), str(exc))
    return ArtifactDiff(path, *roots, changes) if changes else None
