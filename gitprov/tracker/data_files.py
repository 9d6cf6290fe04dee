"""Folders and files as data: the roots that `gitprov add` gives them."""

import os
from collections.abc import Iterable
from typing import Literal

from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath, show
from gitprov.errors import GitprovError, UnavailableError
from gitprov.ops.store_link import store_link
from gitprov.workspace import Workspace
from gitprov.worktree.scan import Scanner
from gitprov.worktree.statcache import Row, StatCache
from gitprov.worktree.tree import Tree


def folder_root(path: str | bytes) -> tuple[Digest, Literal["dir", "file"], int]:
    """Returns the root of a folder or the digest of a file, its form, and how many files.

    Inside a worktree the cache of `gitprov add` and `gitprov status` serves, so that what did not
    change is not read again, and symlinks into the store stand for what they point to.

    Raises:
        UnavailableError: there is nothing at the path.
        MalformedError: a name, a link or the kind of a file is refused.
        EnvironmentFault: something cannot be read, or changes while it is.
    """
    raw = os.path.abspath(os.fsencode(path))
    if not os.path.exists(raw):
        raise UnavailableError(f"there is nothing at {show(os.fsencode(path))}")
    tree = _in_worktree(raw)
    if tree is None or tree.kind == "l":  # what the user names is followed
        tree = _anywhere(os.path.realpath(raw))
    form: Literal["dir", "file"] = "dir" if tree.kind == "d" else "file"
    return Digest(tree.root), form, tree.files if tree.kind == "d" else 1


def _in_worktree(raw: bytes) -> Tree | None:
    """Scans as gitprov's commands do; None where that cannot be."""
    try:
        ws = Workspace.open(os.fsdecode(os.path.dirname(raw)))
    except GitprovError:
        return None  # no repository, or not one of gitprov's: a folder like any other
    with ws:
        try:
            top = os.fsencode(ws.worktree)
            inside = os.path.relpath(raw, top)
            if inside == b"." or inside.startswith(b".."):
                return None
            scanner = Scanner(ws.worktree, ws.stats, store_link=store_link(ws))
            return scanner.scan(RepoPath(inside))
        except GitprovError:
            return None  # scanned without the repository, it works or gives the error to show


def _anywhere(raw: bytes) -> Tree:
    folder, name = os.path.split(raw)
    return Scanner(os.fsdecode(folder), _Nothing()).scan(RepoPath(name))


class _Nothing(StatCache):
    """A cache that knows nothing and keeps nothing."""

    def __init__(self) -> None:
        pass

    def load(self, path: bytes) -> dict[bytes, Row]:
        del path
        return {}

    def store(self, changed: Iterable[tuple[bytes, Row]], gone: Iterable[bytes]) -> None:
        del changed, gone
