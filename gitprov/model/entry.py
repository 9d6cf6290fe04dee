"""One entry of a manifest, its leaf, and the root over a directory's entries (docs/formats.md)."""

from collections.abc import Iterable
from typing import NamedTuple

from gitprov.core.merkle import MANIFEST, root

KINDS = ("f", "x", "l", "d", "m")
"""File, executable file, symlink, directory, git submodule (code tree only)."""


class Entry(NamedTuple):
    """One name of a directory.

    A tuple and raw bytes, because a dataset has a hundred thousand of them.

    Attributes:
        name: one path component, UTF-8.
        kind: one of `KINDS`.
        digest: 32 raw bytes of BLAKE3; of a directory, its manifest root.
        size: bytes; of a directory, the sum below it; of a symlink, the length of its target.
    """

    name: bytes
    kind: str
    digest: bytes
    size: int


def leaf(entry: Entry) -> bytes:
    """Returns the leaf's data: kind, digest, size in 8 bytes, name."""
    return entry.kind.encode() + entry.digest + entry.size.to_bytes(8, "big") + entry.name


def leaf_hashes(entries: Iterable[Entry]) -> list[bytes]:
    """Returns the hashes of the leaves, in the order given."""
    hash_leaf = MANIFEST.leaf
    return [
        hash_leaf(kind.encode() + digest + size.to_bytes(8, "big") + name)
        for name, kind, digest, size in entries
    ]


def manifest_root(entries: Iterable[Entry]) -> bytes:
    """Returns the 32 raw bytes of the root; the entries are already sorted by name."""
    return root(MANIFEST, leaf_hashes(entries))
