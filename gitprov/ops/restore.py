"""`gitprov checkout`: restores artifacts in the worktree to what their pointers say."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO

from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath
from gitprov.errors import GitprovError, UnavailableError, UsageError, VerificationError
from gitprov.git.command import split_nul
from gitprov.model.entry import Entry
from gitprov.ops.checkouts import artifacts_here, checked_out, forget, remember
from gitprov.ops.manifests import Load, find, loader, reachable, top_entry, walk
from gitprov.ops.pointers import (
    Tracked,
    artifact_path,
    on_disk,
    pointer_path,
    pointer_paths,
    read_pointer,
    repo_path,
    select,
    tracked,
)
from gitprov.ops.shared_store import register_here
from gitprov.ops.store_link import store_link
from gitprov.platform.locks import file_lock
from gitprov.store.base import BlobStore
from gitprov.store.local import LocalStore
from gitprov.workspace import Workspace
from gitprov.worktree.folders import join
from gitprov.worktree.materialize import Materializer
from gitprov.worktree.plan import Plan, make_plan, refuse_conflicts
from gitprov.worktree.scan import Progress, Scanner


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of the artifacts.

    Attributes:
        updated: artifacts, or parts, that were written.
        dropped: those that were removed, because their pointer is gone.
        unchanged: those that were as they should be.
        left: one sentence for each that was left alone, only when that was asked for.
        files: files written.
        removed: files removed.
    """

    updated: tuple[RepoPath, ...]
    dropped: tuple[RepoPath, ...]
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
    """Restores artifacts, or parts of them; all artifacts when no path is given.

    Args:
        ws: the workspace.
        paths: artifacts, folders that hold some, or files and folders inside artifacts.
        force: whether to write over what was changed, and remove what no manifest has.
        progress: is told how it goes.

    Raises:
        UsageError: a path is no artifact, or changes would be lost; nothing is written then.
        UnavailableError: the store lacks something.
    """
    found = {item.path: item for item in tracked(ws.repo.git, ws.worktree)}
    wanted = [repo_path(ws.worktree, ws.cwd, path) for path in paths]
    register_here(ws)
    with worktree_lock(ws):
        plans = [
            _plan(ws, found[artifact], part, force=force)
            for artifact, part in select(found, wanted)
        ]
        return _apply(ws, plans, progress, ())


def restore(ws: Workspace, *, previous: str | None = None) -> Restored:
    """Restores what a git checkout or merge has changed; what cannot be is left and told of.

    An artifact that was not checked out before, and whose data is not in the store, stays away. Of
    one that is here in parts, these parts are restored. One that the previous commit had and that
    has no pointer now is removed, as git removes a file: when it is unchanged and the store has it.
    What git itself tracks now, or DVC keeps, is theirs and stays.

    Args:
        ws: the workspace.
        previous: the commit that was checked out before, when it is known.
    """
    plans: list[_Planned] = []
    left: list[str] = []
    with worktree_lock(ws):
        pointers = [artifact_path(path) for path in pointer_paths(ws.repo.git)]
        for artifact in pointers:
            _restore_one(ws, artifact, plans, left)
        gone = [
            path
            for path in sorted(artifacts_here(ws))
            if not any(artifact.contains(path) for artifact in pointers)
            and _was_in(ws, previous, path)
        ]
        _remove(ws, gone, plans, left)
        return _apply(ws, plans, None, tuple(left))


def _was_in(ws: Workspace, commit: str | None, path: RepoPath) -> bool:
    """Whether a commit has a pointer for the path, or for a folder above it."""
    if not commit or commit.strip("0") == "":
        return False
    places = [pointer_path(above) for above in (path, *path.ancestors()) if above.raw]
    specs = [f"{commit}:{os.fsdecode(place.raw)}" for place in places]
    return any(ws.objects.header(spec) is not None for spec in specs)


@dataclass(frozen=True, slots=True)
class _Planned:
    path: RepoPath
    artifact: RepoPath
    want: Entry | None
    plan: Plan


def worktree_lock(ws: Workspace) -> AbstractContextManager[None]:
    """Returns the lock of whoever writes or removes artifacts in this worktree."""
    return file_lock(os.path.join(ws.repo.git_dir, "gitprov-worktree.lock"), waiting=ws.waiting)


def _restore_one(ws: Workspace, artifact: RepoPath, plans: list[_Planned], left: list[str]) -> None:
    try:
        pointer = read_pointer(ws.worktree, artifact)
        if pointer is None:
            return
        item = Tracked(artifact, pointer)
        here = checked_out(ws, artifact)
        parts = sorted(here.parts) if here.is_partial else [artifact]
        planned = [_plan(ws, item, part, force=False, complain=False) for part in parts]
        refuse_conflicts([one.plan for one in planned])
    except UnavailableError:
        # What this clone never had is not news at every commit and checkout; status tells.
        if os.path.lexists(on_disk(ws.worktree, artifact)) or checked_out(ws, artifact).is_known:
            left.append(f"{artifact} is not in the store, so it was left as it is")
    except UsageError as exc:
        left.append(f"{artifact} was left as it is: {exc}; gitprov status shows more")
    except GitprovError as exc:
        left.append(f"{artifact} cannot be restored: {exc}")
    else:
        plans += planned


