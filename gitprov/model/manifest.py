"""A directory's manifest and its bytes in the store (docs/formats.md, "Manifest")."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Self

import msgspec

from gitprov.core.digest import DIGEST_BYTES, Digest
from gitprov.core.paths import check_names, show
from gitprov.errors import MalformedError
from gitprov.model.entry import Entry, manifest_root

VERSION = 1

MAX_MANIFEST_BYTES = 1 << 30
"""A manifest larger than this (about ten million entries) is refused before it is parsed."""

MAX_SIZE = (1 << 63) - 1
"""The largest size of an entry, in bytes."""

_REMEMBERED_BYTES = 8 << 20
"""Up to this size the manifest parsed last is kept: the store checks the bytes that it hands out,
and the reader needs what they say a moment later."""

_STORED_KINDS = frozenset("fxld")
_decode = msgspec.msgpack.Decoder(tuple[int, list[tuple[bytes, str, bytes, int]]]).decode
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Manifest:
    """The sorted entries of one directory. `parse(m.to_bytes()) == m`, and back."""

    entries: tuple[Entry, ...]
    root: Digest

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Self:
        """Sorts and checks entries.

        Raises:
            MalformedError: a name is refused, or two collide.
        """
        ordered = tuple(sorted(entries, key=itemgetter(0)))
        check_names([entry.name for entry in ordered])
        return cls(ordered, Digest(manifest_root(ordered)))

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parses the stored bytes and recomputes the root; only the canonical spelling passes.

        Raises:
            MalformedError: wrong shape, order, kind, size or name; trailing bytes.
        """
        entries, root = (_remembered if len(data) <= _REMEMBERED_BYTES else _parse)(data)
        return cls(entries, root)

    def to_bytes(self) -> bytes:
        """Returns the canonical msgpack bytes that the store keeps under `root`."""
        return encode(self.entries)

    @property
    def size(self) -> int:
        """Bytes below this directory."""
        return sum(entry.size for entry in self.entries)

    def get(self, name: bytes) -> Entry | None:
        """Returns the entry of that name, or None."""
        return next((entry for entry in self.entries if entry.name == name), None)


def _parse(data: bytes) -> tuple[tuple[Entry, ...], Digest]:
    if len(data) > MAX_MANIFEST_BYTES:
        raise MalformedError(f"a manifest is larger than {MAX_MANIFEST_BYTES} bytes")
    try:
        version, rows = _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise MalformedError(f"not a manifest: {exc}") from None
    if version != VERSION:
        raise MalformedError(f"a manifest of version {version}; this gitprov reads {VERSION}")
    for name, kind, digest, size in rows:
        if len(kind) != 1 or kind not in _STORED_KINDS:
            raise MalformedError(f"a manifest's entry '{show(name)}' has the kind {kind!r}")
        if len(digest) != DIGEST_BYTES or not 0 <= size <= MAX_SIZE:
            raise MalformedError(f"a manifest's entry '{show(name)}' has a bad digest or size")
    if _encode((VERSION, rows)) != data:
        raise MalformedError("a manifest is not in its canonical encoding")
    names = [row[0] for row in rows]
    if names != sorted(names):
        raise MalformedError("a manifest's entries are not sorted by name")
    check_names(names)
    entries = tuple(map(Entry._make, rows))
    return entries, Digest(manifest_root(entries))


_remembered = lru_cache(maxsize=1)(_parse)


def encode(entries: tuple[Entry, ...]) -> bytes:
    """Returns the canonical bytes of entries that are checked and sorted already."""
    return _encode((VERSION, entries))
