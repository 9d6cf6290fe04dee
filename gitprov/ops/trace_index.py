"""The index behind `gitprov trace`: its tables, and how it is brought up to date.

Everything in it can be read again from notes, commits and store, so it is thrown away when it is
damaged or of another version.
"""

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterator

from gitprov.ops.trace_commits import read_commits
from gitprov.ops.trace_manifests import read_manifests
from gitprov.ops.trace_notes import read_notes
from gitprov.ops.traced import Looked
from gitprov.platform.locks import file_lock
from gitprov.platform.sqlite import open_database
from gitprov.workspace import Workspace

NAME = "trace.db"
_VERSION = 1

# Digests and ids of commits repeat in every note, so rows name them by small numbers. A folder's
# entries are not kept for every version of the folder, but with the versions (`first` up to, but
# not with, `last`) in which they stand: a changed file costs two rows, however large the folder.
_SCHEMA = """
CREATE TABLE state (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
CREATE TABLE refs (
    id INTEGER PRIMARY KEY, ref TEXT NOT NULL UNIQUE, tip TEXT NOT NULL, tree TEXT,
    problem TEXT NOT NULL);
CREATE TABLE notes (
    id INTEGER PRIMARY KEY, oid TEXT NOT NULL UNIQUE, state INTEGER NOT NULL,
    odd INTEGER NOT NULL);
CREATE TABLE commits (
    id INTEGER PRIMARY KEY, oid TEXT NOT NULL UNIQUE, state INTEGER NOT NULL, time INTEGER,
    seq INTEGER, subject TEXT);
CREATE INDEX commits_state ON commits (state) WHERE state != 1;
CREATE TABLE places (
    ref INTEGER NOT NULL, path BLOB NOT NULL, commit_id INTEGER NOT NULL, note INTEGER NOT NULL,
    PRIMARY KEY (ref, path)) WITHOUT ROWID;
CREATE INDEX places_note ON places (note, commit_id);
CREATE INDEX places_commit ON places (commit_id);
CREATE TABLE records (
    id INTEGER PRIMARY KEY, note INTEGER NOT NULL, commit_id INTEGER NOT NULL,
    root BLOB NOT NULL);
CREATE INDEX records_note ON records (note);
CREATE INDEX records_root ON records (root);
CREATE TABLE leaves (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL, kind TEXT NOT NULL, entry TEXT NOT NULL,
    root BLOB NOT NULL, weights BLOB NOT NULL, done INTEGER NOT NULL,
    UNIQUE (root, path, kind, entry, weights));
CREATE INDEX leaves_weights ON leaves (weights);
CREATE INDEX leaves_waiting ON leaves (id) WHERE done = 0;
CREATE TABLE binds (
    leaf INTEGER NOT NULL, record INTEGER NOT NULL, PRIMARY KEY (leaf, record)) WITHOUT ROWID;
CREATE INDEX binds_record ON binds (record);
CREATE TABLE anchors (
    note INTEGER NOT NULL, commit_id INTEGER NOT NULL, root BLOB NOT NULL, kind TEXT NOT NULL,
    network TEXT NOT NULL, status TEXT NOT NULL, size INTEGER NOT NULL, time INTEGER);
CREATE INDEX anchors_note ON anchors (note);
CREATE INDEX anchors_root ON anchors (root);
CREATE TABLE statements (
    note INTEGER NOT NULL, commit_id INTEGER NOT NULL, name TEXT NOT NULL, root BLOB NOT NULL);
CREATE INDEX statements_note ON statements (note);
CREATE INDEX statements_root ON statements (root);
CREATE TABLE run_trees (oid TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, oid TEXT NOT NULL UNIQUE, run TEXT NOT NULL, outcome TEXT NOT NULL,
    base TEXT NOT NULL, facts BLOB NOT NULL, commit_id INTEGER);
CREATE TABLE run_digests (
    run INTEGER NOT NULL, role TEXT NOT NULL, name TEXT NOT NULL, digest BLOB NOT NULL);
CREATE INDEX run_digests_digest ON run_digests (digest);
CREATE INDEX run_digests_run ON run_digests (run);
CREATE TABLE chains (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, versions INTEGER NOT NULL);
CREATE TABLE manifests (
    root BLOB PRIMARY KEY, chain INTEGER NOT NULL, version INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX manifests_chain ON manifests (chain, version);
CREATE TABLE entries (
    child BLOB NOT NULL, chain INTEGER NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL);
CREATE INDEX entries_child ON entries (child, chain);
CREATE INDEX entries_open ON entries (chain, name) WHERE last = 9007199254740991;
CREATE TABLE missing (root BLOB PRIMARY KEY, path TEXT NOT NULL) WITHOUT ROWID
"""

