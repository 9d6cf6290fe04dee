"""`gitprov checkout`: restores artifacts in the worktree to what their pointers say."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO

from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath
from gitprov.errors import GitprovError, UnavailableError, UsageError
from gitprov.model.entry import Entry
from gitprov.ops.add import store_link
from gitprov.ops.checkouts import checked_out, remember
from gitprov.ops.manifests import Load, find, loader, top_entry
from gitprov.ops.pointers import Tracked, repo_path, select, tracked
from gitprov.platform.locks import file_lock
from gitprov.store.base import BlobStore
from gitprov.store.local import LocalStore
from gitprov.workspace import Workspace
from gitprov.worktree.materialize import Materializer
from gitprov.worktree.plan import Plan, make_plan, refuse_conflicts
from gitprov.worktree.scan import Progress, Scanner


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of the artifacts.

    Attributes:
        updated: artifacts, or parts, that were written.
        unchanged: those that were as they should be.
        left: one sentence for each that was left alone, only when that was asked for.
        files: files written.
        removed: files removed.
    """

    updated: tuple[RepoPath, ...]
    unchanged: tuple[RepoPath, ...]
    left: tuple[str, ...]
    files: int
    removed: int


class StoreSource:
    """Gives a materializer what the store has."""

    def __init__(self, store: LocalStore) -> None:
        """Takes the store."""
        self._store = store

    def many(self, digests: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Yields small blobs in the order that is fastest to read."""
        return self._store.read_many(digests)

    def path(self, digest: bytes) -> str | None:
        """Returns the file of a large blob; what is made from it is hashed by the caller."""
        return self._store.path_of(digest, verify=False)

    def stream(self, digest: bytes) -> BinaryIO:
        """Opens a blob."""
        return self._store.open(digest)


def checkout(
    ws: Workspace,
    paths: Sequence[str] = (),
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> Restored:
    """Restores artifacts, or parts of them; everything when no path is given.

    Args:
        ws: the workspace.
        paths: artifacts, folders that hold some, or files and folders inside artifacts.
        force: whether to write over what was changed, and remove what no manifest has.
        progress: is told how it goes.

    Raises:
        UsageError: a path is no artifact, or changes would be lost; nothing is written then.
        UnavailableError: the store lacks something.
    """
    found = list(tracked(ws.repo.git, ws.worktree))
    wanted = [repo_path(ws.worktree, ws.cwd, path) for path in paths]
    with _worktree_lock(ws):
        plans = [
            _plan(ws, item, part, force=force, complain=bool(paths))
            for item, part in select(found, wanted)
        ]
        return _apply(ws, plans, progress, ())


def restore(ws: Workspace) -> Restored:
    """Restores what a git checkout or merge has changed; what cannot be is left and told of.

    An artifact that was not checked out before, and whose data is not in the store, stays away.
    """
    plans: list[_Planned] = []
    left: list[str] = []
    with _worktree_lock(ws):
        for item in tracked(ws.repo.git, ws.worktree):
            try:
                planned = _plan(ws, item, item.path, force=False, complain=False)
                refuse_conflicts([planned.plan])
            except UnavailableError:
                left.append(f"{item.path} is not in the store, so it was left as it is")
            except UsageError as exc:
                left.append(f"{item.path} was left as it is: {exc}")
            except GitprovError as exc:
                left.append(f"{item.path} cannot be restored: {exc}")
            else:
                plans.append(planned)
        return _apply(ws, plans, None, tuple(left))


@dataclass(frozen=True, slots=True)
class _Planned:
    item: Tracked
    part: RepoPath
    plan: Plan


def _worktree_lock(ws: Workspace) -> AbstractContextManager[None]:
    return file_lock(os.path.join(ws.repo.git_dir, "gitprov-worktree.lock"), waiting=ws.waiting)


def _plan(ws: Workspace, item: Tracked, part: RepoPath, *, force: bool, complain: bool) -> _Planned:
    load = loader(ws.store)
    top = top_entry(item.pointer)
    _need_blobs(ws.store, top)
    before = checked_out(ws, item.path)
    names = part.below(item.path)
    want = _part(load, top, names)
    if want is None and complain:
        raise UsageError(
            f"there is no {part} in the artifact {item.path}",
            hint=f"gitprov ls {item.path} lists its files",
        )
    expected = None
    if before is not None:
        try:
            expected = _part(load, before, names)
        except UnavailableError:
            expected = None  # then nothing is known to be unchanged, which is the safe side
    scanner = Scanner(ws.worktree, ws.stats, store_link=store_link(ws))
    plan = make_plan(scanner, load, part, want, expected=expected, artifact=item.path, force=force)
    return _Planned(item, part, plan)


def _part(load: Load, top: Entry, below: bytes) -> Entry | None:
    return find(load, top, below.split(b"/")) if below else top


def _need_blobs(store: BlobStore, top: Entry) -> None:
    if not store.has((top.digest,)):
        raise UnavailableError(
            f"the store does not have {top.name.decode('utf-8', 'replace')}, {Digest(top.digest)}",
            hint="run `gitprov add` where the data is, or share a store: gitprov init --store",
        )


def _apply(
    ws: Workspace,
    plans: Sequence[_Planned],
    progress: Progress | None,
    left: tuple[str, ...],
) -> Restored:
    refuse_conflicts([planned.plan for planned in plans])
    materializer = Materializer(
        ws.worktree,
        ws.stats,
        StoreSource(ws.store),
        link=ws.config.store.link,
        store_link=store_link(ws),
        progress=progress,
    )
    work = [planned for planned in plans if not planned.plan.is_empty]
    materializer.apply([planned.plan for planned in work])
    for planned in plans:
        if planned.part == planned.item.path:
            remember(ws, planned.item.path, top_entry(planned.item.pointer))
    done = {(planned.item.path, planned.part) for planned in work}
    return Restored(
        updated=tuple(planned.part for planned in work),
        unchanged=tuple(p.part for p in plans if (p.item.path, p.part) not in done),
        left=left,
        files=sum(len(planned.plan.writes) for planned in work),
        removed=sum(len(planned.plan.removals) for planned in work),
    )
