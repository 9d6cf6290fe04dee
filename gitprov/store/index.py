"""The index: which pack holds a small blob, and where. It can be made again from the packs."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any

from gitprov.core.digest import DIGEST_BYTES
from gitprov.errors import EnvironmentFault
from gitprov.platform.sqlite import open_database
from gitprov.store.layout import PACK_NAME
from gitprov.store.packs import Row

_VERSION = 1
_SCHEMA = """
CREATE TABLE packs (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
CREATE TABLE blobs (digest BLOB PRIMARY KEY, pack INTEGER NOT NULL, offset INTEGER NOT NULL,
                    size INTEGER NOT NULL, kind INTEGER NOT NULL) WITHOUT ROWID
"""

_CHUNK = 1000
"""Digests per SELECT; more is no faster, and old SQLites take only so many."""

_PAGE = 20_000
"""Rows per read of the whole table, so that a long walk holds no transaction open."""

_SCAN_FACTOR = 4
"""Reading every row is this much cheaper than looking one up."""

_DIGEST = "SELECT digest FROM blobs"
_ROW = "SELECT digest, pack, offset, size, kind FROM blobs"

Place = tuple[str, int, int, int]
"""Name of the pack, offset, size, kind."""

Spot = tuple[int, int, int, bytes]
"""Offset, size, kind, digest: they sort in the order of the pack."""


class Index:
    """Digest to place. One connection, shared by the threads of this process."""

    def __init__(self, path: str) -> None:
        """Opens the database, making it when it is not there.

        Raises:
            EnvironmentFault: it is damaged beyond opening.
        """
        self._path = path
        self._lock = threading.Lock()
        self._names: dict[int, str] = {}
        with self._translated():
            self._db = open_database(path, schema=_SCHEMA, version=_VERSION, durable=True)

    def close(self) -> None:
        """Closes the connection."""
        self._db.close()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            if _is_environment(exc):
                raise EnvironmentFault(f"cannot use {self._path}: {exc}") from exc
            raise damaged_index(self._path, str(exc)) from exc
        except EnvironmentFault as exc:
            cause = exc.__cause__
            if isinstance(cause, sqlite3.DatabaseError) and not _is_environment(cause):
                raise damaged_index(self._path, str(cause)) from exc
            raise

    def _all(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock, self._translated():
            return self._db.execute(statement, values).fetchall()

    # ------------------------------------------------------------ looking up

    def is_empty(self) -> bool:
        """Whether there is no row at all."""
        return not self._all("SELECT 1 FROM blobs LIMIT 1")

    def count(self) -> int:
        """Returns how many blobs have a row."""
        return int(self._all("SELECT count(*) FROM blobs")[0][0])

    def present(self, digests: Iterable[bytes]) -> set[bytes]:
        """Returns those that have a row."""
        wanted = set(digests)
        if self._cheaper_to_scan(len(wanted)):
            return wanted.intersection(row[0] for page in self._pages(_DIGEST) for row in page)
        return {row[0] for page in self._selected(_DIGEST, wanted) for row in page}

    def get(self, digest: bytes) -> Place | None:
        """Returns where one blob is."""
        rows = self._all(f"{_ROW} WHERE digest=?", (digest,))
        return self._place(rows[0]) if rows else None

    def lookup(self, digests: Iterable[bytes]) -> dict[bytes, Place]:
        """Returns where those are that have a row."""
        wanted = set(digests)
        place = self._place
        if self._cheaper_to_scan(len(wanted)):
            pages = self._pages(_ROW)
            return {row[0]: place(row) for page in pages for row in page if row[0] in wanted}
        return {row[0]: place(row) for page in self._selected(_ROW, wanted) for row in page}

    def by_pack(self, wanted: set[bytes]) -> dict[str, list[Spot]]:
        """Returns the same by name of the pack, each pack's spots in order."""
        if self._cheaper_to_scan(len(wanted)):
            pages = self._pages(_ROW)
        else:
            pages = self._selected(_ROW, wanted)
        grouped: dict[int, list[Spot]] = {}
        firsts: dict[int, Place] = {}
        for page in pages:
            for row in page:
                digest, pack, offset, size, kind = row
                if digest not in wanted:
                    continue
                if not (type(offset) is type(size) is type(kind) is int) or pack not in grouped:
                    firsts[pack] = self._place(row)
                    grouped[pack] = []
                grouped[pack].append((offset, size, kind, digest))
        for spots in grouped.values():
            spots.sort()
        return {firsts[pack][0]: spots for pack, spots in grouped.items()}

    def _selected(self, select: str, wanted: set[bytes]) -> Iterator[list[tuple[Any, ...]]]:
        ordered = sorted(wanted)
        for start in range(0, len(ordered), _CHUNK):
            chunk = ordered[start : start + _CHUNK]
            yield self._all(f"{select} WHERE digest IN ({','.join('?' * len(chunk))})", chunk)

    def _cheaper_to_scan(self, wanted: int) -> bool:
        if wanted < _CHUNK:
            return False
        most = wanted * _SCAN_FACTOR
        found = self._all("SELECT count(*) FROM (SELECT 1 FROM blobs LIMIT ?)", (most + 1,))
        return bool(found[0][0] <= most)

    def _pages(self, select: str) -> Iterator[list[tuple[Any, ...]]]:
        last = b""
        while page := self._all(f"{select} WHERE digest>? ORDER BY digest LIMIT ?", (last, _PAGE)):
            yield page
            if not isinstance(page[-1][0], bytes) or page[-1][0] <= last:
                raise damaged_index(self._path, "the rows are out of order")
            last = page[-1][0]

    def _place(self, row: tuple[Any, ...]) -> Place:
        _, pack, offset, size, kind = row
        if not (type(pack) is type(offset) is type(size) is type(kind) is int):
            raise damaged_index(self._path, "a row is not made of numbers")
        name = self._names.get(pack)
        if name is None:
            self._names = self.packs()
            name = self._names.get(pack)
            if name is None:
                raise damaged_index(self._path, "a row names an unknown pack")
        return name, offset, size, kind

    def packs(self) -> dict[int, str]:
        """Returns every pack's number and name."""
        rows = self._all("SELECT id, name FROM packs")
        for number, name in rows:
            if (
                type(number) is not int
                or not isinstance(name, str)
                or not PACK_NAME.fullmatch(name)
            ):
                raise damaged_index(self._path, "a pack has no proper name")
        return dict(rows)

    def rows(self) -> Iterator[tuple[bytes, Place]]:
        """Yields every blob and its place, sorted by digest; a walk, not a snapshot."""
        for page in self._pages(_ROW):
            for row in page:
                if not isinstance(row[0], bytes) or len(row[0]) != DIGEST_BYTES:
                    raise damaged_index(self._path, "a digest has no 32 bytes")
                yield row[0], self._place(row)

    def check(self) -> list[str]:
        """Returns what SQLite itself finds wrong with the file."""
        return [str(row[0]) for row in self._all("PRAGMA quick_check(20)") if row[0] != "ok"]

    # ------------------------------------------------------------ changing

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise

    def add_pack(self, name: str, rows: list[Row]) -> None:
        """Makes a pack's blobs findable; one that is findable already stays where it is."""
        # In the order of the keys, every page of the tree is written once.
        rows.sort(key=itemgetter(0))
        with self._transaction() as db:
            number = _insert_pack(db, name)
            db.executemany(f"INSERT OR IGNORE INTO blobs VALUES (?,{number},?,?,?)", rows)  # noqa: S608 - a number

    def switch(self, name: str, moves: list[tuple[Place, Row]], emptied: Iterable[str]) -> None:
        """Points blobs at their copies in a new pack, and forgets packs, all at once."""
        with self._transaction() as db:
            numbers = {old: new for new, old in db.execute("SELECT id, name FROM packs")}
            number = _insert_pack(db, name)
            db.executemany(
                "UPDATE blobs SET pack=?, offset=? WHERE digest=? AND pack=? AND offset=?",
                [
                    (number, row[1], row[0], numbers[place[0]], place[1])
                    for place, row in moves
                    if place[0] in numbers
                ],
            )
            self._forget(db, emptied)

    def remove(self, digests: Iterable[bytes], emptied: Iterable[str] = ()) -> None:
        """Forgets blobs and packs."""
        with self._transaction() as db:
            db.executemany(
                "DELETE FROM blobs WHERE digest=?", [(digest,) for digest in sorted(digests)]
            )
            self._forget(db, emptied)

    def remove_lost(self, packs: Iterable[str]) -> None:
        """Forgets packs and what they held; what lies in another one by now stays."""
        names = sorted(packs)
        with self._transaction() as db:
            db.executemany(
                "DELETE FROM blobs WHERE pack=(SELECT id FROM packs WHERE name=?)",
                [(name,) for name in names],
            )
            self._forget(db, names)

    def _forget(self, db: sqlite3.Connection, names: Iterable[str]) -> None:
        db.executemany("DELETE FROM packs WHERE name=?", [(name,) for name in names])

    def remove_at(self, digest: bytes, place: Place) -> None:
        """Forgets a blob if it is still at that place."""
        with self._transaction() as db:
            db.execute(
                "DELETE FROM blobs WHERE digest=? AND offset=?"
                " AND pack=(SELECT id FROM packs WHERE name=?)",
                (digest, place[1], place[0]),
            )

    def replace(self, packs: Iterable[tuple[str, list[Row]]]) -> None:
        """Forgets everything and takes these packs instead, in one transaction."""
        with self._transaction() as db:
            db.execute("DELETE FROM blobs")
            db.execute("DELETE FROM packs")
            for name, rows in packs:
                number = _insert_pack(db, name)
                db.executemany(f"INSERT OR IGNORE INTO blobs VALUES (?,{number},?,?,?)", rows)  # noqa: S608 - a number


def _insert_pack(db: sqlite3.Connection, name: str) -> int:
    db.execute("INSERT OR IGNORE INTO packs (name) VALUES (?)", (name,))
    return int(db.execute("SELECT id FROM packs WHERE name=?", (name,)).fetchone()[0])


def _is_environment(exc: sqlite3.Error) -> bool:
    """Whether SQLite blames the disk or the permissions, and not the content of the file."""
    name = getattr(exc, "sqlite_errorname", "") or ""
    return name.startswith(
        (
            "SQLITE_FULL",
            "SQLITE_IOERR",
            "SQLITE_READONLY",
            "SQLITE_CANTOPEN",
            "SQLITE_PERM",
            "SQLITE_NOMEM",
            "SQLITE_BUSY",
            "SQLITE_INTERRUPT",
        )
    )


def damaged_index(path: str, reason: str) -> EnvironmentFault:
    """Returns the error for an index that cannot be trusted; the packs are not concerned."""
    return EnvironmentFault(
        f"the store's index {path} is damaged: {reason}",
        hint="no data is lost: gitprov fsck --rebuild-index makes it again from the packs",
    )
