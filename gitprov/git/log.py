"""The log: an append-only Merkle log of record roots, kept as C2SP tlog-tiles in a git ref.

The tree behind the ref holds the tiles, `key` (the log's public key, one line) and `checkpoint`
(the newest signed tree head, once there is one). What is read is judged: sizes come from the tiles
that are there, roots are computed, and anything odd is a MalformedError that names ref and path.
"""

import base64
import binascii
import hashlib
import os
import re
from dataclasses import dataclass
from typing import NamedTuple

from gitprov.core.digest import DIGEST_BYTES, Digest, Sha256Digest
from gitprov.core.merkle import LOG, consistency_proof, inclusion_proof, root
from gitprov.core.paths import show
from gitprov.errors import MalformedError, UnavailableError
from gitprov.git.log_files import list_files
from gitprov.git.objects import ObjectReader
from gitprov.git.repo import Repository
from gitprov.git.tiles import (
    ENTRIES,
    HASH_BYTES,
    HEIGHT,
    MAX_BUNDLE_BYTES,
    WIDTH,
    Tile,
    subtree,
)
from gitprov.platform.files import read_bounded

LOCAL_PREFIX = "refs/gitprov/log/"
REMOTE_PREFIX = "refs/gitprov/remotes/"
CHECKPOINT = b"checkpoint"
KEY = b"key"

PUBLIC_KEY_FILE = "log.pub"
PRIVATE_KEY_FILE = "log.key"

MAX_SIGNED_NOTE_BYTES = 64 << 10
MAX_KEY_BYTES = 1024

_ENTRY_HEAD = DIGEST_BYTES.to_bytes(2, "big")
_ENTRY_BYTES = len(_ENTRY_HEAD) + DIGEST_BYTES
_FEW_SEARCHES = 8
"""From then on an index of all entries pays; a hook searches once."""

