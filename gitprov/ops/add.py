"""`gitprov add`: brings artifacts into the store and writes, ignores and stages their pointers."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from gitprov.config import TRACKED_NAME
from gitprov.core.digest import Digest
from gitprov.core.paths import MAX_NAME_BYTES, RepoPath
from gitprov.errors import MalformedError, UnavailableError, UsageError
from gitprov.git.command import split_nul
from gitprov.model.entry import Entry
from gitprov.model.manifest import encode
from gitprov.model.pointer import (
    MAX_POINTER_BYTES,
    SUFFIX,
    ArtifactKind,
    Pointer,
    is_pointer_name,
)
from gitprov.ops.checkouts import update
from gitprov.ops.new_pointers import New, NewPointers, Scanned
from gitprov.ops.pointers import (
    artifact_path,
    ignore,
    ignore_path,
    on_disk,
    pointer_path,
    read_pointer,
    repo_path,
    write_pointer,
)
from gitprov.ops.shared_store import register_here
from gitprov.ops.staging import stage_paths
from gitprov.ops.store_link import store_link
from gitprov.ops.weights import weights_of
from gitprov.platform.files import read_bounded
from gitprov.platform.locks import file_lock
from gitprov.store.base import FileChangedError, LinkMode, StoreWriter
from gitprov.workspace import Workspace
from gitprov.worktree.ignore import IGNORE_NAME
from gitprov.worktree.scan import Progress, Scanner
from gitprov.worktree.tree import Tree

_OURS = {b".gitignore", b".gitattributes", b".gitmodules", IGNORE_NAME, TRACKED_NAME.encode()}
"""Files by which git and gitprov are told what to do; they belong into git."""

State = Literal["added", "modified", "unchanged"]


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
    is_new: bool


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
    targets = _outermost([_target(ws, repo_path(ws.worktree, ws.cwd, path)) for path in paths])
    _refuse_tracked(ws, targets)
    register_here(ws)
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
        scanned = [_scan(ws, scanner, target) for target in targets]
        writer.commit()
        # Others may change the same pointer or .gitignore: look at them only from here on.
        with file_lock(os.path.join(ws.repo.data_dir, "pointers.lock"), waiting=ws.waiting):
            _refuse_overtaken(ws, targets)
            pointers = NewPointers(ws, sink, kind)
            for item in scanned:
                pointers.take(item)
            writer.commit()
            for artifact, new in pointers.found.items():
                write_pointer(ws.worktree, artifact, new.pointer)
                update(ws, new.gone, new.here)
            ignore(ws.repo.git, ws.worktree, pointers.found)
            if stage:
                stage_paths(ws, (p for path in pointers.found for p in _tracked_files(path)))
    return [_added(item, pointers.found[item.artifact]) for item in scanned]


def _added(scanned: Scanned, new: New) -> AddedArtifact:
    state: State = "modified"
    if new.old is None:
        state = "added"
    elif new.old == new.pointer:
        state = "unchanged"
    return AddedArtifact(scanned.artifact, scanned.part, new.pointer, state)


def _tracked_files(artifact: RepoPath) -> tuple[RepoPath, RepoPath]:
    return pointer_path(artifact), ignore_path(artifact)


def _outermost(targets: Sequence[_Target]) -> list[_Target]:
    """Leaves out what lies inside another target, and what is named twice."""
    kept: list[_Target] = []
    for target in targets:
        others = [other for other in targets if other.part != target.part]
        inside = any(other.part.contains(target.part) for other in others)
        if not inside and target not in kept:
            kept.append(target)
    return kept


def _target(ws: Workspace, path: RepoPath) -> _Target:
    if not path.raw:
        raise UsageError(
            "the whole repository cannot be an artifact",
            hint="put the data into a folder of its own: gitprov add data",
        )
    if is_pointer_name(path.raw):
        raise UsageError(
            f"{path} has the name of a pointer",
            hint=f"gitprov add {artifact_path(path)} adds its artifact",
        )
    if path.name in _OURS:
        raise UsageError(f"{path} belongs into git itself", hint=f"git add {path}")
    if len(path.name) + len(SUFFIX) > MAX_NAME_BYTES:
        raise UsageError(f"{path} has a name too long for a pointer beside it")
    for above in path.ancestors():
        if above.raw and read_pointer(ws.worktree, above) is not None:
            return _Target(above, path, is_new=False)
    has_pointer = _has_pointer(ws, path)
    if not has_pointer and not os.path.lexists(on_disk(ws.worktree, path)):
        raise UsageError(f"there is no file or folder {path}")
    return _Target(path, path, not has_pointer)


def _has_pointer(ws: Workspace, artifact: RepoPath) -> bool:
    """Whether an artifact has a pointer, be it edited into nonsense."""
    where = pointer_path(artifact)
    if os.path.islink(on_disk(ws.worktree, where)):
        raise UsageError(
            f"{where} is there, and is no pointer: it is a symbolic link", hint="move it away"
        )
    try:
        return read_pointer(ws.worktree, artifact) is not None
    except MalformedError as exc:
        try:
            data = read_bounded(on_disk(ws.worktree, where), MAX_POINTER_BYTES)
        except MalformedError:
            data = b""
        if b"gitprov" in data:
            return True
        raise UsageError(
            f"{where} is there, and is no pointer: {exc}",
            hint=f"move it away, or restore it: git checkout -- {where}",
        ) from None


def _refuse_tracked(ws: Workspace, targets: Iterable[_Target]) -> None:
    paths = [target.part.raw for target in targets]
    output = ws.repo.git.run("--literal-pathspecs", "ls-files", "-s", "-z", "--", *paths)
    lines = [line.partition(b"\t")[::2] for line in split_nul(output)]
    # Of all that may lie there a pointer says most.
    lines.sort(key=lambda line: not is_pointer_name(line[1]))
    for head, raw in lines[:1]:
        if head.startswith(b"160000"):
            raise UsageError(f"{RepoPath(raw)} is a git submodule")
        if is_pointer_name(raw):
            raise _nested(artifact_path(RepoPath(raw)))
        raise UsageError(
            f"git tracks {RepoPath(raw)} already",
            hint=f"git rm -r --cached {RepoPath(raw)} takes it out of git and leaves it on disk",
        )


def _nested(artifact: RepoPath) -> UsageError:
    return UsageError(
        f"the artifact {artifact} lies inside",
        hint=f"gitprov remove {artifact} first, or add the rest path by path",
    )


def _refuse_overtaken(ws: Workspace, targets: Sequence[_Target]) -> None:
    """Looks again under the lock: another gitprov may have added a folder around or inside."""
    _refuse_tracked(ws, targets)
    for target in targets:
        for above in target.artifact.ancestors():
            if above.raw and read_pointer(ws.worktree, above) is not None:
                raise UsageError(
                    f"{above} became an artifact meanwhile", hint="run the command again"
                )


def _scan(ws: Workspace, scanner: Scanner, target: _Target) -> Scanned:
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
    for nested in _pointers_in(ws, tree, part):
        raise _nested(nested)
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
