"""Asks the index of `gitprov trace`: from a digest up to folders, artifacts, commits and runs."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from gitprov.core.digest import DIGEST_BYTES, Digest
from gitprov.ops.traced import (
    PRODUCED,
    Behind,
    BehindArtifact,
    Binding,
    BindingKind,
    Role,
    TracedAnchor,
    TracedCommit,
    TracedRun,
)

if TYPE_CHECKING:
    from gitprov.core.canonical import Json

LIMIT = 200_000
"""So many places of a digest are looked at: a hostile manifest may name a file endlessly often."""

_CHUNK = 500
_MAX_NAMED = 6
_NO_TIME = 1 << 62

_STATUS = {"final": 0, "included": 1, "pending": 2}
_DATED = frozenset({"ethereum", "bitcoin", "opentimestamps"})
"""Networks that prove a time."""

_CLIMB = """
INSERT INTO temp.up
WITH RECURSIVE above (root, path, kind) AS (
    SELECT ?1, '', ''
    UNION
    SELECT m.root, CASE WHEN a.path = '' THEN e.name ELSE e.name || '/' || a.path END,
        CASE WHEN a.kind = '' THEN e.kind ELSE a.kind END
    FROM above a
    JOIN entries e ON e.child = a.root
    JOIN manifests m ON m.chain = e.chain AND m.version >= e.first AND m.version < e.last
    LIMIT ?2
)
SELECT root, path, kind FROM above
"""

_BOUND = """
SELECT DISTINCT up.kind, l.path, l.kind, l.entry, up.path, r.root, r.id, c.id, c.oid, c.subject,
    c.time, c.seq
FROM temp.up up
JOIN leaves l ON l.root = up.root AND (up.path = '' OR l.entry = 'dir')
"""

_WEIGHTS = """
SELECT DISTINCT 'weights', l.path, l.kind, l.entry, '', r.root, r.id, c.id, c.oid, c.subject,
    c.time, c.seq