_KEY_ID = re.compile(r"[0-9a-f]{16}", re.ASCII)
_SIZE = re.compile(rb"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class LogKey:
    """The public key of a log as the hooks need it: without loading a library for signatures.

    Attributes:
        vkey: the key's text form, C2SP's `<name>+<hash>+<base64>`.
        key_id: the log's id, 16 hex digits.
    """

    vkey: str
    key_id: str

    @property
    def ref(self) -> str:
        """The ref that holds the log of this clone."""
        return LOCAL_PREFIX + self.key_id

    @property
    def origin(self) -> str:
        """The name of the log in its signed tree heads."""
        return self.vkey.partition("+")[0]

    @classmethod
    def parse(cls, text: str) -> "LogKey":
        """Parses one line; whether the key's own hash fits is judged where signatures are."""
        vkey = text.removesuffix("\n")
        parts = vkey.split("+", 2)
        try:
            public = base64.b64decode(parts[2], validate=True)[1:]
        except (IndexError, binascii.Error, ValueError):
            public = b""
        key_id = hashlib.sha256(public).hexdigest()[:16]
        if len(public) != DIGEST_BYTES or not parts[0].endswith("/" + key_id):
            raise MalformedError(f"not the public key of a log: {show(vkey[:120].encode())}")
        return cls(vkey, key_id)


def read_log_key(repo: Repository) -> LogKey | None:
    """Returns the public key of this clone's log, None when it has none yet."""
    path = os.path.join(repo.data_dir, PUBLIC_KEY_FILE)
    try:
        return LogKey.parse(read_bounded(path, MAX_KEY_BYTES).decode("utf-8", "replace"))
    except UnavailableError:
        return None


class LogReader:
    """One log at one commit of its ref: an empty one when there is no such commit."""

    def __init__(self, objects: ObjectReader, ref: str, commit: str | None) -> None:
        """Reads what files there are; their contents follow when they are asked for.

        Raises:
            MalformedError: the tree holds something that no log has, or lacks a tile.
        """
        self.ref = ref
        self.tip = commit
        self._objects = objects
        self._files: dict[bytes, str] = {}
        self._widths: dict[tuple[int, int], list[int]] = {}
        self._cache: dict[tuple[int, int], bytes] = {}
        self._known: dict[bytes, int] | None = None
        self._searches = 0
        self._subtrees: dict[tuple[int, int], bytes] = {}
        if commit is not None:
            self._list(commit)
        self.size = self._measure()

    @classmethod
    def open(cls, repo: Repository, ref: str) -> "LogReader":
        """Returns the log behind a ref as it is now."""
        return cls(repo.objects, ref, repo.ref(ref))

    @property
    def key_id(self) -> str:
        """The id of the key: the last part of the ref."""
        return self.ref.rpartition("/")[2]

    def root(self, size: int | None = None) -> Sha256Digest:
        """Returns the root of the tree over the first `size` entries, by default over all."""
        return Sha256Digest(self.subtree(0, self.size if size is None else size))

    def subtree(self, start: int, end: int) -> bytes:
        """Returns the root over `start <= i < end`: the `Subtree` of this log."""
        known = self._subtrees.get((start, end))
        if known is None:
            # Proofs of neighbours share most of their nodes.
            known = self._subtrees[start, end] = subtree(self, self.size, start, end)
        return known

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """Returns the inclusion proof of an entry in the tree of `size`."""
        size = self._within(size)
        return inclusion_proof(self.subtree, index, size)

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        """Returns the proof that the tree of `new` begins with that of `old`."""
        return consistency_proof(self.subtree, old, self._within(new))

    def entry(self, index: int) -> Digest:
        """Returns one entry, a record root."""
        if not 0 <= index < self.size:
            raise ValueError(f"no entry {index} in a log of {self.size}")
        number, offset = divmod(index, WIDTH)
        return Digest(self._bundle(number)[offset])

    def entries(self) -> list[Digest]:
        """Returns all entries in their order."""
        self._prefetch()
        return [Digest(e) for n in range(self._bundles()) for e in self._bundle(n)]

    def find(self, record_root: Digest) -> int | None:
        """Returns the index of a record root, the first one, or None."""
        self._searches += 1
        if self._searches > _FEW_SEARCHES:
            return self._index().get(record_root.raw)
        return self._scan(record_root.raw)

    def signed_note(self) -> str | None:
        """Returns the newest signed tree head as it stands, unverified, or None."""
        data = self._file(CHECKPOINT, MAX_SIGNED_NOTE_BYTES)
        try:
            return None if data is None else data.decode("utf-8")
        except UnicodeDecodeError:
            raise self._malformed(CHECKPOINT, "it is not UTF-8") from None

    def vkey(self) -> str | None:
        """Returns the public key that the log claims, one line without its end, or None."""
        data = self._file(KEY, MAX_KEY_BYTES)
        return None if data is None else data.decode("utf-8", "replace").removesuffix("\n")

    def audit(self) -> None:
        """Recomputes every tile from the entries.

        Raises:
            MalformedError: a tile does not hold what is below it.
        """
        self._prefetch()
        level = 0
        hashes = [LOG.leaf(e) for n in range(self._bundles()) for e in self._bundle(n)]
        while hashes:
            above: list[bytes] = []
            for at in range(0, len(hashes), WIDTH):
                some = hashes[at : at + WIDTH]
                number = at // WIDTH
                if self.tile(level, number, len(some))[: len(some) * HASH_BYTES] != b"".join(some):
                    path = Tile(level, number, len(some)).path
                    raise self._malformed(path, "it does not hold what is below it")
                if len(some) == WIDTH:
                    above.append(root(LOG, some))
            hashes = above
            level += 1

    def tile(self, level: int, number: int, width: int) -> bytes:
        """Returns the widest tile that is there; see `TileSource`."""
        found = self._cache.get((level, number))
        if found is not None:
            return found
        tile = self._widest(level, number, width)
        data = self._file(tile.path, MAX_BUNDLE_BYTES) or b""
        self._check(tile, data)
        self._cache[level, number] = data
        return data

    def _within(self, size: int | None) -> int:
        if size is None:
            return self.size
        if not 0 <= size <= self.size:
            raise ValueError(f"the log has {self.size} entries, not {size}")
        return size

    def _list(self, commit: str) -> None:
        self._files = list_files(self._objects, commit, self.ref)
        for path in self._files:
            if path in (CHECKPOINT, KEY):
                continue
            try:
                tile = Tile.parse(path)
            except MalformedError as exc:
                raise self._malformed(path, str(exc)) from None
            self._widths.setdefault((tile.level, tile.number), []).append(tile.width)

    def _measure(self) -> int:
        """The size that the tiles of level 0 give; every tile of that size must be there."""
        last = max((number for level, number in self._widths if level == 0), default=None)
        if last is None:
            if self._widths:
                raise self._malformed(Tile(0, 0, 1).path, "it is missing")
            return 0
        size = last * WIDTH + max(self._widths[0, last])
        for level in (ENTRIES, 0, 1, 2, 3, 4, 5, 6, 7):
            count = size >> (HEIGHT * max(level, 0))
            for number in range(-(-count // WIDTH)):
                self._widest(level, number, min(WIDTH, count - number * WIDTH))
        for level, number in self._widths:
            if number * WIDTH >= size >> (HEIGHT * max(level, 0)):
                path = Tile(level, number, max(self._widths[level, number])).path
                raise self._malformed(path, f"it lies beyond the log's size, {size}")
        return size

    def _widest(self, level: int, number: int, width: int) -> Tile:
        widest = max(self._widths.get((level, number), [0]))
        if widest < width:
            raise self._malformed(Tile(level, number, width).path, "it is missing")
        return Tile(level, number, widest)

    def _check(self, tile: Tile, data: bytes) -> None:
        if tile.level != ENTRIES:
            if len(data) != tile.width * HASH_BYTES:
                raise self._malformed(tile.path, f"it does not hold {tile.width} hashes")
            return
        heads = (data[0::_ENTRY_BYTES], data[1::_ENTRY_BYTES])
        wanted = tuple(bytes([value]) * tile.width for value in _ENTRY_HEAD)
        if len(data) != tile.width * _ENTRY_BYTES or heads != wanted:
            raise self._malformed(tile.path, f"it does not hold {tile.width} record roots")

    def _file(self, path: bytes, limit: int) -> bytes | None:
        oid = self._files.get(path)
        if oid is None:
            return None
        try:
            return self._objects.need(oid, "blob", limit=limit)
        except MalformedError as exc:
            raise self._malformed(path, str(exc)) from exc

    def _malformed(self, path: bytes, reason: str) -> MalformedError:
        return MalformedError(f"the log {self.ref}: {show(path)}: {reason}")

    def _bundles(self) -> int:
        return -(-self.size // WIDTH)

    def _bundle(self, number: int) -> list[bytes]:
        width = min(WIDTH, self.size - number * WIDTH)
        data = self.tile(ENTRIES, number, width)
        # `_check` saw that every entry has the same length.
        return [
            data[at + 2 : at + _ENTRY_BYTES] for at in range(0, width * _ENTRY_BYTES, _ENTRY_BYTES)
        ]

    def _prefetch(self) -> None:
        """Reads all entry bundles with many questions in flight."""
        tiles = {
            self._files[tile.path]: tile
            for tile in (
                self._widest(ENTRIES, number, min(WIDTH, self.size - number * WIDTH))
                for number in range(self._bundles())
                if (ENTRIES, number) not in self._cache
            )
        }
        for oid, found in self._objects.get_many(tiles, limit=MAX_BUNDLE_BYTES):
            if found is not None and found.type == "blob":
                tile = tiles[oid]
                self._check(tile, found.data)
                self._cache[ENTRIES, tile.number] = found.data

    def _scan(self, raw: bytes) -> int | None:
        self._prefetch()
        for number in range(self._bundles()):
            width = min(WIDTH, self.size - number * WIDTH)
            data = self.tile(ENTRIES, number, width)
            at = data.find(raw, 0, width * _ENTRY_BYTES)
            # A root may also occur across two entries, where none begins.
            while at >= 0 and at % _ENTRY_BYTES != len(_ENTRY_HEAD):
                at = data.find(raw, at + 1, width * _ENTRY_BYTES)
            if at >= 0:
                return number * WIDTH + at // _ENTRY_BYTES
        return None

    def _index(self) -> dict[bytes, int]:
        if self._known is None:
            self._prefetch()
            self._known = {}
            index = 0
            for number in range(self._bundles()):
                for entry in self._bundle(number):
                    self._known.setdefault(entry, index)
                    index += 1
        return self._known

    def signed_size(self) -> int:
        """Returns the size that the signed tree head speaks of, 0 when there is none."""
        data = self._file(CHECKPOINT, MAX_SIGNED_NOTE_BYTES)
        if data is None:
            return 0
        lines = data.split(b"\n", 2)
        if len(lines) < 3 or not _SIZE.fullmatch(lines[1]) or int(lines[1]) > self.size:
            raise self._malformed(CHECKPOINT, "it has no size of this log")
        return int(lines[1])

    def has(self, path: bytes) -> bool:
        """Whether the tree has a file."""
        return path in self._files

    def partial_tiles(self) -> list[Tile]:
        """Returns the partial tiles that are there."""
        return [
            Tile(level, number, width)
            for (level, number), widths in self._widths.items()
            for width in widths
            if width != WIDTH
        ]


class LogRef(NamedTuple):
    """Where a log is kept: `remote` is None for one that this repository writes."""

    ref: str
    key_id: str
    remote: str | None
    commit: str


def known_logs(repo: Repository) -> list[LogRef]:
    """Returns every log in the repository: its own, then what remotes have sent.

    A remote chooses what lies below its folder: only `<key id>` counts there.
    """
    logs = (_log_ref(ref, oid) for ref, oid in repo.refs("refs/gitprov/").items())
    return sorted(filter(None, logs), key=lambda log: (log.remote or "", log.ref))


def _log_ref(ref: str, commit: str) -> LogRef | None:
    place, _, key_id = ref.rpartition("/")
    if not _KEY_ID.fullmatch(key_id):
        return None
    if place + "/" == LOCAL_PREFIX:
        return LogRef(ref, key_id, None, commit)
    remote, log, below = ref.removeprefix(REMOTE_PREFIX).partition("/log/")
    utf8 = not any("\ud800" <= c <= "\udfff" for c in remote)
    if ref.startswith(REMOTE_PREFIX) and log and below == key_id and utf8:
        return LogRef(ref, key_id, remote, commit)
    return None


def remote_log_prefix(remote: str) -> str:
    """Returns where a remote's logs are kept."""
    return f"{REMOTE_PREFIX}{remote}/log/"
