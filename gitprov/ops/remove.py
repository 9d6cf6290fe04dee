"""`gitprov remove`: stops tracking artifacts; the data stays unless it is asked to go."""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from gitprov.core.paths import RepoPath
from gitprov.errors import UsageError
from gitprov.git.command import split_nul
from gitprov.model.pointer import is_pointer_name
from gitprov.ops.checkouts import forget
from gitprov.ops.manifests import loader, top_entry
from gitprov.ops.origins import drop_origin, origin_path
from gitprov.ops.pointers import (
    artifact_path,
    drop_ignore_line,
    ignore_path,
    on_disk,
    pointer_path,
    read_pointer,
    repo_path,
)
from gitprov.ops.restore import StoreSource, need_copies, worktree_lock
from gitprov.ops.staging import stage_paths
from gitprov.ops.status import Status, artifact_status
from gitprov.ops.store_link import store_link
from gitprov.platform.locks import file_lock
from gitprov.workspace import Workspace
from gitprov.worktree.materialize import Materializer
from gitprov.worktree.plan import Plan, make_plan, refuse_conflicts
from gitprov.worktree.scan import Scanner


@dataclass(frozen=True, slots=True)
class Removed:
    """An artifact that is no longer tracked; `deleted` says whether its data went, too."""

    path: RepoPath
    deleted: bool


def remove(
    ws: Workspace, paths: Sequence[str], *, delete: bool = False, force: bool = False
) -> list[Removed]:
    """Stops tracking artifacts, and stages that. What the store has stays until `gitprov gc`.

    Args:
        ws: the workspace.
        paths: artifacts or their pointers.
        delete: whether to delete the data in the worktree.
        force: delete data that the store does not have as well.

    Raises:
        UsageError: a path is no artifact, or its data would be lost; nothing is changed then.
    """
    artifacts = list(dict.fromkeys(_artifact(ws, path) for path in paths))
    removed: list[Removed] = []
    with contextlib.ExitStack() as locks:
        if delete:
            locks.enter_context(worktree_lock(ws))
        lock = os.path.join(ws.repo.data_dir, "pointers.lock")
        locks.enter_context(file_lock(lock, waiting=ws.waiting))
        plans: dict[RepoPath, Plan] = {}
        for artifact in artifacts if delete else ():
            if not force:
                _refuse_loss(artifact, artifact_status(ws, artifact))
            if os.path.lexists(on_disk(ws.worktree, artifact)):
                plans[artifact] = _plan(ws, artifact, force=force)
        for artifact in artifacts:
            if artifact in plans:
                _delete(ws, plans[artifact])
            _untrack(ws, artifact)
            forget(ws, artifact)
            removed.append(Removed(artifact, artifact in plans))
    return removed


def _artifact(ws: Workspace, text: str) -> RepoPath:
    path = repo_path(ws.worktree, ws.cwd, text)
    artifact = artifact_path(path) if is_pointer_name(path.raw) else path
    if not os.path.lexists(on_disk(ws.worktree, pointer_path(artifact))):
        for above in artifact.ancestors():
            if above.raw and read_pointer(ws.worktree, above) is not None:
                raise UsageError(
                    f"{artifact} is a part of the artifact {above}",
                    hint=f"delete the file, then `gitprov add {artifact}` takes it out of {above}",
                )
        raise UsageError(f"{artifact} is no artifact", hint="gitprov status lists the artifacts")
    return artifact


def _refuse_loss(artifact: RepoPath, status: Status) -> None:
    if status.state == "absent":
        return
    changed = any(change.how != "deleted" for change in status.changes)
    if changed or status.odd or status.missing or status.problem:
        raise UsageError(
            f"{artifact} has data that the store does not have",
            hint=f"gitprov add {artifact} keeps it, --force deletes it for good",
        )


def _plan(ws: Workspace, artifact: RepoPath, *, force: bool) -> Plan:
    """Plans to delete what the artifact has; ignored files stay, as with `git rm`."""
    expected, load = None, loader(ws.store)
    if not force:
        pointer = read_pointer(ws.worktree, artifact)
        expected = top_entry(pointer) if pointer is not None else None
    scanner = Scanner(ws.worktree, ws.stats, store_link=store_link(ws))
    plan = make_plan(scanner, load, artifact, None, expected=expected, force=force)
    refuse_conflicts([plan])
    need_copies(ws.store, plan, expected, load)
    return plan


def _delete(ws: Workspace, plan: Plan) -> None:
    source = StoreSource(ws.store)
    Materializer(ws.worktree, ws.stats, source, store_link=store_link(ws)).apply([plan])


def _untrack(ws: Workspace, artifact: RepoPath) -> None:
    paths = (pointer_path(artifact), ignore_path(artifact), origin_path(artifact))
    drop_ignore_line(ws.worktree, artifact)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(on_disk(ws.worktree, paths[0]))
    drop_origin(ws.worktree, artifact)
    # What git never knew of, and what is gone now, is nothing to stage.
    output = ws.repo.git.run(
        "--literal-pathspecs", "ls-files", "-z", "--", *(path.raw for path in paths)
    )
    staged = [RepoPath(raw) for raw in split_nul(output)]
    if staged:
        stage_paths(ws, staged)
