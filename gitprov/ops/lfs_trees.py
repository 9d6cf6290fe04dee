"""What git-lfs keeps of a git tree, as artifacts: single files, or folders of nothing else."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gitprov.core.paths import MAX_DEPTH, RepoPath, show
from gitprov.errors import GitprovError, MalformedError, UnavailableError, UsageError
from gitprov.git.objects import EXECUTABLE_MODE, LINK_MODE, SUBMODULE_MODE, TreeEntry
from gitprov.model.entry import Entry
from gitprov.model.lfs_pointer import MAX_LFS_BYTES, LfsPointer
from gitprov.ops.adopt import check_artifact_name
from gitprov.ops.import_history import MAX_TREE_FILES, Trees, too_many
from gitprov.ops.intake import Intake, OldName, Taken
from gitprov.ops.migrated import Built, Left
from gitprov.workspace import Workspace

_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_MAX_LINK = 4096
_FETCH = "bring it from the LFS server: git lfs fetch (of all commits: git lfs fetch --all)"


Listed = Mapping[RepoPath, TreeEntry]
"""What can become artifacts: git's entries by path."""


class _File(NamedTuple):
    """A file of git: its pointer, None when git itself keeps the content, or why it is no file."""

    pointer: LfsPointer | None
    error: MalformedError | None = None

    @property
    def is_theirs(self) -> bool:
        return self.pointer is not None or self.error is not None


class _Bad(NamedTuple):
    """Why a folder cannot be an artifact: what lies where in it."""

    path: bytes
    error: GitprovError


