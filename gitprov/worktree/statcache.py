"""The stat cache: what every folder looked like when it was last read, one row per folder.

An unchanged folder is recognised by comparing two byte strings. Losing the cache, or any row of
it, costs only the time to read the files again.
"""

import contextlib
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct, error

from blake3 import blake3

SCHEMA = """
CREATE TABLE folders (
    worktree TEXT NOT NULL,
    path BLOB NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (worktree, path)
) WITHOUT ROWID
"""
"""The statement that makes the table, for `gitprov.platform.sqlite.open_database`."""

STAT = Struct("<IQqqQ")
"""One entry: st_mode, st_size, st_mtime_ns, st_ctime_ns, st_ino."""

FILE = b"/"
"""The name in the row of an artifact that is a single file: no file has it."""

NEVER = STAT.pack(0, 0, 0, 0, 0)
"""Equals no file's: an entry that is remembered with this is read again."""

FOLDER = STAT.pack(0o040000, 0, 0, 0, 0)
"""Stands for a subfolder, which has a row of its own; its times say nothing about its content."""

_DIGEST = 32
_CHECK = 16
_HEAD = Struct("<16sIIQQ32s")


@dataclass(frozen=True, slots=True)
class Row:
    """What one folder, or one artifact that is a single file, looked like.

    Attributes:
        names: the entries' names joined by NUL, in the order the file system gave them.
        stats: one `STAT` each; `FOLDER` for a subfolder; `NEVER` when the times are too fresh.
        digests: 32 bytes each; of a subfolder, its manifest root.
        root: the manifest root, or the file's digest.
        size: bytes below.
        files: regular files and symlinks below.
    """

    names: bytes
    stats: bytes
    digests: bytes
    root: bytes
    size: int
    files: int

    def to_bytes(self) -> bytes:
        """Returns the row's bytes, which begin with a checksum."""
        head = _HEAD.pack(
            bytes(_CHECK), len(self.names), len(self.stats), self.size, self.files, self.root
        )
        data = b"".join((head[_CHECK:], self.names, self.stats, self.digests))
        return blake3(data).digest(_CHECK) + data

    @classmethod
    def parse(cls, data: bytes) -> "Row | None":
        """Returns the row, or None when the bytes are not a whole one."""
        try:
            check, names, stats, size, files, root = _HEAD.unpack_from(data)
        except error:
            return None
        count, odd = divmod(stats, STAT.size)
        start = _HEAD.size + names
        if odd or len(data) != start + stats + count * _DIGEST:
            return None
        if blake3(memoryview(data)[_CHECK:]).digest(_CHECK) != check:
            return None
        joined = data[_HEAD.size : start]
        if count != (joined.count(b"\0") + 1 if joined else 0):
            return None
        return cls(joined, data[start : start + stats], data[start + stats :], root, size, files)


class StatCache:
    """The rows of one worktree."""

    def __init__(self, connection: sqlite3.Connection, worktree: str) -> None:
        """Takes an open database that has `SCHEMA`, and what tells this worktree from others."""
        self._connection = connection
        self._worktree = worktree

    def load(self, path: bytes) -> dict[bytes, Row]:
        """Returns the rows of a path and everything below it, in one query.

        A row that is damaged is not there, and none is when the database is damaged.
        """
        # "0" is the byte after "/", so this is the range of all that begins with `path/`.
        query = (
            "SELECT path, data FROM folders WHERE worktree = ?1 AND path = ?2 UNION ALL "
            "SELECT path, data FROM folders WHERE worktree = ?1 AND path >= ?3 AND path < ?4"
        )
        found = {}
        with contextlib.suppress(sqlite3.Error):
            for name, data in self._connection.execute(
                query, (self._worktree, path, path + b"/", path + b"0")
            ):
                if isinstance(name, bytes) and isinstance(data, bytes):
                    row = Row.parse(data)
                    if row is not None:
                        found[name] = row
        return found

    def store(self, changed: Iterable[tuple[bytes, Row]], gone: Iterable[bytes]) -> None:
        """Replaces rows and drops others, in one transaction; a cache that cannot is left alone."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._replace(changed, gone)
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _replace(self, changed: Iterable[tuple[bytes, Row]], gone: Iterable[bytes]) -> None:
        self._connection.executemany(
            "DELETE FROM folders WHERE worktree = ? AND path = ?",
            ((self._worktree, path) for path in gone),
        )
        self._connection.executemany(
            "INSERT OR REPLACE INTO folders VALUES (?, ?, ?)",
            ((self._worktree, path, row.to_bytes()) for path, row in changed),
        )
