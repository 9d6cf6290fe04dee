"""`gitprov import` and `update`: an artifact of another repository, and where it comes from.

Both files are written before the worktree, so whatever moment it dies at, running it again goes on:
of an import the origin comes first, of an update the pointer.
"""

import io
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
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
from gitprov.ops.checkouts import checked_out
from gitprov.ops.elsewhere import Elsewhere, open_elsewhere
from gitprov.ops.foreign import Brought, Connect, Found, bring, look_up, root_there
from gitprov.ops.origins import (
    check_room,
    imported,
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
    select,
    write_pointer,
)
from gitprov.ops.record import compute_record
from gitprov.ops.restore import Restored, checkout
from gitprov.ops.shared_store import register_here
from gitprov.ops.staging import stage_paths
from gitprov.ops.status import artifact_status
from gitprov.ops.transfer import REMOTE_CACHE, Meter, Transferred, accept_remote, is_accepted
from gitprov.ops.weights import ENDING, safetensors_weights
from gitprov.platform.locks import file_lock
from gitprov.store.local import LocalStore
from gitprov.store.transport import Transport
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
    brought = _bring(ws, there, found, connect, jobs, meter)
    origin, noted, logs = _origin(there, found, Digest(brought.entry.digest), url)
    pointer = _pointer(ws.store, artifact, found, brought.entry, brought.files)
    with _pointers_lock(ws):
        _check_place(ws, artifact, url, found.path)
        _write(ws, artifact, pointer, origin)
    agree(ws, url)
    restored = checkout(ws, [os.fsdecode(on_disk(ws.worktree, artifact))], progress=progress)
    stage_paths(ws, _files(artifact))
    return Imported(
        artifact, "imported", origin, None, pointer, noted, logs, brought.moved, restored
    )


def is_agreed(ws: Workspace, url: str) -> bool:
    """Whether this clone may take data from an address that a tracked file names."""
    return is_accepted(ws, _TAKEN_FROM + url)


def agree(ws: Workspace, url: str) -> None:
    """Remembers that it may. To send data to an address is another question."""
    accept_remote(ws, _TAKEN_FROM + url)


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
        root = root_there(there, found, ws.store, _indexes(ws), self._connect)
        if root == before.root and there.rev == before.rev:
            return self._up_to_date(dry_run=dry_run, progress=progress)
        if not force:
            self._refuse_changed(root)
        if dry_run:
            after, noted, logs = _origin(there, found, root, before.url)
            return Imported(self._artifact, "would update", after, before, None, noted, logs)
        brought = _bring(ws, there, found, self._connect, jobs, meter)
        origin, noted, logs = _origin(there, found, Digest(brought.entry.digest), before.url)
        pointer = _pointer(ws.store, self._artifact, found, brought.entry, brought.files)
        here = checked_out(ws, self._artifact)
        parts = sorted(here.parts) if here.is_partial else [self._artifact]
        with _pointers_lock(ws):
            # The pointer first: were it the origin, it would say that the update is done.
            write_pointer(ws.worktree, self._artifact, pointer)
            write_origin(ws.worktree, self._artifact, origin)
        paths = [os.fsdecode(on_disk(ws.worktree, part)) for part in parts]
        restored = checkout(ws, paths, force=force, progress=progress)
        stage_paths(ws, _files(self._artifact))
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


def _indexes(ws: Workspace) -> str:
    return os.path.join(ws.repo.data_dir, REMOTE_CACHE)


def _pointers_lock(ws: Workspace) -> AbstractContextManager[None]:
    return file_lock(os.path.join(ws.repo.data_dir, "pointers.lock"), waiting=ws.waiting)


def _bring(
    ws: Workspace,
    there: Elsewhere,
    found: Found,
    connect: Connect,
    jobs: int,
    meter: Meter | None,
) -> Brought:
    return bring(there, found, ws.store, _indexes(ws), connect, jobs=jobs, meter=meter)


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
    if not os.path.isdir(on_disk(ws.worktree, artifact.parent)):
        raise UsageError(f"there is no folder {artifact.parent}", hint="make it: mkdir -p")
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


def _origin(
    there: Elsewhere, found: Found, root: Digest, url: str
) -> tuple[Origin, bool | None, int]:
    """The origin, and what the other repository itself says of that commit."""
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


def _pointer(
    store: LocalStore, artifact: RepoPath, found: Found, entry: Entry, files: int
) -> Pointer:
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


def _files(artifact: RepoPath) -> tuple[RepoPath, ...]:
    return pointer_path(artifact), origin_path(artifact), ignore_path(artifact)
