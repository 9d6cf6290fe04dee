"""`gitprov import-lfs`: takes over what git-lfs keeps, checked by its SHA-256; its store stays."""

import os
from collections.abc import Collection, Sequence
from dataclasses import replace

from gitprov.core.paths import RepoPath
from gitprov.errors import GitprovError, MalformedError, UnavailableError, UsageError
from gitprov.git.command import split_nul
from gitprov.git.objects import TreeEntry
from gitprov.model.lfs_pointer import MAX_LFS_BYTES, LfsPointer
from gitprov.model.pointer import ArtifactKind
from gitprov.ops.adopt import (
    ALREADY,
    Adopted,
    Places,
    adopt,
    filtered_pointers,
    need_init,
    planned,
    typed,
)
from gitprov.ops.checkouts import remember
from gitprov.ops.import_dvc import Imported
from gitprov.ops.import_history import PREFIX, History, TreeChange, Trees, import_history
from gitprov.ops.intake import Intake, link_of
from gitprov.ops.lfs_trees import LfsTrees, lfs_storage
from gitprov.ops.manifests import top_entry
from gitprov.ops.migrated import Built, Left, other_version, pointer_of
from gitprov.ops.pointers import on_disk, repo_path
from gitprov.ops.restore import checkout
from gitprov.ops.shared_store import register_here
from gitprov.ops.status import artifact_status
from gitprov.platform.files import read_bounded
from gitprov.store.base import StoreWriter
from gitprov.workspace import Workspace
from gitprov.worktree.scan import Progress

_EVERY = " --all-revisions"

MANY = 20
"""So many files of one folder are better one artifact than one each."""


