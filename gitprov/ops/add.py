"""`gitprov add`: brings artifacts into the store and writes, ignores and stages their pointers."""

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath
from gitprov.errors import EnvironmentFault, UsageError
from gitprov.git.command import GitError, split_nul
from gitprov.model.entry import Entry
from gitprov.model.manifest import encode
from gitprov.model.pointer import (
    MAX_COUNT,
    ArtifactKind,
    EntryType,
    Pointer,
    is_pointer_name,
    kind_for,
)
from gitprov.ops.checkouts import remember
from gitprov.ops.manifests import count_files, find, loader, splice, top_entry
from gitprov.ops.pointers import (
    add_ignore_line,
    ignore_path,
    on_disk,
    pointer_path,
    read_pointer,
    repo_path,
    write_pointer,
)
from gitprov.platform.locks import PATIENCE_SECONDS, file_lock
from gitprov.store.base import FileChangedError, LinkMode, StoreWriter
from gitprov.workspace import Workspace
from gitprov.worktree.scan import Progress, Scanner
from gitprov.worktree.tree import Tree

State = Literal["added", "modified", "unchanged"]

_STAGE_SECONDS = 10.0
_STAGE_PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class AddedArtifact:
    """One artifact and its new pointer; `part` is what of it was read."""

    path: RepoPath
    part: RepoPath
    pointer: Pointer
    state: State


class StoreSink:
    """Brings what a scan reads into a store's writer."""

    parallel = False  # a writer belongs to one thread

    def __init__(self, writer: StoreWriter, link: LinkMode) -> None:
        """Takes the open writer and how large files get in."""
        self._writer = writer
        self._link = link
        self.links = link in {"hardlink", "symlink"}

    def small(self, digest: bytes, data: bytes) -> None:
        """Keeps a small file or a link's target."""
        self._writer.add_known(digest, data)

    def large(self, path: str, fd: int, size: int) -> bytes:
        """Keeps a large file; one that changed meanwhile is read once more."""
        try:
            return self._writer.add_file(path, fd=fd, size=size, link=self._link)
        except FileChangedError:
            size = os.fstat(fd).st_size
            os.lseek(fd, 0, os.SEEK_SET)
            return self._writer.add_file(path, fd=fd, size=size, link=self._link)

    def manifest(self, root: bytes, entries: tuple[Entry, ...]) -> None:
        """Keeps a folder's manifest."""
        self._writer.add_manifest(root, encode(entries))


@dataclass(frozen=True, slots=True)
class _Target:
    artifact: RepoPath
    part: RepoPath


def add(
    ws: Workspace,
    paths: Sequence[str],
    *,
    kind: ArtifactKind | None = None,
    stage: bool = True,
    progress: Progress | None = None,
) -> list[AddedArtifact]:
    """Adds files and folders: new artifacts, changed ones, or parts of them.

    Nothing is written when any path is refused. What is interrupted is finished by running it
    again: pointers are written after everything that they name is durable.

    Args:
        ws: the workspace.
        paths: as the user typed them.
        kind: data or model; None keeps what the pointer says, or goes by the ending.
        stage: whether to stage the pointers and .gitignore files.
        progress: is told how it goes.

    Raises:
        UsageError: a path cannot become an artifact.
        MalformedError: a name, link or kind of file in it is refused.
        EnvironmentFault: it cannot be read, or does not stop changing.
    """
    targets = [_target(ws, path) for path in paths]
    _refuse_tracked(ws, targets)
    with ws.store.writer() as writer:
        sink = StoreSink(writer, ws.config.store.link)
        scanner = Scanner(
            ws.worktree,
            ws.stats,
            sink=sink,
            needs=lambda digests: set(digests) - ws.store.has(digests),
            progress=progress,
            store_link=store_link(ws),
        )
        scanned = [(target, _scan(ws, scanner, target)) for target in targets]
        # Others may change the same pointer or .gitignore: look at them only from here on.
        with file_lock(os.path.join(ws.repo.data_dir, "pointers.lock"), waiting=ws.waiting):
            added = [_pointer(ws, sink, target, tree, kind) for target, tree in scanned]
            writer.commit()
            for item in added:
                write_pointer(ws.worktree, item.path, item.pointer)
                add_ignore_line(ws.worktree, item.path)
                remember(ws, item.path, top_entry(item.pointer))
            if stage:
                stage_paths(ws, (p for a in added for p in _tracked_files(a.path)))
    return added


def _tracked_files(artifact: RepoPath) -> tuple[RepoPath, RepoPath]:
    return pointer_path(artifact), ignore_path(artifact)


def store_link(ws: Workspace) -> "StoreLink":
    """Returns what tells a symlink into the store from other symlinks."""
    return StoreLink(ws)


class StoreLink:
    """Recognises a checked-out file that is a symlink into the store (`store.link: symlink`)."""

    def __init__(self, ws: Workspace) -> None:
        """Takes the workspace whose store it is."""
        self._objects = os.fsencode(os.path.join(ws.store_path, "objects")) + b"/"
        self._ws = ws

    def __call__(self, target: bytes) -> tuple[bytes, int] | None:
        """Returns digest and size of the file in the store, or None for any other link."""
        if not target.startswith(self._objects):
            return None
        try:
            digest = bytes.fromhex(target[len(self._objects) :].replace(b"/", b"").decode("ascii"))
        except ValueError:
            return None
        if len(digest) != 32 or self._ws.store.path_of(digest, verify=False) is None:
            return None
        return digest, self._ws.store.size(digest)


