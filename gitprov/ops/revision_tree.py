"""The files of a revision as one tree: what git tracks, and what lies in its artifacts."""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from gitprov.core.paths import RepoPath, check_name
from gitprov.errors import MalformedError, UnavailableError, UsageError
from gitprov.git.objects import LINK_MODE, SUBMODULE_MODE, ObjectReader, TreeEntry
from gitprov.model.entry import Entry
from gitprov.model.pointer import MAX_POINTER_BYTES, SUFFIX, Pointer, is_pointer_name
from gitprov.ops.manifests import top_entry
from gitprov.ops.pointers import on_disk, parse_pointer, pointer_path, read_pointer

_MAX_LINKS = 40
"""Symlinks on one way; Linux stops there too."""

_MAX_LINK_BYTES = 4096
_KEPT_TREES = 256
_SUFFIX = SUFFIX.encode()

Names = Mapping[bytes, Entry]
Load = Callable[[bytes], Names]
"""Given a manifest's root, returns its entries by name."""

ReadLink = Callable[[Entry], bytes]
"""Returns the target of a symlink in an artifact."""

ListPointers = Callable[[], list[RepoPath]]
"""Lists the pointers of the worktree, those that git does not ignore."""


class NoSuchPathError(UsageError, FileNotFoundError):
    """There is nothing at the path."""


class IsFolderError(UsageError, IsADirectoryError):
    """There is a folder at the path, where a file is needed."""


class Node(NamedTuple):
    """What lies at a path.

    Attributes:
        path: where, from the top of the repository.
        kind: "d" folder, "f" file, "x" executable file, "l" symlink, "m" submodule.
        size: bytes; of git's own files -1, as git has to be asked for it.
        digest: in an artifact, the file's BLAKE3 or the folder's manifest root; else b"".
        oid: git's id of what git itself tracks; else "".
        is_here: a folder of the worktree, in which pointers may lie.
    """

    path: RepoPath
    kind: str
    size: int = 0
    digest: bytes = b""
    oid: str = ""
    is_here: bool = False


