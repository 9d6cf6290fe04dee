"""The outbox: what is under way to networks, durable before anything is sent.

A job is one tree head on one chain. Its submissions are all transactions that were ever signed for
it; its events are what happened, until the notes tell it. The log says what still lacks a job, so
a job that was never made is never lost (docs/adr/0007).
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from sqlite3 import Connection, Row
from typing import Literal, cast

from gitprov.anchors.base import Progress, Receipt, State, Submission
from gitprov.core.canonical import dumps, loads
from gitprov.core.digest import Sha256Digest
from gitprov.platform.sqlite import open_database

NAME = "outbox.db"

JobState = Literal["signed", "abandoned"] | State
"""A job is `signed` until something was sent, `abandoned` when it failed and was made anew."""

_VERSION = 1
_SCHEMA = """
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY, network TEXT NOT NULL, target TEXT NOT NULL, log TEXT NOT NULL,
    size INTEGER NOT NULL, digest BLOB NOT NULL, state TEXT NOT NULL, locator TEXT NOT NULL,
    receipt BLOB NOT NULL, detail TEXT NOT NULL, created REAL NOT NULL, updated REAL NOT NULL);
CREATE UNIQUE INDEX one_live_job ON jobs (network, target, log, size, digest)
    WHERE state NOT IN ('failed', 'abandoned');
CREATE TABLE submissions (
    id INTEGER PRIMARY KEY, job INTEGER NOT NULL REFERENCES jobs (id), locator TEXT NOT NULL,
    raw BLOB NOT NULL, slot TEXT NOT NULL, receipt BLOB NOT NULL, created REAL NOT NULL);
CREATE TABLE events (
    id INTEGER PRIMARY KEY, job INTEGER NOT NULL REFERENCES jobs (id), state TEXT NOT NULL,
    receipt BLOB NOT NULL, noted INTEGER NOT NULL)
