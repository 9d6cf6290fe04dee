"""`gitprov import-dvc`: takes over what DVC keeps, checked by its MD5s; DVC's own files stay."""

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gitprov.config.dvc_files import (
    LOCK,
    MAX_DVC_BYTES,
    PIPELINE,
    DvcOut,
    Found,
    LeftOut,
    dvc_outs,
    is_dvc_file,
)
from gitprov.core.paths import RepoPath
from gitprov.errors import GitprovError, MalformedError, UnavailableError, UsageError
from gitprov.git.command import split_nul
from gitprov.model.pointer import ArtifactKind
from gitprov.ops.adopt import Adopted, Places, adopt, need_init, planned
from gitprov.ops.dvc_cache import DvcBuilder, DvcCache, find_cache
from gitprov.ops.intake import Intake, link_of
from gitprov.ops.migrated import Built, Left, pointer_of
from gitprov.ops.pointers import on_disk, repo_path
from gitprov.ops.shared_store import register_here
from gitprov.platform.files import read_bounded
from gitprov.workspace import Workspace
from gitprov.worktree.scan import Progress


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did, or would do.

    Attributes:
        artifacts: the artifacts; in a dry run their digests mean nothing.
        left: what was not imported, with the reason.
        files: distinct files that were read.
        size: their bytes.
    """

    artifacts: tuple[Adopted, ...]
    left: tuple[Left, ...]
    files: int
    size: int


def import_dvc(
    ws: Workspace,
    paths: Sequence[str] = (),
    *,
    cache: str | None = None,
    kind: ArtifactKind | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Imported:
    """Makes artifacts of what the `.dvc` files and `dvc.lock`s of the worktree name.

    What cannot be imported is left and said; the rest is imported. A pointer is written only when
    all of its data is in the store. DVC's files, its cache and the data on disk are not changed.

    Args:
        ws: the workspace.
        paths: outputs, folders that hold some, or `.dvc` files; all when none is given.
        cache: a folder that is DVC's cache, or a copy of one.
        kind: what the artifacts are.
        dry_run: write nothing, and do not read the data either.
        progress: is told how it goes.

    Raises:
        UsageError: gitprov is not set up, a path names no output, or DVC is not used here.
    """
    need_init(ws)
    outs, left = _chosen(ws, [repo_path(ws.worktree, ws.cwd, path) for path in paths])
    where = find_cache(ws, cache)
    if dry_run:
        intake = Intake(None, progress=progress)
        built = dict(_build(DvcBuilder(where, intake), Places(ws), outs, left))
        found = [
            planned(ws, path, pointer_of(path, content, kind)) for path, content in built.items()
        ]
        return Imported(tuple(found), tuple(left), intake.files, intake.size)
    register_here(ws)
    with ws.store.writer() as writer:
        intake = Intake(writer, link_of(ws), progress)
        built = dict(_build(DvcBuilder(where, intake), Places(ws), outs, left))
        writer.commit()
        adopted, refused = adopt(ws, built, kind, tool="DVC", progress=progress)
    adopted = [_linked(ws, item, where) for item in adopted]
    return Imported(tuple(adopted), (*left, *refused), intake.files, intake.size)


def _linked(ws: Workspace, item: Adopted, cache: DvcCache) -> Adopted:
    """Says of data that differs whether that is because DVC has put links there."""
    if item.here != "differs":
        return item
    top = os.fsdecode(on_disk(ws.worktree, item.path))
    below = (
        os.path.join(at, name) for at, *names in os.walk(top) for name in itertools.chain(*names)
    )
    links = (path for path in itertools.chain((top,), below) if os.path.islink(path))
    folders = tuple(os.path.realpath(folder) + os.sep for folder in cache.folders)
    is_linked = any(os.path.realpath(path).startswith(folders) for path in links)
    return replace(item, here="linked") if is_linked else item


def _build(
    builder: DvcBuilder, places: Places, outs: Sequence[DvcOut], left: list[Left]
) -> Iterator[tuple[RepoPath, Built]]:
    for out in outs:
        try:
            places.check(out.path)
            yield out.path, builder.build(out)
        except (MalformedError, UnavailableError, UsageError, GitprovError) as exc:
            left.append(Left.of(out.path, exc))


def _chosen(ws: Workspace, wanted: Sequence[RepoPath]) -> tuple[list[DvcOut], list[Left]]:
    """Returns the outputs that are meant, and what of them is none."""
    sources = dvc_sources(ws)
    if not sources:
        raise UsageError("DVC is not used here: there is no .dvc file and no dvc.lock")
    outs: list[DvcOut] = []
    left: list[Left] = []
    used: set[RepoPath] = set()
    for source in sources:
        try:
            found = dvc_outs(source, _read(ws, source), _pipeline(ws, source))
        except (MalformedError, UnavailableError) as exc:
            if is_wanted(wanted, used, source):
                left.append(Left.of(source, exc))
            continue
        for item in found:
            if isinstance(item, DvcOut) and is_wanted(wanted, used, *named(item)):
                outs.append(item)
            elif isinstance(item, LeftOut) and is_wanted(wanted, used, *named(item)):
                left.append(left_out(item))
    for path in wanted:
        if path not in used:
            raise no_output(path)
    return sorted(outs, key=lambda out: out.path), left


def no_output(path: RepoPath, *, in_any_commit: bool = False) -> UsageError:
    """The error for a path that DVC's files do not name."""
    where, more = ("in any commit", " --all-revisions") if in_any_commit else ("here", "")
    return UsageError(
        f"{path} is no output of DVC {where}, and holds none",
        hint=f"gitprov import-dvc{more} --dry-run lists what DVC keeps",
    )


def left_out(item: LeftOut) -> Left:
    """Says what a `.dvc` file said of an output that is no artifact."""
    return Left(item.path, f"{item.why} ({item.source})", 1 if item.wrong else 0)


def named(item: Found) -> tuple[RepoPath, ...]:
    """Returns the paths that a user may name to mean an output."""
    return (item.source,) if item.at is None else (item.source, item.at)


def is_wanted(wanted: Sequence[RepoPath], used: set[RepoPath], *paths: RepoPath) -> bool:
    """Whether the user means one of these paths; what the user said is noted as used."""
    hits = [choice for choice in wanted if any(choice.contains(path) for path in paths)]
    used.update(hits)
    return bool(hits) or not wanted


def dvc_sources(ws: Workspace) -> list[RepoPath]:
    """Returns the `.dvc` files and `dvc.lock`s that git tracks or would add."""
    patterns = ("*.dvc", "dvc.lock", "*/dvc.lock")
    output = ws.repo.git.run(
        "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns
    )
    found = (RepoPath(raw) for raw in sorted(set(split_nul(output))))
    return [path for path in found if is_dvc_file(path.name)]


def dvc_paths(ws: Workspace) -> list[RepoPath]:
    """Returns what DVC keeps here, as far as its files can be read."""
    paths: list[RepoPath] = []
    for source in dvc_sources(ws):
        with contextlib.suppress(MalformedError, UnavailableError):
            found = dvc_outs(source, _read(ws, source), _pipeline(ws, source))
            paths += [item.path for item in found if isinstance(item, DvcOut)]
    return paths


def _read(ws: Workspace, path: RepoPath) -> bytes:
    return read_bounded(on_disk(ws.worktree, path), MAX_DVC_BYTES)


def _pipeline(ws: Workspace, source: RepoPath) -> bytes | None:
    if source.name != LOCK:
        return None
    try:
        return _read(ws, source.parent / PIPELINE)
    except UnavailableError:
        return None
