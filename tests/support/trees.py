"""Folders as values: building them, reading them back, and their Merkle root the plain way."""

import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, TypeAlias

from blake3 import blake3
from hypothesis import strategies as st

from gitprov.core.paths import RepoPath
from gitprov.model.entry import Entry
from gitprov.model.manifest import Manifest
from gitprov.platform.sqlite import open_database
from gitprov.worktree.scan import Scanner
from gitprov.worktree.statcache import SCHEMA, StatCache
from gitprov.worktree.tree import Tree
from gitprov.worktree.walk import StoreLink


@dataclass(frozen=True)
class File:
    """A regular file."""

    data: bytes
    executable: bool = False


@dataclass(frozen=True)
class Link:
    """A symlink."""

    target: bytes


Node: TypeAlias = "File | Link | Mapping[bytes, Node]"


def below(folder: Path, name: bytes) -> Path:
    """Returns the path of a name that is bytes."""
    return folder / os.fsdecode(name)


def build(place: Path, node: Node) -> None:
    """Makes a tree on disk."""
    if isinstance(node, Link):
        place.symlink_to(os.fsdecode(node.target))
    elif isinstance(node, File):
        place.write_bytes(node.data)
        place.chmod(0o755 if node.executable else 0o644)
    else:
        place.mkdir(parents=True, exist_ok=True)
        for name, inner in node.items():
            build(below(place, name), inner)


def read_back(place: Path) -> Node:
    """Returns what is on disk as a tree."""
    if place.is_symlink():
        return Link(os.fsencode(place.readlink()))
    if place.is_dir():
        return {os.fsencode(inner.name): read_back(inner) for inner in sorted(place.iterdir())}
    return File(place.read_bytes(), bool(place.stat().st_mode & stat.S_IXUSR))


def naive_entry(name: bytes, node: Node) -> tuple[bytes, bytes, int, bytes]:
    """Returns kind, digest, size and name as DESIGN section 4 defines them."""
    if isinstance(node, Link):
        return b"l", blake3(node.target).digest(), len(node.target), name
    if isinstance(node, File):
        return b"x" if node.executable else b"f", blake3(node.data).digest(), len(node.data), name
    rows = [naive_entry(inner, node[inner]) for inner in sorted(node)]
    leaves = [k + d + s.to_bytes(8, "big") + n for k, d, s, n in rows]
    return b"d", _root(leaves), sum(row[2] for row in rows), name


def naive_root(node: Node) -> bytes:
    """Returns the digest of a tree, written straight from RFC 9162 section 2.1.1."""
    return naive_entry(b"", node)[1]


def _hash(data: bytes) -> bytes:
    return blake3(data, derive_key_context="gitprov v1 manifest").digest()


def _root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return _hash(b"")
    if len(leaves) == 1:
        return _hash(b"\0" + leaves[0])
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return _hash(b"\1" + _root(leaves[:half]) + _root(leaves[half:]))


# Lower case and composed only: names that collide are refused, which other tests look at.
names = (
    st.text("abcé'\" #!$-.(", min_size=1, max_size=6)
    .map(str.encode)
    .filter(lambda name: name not in {b".", b".."})
)
files = st.builds(File, st.binary(max_size=40), st.booleans())
links = st.builds(Link, names)
trees: st.SearchStrategy[Node] = st.recursive(
    st.dictionaries(names, files | links, max_size=4),
    lambda inner: st.dictionaries(names, files | links | inner, max_size=4),
    max_leaves=12,
)


@dataclass
class Keeper:
    """Keeps what a scan brings, in memory, and hands it out again: a sink and a source."""

    parallel: bool = True
    links: bool = False
    blobs: dict[bytes, bytes] = field(default_factory=dict)
    manifests: dict[bytes, Manifest] = field(default_factory=dict)
    objects: Path | None = None
    reads: int = 0

    def small(self, digest: bytes, data: bytes) -> None:
        self.reads += 1
        self.blobs[digest] = data

    def large(self, path: str, fd: int, size: int) -> bytes:
        self.reads += 1
        data = os.pread(fd, size + 1, 0)
        digest = blake3(data).digest()
        self.blobs[digest] = data
        if self.objects is not None:
            place = self.objects / digest.hex()
            if not place.exists():
                place.write_bytes(data)
                place.chmod(0o444)
        return digest

    def manifest(self, root: bytes, entries: tuple[Entry, ...]) -> None:
        self.manifests[root] = Manifest.of(entries)

    def load(self, root: bytes) -> Manifest:
        return self.manifests[root]

    def needs(self, digests: list[bytes]) -> set[bytes]:
        return {d for d in digests if d not in self.blobs and d not in self.manifests}

    def many(self, digests: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        for digest in sorted(digests):
            if digest in self.blobs:
                yield digest, self.blobs[digest]

    def path(self, digest: bytes) -> str | None:
        return str(self.objects / digest.hex()) if self.objects is not None else None

    def stream(self, digest: bytes) -> BinaryIO:
        return BytesIO(self.blobs[digest])

    def store_link(self) -> StoreLink:
        """Returns what recognises symlinks to `objects`."""

        def recognise(target: bytes) -> tuple[bytes, int] | None:
            place = Path(os.fsdecode(target))
            if place.parent != self.objects:
                return None
            return bytes.fromhex(place.name), place.stat().st_size

        return recognise


DATA = RepoPath.parse(b"data")


class Desk:
    """A worktree with a stat cache, and an artifact `data` in it."""

    def __init__(self, root: Path, cache_name: str = "cache.db") -> None:
        self.root = root / "work tree"
        self.root.mkdir(exist_ok=True)
        self.database = root / cache_name
        self.connection = open_database(str(self.database), schema=SCHEMA, version=1, durable=False)
        self.cache = StatCache(self.connection, "main")
        self.data = self.root / "data"

    def scan(self, sink: Keeper | None = None, path: RepoPath = DATA) -> Tree:
        """Scans, reading files only when the cache does not know them."""
        return Scanner(str(self.root), self.cache, sink=sink).scan(path)

    def add(self, keeper: Keeper, path: RepoPath = DATA) -> Entry:
        """Scans as `gitprov add` does: everything ends up in the keeper."""
        scanner = Scanner(str(self.root), self.cache, sink=keeper, needs=keeper.needs)
        tree = scanner.scan(path)
        return Entry(path.name, tree.kind, tree.root, tree.size)

    def forget(self) -> None:
        """Empties the stat cache."""
        self.connection.execute("DELETE FROM folders")


def settle() -> None:
    """Waits until files written before are old enough for the stat cache to trust."""
    time.sleep(0.06)