"""
_RECEIPT_LIMIT = 64 << 20


@dataclass(frozen=True, slots=True)
class Job:
    """One tree head on its way to one chain.

    Attributes:
        id: its number in this outbox.
        network: the network's name.
        target: the chain, as `Anchor.target` names it.
        log: the id of the log.
        size: the size of the head.
        digest: its root.
        state: how far it is.
        locator: the submission that counts.
        receipt: its newest receipt.
        detail: the last thing that was learned, for people.
        created: when it was made, in seconds since 1970.
        updated: when it changed last.
    """

    id: int
    network: str
    target: str
    log: str
    size: int
    digest: Sha256Digest
    state: JobState
    locator: str
    receipt: Receipt
    detail: str
    created: float
    updated: float

    @property
    def live(self) -> bool:
        """Whether it witnesses its head, or will."""
        return self.state not in {"failed", "abandoned"}

    @property
    def settled(self) -> bool:
        """Whether nothing more is to be done for it."""
        return self.state in {"final", "failed", "abandoned"}


@dataclass(frozen=True, slots=True)
class Event:
    """A state that the notes do not tell yet; `others` are older ones that it makes needless."""

    id: int
    job: Job
    state: State
    receipt: Receipt
    others: tuple[int, ...] = ()


class Outbox:
    """The database. Writers wait for each other; every method is one transaction."""

    def __init__(self, folder: str) -> None:
        """Opens the outbox in a folder, making it when it is not there."""
        self._db: Connection = open_database(
            os.path.join(folder, NAME), schema=_SCHEMA, version=_VERSION, durable=True
        )
        self._db.row_factory = Row

    @staticmethod
    def exists(folder: str) -> bool:
        """Whether anything was ever put into one."""
        return os.path.exists(os.path.join(folder, NAME))

    def close(self) -> None:
        """Closes the database."""
        self._db.close()

    def add(
        self,
        network: str,
        target: str,
        log: str,
        size: int,
        digest: Sha256Digest,
        submission: Submission,
        now: float,
    ) -> Job:
        """Makes a job with its first submission durable; one that is there stays as it is."""
        with self._transaction():
            known = self._db.execute(
                "SELECT * FROM jobs WHERE network = ? AND target = ? AND log = ? AND size = ?"
                " AND digest = ? AND state NOT IN ('failed', 'abandoned')",
                (network, target, log, size, digest.raw),
            ).fetchone()
            if known is not None:
                return _job(known)
            made = self._db.execute(
                "INSERT INTO jobs (network, target, log, size, digest, state, locator, receipt,"
                " detail, created, updated) VALUES (?, ?, ?, ?, ?, 'signed', ?, ?, '', ?, ?)",
                (
                    *(network, target, log, size, digest.raw),
                    *(submission.locator, dumps(submission.receipt), now, now),
                ),
            )
            job = cast("int", made.lastrowid)
            self._insert(job, submission, now)
            return self._get(job)

    def add_submission(self, job: Job, submission: Submission, now: float) -> None:
        """Makes another submission of a job durable: a replacement, or one for a lost slot."""
        with self._transaction():
            self._insert(job.id, submission, now)

    def advance(self, job: Job, progress: Progress, now: float) -> Job:
        """Keeps what was learned, and what the notes must tell."""
        receipt = dumps(progress.receipt)
        with self._transaction():
            self._db.execute(
                "UPDATE jobs SET state = ?, locator = ?, receipt = ?, detail = ?, updated = ?"
                " WHERE id = ?",
                (progress.state, progress.locator, receipt, progress.detail, now, job.id),
            )
            last = self._db.execute(
                "SELECT state, receipt FROM events WHERE job = ? ORDER BY id DESC LIMIT 1",
                (job.id,),
            ).fetchone()
            if progress.state == "failed":
                self._renote_after(job)
            elif last is None or (last["state"], last["receipt"]) != (progress.state, receipt):
                self._db.execute(
                    "INSERT INTO events (job, state, receipt, noted) VALUES (?, ?, ?, 0)",
                    (job.id, progress.state, receipt),
                )
            return self._get(job.id)

    def note_error(self, job: Job, detail: str, now: float) -> None:
        """Keeps why nothing was learned this time."""
        with self._transaction():
            self._db.execute(
                "UPDATE jobs SET detail = ?, updated = ? WHERE id = ?", (detail, now, job.id)
            )

    def abandon_failed(self, network: str) -> int:
        """Lets failed jobs be made anew, which may be paid anew; returns how many there were."""
        with self._transaction():
            done = self._db.execute(
                "UPDATE jobs SET state = 'abandoned' WHERE network = ? AND state = 'failed'",
                (network,),
            )
            return done.rowcount

    def jobs(self, network: str | None = None, target: str | None = None) -> list[Job]:
        """Returns the jobs, the oldest first."""
        rows = self._db.execute(
            "SELECT * FROM jobs WHERE (?1 IS NULL OR network = ?1) AND (?2 IS NULL OR target = ?2)"
            " ORDER BY id",
            (network, target),
        )
        return [_job(row) for row in rows]

    def submissions(self, job: Job) -> list[Submission]:
        """Returns all submissions of a job, the oldest first."""
        rows = self._db.execute("SELECT * FROM submissions WHERE job = ? ORDER BY id", (job.id,))
        return [_submission(row) for row in rows]

    def earlier(self, network: str, target: str) -> list[Submission]:
        """Returns the submissions on a target that are not known to be final, the oldest first.

        The newest final one is among them: what follows may spend its change.
        """
        rows = self._db.execute(
            "SELECT s.* FROM submissions s JOIN jobs j ON j.id = s.job"
            " WHERE j.network = ?1 AND j.target = ?2 AND (j.state != 'final' OR j.id ="
            " (SELECT MAX(id) FROM jobs WHERE network = ?1 AND target = ?2 AND state = 'final'))"
            " ORDER BY s.id",
            (network, target),
        )
        return [_submission(row) for row in rows]

    def untold(self) -> list[Event]:
        """Returns what the notes do not tell yet: each job's last state, and every `reorged`."""
        rows = self._db.execute(
            "SELECT * FROM events WHERE noted = 0 AND state != 'failed' ORDER BY job, id"
        ).fetchall()
        last: dict[int, int] = {row["job"]: row["id"] for row in rows}
        skipped: dict[int, list[int]] = {}
        events: list[Event] = []
        for row in rows:
            if row["state"] != "reorged" and row["id"] != last[row["job"]]:
                skipped.setdefault(row["job"], []).append(row["id"])
                continue
            job = self._get(row["job"])
            others = tuple(skipped.pop(row["job"], ()))
            events.append(Event(row["id"], job, row["state"], _receipt(row["receipt"]), others))
        return events

    def told(self, events: Sequence[Event]) -> None:
        """Marks events whose note lines are written."""
        ids = [(number,) for event in events for number in (event.id, *event.others)]
        with self._transaction():
            self._db.executemany("UPDATE events SET noted = 1 WHERE id = ?", ids)

    def first_of(self, job: Job) -> int:
        """Returns the first entry that a job's note lines are for: earlier ones have another's."""
        found = self._db.execute(
            "SELECT MAX(size) AS size FROM jobs WHERE network = ? AND target = ? AND log = ?"
            " AND size < ? AND state NOT IN ('failed', 'abandoned')",
            (job.network, job.target, job.log, job.size),
        ).fetchone()
        return int(found["size"] or 0)

    def _renote_after(self, job: Job) -> None:
        """When a job fails, the next one's head witnesses its commits: their notes must say so."""
        later = self._db.execute(
            "SELECT id FROM jobs WHERE network = ? AND target = ? AND log = ? AND size > ?"
            " AND state NOT IN ('failed', 'abandoned') ORDER BY size LIMIT 1",
            (job.network, job.target, job.log, job.size),
        ).fetchone()
        if later is not None:
            self._db.execute(
                "UPDATE events SET noted = 0 WHERE id = (SELECT MAX(id) FROM events WHERE job = ?)",
                (later["id"],),
            )

    def _insert(self, job: int, submission: Submission, now: float) -> None:
        self._db.execute(
            "INSERT INTO submissions (job, locator, raw, slot, receipt, created)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                *(job, submission.locator, submission.raw, submission.slot),
                *(dumps(submission.receipt), now),
            ),
        )

    def _get(self, number: int) -> Job:
        return _job(self._db.execute("SELECT * FROM jobs WHERE id = ?", (number,)).fetchone())

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _job(row: Row) -> Job:
    return Job(
        id=row["id"],
        network=row["network"],
        target=row["target"],
        log=row["log"],
        size=row["size"],
        digest=Sha256Digest(row["digest"]),
        state=row["state"],
        locator=row["locator"],
        receipt=_receipt(row["receipt"]),
        detail=row["detail"],
        created=row["created"],
        updated=row["updated"],
    )


def _submission(row: Row) -> Submission:
    return Submission(
        locator=row["locator"],
        raw=row["raw"],
        slot=row["slot"],
        receipt=_receipt(row["receipt"]),
        created=row["created"],
    )


def _receipt(raw: bytes) -> Receipt:
    value = loads(raw, what="a receipt in the outbox", limit=_RECEIPT_LIMIT)
    return cast("Receipt", value)
