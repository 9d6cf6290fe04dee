"""Compares two artifacts entry by entry, going down only where roots differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from gitprov.core.paths import MAX_PATH_BYTES
from gitprov.errors import MalformedError
from gitprov.model.entry import Entry
from gitprov.worktree.folders import join

if TYPE_CHECKING:
    from gitprov.model.manifest import Manifest
    from gitprov.worktree.tree import Tree

Load = Callable[[bytes], "Manifest"]
"""Returns the manifest with a root, or raises `UnavailableError`."""


class Change(NamedTuple):
    """One difference.

    Attributes:
        path: relative to the artifact; empty for the artifact itself. It ends in "/" for a folder,
            which is named only when it is empty.
        how: "type" when only the kind differs (the executable bit, or a link for a file).
        old_size: bytes before, None when it is new.
        new_size: bytes now, None when it is gone.
        kinds: the kinds before and after, such as "fx", when only they differ.
    """

    path: bytes
    how: Literal["added", "modified", "deleted", "type"]
    old_size: int | None
    new_size: int | None
    kinds: str = ""


class _Side(Protocol):
    entry: Entry

    def below(self) -> dict[bytes, _Side]: ...


class _Stored:
    """An entry of a manifest in the store."""

    __slots__ = ("_load", "entry")

    def __init__(self, entry: Entry, load: Load) -> None:
        self.entry = entry
        self._load = load

    def below(self) -> dict[bytes, _Side]:
        entries = self._load(self.entry.digest).entries
        return {entry.name: _Stored(entry, self._load) for entry in entries}


class _Scanned:
    """An entry of a scan; `tree` is None for anything but a folder."""

    __slots__ = ("_tree", "entry")

    def __init__(self, entry: Entry, tree: Tree | None) -> None:
        self.entry = entry
        self._tree = tree

    def below(self) -> dict[bytes, _Side]:
        if self._tree is None:
            return {}
        children = self._tree.children
        return {e.name: _Scanned(e, children.get(e.name)) for e in self._tree.entries}


def compare(
    old: Entry | None,
    new: Tree | None,
    load: Load,
    *,
    away: Callable[[bytes], bool] = lambda _: False,
) -> Iterator[Change]:
    """Yields how a scan differs from what the store has.

    Args:
        old: the kind, digest and size of the artifact in the store; its name does not matter.
        new: the scan, or None when nothing is there.
        load: fetches manifests.
        away: whether nothing at a path, or below it, is meant to be here; such a path is no
            difference where it is not, and its manifest is not asked for.
    """
    scanned = None if new is None else _Scanned(Entry(b"", new.kind, new.root, new.size), new)
    return _differences(None if old is None else _Stored(old, load), scanned, away)


def compare_stored(old: Entry | None, new: Entry | None, load: Load) -> Iterator[Change]:
    """Yields how two artifacts in the store differ."""
    return _differences(
        None if old is None else _Stored(old, load),
        None if new is None else _Stored(new, load),
        lambda _: False,
    )


def _differences(
    old: _Side | None, new: _Side | None, away: Callable[[bytes], bool]
) -> Iterator[Change]:
    waiting = [(b"", old, new)]
    while waiting:
        path, a, b = waiting.pop()
        before = a.entry if a is not None else None
        after = b.entry if b is not None else None
        if before is not None and after is not None and before[1:3] == after[1:3]:
            continue
        if after is None and away(path):
            continue
        if len(path) > MAX_PATH_BYTES:
            raise MalformedError("a manifest's folders are nested too deeply")
        was_folder = before is not None and before.kind == "d"
        is_folder = after is not None and after.kind == "d"
        gone = a.below() if a is not None and was_folder else {}
        come = b.below() if b is not None and is_folder else {}
        yield from _here(
            path,
            None if was_folder and (gone or is_folder) else before,
            None if is_folder and (come or was_folder) else after,
        )
        names = sorted(gone.keys() | come.keys(), reverse=True)
        waiting.extend((join(path, name), gone.get(name), come.get(name)) for name in names)


def _here(path: bytes, before: Entry | None, after: Entry | None) -> Iterator[Change]:
    folder = "d" in {before.kind if before else "", after.kind if after else ""}
    if before is not None and after is not None and not folder:
        only_type = before.digest == after.digest or "l" in {before.kind, after.kind}
        changed = before.kind != after.kind and only_type
        if changed:
            yield Change(path, "type", before.size, after.size, before.kind + after.kind)
        else:
            yield Change(path, "modified", before.size, after.size)
        return
    if before is not None:
        yield Change(path + b"/" * (before.kind == "d"), "deleted", before.size, None)
    if after is not None:
        yield Change(path + b"/" * (after.kind == "d"), "added", None, after.size)
