"""How what lies in the worktree differs from an artifact, given that only parts may be here."""

from collections.abc import Iterator

from gitprov.core.paths import RepoPath
from gitprov.model.entry import Entry
from gitprov.ops.checkouts import checked_out
from gitprov.ops.manifests import loader
from gitprov.workspace import Workspace
from gitprov.worktree.compare import Change, compare
from gitprov.worktree.tree import Tree
from gitprov.worktree.walk import IGNORED


def is_same(tree: Tree, top: Entry) -> bool:
    """Whether a scan found exactly the artifact, as far as a manifest can tell."""
    return tree.root == top.digest and tree.kind == top.kind


def differences(ws: Workspace, artifact: RepoPath, top: Entry, tree: Tree) -> tuple[Change, ...]:
    """Returns the files that differ; what was never checked out here is not deleted.

    Raises:
        UnavailableError: the store lacks a manifest.
    """
    if is_same(tree, top):
        return ()
    here = checked_out(ws, artifact)

    def away(below: bytes) -> bool:
        path = artifact / below if below else artifact
        return not here.covers(path) and not any(path.contains(part) for part in here.parts)

    if here.is_partial:
        return tuple(compare(top, tree, loader(ws.store), away=away))
    return tuple(compare(top, tree, loader(ws.store)))


def odd_names(tree: Tree) -> list[tuple[bytes, str]]:
    """Returns the names on disk that no manifest can hold, with the reason, sorted.

    What `.gitprovignore` takes out is meant not to be there, and is none of them.
    """
    return sorted(_odd(tree, b""))


def ignored(tree: Tree) -> int:
    """Returns how many names `.gitprovignore` takes out; a folder counts once."""
    here = sum(reason == IGNORED for reason in tree.odd.values())
    return here + sum(map(ignored, tree.children.values()))


def _odd(tree: Tree, folder: bytes) -> Iterator[tuple[bytes, str]]:
    for name, reason in tree.odd.items():
        if reason != IGNORED:
            yield folder + name, reason
    for name in tree.leftovers:
        yield folder + name, "an interrupted checkout left it; gitprov checkout removes it"
    for name, child in tree.children.items():
        yield from _odd(child, folder + name + b"/")
