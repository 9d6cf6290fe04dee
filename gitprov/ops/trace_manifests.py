"""Reads the manifests of recorded artifacts into the index of `gitprov trace`.

The versions of a folder form a chain, in the order in which they were read. An entry is kept with
the versions in which it stands, so that a version costs what it changed.
"""

import sqlite3
from typing import NamedTuple

from gitprov.core.paths import MAX_DEPTH, MAX_PATH_BYTES
from gitprov.errors import GitprovError
from gitprov.model.manifest import Manifest
from gitprov.ops.manifests import loader
from gitprov.ops.trace_notes import transaction
from gitprov.workspace import Workspace

OPEN = (1 << 53) - 1
"""The version that ends an entry which stands in the newest one."""

_BATCH = 500
_MAX_REMEMBERED = 1_000_000

_WAITING = """
SELECT l.id, l.root, l.path FROM leaves l
JOIN binds b ON b.leaf = l.id
JOIN records r ON r.id = b.record
LEFT JOIN commits c ON c.id = r.commit_id
WHERE l.done = 0
GROUP BY l.id
ORDER BY MIN(c.time), MIN(c.seq), l.path, l.id
"""


class _Found(NamedTuple):
    """An entry of a folder as it is kept."""

    child: bytes
    kind: str


def read_manifests(ws: Workspace, db: sqlite3.Connection, *, again: bool) -> int:
    """Reads the manifests that are new.

    Args:
        ws: the workspace.
        db: the index.
        again: whether to ask the store again for those that it lacked.

    Returns:
        How many were read.
    """
    read = 0
    if again:
        lacking = db.execute("SELECT root, path FROM missing").fetchall()
        here = ws.store.has(row[0] for row in lacking)
        with transaction(db):
            reader = _Reader(ws, db)
            for root, path in lacking:
                if root in here:
                    db.execute("DELETE FROM missing WHERE root = ?", (root,))
                    reader.read(root, path)
            read += reader.count
    # The oldest come first, so that each version of a folder is compared with the one before it.
    waiting = db.execute(_WAITING).fetchall()
    for start in range(0, len(waiting), _BATCH):
        with transaction(db):
            reader = _Reader(ws, db)
            for leaf, root, path in waiting[start : start + _BATCH]:
                reader.read(root, path)
                db.execute("UPDATE leaves SET done = 1 WHERE id = ?", (leaf,))
            read += reader.count
    return read


class _Reader:
    """Reads manifests in one transaction; remembers the newest version of each folder."""

    def __init__(self, ws: Workspace, db: sqlite3.Connection) -> None:
        self._db = db
        self._load = loader(ws.store)
        self._newest: dict[int, dict[str, _Found]] = {}
        self._remembered = 0
        self.count = 0

    def read(self, root: bytes, path: str) -> None:
        """Reads a manifest and those below it, unless they were read before."""
        waiting = [(root, path)]
        while waiting:
            root, path = waiting.pop()
            if self._is_known(root):
                continue
            manifest = self._manifest(root, path)
            if manifest is None:
                row = (root, path[:MAX_PATH_BYTES])
                self._db.execute("INSERT OR IGNORE INTO missing VALUES (?, ?)", row)
            else:
                self.count += 1
                waiting += reversed(self._keep(root, path, manifest))

    def _is_known(self, root: bytes) -> bool:
        query = (
            "SELECT 1 FROM manifests WHERE root = ?1 UNION ALL"
            " SELECT 1 FROM missing WHERE root = ?1"
        )
        return self._db.execute(query, (root,)).fetchone() is not None

    def _manifest(self, root: bytes, path: str) -> Manifest | None:
        if path.count("/") >= MAX_DEPTH or len(path) > MAX_PATH_BYTES:
            return None
        try:
            return self._load(root)
        except GitprovError:
            return None  # not in the store, damaged, or no manifest

    def _keep(self, root: bytes, path: str, manifest: Manifest) -> list[tuple[bytes, str]]:
        """Keeps one manifest; returns the folders in it that the version before had not."""
        chain, version = self._next(path)
        row = (root, chain, version)
        self._db.execute("INSERT INTO manifests (root, chain, version) VALUES (?, ?, ?)", row)
        old = self._entries(chain)
        new = {e.name.decode(): _Found(e.digest, e.kind) for e in manifest.entries}
        gone = [name for name, found in old.items() if new.get(name) != found]
        come = [name for name, found in new.items() if old.get(name) != found]
        # The number of the open end stands in the statement, or the partial index is not used.
        self._db.executemany(
            f"UPDATE entries SET last = ? WHERE chain = ? AND name = ? AND last = {OPEN}",  # noqa: S608
            ((version, chain, name) for name in gone),
        )
        self._db.executemany(
            "INSERT INTO entries (child, chain, name, kind, first, last) VALUES (?, ?, ?, ?, ?, ?)",
            ((new[n].child, chain, n, new[n].kind, version, OPEN) for n in come),
        )
        self._remember(chain, new)
        return [(new[name].child, f"{path}/{name}") for name in come if new[name].kind == "d"]

    def _next(self, path: str) -> tuple[int, int]:
        row = self._db.execute("SELECT id, versions FROM chains WHERE path = ?", (path,)).fetchone()
        if row is None:
            query = "INSERT INTO chains (path, versions) VALUES (?, 1)"
            return self._db.execute(query, (path,)).lastrowid or 0, 0
        self._db.execute("UPDATE chains SET versions = versions + 1 WHERE id = ?", (row[0],))
        return row[0], row[1]

    def _entries(self, chain: int) -> dict[str, _Found]:
        known = self._newest.get(chain)
        if known is not None:
            return known
        query = f"SELECT name, child, kind FROM entries WHERE chain = ? AND last = {OPEN}"  # noqa: S608
        return {
            name: _Found(child, kind) for name, child, kind in self._db.execute(query, (chain,))
        }

    def _remember(self, chain: int, entries: dict[str, _Found]) -> None:
        self._remembered += len(entries) - len(self._newest.get(chain, ()))
        if self._remembered > _MAX_REMEMBERED:
            self._newest.clear()
            self._remembered = len(entries)
        self._newest[chain] = entries