def import_lfs(
    ws: Workspace,
    paths: Sequence[str] = (),
    *,
    kind: ArtifactKind | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> tuple[Imported, list[RepoPath]]:
    """Makes artifacts of the LFS files of the current commit.

    git does not track them any more then: that, the pointers and the .gitignore files are staged.
    The files on disk and git-lfs' store stay as they are. What cannot be imported is left. Only
    where a file on disk is no more than its LFS pointer, as after a clone with
    `GIT_LFS_SKIP_SMUDGE=1`, its data takes the place: nothing else restores it any more.

    Args:
        ws: the workspace.
        paths: what is to become an artifact: files, or folders that hold nothing but LFS files;
            every LFS file alone when none is given.
        kind: what the artifacts are.
        dry_run: write nothing, and do not read the data either.
        progress: is told how it goes.

    Returns:
        What was imported; and, when no path was given, folders that had better be named.

    Raises:
        UsageError: gitprov is not set up, there is no LFS file, or one has staged changes.
    """
    need_init(ws)
    head = ws.objects.commit("HEAD")
    if head is None:
        raise UsageError("there is no commit yet")
    wanted = _wanted(ws, paths)
    if dry_run:
        source = _source(ws, None, wanted, progress)
        built, left = _chosen(ws, source, head.tree)
        found = tuple(planned(ws, p, pointer_of(p, b, kind)) for p, b in built.items())
        done = Imported(found, tuple(left), source.intake.files, source.intake.size)
        return done, _better(source, head.tree)
    register_here(ws)
    with ws.store.writer() as writer:
        source = _source(ws, writer, wanted, progress)
        built, left = _chosen(ws, source, head.tree)
        writer.commit()
        unstage = [RepoPath(raw) for raw in split_nul(ws.repo.git.run("ls-files", "-z"))]
        adopted, refused = adopt(
            ws, built, kind, tool="git-lfs", unstage=unstage, progress=progress
        )
    adopted = [_restored(ws, item, source.trees, head.tree) for item in adopted]
    done = Imported(tuple(adopted), (*left, *refused), source.intake.files, source.intake.size)
    return done, _better(source, head.tree)


def _restored(ws: Workspace, item: Adopted, trees: Trees, tree: str) -> Adopted:
    """Puts the data in the place of LFS pointers; what else differs stays as it is."""
    if item.here != "differs":
        return item
    status = artifact_status(ws, item.path)
    changed = [RepoPath((item.path.raw + b"/" + c.path).rstrip(b"/")) for c in status.changes]
    pointers = [path for path in changed if _is_own_pointer(ws, path, trees.at(tree, path))]
    is_all = len(pointers) == len(changed) and not status.odd
    parts = [item.path] if is_all else pointers
    if not pointers:
        return item
    try:
        checkout(ws, [os.fsdecode(on_disk(ws.worktree, path)) for path in parts], force=True)
    except GitprovError:
        return item  # it is staged all the same, and said to differ
    if status.pointer is not None:
        # Not only those parts were here: what was deleted is a change, and no part that never came.
        remember(ws, item.path, top_entry(status.pointer))
    return replace(item, here="restored" if is_all else "differs")


def _is_own_pointer(ws: Workspace, path: RepoPath, entry: TreeEntry | None) -> bool:
    """Whether a file on disk is, byte for byte, the LFS pointer that git has of it."""
    if entry is None:
        return False
    try:
        data = read_bounded(on_disk(ws.worktree, path), MAX_LFS_BYTES)
        return bool(LfsPointer.parse(data)) and data == ws.objects.need(
            entry.oid.hex(), "blob", limit=MAX_LFS_BYTES
        )
    except (MalformedError, UnavailableError):
        return False


def import_lfs_history(
    ws: Workspace,
    paths: Sequence[str] = (),
    *,
    kind: ArtifactKind | None = None,
    prefix: str = PREFIX,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> History:
    """Makes new branches in which every commit has pointers in the place of its LFS files.

    Arguments and errors as for `import_lfs` and `import_history`.
    """
    need_init(ws)
    wanted = _wanted(ws, paths)

    def change(tree: str) -> TreeChange:
        built, left = source.artifacts(tree)
        pointers = {p: pointer_of(p, content, kind).to_bytes() for p, content in built.items()}
        for path in [p for p, data in pointers.items() if source.trees.is_other(tree, p, data)]:
            left.append(other_version(path, "git-lfs"))
            del pointers[path]
        files: dict[bytes, bytes | None] = {path.raw: None for path in pointers}
        files.update(source.trees.with_pointers(tree, pointers))
        return TreeChange(files, tuple(pointers), tuple(left))

    def check(artifacts: Sequence[RepoPath]) -> None:
        if not source.has_any:
            raise UsageError("no commit has an LFS file")
        _refuse_unknown(source, _EVERY)
        for artifact, beside in filtered_pointers(ws, artifacts).items():
            raise _filtered(ws, artifact, beside, _EVERY)

    if dry_run:
        source = _source(ws, None, wanted, progress)
        done = import_history(ws, change, prefix=prefix, store=None, check=check)
    else:
        register_here(ws)
        with ws.store.writer() as writer:
            source = _source(ws, writer, wanted, progress)
            done = import_history(ws, change, prefix=prefix, store=writer.commit, check=check)
    return done.counted(source.intake.files, source.intake.size)


def _wanted(ws: Workspace, paths: Sequence[str]) -> list[RepoPath]:
    wanted = list(dict.fromkeys(repo_path(ws.worktree, ws.cwd, path) for path in paths))
    for path in wanted:
        if not path.raw:
            raise UsageError("the whole repository cannot be an artifact")
        if any(above in wanted for above in path.ancestors()):
            raise UsageError(f"{path} lies inside another path that was named")
    return wanted


def _source(
    ws: Workspace,
    writer: StoreWriter | None,
    wanted: Sequence[RepoPath],
    progress: Progress | None,
) -> LfsTrees:
    # Without a writer nothing is written, and to read the configuration may write its cache.
    intake = Intake(writer, link_of(ws) if writer is not None else "copy", progress)
    return LfsTrees(Trees(ws.objects), intake, lfs_storage(ws), wanted)


def _chosen(ws: Workspace, source: LfsTrees, tree: str) -> tuple[dict[RepoPath, Built], list[Left]]:
    listed, left = source.listed(tree)
    places = Places(ws, git_may_have=True)
    left += _done_before(source, places)
    if not source.has_any and not left:
        raise UsageError("git-lfs is not used here: the current commit has no LFS file")
    _refuse_unknown(source, "", {item.path for item in left})
    _refuse_staged(ws, listed)
    chosen: dict[RepoPath, TreeEntry] = {}
    filtered = filtered_pointers(ws, listed)
    inside: dict[RepoPath, None] = {}
    for path, entry in listed.items():
        around = None if source.wanted else places.around(path)
        if around is not None:
            inside[around] = None
            continue
        try:
            if path in filtered:
                raise _filtered(ws, path, filtered[path])
            places.check(path)
        except UsageError as exc:
            left.append(Left.of(path, exc))
        else:
            chosen[path] = entry
    left += [Left(str(path), ALREADY) for path in inside]
    # Only what is left of them is read.
    built, more = source.build(chosen)
    return built, [*left, *more]


def _done_before(source: LfsTrees, places: Places) -> list[Left]:
    """Names what was asked for and is in artifacts already: git-lfs has nothing of it any more."""
    if not source.wanted:
        there = [] if source.has_any else places.artifacts()
        return [Left(str(path), ALREADY) for path in there]
    found = {path: places.already(path) for path in source.wanted if path not in source.met}
    return [Left(str(path), why) for path, why in found.items() if why is not None]


def _refuse_unknown(source: LfsTrees, option: str, known: Collection[str] = ()) -> None:
    where = "any commit" if option else "the current commit"
    for path in source.wanted:
        if path not in source.met and str(path) not in known:
            raise UsageError(
                f"{path} is no LFS file of {where}, and holds none",
                hint=f"gitprov import-lfs{option} --dry-run lists what git-lfs keeps",
            )


def _filtered(ws: Workspace, artifact: RepoPath, beside: str, option: str = "") -> UsageError:
    command = f"gitprov import-lfs{option} {typed(ws, artifact.parent)}"
    folder = f"make one artifact of the folder ({command}), or "
    return UsageError(
        f"git would keep {beside} in LFS as well: .gitattributes says so",
        hint=f"{folder if artifact.parent.raw else ''}write `*.prov -filter` and "
        "`.gitignore -filter` below that line",
    )


def _refuse_staged(ws: Workspace, built: Collection[RepoPath]) -> None:
    """What the user has staged there is neither in the commit nor imported: it would be lost."""
    output = ws.repo.git.run("diff", "--cached", "--name-only", "-z", "--diff-filter=d", "HEAD")
    for raw in split_nul(output):
        path = RepoPath(raw)
        for artifact in built:
            if artifact.contains(path):
                raise UsageError(f"{path} has staged changes", hint="git commit them first")


def _better(source: LfsTrees, tree: str) -> list[RepoPath]:
    return [] if source.wanted else source.whole_folders(tree, MANY)
