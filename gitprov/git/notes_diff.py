"""What changed between two trees of notes: only folders that differ are read."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from gitprov.core.paths import show
from gitprov.errors import MalformedError
from gitprov.git.notes import MAX_NOTES
from gitprov.git.objects import ObjectReader, TreeEntry

_PAIR = re.compile(rb"[0-9a-f]{2}")
_HEX = re.compile(rb"[0-9a-f]+")


class NoteChange(NamedTuple):
    """One note that is there now or is there no more.

    Attributes:
        path: where it is in the tree.
        commit: the commit that it is of.
        oid: the git blob that it is now, None when it is gone.
    """

    path: bytes
    commit: str
    oid: str | None


def changed_notes(
    objects: ObjectReader, old: str | None, new: str, hash_len: int, *, ref: str
) -> Iterator[NoteChange]:
    """Gives the notes that differ.

    `git diff-tree -r` says the same, but a tree from a remote may name one folder twice, twenty
    levels deep, and git would follow it to the end of time.

    Args:
        objects: reads git's objects.
        old: the tree that was read before, None for none.
        new: the tree that counts now.
        hash_len: the bytes of an object id.
        ref: the ref's name, for errors.

    Raises:
        MalformedError: nobody's git wrote the new tree.
        UnavailableError: a tree is missing; the old one may have been collected as garbage.
    """
    walk = _Walk(objects, 2 * hash_len, ref)
    for count, change in enumerate(walk.compare(b"", b"", old, new)):
        if count > 2 * MAX_NOTES:
            raise MalformedError(f"{ref} holds more than {MAX_NOTES} notes")
        yield change


class _Walk:
    def __init__(self, objects: ObjectReader, hex_len: int, ref: str) -> None:
        self._objects = objects
        self._hex_len = hex_len
        self._ref = ref
        self._seen: set[str] = set()

    def compare(
        self, folder: bytes, prefix: bytes, old: str | None, new: str | None
    ) -> Iterator[NoteChange]:
        """Compares two folders at one path; a folder that is not there is None."""
        if old == new:
            return
        if new is not None:
            if new in self._seen:
                raise MalformedError(f"{self._ref}: the folder '{show(folder)}' is there twice")
            self._seen.add(new)
        before, after = self._entries(folder, old), self._entries(folder, new)
        for name in sorted(before.keys() | after.keys()):
            was, now = before.get(name), after.get(name)
            if was == now:
                continue
            whole = prefix + name
            below = (self._subtree(was, whole), self._subtree(now, whole))
            if below != (None, None):
                yield from self.compare(folder + name + b"/", whole, *below)
            if now is not None and self._is_note(now, whole):
                yield NoteChange(folder + name, whole.decode("ascii"), now.oid.hex())
            elif was is not None and self._is_note(was, whole):
                yield NoteChange(folder + name, whole.decode("ascii"), None)

    def _entries(self, folder: bytes, tree: str | None) -> dict[bytes, TreeEntry]:
        entries = [] if tree is None else self._objects.tree(tree)
        named = {entry.name: entry for entry in entries}
        if len(named) != len(entries):
            raise MalformedError(f"{self._ref}: the folder '{show(folder)}' has a name twice")
        return named

    def _subtree(self, entry: TreeEntry | None, whole: bytes) -> str | None:
        if entry is None or not entry.is_tree or len(whole) >= self._hex_len:
            return None
        return entry.oid.hex() if _PAIR.fullmatch(entry.name) else None

    def _is_note(self, entry: TreeEntry, whole: bytes) -> bool:
        return not entry.is_tree and len(whole) == self._hex_len and bool(_HEX.fullmatch(whole))