_RECORDED = """
SELECT COUNT(DISTINCT r.commit_id) FROM records r
JOIN places p ON p.note = r.note AND p.commit_id = r.commit_id
"""


@contextlib.contextmanager
def opened(ws: Workspace, *, anew: bool = False) -> Iterator[sqlite3.Connection]:
    """Opens the index.

    Args:
        ws: the workspace.
        anew: whether to throw the old one away: it is damaged.
    """
    path = os.path.join(ws.repo.data_dir, NAME)
    if anew:
        for ending in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + ending)
    connection = open_database(path, schema=_SCHEMA, version=_VERSION, durable=False)
    with contextlib.closing(connection):
        yield connection


def refresh(ws: Workspace, db: sqlite3.Connection) -> Looked:
    """Reads what has come since the last time, and returns what is known then.

    Raises:
        MalformedError: nobody's git wrote the local notes.
        UnavailableError: this clone lacks a part of them.
        EnvironmentFault: the database or git cannot be read.
    """
    folder = ws.repo.data_dir
    # A folder that cannot be written has its index in memory, which nobody else sees.
    if not os.access(folder, os.W_OK):
        return _refresh(ws, db)
    with file_lock(os.path.join(folder, f"{NAME}.update"), waiting=ws.waiting):
        return _refresh(ws, db)


def _refresh(ws: Workspace, db: sqlite3.Connection) -> Looked:
    lacking = bool(_count(db, "commits WHERE state = 2") or _count(db, "notes WHERE state = 1"))
    again = lacking and _has_changed(db, "refs", _refs(ws))
    notes = read_notes(ws, db, again=again)
    runs = read_commits(ws, db, again=again)
    fingerprint = ws.store.fingerprint() if _count(db, "missing") else b""
    # A store that has just been written to cannot say whether it has changed.
    retry = fingerprint is None or (
        fingerprint != b"" and _has_changed(db, "store", fingerprint or b"")
    )
    manifests = read_manifests(ws, db, again=retry)
    problems = db.execute("SELECT problem FROM refs WHERE problem != '' ORDER BY ref").fetchall()
    return Looked(
        commits=db.execute(_RECORDED).fetchone()[0],
        runs=_count(db, "runs WHERE commit_id IS NOT NULL"),
        manifests=_count(db, "manifests"),
        missing_commits=_count(db, "commits WHERE state = 2"),
        missing_manifests=_count(db, "missing"),
        odd_lines=db.execute("SELECT COALESCE(SUM(odd + state), 0) FROM notes").fetchone()[0],
        odd_runs=_count(db, "runs WHERE commit_id IS NULL"),
        problems=tuple(row[0] for row in problems),
        read_notes=notes,
        read_runs=runs,
        read_manifests=manifests,
    )


def _count(db: sqlite3.Connection, what: str) -> int:
    return int(db.execute(f"SELECT COUNT(*) FROM {what}").fetchone()[0])  # noqa: S608 - our words


def _has_changed(db: sqlite3.Connection, key: str, value: bytes) -> bool:
    """Whether a value is another than at the last question; it is kept for the next one."""
    row = db.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
    if row is not None and row[0] == value:
        return False
    db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, value))
    return True


def _refs(ws: Workspace) -> bytes:
    """What a clone has of history, as one value: a fetch may bring what was missing."""
    refs = sorted(ws.repo.refs("refs/").items())
    return hashlib.blake2b(repr((ws.repo.is_shallow, refs)).encode(), digest_size=32).digest()