def _remove(
    ws: Workspace, gone: Sequence[RepoPath], plans: list[_Planned], left: list[str]
) -> None:
    """Plans to remove what was checked out at paths to which no pointer belongs any more."""
    if not gone:
        return
    from gitprov.ops.import_dvc import dvc_paths  # needs YAML, which most checkouts can do without

    # Before they were artifacts, git may have tracked them: it has just put its own files there.
    in_git = ws.repo.git.run(
        "--literal-pathspecs", "ls-files", "-z", "--", *(path.raw for path in gone)
    )
    gits = frozenset(split_nul(in_git))
    dvcs = dvc_paths(ws)
    for path in gone:
        if path.raw in gits:
            forget(ws, path)
        elif any(one.contains(path) or path.contains(one) for one in dvcs):
            left.append(f"{path} was left as it is: in this commit DVC keeps it")
        else:
            _remove_one(ws, path, plans, left, spared=gits)


def _remove_one(
    ws: Workspace,
    path: RepoPath,
    plans: list[_Planned],
    left: list[str],
    *,
    spared: frozenset[bytes],
) -> None:
    expected = checked_out(ws, path).whole
    if expected is None:
        return
    try:
        needed, lost = reachable(ws.store, [(expected.digest, expected.kind == "d")])
        if lost or needed - ws.store.has(needed):
            raise UnavailableError("the store does not have all of it")
        load = loader(ws.store)
        scanner = Scanner(ws.worktree, ws.stats, store_link=store_link(ws))
        plan = make_plan(scanner, load, path, None, expected=expected)
        plan.spare(spared)
        refuse_conflicts([plan])
        need_copies(ws.store, plan, expected, load)
    except GitprovError as exc:
        left.append(f"{path} has no pointer any more, and was left on disk: {exc}")
        forget(ws, path)
    else:
        plans.append(_Planned(path, path, None, plan))


def _plan(
    ws: Workspace, item: Tracked, part: RepoPath, *, force: bool, complain: bool = True
) -> _Planned:
    load = loader(ws.store)
    top = top_entry(item.pointer)
    _need_blobs(ws.store, top)
    names = part.below(item.path)
    want = _part(load, top, names)
    if want is None and complain:
        raise UsageError(
            f"there is no {part} in the artifact {item.path}",
            hint=f"gitprov ls {item.path} lists its files",
        )
    before, load_before = checked_out(ws, item.path).expected(load)
    expected = None
    if before is not None:
        try:
            expected = _part(load_before, before, names)
        except UnavailableError:
            expected = None  # then nothing is known to be unchanged, which is the safe side
    scanner = Scanner(ws.worktree, ws.stats, store_link=store_link(ws))
    plan = make_plan(
        scanner, load_before, part, want, expected=expected, artifact=item.path, force=force
    )
    _need_bytes(ws.store, plan)
    if not force:
        need_copies(ws.store, plan, expected, load_before)
    return _Planned(part, item.path, want, plan)


def need_copies(store: LocalStore, plan: Plan, expected: Entry | None, load: Load) -> None:
    """Finds out that the store's bytes are intact before what may be the last good copy goes.

    Raises:
        UsageError: they are not.
    """
    going = [join(removal.folder, removal.name) for removal in plan.removals]
    going += [
        join(write.folder, write.entry.name) for write in plan.writes if write.before is not None
    ]
    if expected is None or not going:
        return
    known = dict(walk(load, expected, plan.path.raw))
    try:
        digests = {known[path].digest for path in going if path in known}
        small = [digest for digest in digests if store.path_of(digest) is None]
        for _ in store.read_many(small):
            pass
    except (VerificationError, UnavailableError) as exc:
        raise UsageError(
            f"the store has no good copy of what would go from {plan.path}: {exc}",
            hint=f"gitprov add {plan.path} repairs the store from what is on disk",
        ) from exc


def _need_bytes(store: BlobStore, plan: Plan) -> None:
    """Finds out before anything is written that the store lacks a file."""
    here = store.has(write.entry.digest for write in plan.writes)
    lacking = [write for write in plan.writes if write.entry.digest not in here]
    if lacking:
        first = RepoPath(lacking[0].folder) / lacking[0].entry.name
        more = f" and of {len(lacking) - 1:,} more files" if len(lacking) > 1 else ""
        raise UnavailableError(
            f"the store does not have the bytes of {first}{more}",
            hint="gitprov pull fetches them; or run `gitprov add` where they are",
        )


def _part(load: Load, top: Entry, below: bytes) -> Entry | None:
    return find(load, top, below.split(b"/")) if below else top


def _need_blobs(store: BlobStore, top: Entry) -> None:
    if not store.has((top.digest,)):
        raise UnavailableError(
            f"the store does not have {top.name.decode('utf-8', 'replace')}, {Digest(top.digest)}",
            hint="gitprov pull fetches it; or run `gitprov add` where the data is",
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
        if planned.want is None:
            forget(ws, planned.path)
        else:
            remember(ws, planned.path, planned.want)
    done = {planned.path for planned in work}
    return Restored(
        updated=tuple(planned.path for planned in work if planned.want is not None),
        dropped=tuple(planned.path for planned in work if planned.want is None),
        unchanged=tuple(planned.path for planned in plans if planned.path not in done),
        left=left,
        files=sum(len(planned.plan.writes) for planned in work),
        removed=sum(len(planned.plan.removals) for planned in work),
    )
