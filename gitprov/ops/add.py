"""`gitprov add`: brings artifacts into the store and writes, ignores and stages their pointers."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath
from gitprov.errors import MalformedError, UnavailableError, UsageError
from gitprov.model.entry import Entry
from gitprov.model.manifest import encode
from gitprov.model.pointer import SUFFIX, ArtifactKind, is_pointer_name
from gitprov.ops.add_targets import (
    Target,
    find_target,
    nested,
    outermost,
    refuse_colliding,
    refuse_overtaken,
    refuse_tracked,
    tracked_files,
)
from gitprov.ops.added import AddedArtifact, state_of
from gitprov.ops.checkouts import update
from gitprov.ops.new_pointers import New, NewPointers, Scanned
from gitprov.ops.pointers import (
    artifact_path,
    clear_leftovers,
    ignore,
    on_disk,
    read_pointer,
    repo_path,
    write_pointer,
)
from gitprov.ops.shared_store import register_here
from gitprov.ops.staging import stage_paths
from gitprov.ops.store_link import store_link
from gitprov.ops.weights import weights_of
from gitprov.platform.locks import file_lock
from gitprov.store.base import FileChangedError, LinkMode, StoreWriter
from gitprov.workspace import Workspace
from gitprov.worktree.scan import Progress, Scanner
from gitprov.worktree.tree import Tree

if TYPE_CHECKING:
    from concurrent.futures import Executor


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


def add(
    ws: Workspace,
    paths: Sequence[str],
    *,
    kind: ArtifactKind | None = None,
    stage: bool = True,
    progress: Progress | None = None,
    executor: "Executor | None" = None,
    copy: bool = True,
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
        executor: whose workers hash, on a file system that they share with this machine.
        copy: whether the files enter the store; without an executor they always do. The store then
            takes its own digests, whatever the workers said.

    Raises:
        UsageError: a path cannot become an artifact.
        UnavailableError: the workers are gone.
        MalformedError: a name, link or kind of file in it is refused.
        EnvironmentFault: it cannot be read, or does not stop changing.
    """
    targets = outermost([find_target(ws, repo_path(ws.worktree, ws.cwd, path)) for path in paths])
    refuse_tracked(ws, targets)
    refuse_colliding(ws, targets)
    register_here(ws)
    with ws.store.writer() as writer:
        sink = StoreSink(writer, ws.config.store.link)
        if executor is not None and copy:
            # What they find goes into the stat cache, so that only what the store lacks is read.
            for target in targets:
                _scan(ws, _hashing(ws, executor, progress), target)
            executor = None
        scanner = Scanner(
            ws.worktree,
            ws.stats,
            sink=sink,
            needs=lambda digests: set(digests) - ws.store.has(digests),
            progress=progress,
            store_link=store_link(ws),
            executor=executor,
        )
        scanned = [_scan(ws, scanner, target) for target in targets]
        writer.commit()
        # Others may change the same pointer or .gitignore: look at them only from here on.
        with file_lock(os.path.join(ws.repo.data_dir, "pointers.lock"), waiting=ws.waiting):
            refuse_overtaken(ws, targets)
            clear_leftovers(ws.worktree, [target.artifact for target in targets])
            pointers = NewPointers(ws, sink, kind)
            for item in scanned:
                pointers.take(item)
            writer.commit()
            for artifact, new in pointers.found.items():
                write_pointer(ws.worktree, artifact, new.pointer)
                update(ws, new.gone, new.here)
            ignore(ws.repo.git, ws.worktree, pointers.found)
            if stage:
                stage_paths(ws, (p for path in pointers.found for p in tracked_files(path)))
    return [_added(item, pointers.found[item.artifact]) for item in scanned]


def _added(scanned: Scanned, new: New) -> AddedArtifact:
    state = state_of(new.old, new.pointer)
    return AddedArtifact(scanned.artifact, scanned.part, new.pointer, state)


def _hashing(ws: Workspace, executor: "Executor", progress: Progress | None) -> Scanner:
    return Scanner(
        ws.worktree, ws.stats, progress=progress, store_link=store_link(ws), executor=executor
    )


def _scan(ws: Workspace, scanner: Scanner, target: Target) -> Scanned:
    artifact, part = target.artifact, target.part
    try:
        tree = scanner.scan(part, artifact=artifact)
    except UnavailableError:
        if part != artifact:
            return Scanned(artifact, part, None)
        raise UsageError(
            f"{part} is not on disk",
            hint=f"gitprov checkout {part} restores it, gitprov remove {part} stops tracking it",
        ) from None
    if tree.kind == "l" and part == artifact:
        raise UsageError(
            f"{part} is a symbolic link",
            hint="add the file or folder that it leads to, or the folder that holds the link",
        )
    for inside in _pointers_in(ws, tree, part):
        raise nested(inside)
    weights = _weights(ws, artifact, tree) if part == artifact else None
    return Scanned(artifact, part, tree, weights)


def _weights(ws: Workspace, artifact: RepoPath, tree: Tree) -> Digest | None:
    """The weights root of a model file; the old pointer's, when the bytes are the same."""
    if tree.kind == "d":
        return None
    root = Digest(tree.root)
    with contextlib.suppress(MalformedError):
        old = read_pointer(ws.worktree, artifact)
        if old is not None and old.weights is not None and old.root == root:
            return old.weights
    return weights_of(on_disk(ws.worktree, artifact), artifact.raw, root, tree.size)


def _pointers_in(ws: Workspace, tree: Tree, path: RepoPath) -> Iterator[RepoPath]:
    """Yields artifacts whose pointers lie in what was scanned: git may not track them yet."""
    waiting = [(tree, path)]
    while waiting:
        folder, where = waiting.pop()
        for name in folder.names_ending(SUFFIX.encode()):
            inner = where / name
            if is_pointer_name(inner.raw) and _is_pointer(ws, artifact_path(inner)):
                yield artifact_path(inner)
        waiting += [(child, where / name) for name, child in folder.children.items()]


def _is_pointer(ws: Workspace, artifact: RepoPath) -> bool:
    try:
        return read_pointer(ws.worktree, artifact) is not None
    except MalformedError:
        return False
