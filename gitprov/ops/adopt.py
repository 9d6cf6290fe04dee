"""Writes, ignores and stages the pointers of imported artifacts; the data on disk is only read."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gitprov.config import TRACKED_NAME
from gitprov.core.paths import MAX_NAME_BYTES, RepoPath
from gitprov.errors import EnvironmentFault, GitprovError, MalformedError, UsageError
from gitprov.git.command import split_nul
from gitprov.model.pointer import SUFFIX, ArtifactKind, Pointer, is_pointer_name
from gitprov.ops.checkouts import update
from gitprov.ops.manifests import top_entry
from gitprov.ops.migrated import Built, Left, is_same_version, other_version, pointer_of
from gitprov.ops.pointers import (
    artifact_path,
    ignore,
    ignore_path,
    on_disk,
    pointer_path,
    pointer_paths,
    read_pointer,
    write_pointer,
)
from gitprov.ops.staged import word
from gitprov.ops.staging import stage_paths, unstage_paths
from gitprov.ops.store_link import store_link
from gitprov.platform.files import fault
from gitprov.platform.locks import file_lock
from gitprov.workspace import Workspace
from gitprov.worktree.scan import Progress, Scanner

ALREADY = "it is an artifact already"
"""Why what an earlier import has made is not imported."""

State = Literal["added", "modified", "unchanged"]


@dataclass(frozen=True, slots=True)
class Adopted:
    """An imported artifact.

    Attributes:
        path: where it is.
        pointer: what its pointer says now.
        state: what that did to the pointer that was there; in a dry run "added" or "unchanged".
        here: whether the data lies in the worktree: the same, other data, or none; links into
            DVC's cache; or whether it was put in the place of git-lfs' pointers.
    """

    path: RepoPath
    pointer: Pointer
    state: State
    here: Literal["same", "differs", "absent", "linked", "restored"] = "absent"


def typed(ws: Workspace, path: RepoPath) -> str:
    """Returns a path as one word of a command line, as seen from where the user stands."""
    there = os.path.join(os.path.realpath(os.fsencode(ws.worktree)), path.raw)
    return word(os.path.relpath(there, os.path.realpath(os.fsencode(ws.cwd))))


def need_init(ws: Workspace) -> None:
    """Refuses a repository that gitprov does not know yet.

    Raises:
        UsageError: there is no `.gitprov.yaml`.
    """
    if not os.path.lexists(os.path.join(ws.worktree, TRACKED_NAME)):
        raise UsageError("gitprov is not set up in this repository yet", hint="gitprov init")


class Apart:
    """Artifacts of which none may lie in another; thousands are asked about quickly."""

    def __init__(self, artifacts: Iterable[RepoPath] = ()) -> None:
        """Takes those that are there."""
        self._all: set[RepoPath] = set()
        self._below: dict[RepoPath, RepoPath] = {}
        for artifact in artifacts:
            self.add(artifact)

    def add(self, artifact: RepoPath) -> None:
        """Takes one more."""
        self._all.add(artifact)
        for above in artifact.ancestors():
            self._below.setdefault(above, artifact)

    def __iter__(self) -> Iterator[RepoPath]:
        """Yields all by path."""
        return iter(sorted(self._all))

    def __contains__(self, path: RepoPath) -> bool:
        """Whether a path is one of them."""
        return path in self._all

    def around(self, path: RepoPath) -> RepoPath | None:
        """Returns an artifact in which a path lies; it is not that one."""
        return next((above for above in path.ancestors() if above in self._all), None)

    def inside(self, path: RepoPath) -> RepoPath | None:
        """Returns an artifact that lies below a path, if there is one."""
        return self._below.get(path)


class Places:
    """Says which artifacts may get a pointer beside them."""

    def __init__(self, ws: Workspace, *, git_may_have: bool = False) -> None:
        """Looks at the artifacts that are there.

        Args:
            ws: the workspace.
            git_may_have: whether git tracks the artifacts themselves, and will not any more.
        """
        self._ws = ws
        self._git_may_have = git_may_have
        self._known = Apart(artifact_path(path) for path in pointer_paths(ws.repo.git))
        self._new: set[RepoPath] = set()

    def artifacts(self) -> list[RepoPath]:
        """Returns the artifacts by path."""
        return list(self._known)

    def around(self, path: RepoPath) -> RepoPath | None:
        """Returns the artifact in which a path lies; it is not that one."""
        return self._known.around(path)

    def already(self, path: RepoPath) -> str | None:
        """Says what artifact is at a path, around it or below it, None when there is none."""
        if path in self._known:
            return ALREADY
        if (around := self._known.around(path)) is not None:
            return f"it lies inside the artifact {around}"
        inside = self._known.inside(path)
        return None if inside is None else f"what lies in it is artifacts already, {inside} for one"

    def check(self, artifact: RepoPath) -> None:
        """Refuses an artifact; one that passes is taken into account from then on.

        Raises:
            UsageError: it would lie in another one or around it, git tracks it, a link is on the
                way, or it has a name that no artifact can have.
        """
        check_artifact_name(artifact)
        self._refuse_nested(artifact)
        self._refuse_links(artifact)
        git = self._ws.repo.git
        if not self._git_may_have and git.run(
            "--literal-pathspecs", "ls-files", "-z", "--", artifact.raw
        ):
            raise UsageError(
                "git tracks it already",
                hint=f"git rm -r --cached {typed(self._ws, artifact)} leaves it on disk",
            )
        self._new.add(artifact)
        self._known.add(artifact)

    def _refuse_nested(self, artifact: RepoPath) -> None:
        if artifact in self._new:
            raise UsageError("two files name it")
        around = self._known.around(artifact)
        if around is not None:
            raise UsageError(f"it lies inside the artifact {around}")
        inside = self._known.inside(artifact)
        if inside is not None:
            raise UsageError(
                f"the artifact {inside} lies inside",
                hint=f"gitprov remove {typed(self._ws, inside)} first",
            )

    def _refuse_links(self, artifact: RepoPath) -> None:
        """Nothing is written through a link that the repository brings."""
        for above in artifact.ancestors():
            where = on_disk(self._ws.worktree, above)
            if os.path.lexists(where) and (os.path.islink(where) or not os.path.isdir(where)):
                raise UsageError(f"{above} is no folder, but a symbolic link or a file")
        if os.path.islink(on_disk(self._ws.worktree, pointer_path(artifact))):
            raise UsageError(f"{pointer_path(artifact)} is a symbolic link")


def check_artifact_name(artifact: RepoPath) -> None:
    """Refuses names that no artifact can have.

    Raises:
        UsageError: it is one.
    """
    if is_pointer_name(artifact.raw) or artifact.name in {b".gitignore", b".gitattributes"}:
        raise UsageError("an artifact cannot have this name")
    if len(artifact.name) + len(SUFFIX) > MAX_NAME_BYTES:
        raise UsageError("its name is too long for a pointer beside it")


def filtered_pointers(ws: Workspace, artifacts: Iterable[RepoPath]) -> dict[RepoPath, str]:
    """Returns those artifacts whose pointer or .gitignore a filter of git's would change.

    `.gitattributes` may say `data/* filter=lfs`: git would then keep the pointers in LFS, too.
    """
    beside = {path: artifact for artifact in artifacts for path in _beside(artifact)}
    if not beside:
        return {}
    names = b"".join(path.raw + b"\0" for path in beside)
    output = ws.repo.git.run("check-attr", "-z", "--stdin", "filter", input=names)
    words = split_nul(output)
    found: dict[RepoPath, str] = {}
    for path, value in zip(words[::3], words[2::3], strict=True):
        if value not in {b"unspecified", b"unset"}:
            found[beside[RepoPath(path)]] = str(RepoPath(path))
    return found


def _beside(artifact: RepoPath) -> tuple[RepoPath, RepoPath]:
    return pointer_path(artifact), ignore_path(artifact)


def adopt(
    ws: Workspace,
    built: Mapping[RepoPath, Built],
    kind: ArtifactKind | None,
    *,
    tool: str,
    unstage: Sequence[RepoPath] = (),
    progress: Progress | None = None,
) -> tuple[list[Adopted], list[Left]]:
    """Writes pointers of what is in the store, and stages them; one after the other on one lock.

    A pointer that says another version is written over only when what lies on disk is the version
    that comes in, as it is after `dvc add`: else gitprov is ahead of the other tool.

    Args:
        ws: the workspace.
        built: the artifacts.
        kind: what the user says they are.
        tool: the other tool's name.
        unstage: files that git shall not track any more; they stay on disk.
        progress: is told how comparing the worktree goes.
    """
    adopted: list[Adopted] = []
    left: list[Left] = []
    with file_lock(os.path.join(ws.repo.data_dir, "pointers.lock"), waiting=ws.waiting):
        for artifact, content in built.items():
            try:
                old = _old_pointer(ws, artifact)
                pointer = pointer_of(artifact, content, kind, old)
                here = _compare(ws, artifact, pointer, progress)
                if old is not None and here != "same" and not is_same_version(old, pointer):
                    left.append(other_version(artifact, tool))
                    continue
                _write(ws, artifact, pointer)
            except (UsageError, MalformedError, EnvironmentFault) as exc:
                left.append(Left.of(artifact, exc))
                continue
            adopted.append(Adopted(artifact, pointer, _state(old, pointer), here))
        paths = [item.path for item in adopted]
        ignore(ws.repo.git, ws.worktree, paths)
        kept = set(paths)
        unstage_paths(
            ws, [p for p in unstage if p in kept or any(a in kept for a in p.ancestors())]
        )
        stage_paths(ws, (path for artifact in paths for path in _beside(artifact)))
    return adopted, left


def planned(ws: Workspace, artifact: RepoPath, pointer: Pointer) -> Adopted:
    """Returns what a dry run says: what is no artifact yet would be added."""
    there = os.path.lexists(on_disk(ws.worktree, pointer_path(artifact)))
    return Adopted(artifact, pointer, "unchanged" if there else "added")


def _old_pointer(ws: Workspace, artifact: RepoPath) -> Pointer | None:
    try:
        return read_pointer(ws.worktree, artifact)
    except MalformedError as exc:
        where = pointer_path(artifact)
        raise UsageError(f"{where} is there, and is no pointer", hint=exc.hint) from None


def _write(ws: Workspace, artifact: RepoPath, pointer: Pointer) -> None:
    folder = on_disk(ws.worktree, artifact.parent)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as exc:
        raise fault(exc, "create", folder) from exc
    write_pointer(ws.worktree, artifact, pointer)


def _state(old: Pointer | None, pointer: Pointer) -> State:
    if old is None:
        return "added"
    return "unchanged" if old == pointer else "modified"


def _compare(
    ws: Workspace, artifact: RepoPath, pointer: Pointer, progress: Progress | None
) -> Literal["same", "differs", "absent"]:
    """Looks at the data on disk, so that status is quick and add knows what was deleted later."""
    if not os.path.lexists(on_disk(ws.worktree, artifact)):
        return "absent"
    scanner = Scanner(ws.worktree, ws.stats, progress=progress, store_link=store_link(ws))
    try:
        tree = scanner.scan(artifact, artifact=artifact, lenient=True)
    except GitprovError:
        return "differs"
    top = top_entry(pointer)
    if tree.odd or (tree.kind, tree.root) != (top.kind, top.digest):
        return "differs"
    update(ws, [artifact], [(artifact, top)])
    return "same"
