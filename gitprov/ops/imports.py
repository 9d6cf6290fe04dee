"""`gitprov import`: an artifact of another repository, and where it comes from.

Both files, the origin first, are written before the worktree, so whatever moment it dies at,
running it again goes on.
"""

import io
import os
import shlex
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

from gitprov.config.git_url import GitUrl
from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath
from gitprov.errors import MalformedError, UsageError, VerificationError
from gitprov.git.log import LogReader, known_logs
from gitprov.git.notes import Notes
from gitprov.model.entry import Entry
from gitprov.model.note import RecordLine
from gitprov.model.origin import Origin
from gitprov.model.pointer import ArtifactKind, EntryType, Pointer, is_pointer_name, kind_for
from gitprov.ops.elsewhere import Elsewhere
from gitprov.ops.foreign import Brought, Connect, Found, bring
from gitprov.ops.origins import (
    check_room,
    origin_path,
    read_origin,
    write_origin,
)
from gitprov.ops.pointers import (
    ignore,
    ignore_path,
    on_disk,
    pointer_path,
    read_pointer,
    repo_path,
    write_pointer,
)
from gitprov.ops.record import compute_record
from gitprov.ops.restore import Restored, checkout
from gitprov.ops.shared_store import register_here
from gitprov.ops.staging import stage_paths
from gitprov.ops.transfer import REMOTE_CACHE, Meter, Transferred, accept_remote, is_accepted
from gitprov.ops.weights import ENDING, safetensors_weights
from gitprov.platform.locks import file_lock
from gitprov.store.local import LocalStore
from gitprov.workspace import Workspace
from gitprov.worktree.scan import Progress

_TYPES: dict[str, EntryType] = {"d": "dir", "f": "file", "x": "exec"}

_TAKEN_FROM = "from "

State = Literal["imported", "updated", "followed", "up to date", "would update"]


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one artifact.

    Attributes:
        path: the artifact here.
        state: `followed` says that only the origin changed: another revision, the same bytes.
        origin: where it comes from now.
        before: where it came from, None when it is new.
        pointer: its pointer now, None in a dry run.
        noted: whether the other repository's notes say the same record root; None without a note.
        logs: how many logs of that repository have an entry for this root.
        moved: what a remote gave, None when none was asked.
        restored: what was written, None when nothing had to be.
    """

    path: RepoPath
    state: State
    origin: Origin
    before: Origin | None = None
    pointer: Pointer | None = None
    noted: bool | None = None
    logs: int = 0
    moved: Transferred | None = None
    restored: Restored | None = None


def import_artifact(
    ws: Workspace,
    there: Elsewhere,
    found: Found,
    out: str | None,
    connect: Connect,
    *,
    jobs: int = 4,
    meter: Meter | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Brings an artifact, a part of one, or a file of code into this repository.

    Args:
        ws: this repository.
        there: the other one.
        found: what is wanted of it.
        out: the artifact's path here, as the user typed it; None for its name there.
        connect: opens the other repository's remote.
        jobs: transfers at once.
        meter: is told how the fetching goes.
        progress: is told how the writing goes.

    Raises:
        UsageError: the place is taken.
        UnavailableError: the data cannot be had.
        VerificationError: something there is not what it says.
    """
    name = out if out is not None else os.fsdecode(found.path.name)
    artifact = repo_path(ws.worktree, ws.cwd, name)
    url = _kept_url(ws, there)
    _check_place(ws, artifact, url, found.path)
    register_here(ws)
    brought = bring_here(ws, there, found, connect, jobs, meter)
    origin, noted, logs = origin_of(there, found, Digest(brought.entry.digest), url)
    pointer = pointer_of(ws.store, artifact, found, brought.entry, brought.files)
    with pointers_lock(ws):
        _check_place(ws, artifact, url, found.path)
        _write(ws, artifact, pointer, origin)
    agree(ws, url)
    restored = checkout(ws, [os.fsdecode(on_disk(ws.worktree, artifact))], progress=progress)
    stage_paths(ws, files_of(artifact))
    return Imported(
        artifact, "imported", origin, None, pointer, noted, logs, brought.moved, restored
    )


def is_agreed(ws: Workspace, url: str) -> bool:
    """Whether this clone may take data from an address that a tracked file names."""
    return is_accepted(ws, _TAKEN_FROM + url)


def agree(ws: Workspace, url: str) -> None:
    """Remembers that it may. To send data to an address is another question."""
    accept_remote(ws, _TAKEN_FROM + url)


def indexes(ws: Workspace) -> str:
    """Returns where indexes of remotes are kept."""
    return os.path.join(ws.repo.data_dir, REMOTE_CACHE)


def pointers_lock(ws: Workspace) -> AbstractContextManager[None]:
    """Returns the lock of whoever writes pointers."""
    return file_lock(os.path.join(ws.repo.data_dir, "pointers.lock"), waiting=ws.waiting)


