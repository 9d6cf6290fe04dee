"""What the pointers say after an add: of whole artifacts, of parts, and where only parts are here.

One object works out all pointers of one command, so that a second part of an artifact builds on
the first. Nothing is written but manifests, which go to the sink.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath
from gitprov.errors import MalformedError, UnavailableError, UsageError
from gitprov.model.entry import Entry
from gitprov.model.manifest import Manifest
from gitprov.model.pointer import MAX_COUNT, ArtifactKind, EntryType, Pointer, kind_for
from gitprov.ops.checkouts import CheckedOut, checked_out, nothing
from gitprov.ops.manifests import Load, count_files, find, loader, splice, top_entry, walk
from gitprov.ops.pointers import on_disk, read_pointer
from gitprov.workspace import Workspace
from gitprov.worktree.compare import compare
from gitprov.worktree.reading import Sink
from gitprov.worktree.tree import Tree

Keep = Callable[[bytes, tuple[Entry, ...]], None]
"""Is given root and entries of every new manifest."""

_TYPES: dict[str, EntryType] = {"d": "dir", "f": "file", "x": "exec"}


@dataclass(frozen=True, slots=True)
class Scanned:
    """A path that was read for an artifact.

    Attributes:
        artifact: the artifact.
        part: what of it was read.
        tree: what is there, None when it is not on disk.
        weights: the root over the tensors of a single file that has some.
    """

    artifact: RepoPath
    part: RepoPath
    tree: Tree | None
    weights: Digest | None = None


@dataclass(slots=True)
class New:
    """An artifact's new pointer.

    Attributes:
        old: what the pointer was before the command; None when there was none, or nonsense.
        pointer: what it is to be.
        here: what is known to be checked out then, by path.
        gone: paths of which nothing is here any more.
    """

    old: Pointer | None
    pointer: Pointer
    here: list[tuple[RepoPath, Entry]] = field(default_factory=list)
    gone: list[RepoPath] = field(default_factory=list)


class NewPointers:
    """Works out the pointers of one command. The caller holds the lock on pointers."""

    def __init__(self, ws: Workspace, sink: Sink, kind: ArtifactKind | None) -> None:
        """Takes where new manifests go, and the kind that the user asked for."""
        self._ws = ws
        self._sink = sink
        self._kind = kind
        self._made: dict[bytes, Manifest] = {}
        self._stored = loader(ws.store)
        self.found: dict[RepoPath, New] = {}

    def take(self, scanned: Scanned) -> None:
        """Adds what was scanned to the artifact's pointer.

        Raises:
            UsageError: a part of what is no folder; or what is not here may be deleted or not.
            UnavailableError: the store lacks a manifest that is needed.
        """
        artifact = scanned.artifact
        whole = scanned.part == artifact
        new = self.found.get(artifact)
        old = new.old if new else _old_pointer(self._ws, artifact, or_nonsense=whole)
        before = new.pointer if new else old
        if whole and scanned.tree is not None:
            new = self._whole(scanned, old, scanned.tree)
        elif before is not None and before.type == "dir":
            try:
                new = self._with_part(scanned, new or New(before, before))
            except UnavailableError as exc:
                raise UnavailableError(
                    f"the list of files of {artifact} is not here, so {scanned.part} cannot be put "
                    "into it",
                    hint=f"gitprov fetch --path {artifact} brings it with the data, and with "
                    "--dry-run the list alone",
                ) from exc
        else:
            raise UsageError(
                f"{artifact} is a file, so nothing can lie inside it",
                hint=f"gitprov add {artifact} adds what is there now",
            )
        if new.pointer.size > MAX_COUNT or new.pointer.files > MAX_COUNT:
            raise UsageError(f"{artifact} is too large: {new.pointer.size} bytes")
        self.found[artifact] = new

    def _load(self, root: bytes) -> Manifest:
        return self._made[root] if root in self._made else self._stored(root)

    def _keep(self, root: bytes, entries: tuple[Entry, ...]) -> None:
        self._made[root] = Manifest.of(entries)
        self._sink.manifest(root, entries)

    def _pointer(
        self,
        artifact: RepoPath,
        old: Pointer | None,
        top: Entry,
        files: int,
        weights: Digest | None = None,
    ) -> Pointer:
        name = artifact.name.decode("utf-8")
        kind = self._kind or (old.kind if old else kind_for(name))
        root = Digest(top.digest)
        if kind != "model":
            weights = None
        return Pointer(name, kind, _TYPES[top.kind], root, top.size, files, weights)

    def _whole(self, scanned: Scanned, old: Pointer | None, tree: Tree) -> New:
        artifact = scanned.artifact
        top = Entry(artifact.name, tree.kind, tree.root, tree.size)
        files = tree.files if tree.kind == "d" else 1
        here = [(artifact, top)]
        if old is not None and old.type == "dir" and tree.kind == "d" and old.root.raw != tree.root:
            known = checked_out(self._ws, artifact)
            if known.is_partial:
                overlay = _Overlay(known, self._load, self._keep)
                top, files = overlay.merge(top_entry(old), tree)
                here = overlay.here
            elif not known.is_known:
                self._refuse_unknown(artifact, old, tree)
        pointer = self._pointer(artifact, old, top, files, scanned.weights)
        return New(old, pointer, here, [artifact])

    def _refuse_unknown(self, artifact: RepoPath, old: Pointer, tree: Tree) -> None:
        """Refuses what may be a loss: files that are not here, and may never have been."""
        hint = (
            f"gitprov checkout {artifact} restores the rest; "
            f"gitprov remove {artifact} and adding it anew starts afresh"
        )
        try:
            changes = compare(top_entry(old), tree, self._load)
            lacking = [change.path for change in changes if change.how == "deleted"]
        except UnavailableError:
            raise UsageError(
                f"{artifact} was never checked out here, and the store does not have its list of "
                "files, so it cannot be told what would be lost",
                hint=hint,
            ) from None
        if lacking:
            example = artifact / lacking[0].rstrip(b"/") if lacking[0] else artifact
            raise UsageError(
                f"{len(lacking):,} of the files of {artifact} are not here, {example} for one, and "
                "it was never checked out here, so they may not have been deleted",
                hint=hint,
            )

    def _with_part(self, scanned: Scanned, new: New) -> New:
        artifact, part, tree = scanned.artifact, scanned.part, scanned.tree
        parts = part.below(artifact).split(b"/")
        top = top_entry(new.pointer)
        before = find(self._load, top, parts)
        known = checked_out(self._ws, artifact)
        if tree is None:
            self._refuse_absent(scanned, known, before)
        entry = None if tree is None else Entry(parts[-1], tree.kind, tree.root, tree.size)
        changed = splice(self._load, top, parts, entry, self._keep)
        files = new.pointer.files - count_files(self._load, before)
        files += 0 if tree is None else tree.files
        new.gone.append(part)
        if entry is not None and not known.is_known and self._all_here(artifact, changed):
            new.here = [(artifact, changed)]
        elif entry is not None:
            new.here.append((part, entry))
        elif known.whole is not None:
            new.here.append((part, nothing(parts[-1])))
        new.pointer = self._pointer(artifact, new.pointer, changed, files)
        return new

    def _refuse_absent(self, scanned: Scanned, known: CheckedOut, before: Entry | None) -> None:
        part, artifact = scanned.part, scanned.artifact
        if before is None:
            raise UsageError(f"there is no {part}, neither on disk nor in the artifact")
        never = known.is_partial and not known.covers(part)
        if never or not (known.is_known or self._lies(artifact)):
            raise UsageError(
                f"{part} was never checked out here, so it is not deleted by not being here",
                hint=f"gitprov checkout {part}, delete it, and add it again to take it out",
            )

    def _lies(self, path: RepoPath) -> bool:
        return os.path.lexists(on_disk(self._ws.worktree, path))

    def _all_here(self, artifact: RepoPath, top: Entry) -> bool:
        """Whether everything of an artifact lies on disk, of which the cache knows nothing."""
        return all(self._lies(RepoPath(raw)) for raw, _ in walk(self._load, top, artifact.raw))


def _old_pointer(ws: Workspace, artifact: RepoPath, *, or_nonsense: bool) -> Pointer | None:
    try:
        return read_pointer(ws.worktree, artifact)
    except MalformedError:
        if or_nonsense:
            return None
        raise


class _Overlay:
    """Puts what is on disk over an artifact of which only parts are checked out."""

    def __init__(self, known: CheckedOut, load: Load, keep: Keep) -> None:
        self._known = known
        self._load = load
        self._keep = keep
        self.here: list[tuple[RepoPath, Entry]] = []

    def merge(self, before: Entry, tree: Tree) -> tuple[Entry, int]:
        """Returns the artifact, and how many files it has."""
        merged = self._merge(before, tree, self._known.artifact)
        assert merged is not None  # noqa: S101  # it is not covered by a part, and it is there
        return merged, count_files(self._load, merged)

    def _merge(self, before: Entry | None, tree: Tree | None, path: RepoPath) -> Entry | None:
        found = None if tree is None else Entry(path.name, tree.kind, tree.root, tree.size)
        if before is None or self._known.covers(path):
            self._is_here(path, found)
            return found
        if tree is None:
            if before.kind != "d" or not self._holds_part(path):
                return before
        elif before.kind != "d":
            self._is_here(path, found)
            return found
        entries = {entry.name: entry for entry in tree.entries} if tree is not None else {}
        children = tree.children if tree is not None else {}
        old = {entry.name: entry for entry in self._load(before.digest).entries}
        for name in sorted(old.keys() | entries.keys()):
            below = path / name
            if name in entries and name not in children:
                self._is_here(below, entries[name])
                continue
            merged = self._merge(old.get(name), children.get(name), below)
            if merged is None:
                entries.pop(name, None)
            else:
                entries[name] = merged
        manifest = Manifest.of(entries.values())
        self._keep(manifest.root.raw, manifest.entries)
        return Entry(path.name, "d", manifest.root.raw, manifest.size)

    def _holds_part(self, path: RepoPath) -> bool:
        return any(path.contains(part) for part in self._known.parts)

    def _is_here(self, path: RepoPath, entry: Entry | None) -> None:
        if entry is not None:
            self.here.append((path, entry))
