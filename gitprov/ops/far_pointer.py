"""Writes the pointer of an artifact whose data is not in the worktree."""

import os

from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath
from gitprov.errors import MalformedError, UsageError
from gitprov.model.entry import Entry
from gitprov.model.pointer import MAX_COUNT, ArtifactKind, EntryType, Pointer, kind_for
from gitprov.ops.add_targets import Target, refuse_overtaken, tracked_files
from gitprov.ops.added import AddedArtifact, state_of
from gitprov.ops.pointers import ignore, read_pointer, write_pointer
from gitprov.ops.staging import stage_paths
from gitprov.platform.locks import file_lock
from gitprov.workspace import Workspace

_TYPES: dict[str, EntryType] = {"d": "dir", "f": "file", "x": "exec"}


def write_far_pointer(
    ws: Workspace,
    artifact: RepoPath,
    top: Entry,
    files: int,
    *,
    kind: ArtifactKind | None,
    stage: bool,
) -> AddedArtifact:
    """Writes, ignores and stages a pointer. What is checked out stays as it is, as after a pull.

    Args:
        ws: the workspace; a writer of its store is open, and has committed what `top` names.
        artifact: where it is to be.
        top: what it is.
        files: how many files it has.
        kind: data or model; None keeps what the pointer says, or goes by the ending.
        stage: whether to stage.

    Raises:
        UsageError: another command got in between, or it is too large for a pointer.
    """
    if top.size > MAX_COUNT or files > MAX_COUNT:
        raise UsageError(f"{artifact} is too large: {top.size} bytes")
    with file_lock(os.path.join(ws.repo.data_dir, "pointers.lock"), waiting=ws.waiting):
        refuse_overtaken(ws, [Target(artifact, artifact, is_new=False)])
        try:
            old = read_pointer(ws.worktree, artifact)
        except MalformedError:
            old = None
        name = artifact.name.decode("utf-8")
        root = Digest(top.digest)
        kind = kind or (old.kind if old is not None else kind_for(name))
        # The bytes of a model are not here to be looked into; what was known of them stays true.
        same = old is not None and old.root == root and kind == "model"
        weights = old.weights if old is not None and same else None
        pointer = Pointer(name, kind, _TYPES[top.kind], root, top.size, files, weights)
        os.makedirs(
            os.path.dirname(os.path.join(os.fsencode(ws.worktree), artifact.raw)), exist_ok=True
        )
        write_pointer(ws.worktree, artifact, pointer)
        ignore(ws.repo.git, ws.worktree, [artifact])
        if stage:
            stage_paths(ws, tracked_files(artifact))
    return AddedArtifact(artifact, artifact, pointer, state_of(old, pointer))
