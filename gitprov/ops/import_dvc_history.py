"""`gitprov import-dvc --all-revisions`: branches with pointers of what DVC kept in every commit."""

from collections.abc import Sequence
from functools import partial

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
from gitprov.core.paths import MAX_DEPTH, RepoPath
from gitprov.errors import GitprovError, MalformedError, UsageError
from gitprov.git.objects import LINK_MODE, SUBMODULE_MODE
from gitprov.model.pointer import ArtifactKind
from gitprov.ops.adopt import Apart, check_artifact_name, need_init
from gitprov.ops.dvc_cache import DvcBuilder, find_cache
from gitprov.ops.import_dvc import is_wanted, left_out, named, no_output
from gitprov.ops.import_history import (
    MAX_TREE_FILES,
    PREFIX,
    History,
    TreeChange,
    Trees,
    import_history,
    too_many,
)
from gitprov.ops.intake import Intake, link_of
from gitprov.ops.migrated import Left, Once, other_version, pointer_of
from gitprov.ops.pointers import repo_path
from gitprov.ops.shared_store import register_here
from gitprov.workspace import Workspace
from gitprov.worktree.scan import Progress


def import_dvc_history(
    ws: Workspace,
    paths: Sequence[str] = (),
    *,
    cache: str | None = None,
    kind: ArtifactKind | None = None,
    prefix: str = PREFIX,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> History:
    """Makes new branches in which every commit has pointers of what DVC's files named in it.

    Arguments and errors as for `import_dvc` and `import_history`.
    """
    need_init(ws)
    wanted = [repo_path(ws.worktree, ws.cwd, path) for path in paths]
    where = find_cache(ws, cache)
    if dry_run:
        intake = Intake(None, progress=progress)
        source = _DvcTrees(ws, DvcBuilder(where, intake), wanted, kind, is_dry=True)
        done = import_history(ws, source.change, prefix=prefix, store=None, check=source.check)
    else:
        register_here(ws)
        with ws.store.writer() as writer:
            intake = Intake(writer, link_of(ws), progress)
            source = _DvcTrees(ws, DvcBuilder(where, intake), wanted, kind)
            done = import_history(
                ws, source.change, prefix=prefix, store=writer.commit, check=source.check
            )
    return done.counted(intake.files, intake.size)


class _DvcTrees:
    """Says what the DVC files in a git tree become."""

    def __init__(
        self,
        ws: Workspace,
        builder: DvcBuilder,
        wanted: Sequence[RepoPath],
        kind: ArtifactKind | None,
        *,
        is_dry: bool = False,
    ) -> None:
        self._is_dry = is_dry
        self._trees = Trees(ws.objects)
        self._builder = builder
        self._wanted = wanted
        self._kind = kind
        self._files: dict[str, list[tuple[bytes, str]]] = {}
        self._once = Once()
        self._used: set[RepoPath] = set()
        self._has_any = False

    def check(self, _: Sequence[RepoPath]) -> None:
        """Refuses an import for which there is nothing, or not all that was asked for."""
        if not self._has_any:
            raise UsageError("no commit has a .dvc file or a dvc.lock")
        for path in self._wanted:
            if path not in self._used:
                raise no_output(path, in_any_commit=True)

    def change(self, tree: str) -> TreeChange:
        pointers: dict[RepoPath, bytes] = {}
        left: list[Left] = []
        apart = Apart()
        files = dict(self._dvc_files(tree, 0))
        for raw, oid in sorted(files.items()):
            name = raw.rpartition(b"/")[2]
            if not is_dvc_file(name):
                continue
            self._has_any = True
            pipeline = files.get(raw[: -len(LOCK)] + PIPELINE) if name == LOCK else None
            try:
                outs = self._once.of((raw, oid, pipeline), partial(self._outs, raw, oid, pipeline))
            except GitprovError as exc:
                if is_wanted(self._wanted, self._used, RepoPath(raw)):
                    left.append(Left.of(RepoPath(raw), exc))
                continue
            for out in outs:
                self._take(tree, out, pointers, apart, left)
        changed = self._trees.with_pointers(tree, pointers)
        return TreeChange(changed, tuple(pointers), tuple(left))

    def _outs(self, raw: bytes, oid: str, pipeline: str | None) -> list[Found]:
        need = self._trees.objects.need
        data = need(oid, "blob", limit=MAX_DVC_BYTES)
        beside = need(pipeline, "blob", limit=MAX_DVC_BYTES) if pipeline else None
        return dvc_outs(RepoPath.parse(raw), data, beside)

    def _take(
        self,
        tree: str,
        out: Found,
        pointers: dict[RepoPath, bytes],
        apart: Apart,
        left: list[Left],
    ) -> None:
        if not is_wanted(self._wanted, self._used, *named(out)):
            return
        if isinstance(out, LeftOut):
            left.append(left_out(out))
            return
        if self._trees.at(tree, out.path) is not None:
            left.append(Left(str(out.path), "git keeps it, too"))
            return
        if self._trees.has_pointer(tree, out.path):
            # This commit has been imported, or was made with gitprov.
            if self._is_other(tree, out):
                left.append(other_version(out.path, "DVC"))
            return
        try:
            check_artifact_name(out.path)
            other = out.path if out.path in pointers else apart.around(out.path)
            other = other or apart.inside(out.path)
            if other is not None:
                raise UsageError(f"it and {other} lie in each other")
            pointers[out.path] = self._once.of(out, lambda: self._pointer(out))
            apart.add(out.path)
        except GitprovError as exc:
            left.append(Left.of(out.path, exc))

    def _pointer(self, out: DvcOut) -> bytes:
        return pointer_of(out.path, self._builder.build(out), self._kind).to_bytes()

    def _is_other(self, tree: str, out: DvcOut) -> bool:
        if self._is_dry:
            return False  # no digest is known
        try:
            ours = self._once.of(out, lambda: self._pointer(out))
        except GitprovError:
            return False  # what is not here cannot be compared, and is not needed either
        return self._trees.is_other(tree, out.path, ours)

    def _dvc_files(self, tree: str, depth: int) -> list[tuple[bytes, str]]:
        """The `.dvc` files, locks and pipelines below a tree, by path."""
        known = self._files.get(tree)
        if known is not None:
            return known
        if depth > MAX_DEPTH:
            raise MalformedError(f"its folders are nested more than {MAX_DEPTH} deep")
        found: list[tuple[bytes, str]] = []
        for entry in self._trees.read(tree):
            if entry.is_tree:
                below = self._dvc_files(entry.oid.hex(), depth + 1)
                found += [(entry.name + b"/" + path, oid) for path, oid in below]
            elif entry.mode not in (LINK_MODE, SUBMODULE_MODE) and (
                is_dvc_file(entry.name) or entry.name == PIPELINE
            ):
                found.append((entry.name, entry.oid.hex()))
            if len(found) > MAX_TREE_FILES:
                raise too_many()
        self._files[tree] = found
        return found
