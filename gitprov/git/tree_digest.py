"""The BLAKE3 root of a commit's code and the artifacts that it points to, cached by git object id.

A git object's id names its content, so a cached answer never gets old: recording a commit costs
what the commit changed.
"""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from blake3 import blake3

from gitprov.core.paths import show
from gitprov.errors import MalformedError, UnavailableError
from gitprov.git.objects import (
    LINK_MODE,
    SUBMODULE_MODE,
    TREE_MODE,
    ObjectReader,
    TreeEntry,
    parse_tree,
)
from gitprov.model.entry import Entry, manifest_root
from gitprov.model.pointer import MAX_POINTER_BYTES, SUFFIX, Pointer, is_pointer_name
from gitprov.model.record import MAX_LEAVES, ArtifactLeaf

SCHEMA = """
CREATE TABLE git_blobs (
    oid BLOB PRIMARY KEY, digest BLOB NOT NULL, size INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE git_trees (
    oid BLOB PRIMARY KEY, root BLOB NOT NULL, size INTEGER NOT NULL,
    artifacts TEXT NOT NULL) WITHOUT ROWID
"""
"""The tables of the cache, for `open_database`."""

MAX_DEPTH = 400
"""Folders nested deeper than this are refused: Python's stack is not endless."""

MAX_SIZE = (1 << 63) - 1
"""A folder of more bytes than this is refused: folders that are alike can stand for any number."""

_EXECUTABLE_BIT = 0o100
_TYPE_MASK = 0o170000
_QUESTIONS = 500  # SQLite's oldest limit of parameters is 999


class CodeTree(NamedTuple):
    """A git tree as a manifest.

    Attributes:
        root: 32 raw bytes, the manifest root.
        size: bytes below it.
        artifacts: the pointers below it as leaves, paths relative to the tree.
    """

    root: bytes
    size: int
    artifacts: tuple[ArtifactLeaf, ...]