@dataclass
class LfsTrees:
    """Reads git's trees for one import.

    Attributes:
        trees: git's trees.
        intake: brings files into the store.
        storage: git-lfs' folder of objects.
        wanted: the artifacts that the user names; every file alone when there is none.
        has_any: whether an LFS file was seen.
        met: those of `wanted` where LFS files were seen.
    """

    trees: Trees
    intake: Intake
    storage: str
    wanted: Sequence[RepoPath]
    has_any: bool = False
    met: set[RepoPath] = field(default_factory=set)
    _files: dict[str, _File] = field(default_factory=dict)
    _folders: dict[str, Built | _Bad] = field(default_factory=dict)
    _faults: dict[str, _Bad | None] = field(default_factory=dict)
    _listed: dict[str, list[tuple[bytes, TreeEntry]]] = field(default_factory=dict)
    _pure: dict[str, bool] = field(default_factory=dict)

    def artifacts(self, tree: str) -> tuple[Mapping[RepoPath, Built], list[Left]]:
        """Returns the artifacts in a tree, whose content is in the store then, and what is left."""
        listed, left = self.listed(tree)
        built, more = self.build(listed)
        return built, [*left, *more]

    def listed(self, tree: str) -> tuple[Listed, list[Left]]:
        """Returns what in a tree can become artifacts, of which nothing is read yet."""
        theirs = self._theirs(tree, 0)
        self.has_any = self.has_any or bool(theirs)
        found = [(path, self.trees.at(tree, path)) for path in self.wanted]
        listed = {path: e for path, e in found if e is not None and not self._has_none(e)}
        self.met.update(listed)
        if not self.wanted:
            listed = {RepoPath(path): entry for path, entry in theirs}
        left: list[Left] = []
        for path in list(listed):
            try:
                RepoPath.parse(path.raw)
                check_artifact_name(path)
            except GitprovError as exc:
                left.append(Left.of(path, exc))
                del listed[path]
        return listed, left

    def build(self, listed: Listed) -> tuple[dict[RepoPath, Built], list[Left]]:
        """Brings in what was listed."""
        built: dict[RepoPath, Built] = {}
        left: list[Left] = []
        for path, entry in listed.items():
            try:
                built[path] = self._artifact(path, entry)
            except GitprovError as exc:
                left.append(Left.of(path, exc))
        return built, left

    def _has_none(self, entry: TreeEntry) -> bool:
        if entry.is_tree:
            return not self._theirs(entry.oid.hex(), 0)
        return not self._is_plain(entry) or not self._file(entry).is_theirs

    def _artifact(self, path: RepoPath, entry: TreeEntry) -> Built:
        if not entry.is_tree:
            content, taken = self._content(entry)
            return Built(content, 1, self.intake.weights(taken, path.name))
        bad = self._fault(entry.oid.hex(), 0)
        if bad is None:
            folder = self._folder(entry.oid.hex())
            if not isinstance(folder, _Bad):
                return folder
            bad = folder
        raise type(bad.error)(f"{show(bad.path)}: {bad.error}", hint=bad.error.hint)

    def _content(self, entry: TreeEntry) -> tuple[Entry, Taken]:
        """Brings a file into the store.

        Raises:
            UsageError: git itself keeps it.
            UnavailableError: git-lfs has its pointer only.
            VerificationError: its pointer is none, or its content is damaged.
        """
        if entry.mode == LINK_MODE:
            data = self.trees.objects.need(entry.oid.hex(), "blob", limit=_MAX_LINK)
            taken = self.intake.keep(data)
            return Entry(b"", "l", taken.digest, taken.size), taken
        taken = self._taken(self._pointer(entry))
        kind = "x" if entry.mode == EXECUTABLE_MODE else "f"
        return Entry(b"", kind, taken.digest, taken.size), taken

    def _pointer(self, entry: TreeEntry) -> LfsPointer:
        file = self._file(entry) if entry.mode != SUBMODULE_MODE else _File(None)
        if file.error is not None:
            raise file.error
        if file.pointer is None:
            raise UsageError(
                "git itself keeps it, not git-lfs",
                hint="name folders that hold nothing but LFS files, or name none: then every "
                "LFS file becomes an artifact",
            )
        return file.pointer

    def _taken(self, pointer: LfsPointer) -> Taken:
        if pointer.size == 0:
            return self.intake.keep(b"")  # git-lfs keeps nothing of an empty file
        self._look_for(pointer)
        return self.intake.take(_name(pointer), self._locate)

    def _look_for(self, pointer: LfsPointer) -> None:
        try:
            if pointer.size:
                self.intake.look(_name(pointer), self._locate)
        except UnavailableError:
            raise UnavailableError(
                f"its data (SHA-256 {pointer.sha256}) is not in this clone's LFS store",
                hint=_FETCH,
            ) from None

    def _locate(self, name: OldName) -> list[str]:
        return [os.path.join(self.storage, "objects", name.hex[:2], name.hex[2:4], name.hex)]

    def _fault(self, oid: str, depth: int) -> _Bad | None:
        """Says why a folder cannot be an artifact, as far as that shows before it is read."""
        _check_depth(depth)
        if oid not in self._faults:
            self._faults[oid] = self._find_fault(oid, depth)
        return self._faults[oid]

    def _find_fault(self, oid: str, depth: int) -> _Bad | None:
        for item in self.trees.read(oid):
            if item.is_tree:
                below = self._fault(item.oid.hex(), depth + 1)
                if below is not None:
                    return _Bad(item.name + b"/" + below.path, below.error)
            elif item.mode != LINK_MODE:
                try:
                    self._look_for(self._pointer(item))
                except GitprovError as exc:
                    return _Bad(item.name, exc)
        return None

    def _folder(self, oid: str) -> Built | _Bad:
        if oid not in self._folders:
            self._folders[oid] = self._make_folder(oid)
        return self._folders[oid]

    def _make_folder(self, oid: str) -> Built | _Bad:
        entries: dict[bytes, Entry] = {}
        files = 0
        for item in self.trees.read(oid):
            if item.is_tree:
                below = self._folder(item.oid.hex())
                if isinstance(below, _Bad):
                    return _Bad(item.name + b"/" + below.path, below.error)
                entries[item.name] = below.entry._replace(name=item.name)
                files += below.files
                continue
            try:
                content, _ = self._content(item)
            except GitprovError as exc:
                return _Bad(item.name, exc)
            entries[item.name] = content._replace(name=item.name)
            files += 1
        try:
            return Built(self.intake.folder(entries), files)
        except MalformedError as exc:
            return _Bad(b".", exc)

    def _file(self, entry: TreeEntry) -> _File:
        """Looks at a blob of git, once; one that is too large for a pointer is not read."""
        oid = entry.oid.hex()
        if oid not in self._files:
            self._files[oid] = self._look(oid)
        return self._files[oid]

    def _look(self, oid: str) -> _File:
        header = self.trees.objects.header(oid)
        if header is None:
            raise UnavailableError(
                f"the git blob {oid} is not in this clone", hint="git fetch --refetch --no-filter"
            )
        if header.size == 0:
            return _File(LfsPointer(_EMPTY, 0))
        if header.size > MAX_LFS_BYTES:
            return _File(None)
        try:
            return _File(LfsPointer.parse(self.trees.objects.need(oid, "blob")))
        except MalformedError as exc:
            return _File(None, exc)

    @staticmethod
    def _is_plain(entry: TreeEntry) -> bool:
        return not entry.is_tree and entry.mode not in (LINK_MODE, SUBMODULE_MODE)

    def _theirs(self, tree: str, depth: int) -> list[tuple[bytes, TreeEntry]]:
        """The LFS files below a tree by path; empty files are not counted."""
        known = self._listed.get(tree)
        if known is not None:
            return known
        _check_depth(depth)
        found: list[tuple[bytes, TreeEntry]] = []
        pure = True
        for entry in self.trees.read(tree):
            if entry.is_tree:
                oid = entry.oid.hex()
                found += [(entry.name + b"/" + p, e) for p, e in self._theirs(oid, depth + 1)]
                pure = pure and self._pure[oid]
            elif self._is_plain(entry) and self._file(entry).is_theirs:
                file = self._file(entry)
                if file.pointer is None or file.pointer.size:
                    found.append((entry.name, entry))
            else:
                pure = pure and entry.mode == LINK_MODE
            if len(found) > MAX_TREE_FILES:
                raise too_many()
        self._listed[tree], self._pure[tree] = found, pure
        return found

    def whole_folders(self, tree: str, at_least: int) -> list[RepoPath]:
        """Returns the outermost folders that hold so many LFS files and nothing else."""
        found: list[RepoPath] = []
        waiting = [(RepoPath(b""), tree)]
        while waiting:
            where, oid = waiting.pop()
            if len(self._theirs(oid, 0)) < at_least:
                continue
            if self._pure[oid] and where.raw:
                found.append(where)
                continue
            for entry in self.trees.read(oid):
                if entry.is_tree:
                    waiting.append((where / entry.name, entry.oid.hex()))
        return sorted(found)


def _name(pointer: LfsPointer) -> OldName:
    return OldName("sha256", pointer.sha256, pointer.size)


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise MalformedError(f"its folders are nested more than {MAX_DEPTH} deep")


def lfs_storage(ws: Workspace) -> str:
    """Returns git-lfs' folder: `lfs.storage` of git's own configuration, or `.git/lfs`."""
    configured = ws.repo.config("lfs.storage")
    return os.path.join(ws.repo.common_dir, configured[-1] if configured else "lfs")