def _target(ws: Workspace, text: str) -> _Target:
    path = repo_path(ws.worktree, ws.cwd, text)
    if not path.raw:
        raise UsageError(
            "the whole repository cannot be an artifact",
            hint="put the data into a folder of its own: gitprov add data",
        )
    if is_pointer_name(path.raw):
        raise UsageError(
            f"{path} is a pointer",
            hint=f"gitprov add {RepoPath(path.raw[: -len(b'.prov')])} adds its artifact",
        )
    for above in (path, *path.ancestors()):
        if above.raw and read_pointer(ws.worktree, above) is not None:
            return _Target(above, path)
    if not os.path.lexists(on_disk(ws.worktree, path)):
        raise UsageError(f"there is no file or folder {path}")
    return _Target(path, path)


def _refuse_tracked(ws: Workspace, targets: Iterable[_Target]) -> None:
    paths = [target.part.raw for target in targets]
    output = ws.repo.git.run("--literal-pathspecs", "ls-files", "-z", "--", *paths)
    for raw in split_nul(output):
        if is_pointer_name(raw):
            artifact = RepoPath(raw[: -len(b".prov")])
            raise UsageError(
                f"the artifact {artifact} lies inside",
                hint=f"gitprov remove {artifact} first, or add the rest path by path",
            )
        tracked = RepoPath(raw)
        raise UsageError(
            f"git tracks {tracked} already",
            hint=f"git rm -r --cached {tracked} takes it out of git and leaves it on disk",
        )


def _scan(ws: Workspace, scanner: Scanner, target: _Target) -> Tree | None:
    if not os.path.lexists(on_disk(ws.worktree, target.part)):
        if target.part == target.artifact:
            raise UsageError(
                f"{target.part} is not on disk",
                hint=f"gitprov checkout {target.part} restores it, "
                f"gitprov remove {target.part} stops tracking it",
            )
        return None
    tree = scanner.scan(target.part, artifact=target.artifact)
    if tree.kind == "l" and target.part == target.artifact:
        raise UsageError(
            f"{target.part} is a symbolic link",
            hint="add the file or folder that it leads to, or the folder that holds the link",
        )
    return tree


def _pointer(
    ws: Workspace,
    sink: StoreSink,
    target: _Target,
    tree: Tree | None,
    kind: ArtifactKind | None,
) -> AddedArtifact:
    artifact = target.artifact
    old = read_pointer(ws.worktree, artifact)
    name = artifact.name.decode("utf-8")
    chosen = kind or (old.kind if old else kind_for(name))
    if target.part == artifact and tree is not None:
        pointer = _whole(name, chosen, tree)
    elif old is not None and old.type == "dir":
        pointer = _with_part(ws, sink, old, target, tree, chosen)
    else:
        raise UsageError(f"{artifact} is a file, so nothing can lie inside it")
    if pointer.size > MAX_COUNT or pointer.files > MAX_COUNT:
        raise UsageError(f"{artifact} is too large: {pointer.size} bytes")
    state: State = "added" if old is None else "unchanged" if old == pointer else "modified"
    return AddedArtifact(artifact, target.part, pointer, state)


def _whole(name: str, kind: ArtifactKind, tree: Tree) -> Pointer:
    types: dict[str, EntryType] = {"d": "dir", "f": "file", "x": "exec"}
    files = tree.files if tree.kind == "d" else 1
    return Pointer(name, kind, types[tree.kind], Digest(tree.root), tree.size, files)


def _with_part(
    ws: Workspace,
    sink: StoreSink,
    old: Pointer,
    target: _Target,
    tree: Tree | None,
    kind: ArtifactKind,
) -> Pointer:
    load = loader(ws.store)
    parts = target.part.below(target.artifact).split(b"/")
    top = top_entry(old)
    before = find(load, top, parts)
    if tree is None and before is None:
        raise UsageError(f"there is no {target.part}, neither on disk nor in the artifact")
    new = None if tree is None else Entry(parts[-1], tree.kind, tree.root, tree.size)
    changed = splice(load, top, parts, new, sink.manifest)
    files = old.files - count_files(load, before) + (0 if tree is None else tree.files)
    return Pointer(old.path, kind, "dir", Digest(changed.digest), changed.size, files)


def stage_paths(ws: Workspace, paths: Iterable[RepoPath]) -> None:
    """Stages files by their exact paths, also ignored ones; waits for another git's index.lock.

    Raises:
        EnvironmentFault: git refuses.
    """
    names = b"".join(path.raw + b"\0" for path in dict.fromkeys(paths))
    started = time.monotonic()
    told = False
    while True:
        done = ws.repo.git.call(
            *("--literal-pathspecs", "add", "--force", "--pathspec-from-file=-"),
            "--pathspec-file-nul",
            input=names,
        )
        if done.returncode == 0:
            return
        if b"index.lock" not in done.stderr:
            raise GitError("add", done.returncode, done.stderr)
        waited = time.monotonic() - started
        if waited > _STAGE_SECONDS:
            raise EnvironmentFault(
                "another git holds the index (index.lock)",
                hint="everything is written: stage it with `git add` when the other has ended",
            )
        if waited > PATIENCE_SECONDS and not told and ws.waiting is not None:
            ws.waiting("waiting for another git that holds index.lock")
            told = True
        time.sleep(_STAGE_PAUSE)