class TreeDigests:
    """Computes `CodeTree`s, asking the cache first; `save` writes back what was learnt."""

    def __init__(self, reader: ObjectReader, cache: sqlite3.Connection | None) -> None:
        """Takes the reader of git's objects, and the cache or None to trust nothing."""
        self._reader = reader
        self._cache = cache
        self._trees: dict[bytes, CodeTree] = {}
        self._new_trees: dict[bytes, CodeTree] = {}
        self._new_blobs: dict[bytes, tuple[bytes, int]] = {}

    def tree(self, oid: bytes) -> CodeTree:
        """Returns the tree with that id.

        Raises:
            MalformedError: a pointer is not well formed, the message names it; or there are more
                pointers or bytes than a record can hold.
            UnavailableError: git does not have an object (a shallow or partial clone).
        """
        return self._tree(oid, b"", 0)

    def save(self) -> None:
        """Writes what is new into the cache, in one transaction."""
        if self._cache is None or not (self._new_trees or self._new_blobs):
            return
        self._cache.execute("BEGIN IMMEDIATE")
        self._cache.executemany(
            "INSERT OR REPLACE INTO git_blobs VALUES (?, ?, ?)",
            [(oid, digest, size) for oid, (digest, size) in self._new_blobs.items()],
        )
        self._cache.executemany(
            "INSERT OR REPLACE INTO git_trees VALUES (?, ?, ?, ?)",
            [
                (oid, tree.root, tree.size, _to_text(tree.artifacts))
                for oid, tree in self._new_trees.items()
            ],
        )
        self._cache.execute("COMMIT")
        self._new_trees.clear()
        self._new_blobs.clear()

    def _tree(self, oid: bytes, folder: bytes, depth: int) -> CodeTree:
        known = self._trees.get(oid) or self._cached_tree(oid)
        if known is None:
            if depth > MAX_DEPTH:
                raise MalformedError(
                    f"folders are nested more than {MAX_DEPTH} deep: {show(folder[:80])}…"
                )
            known = self._compute(oid, folder, depth)
            self._new_trees[oid] = known
        self._trees[oid] = known
        return known

    def _compute(self, oid: bytes, folder: bytes, depth: int) -> CodeTree:
        rows = parse_tree(self._read(oid, "tree"), len(oid))
        blobs = self._blobs(
            row.oid for row in rows if row.mode & _TYPE_MASK not in (TREE_MODE, SUBMODULE_MODE)
        )
        entries: list[Entry] = []
        artifacts: list[ArtifactLeaf] = []
        for row in rows:
            kind = row.mode & _TYPE_MASK
            if kind == TREE_MODE:
                tree = self._tree(row.oid, folder + row.name + b"/", depth + 1)
                entries.append(Entry(row.name, "d", tree.root, tree.size))
                # Asked before the leaves are made: a hundred trees can stand for a billion.
                _check_leaves(len(artifacts) + len(tree.artifacts), folder)
                if tree.artifacts:
                    artifacts += _moved(tree.artifacts, row.name, folder)
            elif kind == SUBMODULE_MODE:
                digest = blake3(row.oid.hex().encode()).digest()
                entries.append(Entry(row.name, "m", digest, 0))
            else:
                digest, size = blobs[row.oid]
                entries.append(Entry(row.name, _file_kind(row), digest, size))
                if kind != LINK_MODE and is_pointer_name(row.name):
                    artifacts.append(self._artifact(row, folder, size))
        # git sorts a folder as if its name ended in a slash; manifests sort by the name alone.
        entries.sort()
        _check_leaves(len(artifacts), folder)
        size = sum(entry.size for entry in entries)
        if size > MAX_SIZE:
            raise MalformedError(f"{_place(folder)} has more than {MAX_SIZE} bytes")
        return CodeTree(manifest_root(entries), size, tuple(artifacts))

    def _artifact(self, row: TreeEntry, folder: bytes, size: int) -> ArtifactLeaf:
        try:
            if size > MAX_POINTER_BYTES:
                raise MalformedError(f"it is larger than {MAX_POINTER_BYTES} bytes")
            pointer = Pointer.parse(self._read(row.oid, "blob"))
            if pointer.path.encode() + SUFFIX.encode() != row.name:
                raise MalformedError(f"it stands for '{pointer.path}', which is not its own name")
        except MalformedError as exc:
            raise MalformedError(
                f"the pointer {show(folder + row.name)} is not well formed: {exc}",
                hint="restore it from git, or run `gitprov add` on its artifact again",
            ) from None
        return ArtifactLeaf.of("", pointer)

    def _blobs(self, oids: Iterable[bytes]) -> dict[bytes, tuple[bytes, int]]:
        wanted = set(oids)
        found = {oid: self._new_blobs[oid] for oid in wanted if oid in self._new_blobs}
        found |= self._cached_blobs(wanted - found.keys())
        missing = {oid.hex(): oid for oid in wanted - found.keys()}
        if missing:
            for name, item in self._reader.get_many(missing):
                if item is None:
                    raise _gone("blob", name)
                known = (blake3(item.data).digest(), len(item.data))
                found[missing[name]] = self._new_blobs[missing[name]] = known
        return found

    def _read(self, oid: bytes, kind: str) -> bytes:
        item = self._reader.get(oid.hex())
        if item is None or item.type != kind:
            raise _gone(kind, oid.hex())
        return item.data

    def _cached_tree(self, oid: bytes) -> CodeTree | None:
        if self._cache is None:
            return None
        row = self._cache.execute(
            "SELECT root, size, artifacts FROM git_trees WHERE oid = ?", (oid,)
        ).fetchone()
        return CodeTree(row[0], row[1], _from_text(row[2])) if row else None

    def _cached_blobs(self, oids: set[bytes]) -> dict[bytes, tuple[bytes, int]]:
        found: dict[bytes, tuple[bytes, int]] = {}
        if self._cache is None:
            return found
        wanted = list(oids)
        for start in range(0, len(wanted), _QUESTIONS):
            some = wanted[start : start + _QUESTIONS]
            marks = ",".join("?" * len(some))
            query = f"SELECT oid, digest, size FROM git_blobs WHERE oid IN ({marks})"  # noqa: S608
            found.update((row[0], (row[1], row[2])) for row in self._cache.execute(query, some))
        return found


def _gone(kind: str, oid: str) -> UnavailableError:
    return UnavailableError(
        f"git has no {kind} {oid}",
        hint="fetch the missing objects: git fetch --unshallow, or git fetch --refetch",
    )


def _check_leaves(artifacts: int, folder: bytes) -> None:
    if artifacts >= MAX_LEAVES:  # the code is a leaf as well
        raise MalformedError(f"{_place(folder)} has more than {MAX_LEAVES - 1} pointers")


def _place(folder: bytes) -> str:
    return f"the folder {show(folder[:80])}" if folder else "the commit"


def _file_kind(row: TreeEntry) -> str:
    if row.mode & _TYPE_MASK == LINK_MODE:
        return "l"
    return "x" if row.mode & _EXECUTABLE_BIT else "f"


def _moved(leaves: Iterable[ArtifactLeaf], name: bytes, folder: bytes) -> list[ArtifactLeaf]:
    try:
        prefix = name.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedError(
            f"a pointer lies in the folder {show(folder + name)}, whose name is not UTF-8"
        ) from None
    return [replace(leaf, path=f"{prefix}/{leaf.path}") for leaf in leaves]


def _to_text(leaves: Iterable[ArtifactLeaf]) -> str:
    return json.dumps([leaf.to_json() for leaf in leaves]) if leaves else ""


def _from_text(text: str) -> tuple[ArtifactLeaf, ...]:
    return tuple(ArtifactLeaf.from_json(item) for item in json.loads(text)) if text else ()