def bring_here(
    ws: Workspace,
    there: Elsewhere,
    found: Found,
    connect: Connect,
    jobs: int,
    meter: Meter | None,
) -> Brought:
    """Brings what was found into this repository's store."""
    return bring(there, found, ws.store, indexes(ws), connect, jobs=jobs, meter=meter)


def _kept_url(ws: Workspace, there: Elsewhere) -> str:
    """The address as the origin has it: a relative path from the repository's top on."""
    text = str(there.url)
    if not there.url.is_path or os.path.isabs(text):
        return text
    where = os.path.relpath(os.path.join(ws.cwd, text), os.path.realpath(ws.worktree))
    return str(GitUrl.parse(where if where.startswith("..") else f"./{where}"))


def _check_place(ws: Workspace, artifact: RepoPath, url: str, path: RepoPath) -> None:
    if not artifact.raw or is_pointer_name(artifact.raw):
        raise UsageError(f"{artifact} cannot be an artifact", hint="name another place: -o")
    check_room(artifact)
    folder = on_disk(ws.worktree, artifact.parent)
    if not os.path.isdir(folder):
        typed = shlex.quote(os.path.relpath(os.fsdecode(folder), ws.cwd))
        raise UsageError(f"there is no folder {artifact.parent}", hint=f"make it: mkdir -p {typed}")
    for above in artifact.ancestors():
        if above.raw and read_pointer(ws.worktree, above) is not None:
            raise UsageError(f"{artifact} would lie inside the artifact {above}")
    if read_pointer(ws.worktree, artifact) is not None:
        known = read_origin(ws.worktree, artifact)
        if known is not None and (known.url, known.path) == (url, path):
            return  # an interrupted import goes on
        hint = f"gitprov update {artifact}" if known else "name another place: -o"
        raise UsageError(f"{artifact} is an artifact already", hint=hint)
    if os.path.lexists(on_disk(ws.worktree, artifact)):
        raise UsageError(f"{artifact} is there already", hint="name another place: -o")
    if ws.repo.git.run("--literal-pathspecs", "ls-files", "-z", "--", artifact.raw):
        raise UsageError(f"git tracks {artifact} already", hint="name another place: -o")


def origin_of(
    there: Elsewhere, found: Found, root: Digest, url: str
) -> tuple[Origin, bool | None, int]:
    """Returns the origin, and what the other repository itself says of that commit.

    Raises:
        VerificationError: its record does not bind the artifact, or its notes speak against it.
    """
    record = compute_record(there.ws, there.commit)
    if there.spare is None:
        there.ws.digests.save()
    if found.leaf is not None and found.leaf not in record.artifacts:
        raise VerificationError(f"the record of {there.commit} does not bind {found.path}")
    origin = Origin(url, there.rev, there.commit, found.path, found.kind, root, record.root)
    lines = Notes(there.ws.repo).lines(there.commit)
    noted = {
        line.root for line in lines if isinstance(line, RecordLine) and line.commit == there.commit
    }
    if noted and record.root not in noted:
        raise VerificationError(
            f"the notes of {there.url} give {there.commit} another record root than it has"
        )
    return origin, (True if noted else None), _logs_with(there, record.root)


def _logs_with(there: Elsewhere, root: Digest) -> int:
    count = 0
    for log in known_logs(there.ws.repo):
        try:
            count += LogReader(there.ws.objects, log.ref, log.commit).find(root) is not None
        except MalformedError:
            continue  # who may push logs must not keep us from the data
    return count


def pointer_of(
    store: LocalStore, artifact: RepoPath, found: Found, entry: Entry, files: int
) -> Pointer:
    """Returns the pointer of what was brought."""
    name = artifact.name.decode("utf-8")
    kind: ArtifactKind = found.leaf.kind if found.leaf is not None else kind_for(name)
    weights = _weights(store, name, entry) if kind == "model" else None
    size = entry.size
    return Pointer(name, kind, _TYPES[entry.kind], Digest(entry.digest), size, files, weights)


def _weights(store: LocalStore, name: str, entry: Entry) -> Digest | None:
    """The weights root as `gitprov add` finds it; what the other repository says is not taken."""
    if entry.kind == "d" or not name.lower().endswith(ENDING.decode()):
        return None
    path = store.path_of(entry.digest)
    try:
        if path is None:
            return safetensors_weights(io.BytesIO(store.read(entry.digest)), name).root
        with open(path, "rb") as file:
            return safetensors_weights(file, name).root
    except MalformedError:
        return None  # bytes like any others, whatever the file is called


def _write(ws: Workspace, artifact: RepoPath, pointer: Pointer, origin: Origin) -> None:
    write_origin(ws.worktree, artifact, origin)
    write_pointer(ws.worktree, artifact, pointer)
    ignore(ws.repo.git, ws.worktree, [artifact])


def files_of(artifact: RepoPath) -> tuple[RepoPath, ...]:
    """Returns what git is to track of an imported artifact."""
    return pointer_path(artifact), origin_path(artifact), ignore_path(artifact)
