"""What `gitprov add` is told to add: which artifact a path means, and what forbids it."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gitprov.config import TRACKED_NAME
from gitprov.core.paths import MAX_NAME_BYTES, RepoPath, check_name, collide
from gitprov.errors import MalformedError, UsageError
from gitprov.git.command import split_nul
from gitprov.model.pointer import MAX_POINTER_BYTES, SUFFIX, is_pointer_name
from gitprov.ops.pointers import (
    artifact_path,
    ignore_path,
    on_disk,
    pointer_path,
    read_pointer,
)
from gitprov.platform.files import read_bounded
from gitprov.workspace import Workspace
from gitprov.worktree.ignore import IGNORE_NAME

_OURS = {b".gitignore", b".gitattributes", b".gitmodules", IGNORE_NAME, TRACKED_NAME.encode()}
"""Files by which git and gitprov are told what to do; they belong into git."""


@dataclass(frozen=True, slots=True)
class Target:
    """An artifact, what of it is added, and whether it has no pointer yet."""

    artifact: RepoPath
    part: RepoPath
    is_new: bool


def outermost(targets: Sequence[Target]) -> list[Target]:
    """Leaves out what lies inside another target, and what is named twice."""
    kept: list[Target] = []
    for target in targets:
        others = [other for other in targets if other.part != target.part]
        inside = any(other.part.contains(target.part) for other in others)
        if not inside and target not in kept:
            kept.append(target)
    return kept


def find_target(ws: Workspace, path: RepoPath) -> Target:
    """Returns what a path on disk means.

    Raises:
        UsageError: it cannot become an artifact, or there is nothing.
    """
    _check_place(path)
    for above in path.ancestors():
        if above.raw and read_pointer(ws.worktree, above) is not None:
            return Target(above, path, is_new=False)
    has_pointer = _has_pointer(ws, path)
    if not has_pointer and not os.path.lexists(on_disk(ws.worktree, path)):
        raise UsageError(f"there is no file or folder {path}")
    return Target(path, path, not has_pointer)


def far_target(ws: Workspace, path: RepoPath) -> Target:
    """Returns the artifact that data elsewhere is to be: a whole one, and nothing else lies there.

    Raises:
        UsageError: as `find_target`; it lies inside an artifact, or is on disk and none yet.
    """
    _check_place(path)
    for above in path.ancestors():
        if above.raw and read_pointer(ws.worktree, above) is not None:
            raise UsageError(
                f"{path} lies inside the artifact {above}",
                hint="name a path outside of it with --as",
            )
    has_pointer = _has_pointer(ws, path)
    if not has_pointer and os.path.lexists(on_disk(ws.worktree, path)):
        raise UsageError(
            f"{path} is on disk already, and may hold something else",
            hint="move it away, or name another path with --as",
        )
    return Target(path, path, not has_pointer)


def _check_place(path: RepoPath) -> None:
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


def refuse_tracked(ws: Workspace, targets: Iterable[Target]) -> None:
    """Refuses what git itself tracks.

    Raises:
        UsageError: it tracks something there.
    """
    paths = [target.part.raw for target in targets]
    output = ws.repo.git.run("--literal-pathspecs", "ls-files", "-s", "-z", "--", *paths)
    lines = [line.partition(b"\t")[::2] for line in split_nul(output)]
    # Of all that may lie there a pointer says most.
    lines.sort(key=lambda line: not is_pointer_name(line[1]))
    for head, raw in lines[:1]:
        if head.startswith(b"160000"):
            raise UsageError(f"{RepoPath(raw)} is a git submodule")
        if is_pointer_name(raw):
            raise nested(artifact_path(RepoPath(raw)))
        raise UsageError(
            f"git tracks {RepoPath(raw)} already",
            hint=f"git rm -r --cached {RepoPath(raw)} takes it out of git and leaves it on disk",
        )


def refuse_colliding(ws: Workspace, targets: Sequence[Target]) -> None:
    """Refuses new artifacts that other machines could not have beside one that is there.

    Raises:
        UsageError: two names differ in case or Unicode normalisation only.
    """
    for target in targets:
        if target.is_new:
            for other in _neighbours(ws, target.artifact, targets):
                if other != target.artifact and collide(other.name, target.artifact.name):
                    raise UsageError(
                        f"the artifacts {other} and {target.artifact} collide on a file system "
                        "that ignores case or Unicode normalisation",
                        hint="rename one of them",
                    )


def _neighbours(ws: Workspace, artifact: RepoPath, targets: Sequence[Target]) -> Iterator[RepoPath]:
    yield from (one.artifact for one in targets if one.artifact.parent == artifact.parent)
    try:
        names = os.listdir(on_disk(ws.worktree, artifact.parent))
    except OSError:
        return  # where there is no folder there is no pointer
    for name in names:
        if is_pointer_name(name) and _is_name(name):
            yield artifact_path(artifact.parent / name)


def _is_name(name: bytes) -> bool:
    try:
        check_name(name)
    except MalformedError:
        return False
    return True


def nested(artifact: RepoPath) -> UsageError:
    """Returns the error for an artifact inside what is added."""
    return UsageError(
        f"the artifact {artifact} lies inside",
        hint=f"gitprov remove {artifact} first, or add the rest path by path",
    )


def refuse_overtaken(ws: Workspace, targets: Sequence[Target]) -> None:
    """Looks again under the lock: another gitprov may have added a folder around or inside."""
    refuse_tracked(ws, targets)
    for target in targets:
        for above in target.artifact.ancestors():
            if above.raw and read_pointer(ws.worktree, above) is not None:
                raise UsageError(
                    f"{above} became an artifact meanwhile", hint="run the command again"
                )


def tracked_files(artifact: RepoPath) -> tuple[RepoPath, RepoPath]:
    """Returns what git tracks of an artifact: its pointer, and the .gitignore beside it."""
    return pointer_path(artifact), ignore_path(artifact)
