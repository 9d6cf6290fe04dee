"""Reads notes into the index of `gitprov trace`: each note once, and only those that changed."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from gitprov.core.bitcoin import Header as BitcoinHeader
from gitprov.core.ethereum import Header as EthereumHeader
from gitprov.errors import GitprovError, MalformedError, UnavailableError
from gitprov.git.notes import NOTES_REF, notes_refs
from gitprov.git.notes_diff import NoteChange, changed_notes
from gitprov.model.note import (
    MAX_NOTE_BYTES,
    AnchorLine,
    MalformedLine,
    NoteLine,
    RecordLine,
    StatementAnchorLine,
    StatementLine,
    parse_note,
)
from gitprov.model.receipt_bitcoin import BitcoinReceipt
from gitprov.model.receipt_ethereum import EthereumReceipt
from gitprov.workspace import Workspace

_BATCH = 1000
"""Notes that are read in one transaction: an interrupted reading keeps those before."""

_READ, _MISSING = 0, 1
_ENDLESS = 1 << 62


def read_notes(ws: Workspace, db: sqlite3.Connection, *, again: bool) -> int:
    """Brings the notes up to date.

    Args:
        ws: the workspace.
        db: the index.
        again: whether to ask again for notes that this clone lacked.

    Returns:
        How many notes were read.

    Raises:
        MalformedError: nobody's git wrote the local notes.
        UnavailableError: this clone lacks a part of them.
    """
    now = notes_refs(ws.repo)
    known = {row[1]: row for row in db.execute("SELECT id, ref, tip, tree, problem FROM refs")}
    for ref in known.keys() - now.keys():
        with transaction(db):
            _forget(db, known[ref][0])
            db.execute("DELETE FROM refs WHERE id = ?", (known[ref][0],))
    read = 0
    for ref, tip in now.items():
        row = known.get(ref)
        if row is None or row[2] != tip:
            read += _read_ref(ws, db, ref, tip, None if row is None else row[3])
    if again:
        oids = [row[0] for row in db.execute("SELECT oid FROM notes WHERE state = 1")]
        read += _read_blobs(ws, db, oids)
    return read


def _read_ref(ws: Workspace, db: sqlite3.Connection, ref: str, tip: str, old: str | None) -> int:
    commit = ws.objects.commit(tip)
    tree = commit.tree if commit is not None else None
    problem = ""
    changes: list[NoteChange] = []
    try:
        changes, old = _changes(ws, ref, old, tree) if tree is not None else ([], None)
    except (MalformedError, UnavailableError) as exc:
        # Somebody who may push notes must not be able to keep us from the others.
        if ref == NOTES_REF:
            raise
        tree, old, problem = None, None, f"{ref}: {exc}"
        if isinstance(exc, UnavailableError):
            tip = ""  # asked again the next time
    wanted = {change.oid for change in changes if change.oid is not None}
    read = _read_blobs(ws, db, _unknown(db, wanted))
    with transaction(db):
        db.execute(
            "INSERT INTO refs (ref, tip, tree, problem) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (ref)"
            " DO UPDATE SET tip = ?2, tree = ?3, problem = ?4",
            (ref, tip, tree, problem),
        )
        number = db.execute("SELECT id FROM refs WHERE ref = ?", (ref,)).fetchone()[0]
        if old is None:
            _forget(db, number, sweep=False)
        _place(db, number, changes)
        _sweep(db)
    return read


def _changes(
    ws: Workspace, ref: str, old: str | None, tree: str
) -> tuple[list[NoteChange], str | None]:
    """What changed, and since which tree: the old one may have been collected as garbage."""
    hash_len = ws.repo.hash_len
    if old is not None:
        with contextlib.suppress(UnavailableError):
            return list(changed_notes(ws.objects, old, tree, hash_len, ref=ref)), old
    return list(changed_notes(ws.objects, None, tree, hash_len, ref=ref)), None


def _unknown(db: sqlite3.Connection, oids: Iterable[str]) -> list[str]:
    query = "SELECT 1 FROM notes WHERE oid = ?"
    return sorted(oid for oid in oids if db.execute(query, (oid,)).fetchone() is None)


def _place(db: sqlite3.Connection, ref: int, changes: Iterable[NoteChange]) -> None:
    for change in changes:
        if change.oid is None:
            db.execute("DELETE FROM places WHERE ref = ? AND path = ?", (ref, change.path))
            continue
        note = db.execute("SELECT id FROM notes WHERE oid = ?", (change.oid,)).fetchone()[0]
        row = (ref, change.path, commit_number(db, change.commit), note)
        db.execute("INSERT OR REPLACE INTO places VALUES (?, ?, ?, ?)", row)


def _forget(db: sqlite3.Connection, ref: int, *, sweep: bool = True) -> None:
    db.execute("DELETE FROM places WHERE ref = ?", (ref,))
    if sweep:
        _sweep(db)


def _sweep(db: sqlite3.Connection) -> None:
    """Drops what notes said that are nowhere any more."""
    gone = db.execute(
        "SELECT id FROM notes WHERE NOT EXISTS (SELECT 1 FROM places WHERE note = notes.id)"
    ).fetchall()
    for row in gone:
        _empty(db, row[0])
        db.execute("DELETE FROM notes WHERE id = ?", row)


def _empty(db: sqlite3.Connection, note: int) -> None:
    db.execute("DELETE FROM binds WHERE record IN (SELECT id FROM records WHERE note = ?)", (note,))
    db.execute("DELETE FROM records WHERE note = ?", (note,))
    db.execute("DELETE FROM anchors WHERE note = ?", (note,))
    db.execute("DELETE FROM statements WHERE note = ?", (note,))


def _read_blobs(ws: Workspace, db: sqlite3.Connection, oids: Sequence[str]) -> int:
    for start in range(0, len(oids), _BATCH):
        some = oids[start : start + _BATCH]
        with transaction(db):
            for oid, found in ws.objects.get_many(some, limit=MAX_NOTE_BYTES, skip_larger=True):
                is_here = found is not None and found.type == "blob"
                db.execute(
                    "INSERT INTO notes (oid, state, odd) VALUES (?1, ?2, 0)"
                    " ON CONFLICT (oid) DO UPDATE SET state = ?2",
                    (oid, _READ if is_here else _MISSING),
                )
                note = db.execute("SELECT id FROM notes WHERE oid = ?", (oid,)).fetchone()[0]
                if found is not None and is_here:
                    odd = _keep(db, note, parse_note(found.data))
                    db.execute("UPDATE notes SET odd = ? WHERE id = ?", (odd, note))
    return len(oids)


def _keep(db: sqlite3.Connection, note: int, lines: Iterable[NoteLine]) -> int:
    """Keeps what lines say; returns how many are not in the format."""
    odd = 0
    for line in lines:
        if isinstance(line, RecordLine):
            if line.root == line.record.root:
                _keep_record(db, note, line)
            else:
                odd += 1
        elif isinstance(line, AnchorLine):
            _keep_anchor(db, note, line, "record")
        elif isinstance(line, StatementAnchorLine):
            _keep_anchor(db, note, line.anchor, "statement")
        elif isinstance(line, StatementLine):
            row = (note, commit_number(db, line.commit), line.name, line.root.raw)
            db.execute("INSERT INTO statements VALUES (?, ?, ?, ?)", row)
        elif isinstance(line, MalformedLine):
            odd += 1
    return odd


def _keep_record(db: sqlite3.Connection, note: int, line: RecordLine) -> None:
    row = (note, commit_number(db, line.commit), line.root.raw)
    query = "INSERT INTO records (note, commit_id, root) VALUES (?, ?, ?)"
    record = db.execute(query, row).lastrowid
    for leaf in line.record.artifacts:
        weights = leaf.weights.raw if leaf.weights else b""
        values = (leaf.root.raw, leaf.path, leaf.kind, leaf.entry, weights)
        db.execute(
            "INSERT OR IGNORE INTO leaves (root, path, kind, entry, weights, done)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?4 != 'dir')",
            values,
        )
        db.execute(
            "INSERT OR IGNORE INTO binds SELECT id, ? FROM leaves"
            " WHERE root = ? AND path = ? AND kind = ? AND entry = ? AND weights = ?",
            (record, *values),
        )


def _keep_anchor(db: sqlite3.Connection, note: int, line: AnchorLine, kind: str) -> None:
    commit = commit_number(db, line.commit)
    row = (note, commit, line.root.raw, kind, line.network, line.status, line.size, _time(line))
    db.execute("INSERT INTO anchors VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)


def _time(line: AnchorLine) -> int | None:
    """The time in the block's header that a receipt holds; None where there is none."""
    time: int | None = None
    with contextlib.suppress(GitprovError):
        if line.network == "bitcoin":
            bitcoin = BitcoinReceipt.parse(line.receipt).place
            time = None if bitcoin is None else BitcoinHeader.parse(bitcoin.header).time
        elif line.network == "ethereum":
            ethereum = EthereumReceipt.parse(line.receipt).place
            time = None if ethereum is None else EthereumHeader.parse(ethereum.header).time
    return time if time is not None and time < _ENDLESS else None


def commit_number(db: sqlite3.Connection, oid: str) -> int:
    """Returns the number that stands for a commit."""
    row = db.execute("SELECT id FROM commits WHERE oid = ?", (oid,)).fetchone()
    if row is not None:
        return int(row[0])
    made = db.execute("INSERT INTO commits (oid, state) VALUES (?, 0)", (oid,)).lastrowid
    return made if made is not None else 0


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Makes changes become visible together or not at all; waits for other writers."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