class RevisionTree:
    """One commit's files, or those that the worktree's pointers stand for. For one thread.

    An artifact hides what git tracks under the same name.
    """

    def __init__(
        self,
        objects: ObjectReader,
        commit: str | None,
        load: Load,
        read_link: ReadLink,
        worktree: tuple[str, ListPointers] | None = None,
    ) -> None:
        """Reads nothing yet.

        Args:
            objects: git's objects.
            commit: whose files git's own are; None when there is no commit yet.
            load: reads manifests.
            read_link: reads symlinks.
            worktree: the worktree whose pointers count instead of the commit's, if any.

        Raises:
            UnavailableError: git does not have the commit.
        """
        self._objects, self._load, self._read_link = objects, load, read_link
        self._worktree, self._list_pointers = worktree or ("", list)
        tree = ""
        if commit is not None:
            found = objects.commit(commit)
            if found is None:
                raise UnavailableError(f"git has no commit {commit}")
            tree = found.tree
        self.commit = commit
        self._tree = lru_cache(maxsize=_KEPT_TREES)(self._read_tree)
        self._pointer = lru_cache(maxsize=_KEPT_TREES)(self._read_pointer)
        self._root = Node(RepoPath(b""), "d", oid=tree, is_here=bool(worktree))

    def find(self, path: RepoPath, *, follow: bool = True) -> Node:
        """Returns what lies at a path; symlinks on the way are followed.

        Args:
            path: from the top of the repository.
            follow: whether a symlink at the end is followed as well.

        Raises:
            NoSuchPathError: nothing does.
            UsageError: a symlink leads out of the repository, or in a circle.
            UnavailableError: a manifest, or an object of git, is missing.
        """
        left = list(reversed(path.parts))
        node = self._root
        hops = 0
        while left:
            child = self._child(node, left.pop())
            if child is None:
                raise self._nothing(path)
            if child.kind == "l" and (left or follow):
                hops += 1
                if hops > _MAX_LINKS:
                    raise UsageError(f"{path} leads through too many symlinks")
                target = self._followed(child)
                left += reversed(target)
                node = self._root
            else:
                node = child
        if _is_only_here(node) and node.path.raw and not self._pointers_below([node]):
            raise self._nothing(path)
        return node

    def children(self, folder: Node) -> Iterator[Node]:
        """Yields what lies in a folder, in no order. Names that no file may be given are left out.

        Raises:
            UnavailableError: a manifest, or an object of git, is missing.
        """
        if folder.digest:
            for entry in self._load(folder.digest).values():
                yield _of_entry(folder.path / entry.name, entry)
            return
        names = set(self._tree(folder.oid)) if folder.oid else set()
        if folder.is_here:
            names |= self._names_here(folder)
        names |= {name.removesuffix(_SUFFIX) for name in names if is_pointer_name(name)}
        found = [self._child(folder, name) for name in names if _is_good(name)]
        known = [node for node in found if node is not None]
        only_here = self._pointers_below([node for node in known if _is_only_here(node)])
        yield from (node for node in known if not _is_only_here(node) or node.path in only_here)

    def link_target(self, link: Node) -> bytes:
        """Returns what a symlink says.

        Raises:
            UsageError: that is too long for a path.
            UnavailableError: it is missing.
        """
        if link.size > _MAX_LINK_BYTES:
            raise UsageError(f"the symlink {link.path} has a target that is no path")
        if link.digest:
            return self._read_link(Entry(link.path.name, link.kind, link.digest, link.size))
        found = self._objects.get(link.oid, limit=_MAX_LINK_BYTES)
        if found is None:
            raise UnavailableError(f"git has no blob {link.oid}")
        return found.data

    def size(self, node: Node) -> int:
        """Returns how many bytes a file has."""
        if node.size >= 0:
            return node.size
        header = self._objects.header(node.oid)
        if header is None:
            raise UnavailableError(f"the git blob {node.oid} is not in this clone")
        return header.size

    def _nothing(self, path: RepoPath) -> NoSuchPathError:
        where = f"the commit {self.commit}"
        if self._worktree:
            where = "the current commit, nor in an artifact of the worktree"
        hint = "paths begin at the top of the repository; gitprov ls lists what artifacts have"
        return NoSuchPathError(f"there is no {path} in {where}", hint=hint)

    def _child(self, folder: Node, name: bytes) -> Node | None:
        if folder.kind != "d":
            return None
        path = folder.path / name
        if folder.digest:
            entry = self._load(folder.digest).get(name)
            return None if entry is None else _of_entry(path, entry)
        found = self._tree(folder.oid).get(name) if folder.oid else None
        pointer = self._pointer_at(folder, path)
        if pointer is not None:
            return _of_entry(path, top_entry(pointer))
        is_here = folder.is_here and _is(stat.S_ISDIR, self._disk(path))
        if found is None:
            return Node(path, "d", is_here=True) if is_here else None
        return _of_git(path, found, is_here=is_here)

    def _pointer_at(self, folder: Node, path: RepoPath) -> Pointer | None:
        where = pointer_path(path)
        if self._worktree:
            if not folder.is_here or not _is(stat.S_ISREG, self._disk(where)):
                return None
            return read_pointer(self._worktree, path)
        found = self._tree(folder.oid).get(where.name) if folder.oid else None
        if found is None or found.mode in {LINK_MODE, SUBMODULE_MODE} or found.is_tree:
            return None
        return self._pointer(where, found.oid.hex())

    def _read_pointer(self, where: RepoPath, oid: str) -> Pointer:
        return parse_pointer(where, self._objects.need(oid, "blob", limit=MAX_POINTER_BYTES))

    def _read_tree(self, oid: str) -> dict[bytes, TreeEntry]:
        return {entry.name: entry for entry in self._objects.tree(oid)}

    def _followed(self, link: Node) -> list[bytes]:
        """The parts of the path that a symlink leads to, from the top of the repository."""
        target = self.link_target(link)
        parts = list(link.path.parent.parts)
        if not target or target.startswith(b"/"):
            raise UsageError(f"the symlink {link.path} leads out of the repository")
        for part in target.split(b"/"):
            if part == b"..":
                if not parts:
                    raise UsageError(f"the symlink {link.path} leads out of the repository")
                parts.pop()
            elif part not in {b"", b"."}:
                parts.append(part)
        return list(RepoPath.parse(b"/".join(parts)).parts)

    def _disk(self, path: RepoPath) -> bytes:
        return on_disk(self._worktree, path)

    def _names_here(self, folder: Node) -> set[bytes]:
        """Names of pointers and of folders in a folder of the worktree."""
        try:
            with os.scandir(self._disk(folder.path)) as listing:
                return {
                    entry.name
                    for entry in listing
                    if is_pointer_name(entry.name) or entry.is_dir(follow_symlinks=False)
                }
        except OSError:
            return set()

    def _pointers_below(self, folders: list[Node]) -> set[RepoPath]:
        """Those of the folders that hold a pointer somewhere below: git is asked, which is slow."""
        if not folders:
            return set()
        above = {folder for path in self._list_pointers() for folder in path.ancestors()}
        return {node.path for node in folders} & above


def _is_only_here(node: Node) -> bool:
    """Whether a folder is known from the disk alone, and may be anything."""
    return node.kind == "d" and not node.oid and not node.digest


@lru_cache(maxsize=65536)
def _is_good(name: bytes) -> bool:
    """Whether a name of git's tree may be written to a disk: a tree can hold anything."""
    try:
        check_name(name)
    except MalformedError:
        return False
    return True


def _is(kind: Callable[[int], bool], path: bytes) -> bool:
    """Whether something is of a kind; a symlink is only itself."""
    try:
        return kind(os.lstat(path).st_mode)
    except OSError:
        return False


def _of_entry(path: RepoPath, entry: Entry) -> Node:
    return Node(path, entry.kind, entry.size, entry.digest)


def _of_git(path: RepoPath, entry: TreeEntry, *, is_here: bool) -> Node:
    oid = entry.oid.hex()
    if entry.is_tree:
        return Node(path, "d", oid=oid, is_here=is_here)
    if entry.mode == SUBMODULE_MODE:
        return Node(path, "m")
    if entry.mode == LINK_MODE:
        return Node(path, "l", -1, oid=oid)
    return Node(path, "x" if entry.mode & 0o100 else "f", -1, oid=oid)