FROM leaves l
"""

# Notes that are nowhere any more, and lines that were copied from another commit's, do not count.
_COMMITS = """
JOIN binds b ON b.leaf = l.id
JOIN records r ON r.id = b.record
JOIN places p ON p.note = r.note AND p.commit_id = r.commit_id
JOIN commits c ON c.id = r.commit_id
"""

_RECORDS = """
SELECT DISTINCT 'record', '', '', '', '', r.root, r.id, c.id, c.oid, c.subject, c.time, c.seq
FROM records r
JOIN places p ON p.note = r.note AND p.commit_id = r.commit_id
JOIN commits c ON c.id = r.commit_id
WHERE r.root = ?1
"""

_STATEMENTS = """
SELECT DISTINCT 'statement', s.name, '', '', '', s.root, 0, c.id, c.oid, c.subject, c.time, c.seq
FROM statements s
JOIN places p ON p.note = s.note AND p.commit_id = s.commit_id
JOIN commits c ON c.id = s.commit_id
WHERE s.root = ?1
"""

_RUNS = """
SELECT DISTINCT r.id, r.run, r.outcome, r.base, r.facts, c.oid, c.time, c.seq, d.role, d.name
FROM temp.up up
JOIN run_digests d ON d.digest = up.root
JOIN runs r ON r.id = d.run
JOIN commits c ON c.id = r.commit_id
ORDER BY c.time, c.seq, r.run, d.rowid
"""

_PLACES_OF_DIGESTS = (
    ("entries", "child"),
    ("manifests", "root"),
    ("leaves", "root"),
    ("leaves", "weights"),
    ("records", "root"),
    ("statements", "root"),
    ("run_digests", "digest"),
)


class _Row(NamedTuple):
    kind: str
    artifact: str
    artifact_kind: str
    entry: str
    inside: str
    root: bytes
    record: int
    number: int
    commit: str
    subject: str | None
    time: int | None
    seq: int | None

    @property
    def when(self) -> tuple[int, int, str]:
        """For the order in time; commits that are not here come last."""
        known = self.time is not None
        return (self.time or 0) if known else _NO_TIME, self.seq or 0, self.commit


class Query:
    """Asks the index; nothing in it is verified."""

    def __init__(self, db: sqlite3.Connection, head: str | None) -> None:
        """Takes the index and the commit that is checked out."""
        self._db = db
        self._head = head
        self._climbed: tuple[Digest | None, int] = (None, 0)
        db.execute("PRAGMA temp_store = MEMORY")
        db.execute("CREATE TEMP TABLE up (root BLOB, path TEXT, kind TEXT)")

    def starting_with(self, prefix: str) -> list[Digest]:
        """Returns the digests that begin with these hex digits, sorted; a handful at most."""
        low = bytes.fromhex(prefix.ljust(2 * DIGEST_BYTES, "0"))
        high = bytes.fromhex(prefix.ljust(2 * DIGEST_BYTES, "f"))
        found: set[bytes] = set()
        for table, column in _PLACES_OF_DIGESTS:
            query = (
                f"SELECT DISTINCT {column} FROM {table}"  # noqa: S608 - our own words
                f" WHERE {column} BETWEEN ? AND ? LIMIT {_MAX_NAMED}"
            )
            found |= {row[0] for row in self._db.execute(query, (low, high))}
        return [Digest(raw) for raw in sorted(found)]

    def weights_of(self, digest: Digest) -> list[Digest]:
        """Returns the weights roots of the model files with that digest."""
        query = "SELECT DISTINCT weights FROM leaves WHERE root = ? AND weights != x''"
        return [Digest(row[0]) for row in self._db.execute(query, (digest.raw,))]

    def bindings(self, digest: Digest) -> tuple[list[Binding], list[Behind], bool]:
        """Returns where commits bind a digest, what is behind it, and whether some was left out."""
        height = self._climb(digest)
        bound = self._db.execute(f"{_BOUND}{_COMMITS} LIMIT ?", (LIMIT,))
        rows = [_Row(*row) for row in bound]
        asked = (digest.raw, LIMIT)
        for query in (
            f"{_WEIGHTS}{_COMMITS} WHERE l.weights = ?1 LIMIT ?2",
            f"{_RECORDS} LIMIT ?2",
            f"{_STATEMENTS} LIMIT ?2",
        ):
            rows += [_Row(*row) for row in self._db.execute(query, asked)]
        groups: dict[tuple[str, ...], list[_Row]] = {}
        for row in sorted(rows, key=lambda row: row.when):
            kind = _kind(row)
            key = (kind, row.artifact, row.artifact_kind, row.inside)
            groups.setdefault(key, []).append(row)
        anchors = self._anchors("commit_id", {row.number for row in rows})
        bindings = [
            Binding(
                kind=cast("BindingKind", kind),
                digest=digest,
                artifact=artifact,
                artifact_kind=artifact_kind,
                inside=inside,
                commits=tuple(self._commit(row, anchors) for row in group),
            )
            for (kind, artifact, artifact_kind, inside), group in groups.items()
        ]
        behind: dict[str, Behind] = {}
        for (_, artifact, artifact_kind, _), group in groups.items():
            if artifact_kind == "model" and artifact not in behind:
                behind[artifact] = self._behind(artifact, group[0])
        return bindings, [*behind.values()], max(height, len(rows)) >= LIMIT

    def runs(self, digest: Digest) -> list[TracedRun]:
        """Returns the runs that name a digest, or something that it is in; the oldest first."""
        found: dict[str, TracedRun] = {}
        self._climb(digest)
        for row in self._db.execute(f"{_RUNS} LIMIT ?", (LIMIT,)).fetchall():
            number, run_id, outcome, base, facts, commit, _, _, role, name = row
            known = found.get(run_id)
            # Of several versions of one file the one that was committed last says how it ended.
            found[run_id] = TracedRun(
                id=run_id,
                outcome=outcome,
                roles=_joined(known.roles if known else (), Role(role, name)),
                commit=base,
                recorded_in=known.recorded_in if known else commit,
                anchor=self._run_anchor(number),
                facts=cast("dict[str, Json]", json.loads(facts)),
            )
        for row in self._db.execute(f"{_STATEMENTS} LIMIT ?2", (digest.raw, LIMIT)).fetchall():
            kind, _, rest = row[1].partition("/")
            run_id, _, stage = rest.partition("/")
            if kind == "run" and run_id not in found:
                anchor = _best(self._anchors("root", {digest.raw}).get((row[7], digest.raw), ()))
                roles = (Role("stage", stage),)
                found[run_id] = TracedRun(run_id, "", roles, row[8], "", anchor, {})
        return [*found.values()]

    def _climb(self, digest: Digest) -> int:
        """Finds all folders that a digest is in, at any depth; returns how many places that is."""
        if self._climbed[0] != digest:
            self._db.execute("DELETE FROM temp.up")
            done = self._db.execute(_CLIMB, (digest.raw, LIMIT))
            self._climbed = (digest, done.rowcount)
        return self._climbed[1]

    def _commit(
        self, row: _Row, anchors: dict[tuple[int, bytes], list[TracedAnchor]]
    ) -> TracedCommit:
        return TracedCommit(
            commit=row.commit,
            subject=row.subject or "",
            time=row.time,
            root=Digest(row.root),
            anchor=_best(anchors.get((row.number, row.root), ())),
            is_head=row.commit == self._head,
        )

    def _behind(self, artifact: str, row: _Row) -> Behind:
        query = (
            "SELECT l.path, l.kind, l.root FROM binds b JOIN leaves l ON l.id = b.leaf"
            " WHERE b.record = ? AND l.path != ? ORDER BY l.path"
        )
        found = self._db.execute(query, (row.record, artifact))
        artifacts = tuple(BehindArtifact(path, kind, Digest(root)) for path, kind, root in found)
        return Behind(artifact, row.commit, artifacts, ())

    def _run_anchor(self, run: int) -> TracedAnchor | None:
        query = "SELECT digest FROM run_digests WHERE run = ? AND role = 'stage'"
        roots = {row[0] for row in self._db.execute(query, (run,))}
        return _best(one for some in self._anchors("root", roots).values() for one in some)

    def _anchors(
        self, column: str, values: Iterable[int | bytes]
    ) -> dict[tuple[int, bytes], list[TracedAnchor]]:
        """The anchors of commits or of roots, by commit and root."""
        found: dict[tuple[int, bytes], list[TracedAnchor]] = {}
        for some in _chunks(list(values)):
            marks = ",".join("?" * len(some))
            query = (
                "SELECT DISTINCT a.commit_id, a.root, a.network, a.status, a.size, a.time"  # noqa: S608
                " FROM places p JOIN anchors a ON a.note = p.note AND a.commit_id = p.commit_id"
                f" WHERE {'p' if column == 'commit_id' else 'a'}.{column} IN ({marks})"
            )
            for commit, root, *rest in self._db.execute(query, some):
                found.setdefault((commit, root), []).append(TracedAnchor(*rest))
        return found


def with_runs(behind: Iterable[Behind], runs: Sequence[TracedRun]) -> list[Behind]:
    """Returns what is behind models, with the runs that made them."""
    made = tuple(run.id for run in runs if any(role.role in PRODUCED for role in run.roles))
    return [Behind(one.artifact, one.commit, one.artifacts, made) for one in behind]


def _kind(row: _Row) -> str:
    if row.kind in ("weights", "record", "statement"):
        return row.kind
    is_folder = row.kind == "d" or (not row.inside and row.entry == "dir")
    return "folder" if is_folder else "file"


def _joined(roles: tuple[Role, ...], role: Role) -> tuple[Role, ...]:
    return roles if role in roles else (*roles, role)


def _best(anchors: Iterable[TracedAnchor]) -> TracedAnchor | None:
    """The earliest anchor: of those that prove a time, the most advanced, then the oldest."""
    return min((one for one in anchors if one.status in _STATUS), key=_rank, default=None)


def _rank(anchor: TracedAnchor) -> tuple[int, int, int, int, str]:
    proof = 0 if anchor.network in _DATED else 2 if anchor.network == "tlog" else 1
    time = _NO_TIME if anchor.time is None else anchor.time
    return proof, _STATUS[anchor.status], time, anchor.size, anchor.network


def _chunks(values: Sequence[int | bytes]) -> Iterator[Sequence[int | bytes]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
