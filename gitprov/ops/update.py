"""`gitprov update`: imported artifacts follow the repositories that they come from.

Both files, the pointer first, are written before the worktree, so whatever moment it dies at,
running it again goes on.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath
from gitprov.errors import UsageError
from gitprov.model.origin import Origin
from gitprov.ops.checkouts import checked_out
from gitprov.ops.elsewhere import Elsewhere, open_elsewhere
from gitprov.ops.foreign import Connect, look_up, root_there
from gitprov.ops.imports import (
    Imported,
    State,
    bring_here,
    files_of,
    indexes,
    origin_of,
    pointer_of,
    pointers_lock,
)
from gitprov.ops.origins import imported, origin_path, read_origin, write_origin
from gitprov.ops.pointers import (
    on_disk,
    pointer_path,
    read_pointer,
    repo_path,
    select,
    write_pointer,
)
from gitprov.ops.restore import checkout
from gitprov.ops.staging import stage_paths
from gitprov.ops.status import artifact_status
from gitprov.ops.transfer import Meter
from gitprov.store.transport import Transport
from gitprov.workspace import Workspace
from gitprov.worktree.scan import Progress


def origins(ws: Workspace, names: Sequence[str]) -> dict[RepoPath, Origin]:
    """Returns the imported artifacts that are meant, all when nothing is named.

    Raises:
        UsageError: a name is no imported artifact, and holds none.
    """
    known = imported(ws.repo.git, ws.worktree)
    try:
        chosen = select(known, [repo_path(ws.worktree, ws.cwd, name) for name in names])
    except UsageError as exc:
        raise UsageError(str(exc).replace("no artifact", "no imported artifact")) from None
    found = {path: read_origin(ws.worktree, path) for path in dict(chosen)}
    return {path: origin for path, origin in found.items() if origin is not None}


def update(
    ws: Workspace,
    wanted: dict[RepoPath, Origin],
    *,
    cache: str,
    connect_to: Callable[[Elsewhere], Transport],
    rev: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    jobs: int = 4,
    meter: Meter | None = None,
    progress: Progress | None = None,
) -> list[Imported]:
    """Follows origins: what another root has there now is brought, and pointer and origin follow.

    Args:
        ws: this repository.
        wanted: the artifacts, as `origins` returns them.
        cache: gitprov's cache folder.
        connect_to: opens the remote of another repository.
        rev: another revision to follow from now on.
        force: whether to write over what was changed here.
        dry_run: whether to say only what would happen.
        jobs: transfers at once.
        meter: is told how the fetching goes.
        progress: is told how the writing goes.

    Raises:
        UsageError: an artifact was changed here; those before it are updated.
    """
    done: list[Imported] = []
    opened: dict[tuple[str, str], Elsewhere] = {}
    with ExitStack() as stack:
        for artifact, origin in wanted.items():
            place = (origin.url, rev or origin.rev)
            if place not in opened:
                entered = open_elsewhere(
                    place[0], cwd=ws.worktree, cache=cache, rev=place[1], waiting=ws.waiting
                )
                opened[place] = stack.enter_context(entered)
            there = opened[place]
            one = _Update(ws, there, artifact, origin, partial(connect_to, there))
            done.append(
                one.run(force=force, dry_run=dry_run, jobs=jobs, meter=meter, progress=progress)
            )
    return done


class _Update:
    """One artifact that follows its origin."""

    def __init__(
        self,
        ws: Workspace,
        there: Elsewhere,
        artifact: RepoPath,
        origin: Origin,
        connect: Connect,
    ) -> None:
        self._ws, self._there, self._artifact = ws, there, artifact
        self._before, self._connect = origin, connect

    def run(
        self,
        *,
        force: bool,
        dry_run: bool,
        jobs: int,
        meter: Meter | None,
        progress: Progress | None,
    ) -> Imported:
        ws, there, before = self._ws, self._there, self._before
        if (there.commit, there.rev) == (before.commit, before.rev):
            return self._up_to_date(dry_run=dry_run, progress=progress)
        found = look_up(there, before.path)
        root = root_there(there, found, ws.store, indexes(ws), self._connect)
        if root == before.root and there.rev == before.rev:
            return self._up_to_date(dry_run=dry_run, progress=progress)
        if not force:
            self._refuse_changed(root)
        if dry_run:
            after, noted, logs = origin_of(there, found, root, before.url)
            return Imported(self._artifact, "would update", after, before, None, noted, logs)
        brought = bring_here(ws, there, found, self._connect, jobs, meter)
        origin, noted, logs = origin_of(there, found, Digest(brought.entry.digest), before.url)
        pointer = pointer_of(ws.store, self._artifact, found, brought.entry, brought.files)
        here = checked_out(ws, self._artifact)
        parts = sorted(here.parts) if here.is_partial else [self._artifact]
        with pointers_lock(ws):
            # The pointer first: were it the origin, it would say that the update is done.
            write_pointer(ws.worktree, self._artifact, pointer)
            write_origin(ws.worktree, self._artifact, origin)
        paths = [os.fsdecode(on_disk(ws.worktree, part)) for part in parts]
        restored = checkout(ws, paths, force=force, progress=progress)
        stage_paths(ws, files_of(self._artifact))
        state: State = "followed" if root == before.root else "updated"
        return Imported(
            self._artifact, state, origin, before, pointer, noted, logs, brought.moved, restored
        )

    def _up_to_date(self, *, dry_run: bool, progress: Progress | None) -> Imported:
        """Nothing is new there; but an update that was interrupted may be finished."""
        ws, before = self._ws, self._before
        pointer = read_pointer(ws.worktree, self._artifact)
        whole = checked_out(ws, self._artifact).whole
        is_its = pointer is not None and pointer.root == before.root and not dry_run
        if is_its:
            stage_paths(ws, (pointer_path(self._artifact), origin_path(self._artifact)))
        if not is_its or whole is None or whole.digest == before.root.raw:
            return Imported(self._artifact, "up to date", before, before)
        path = os.fsdecode(on_disk(ws.worktree, self._artifact))
        restored = checkout(ws, [path], progress=progress)
        return Imported(self._artifact, "updated", before, before, pointer, restored=restored)

    def _refuse_changed(self, root: Digest) -> None:
        pointer = read_pointer(self._ws.worktree, self._artifact)
        if pointer is not None and pointer.root == root:
            return  # an interrupted update goes on; its checkout loses nothing either
        status = artifact_status(self._ws, self._artifact)
        added = pointer is None or pointer.root != self._before.root
        if added or any(change.how != "deleted" for change in status.changes) or status.odd:
            raise UsageError(
                f"{self._artifact} was changed here since it was imported",
                hint="--force takes what is there instead; gitprov status shows what changed",
            )
