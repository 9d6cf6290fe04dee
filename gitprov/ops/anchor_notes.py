"""Tells the notes what became of anchorings: one line for every commit that a head covers."""

import re
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from gitprov.anchors.outbox import Event, Job, Outbox
from gitprov.core.digest import Digest
from gitprov.errors import MalformedError
from gitprov.git.log import LOCAL_PREFIX, LogReader
from gitprov.git.notes import NOTES_REF, Notes
from gitprov.git.writer import write
from gitprov.model.note import (
    AnchorLine,
    NoteLine,
    RecordLine,
    StatementAnchorLine,
    Status,
    parse_note,
)
from gitprov.workspace import Workspace

_ROOT = re.compile(rb'"root":"(blake3:[0-9a-f]{64})","type":"(record|statement)"\}$', re.MULTILINE)
_BATCH = 2000
"""Commits whose notes are written at once."""

Kind = Literal["record", "statement"]


class Rooted(NamedTuple):
    """A root that a line of a commit's note says is in the log."""

    commit: str
    root: Digest
    kind: Kind


class Covered(NamedTuple):
    """Such a root, and its entry in the log."""

    rooted: Rooted
    entry: int


def tell_notes(ws: Workspace) -> dict[str, int]:
    """Writes what the notes do not tell yet; safe to repeat, and to be killed in between.

    Returns:
        How many commits were told of each network.
    """
    if not Outbox.exists(ws.repo.data_dir):
        return {}
    outbox = Outbox(ws.repo.data_dir)
    try:
        events = outbox.untold()
        told: dict[str, int] = {}
        if events:
            # What remotes sent counts too: a commit recorded elsewhere may be in this log.
            commits = _Commits(ws)
            for event in events:
                number = _tell(ws, event, commits.of(event.job, outbox.first_of(event.job)))
                told[event.job.network] = told.get(event.job.network, 0) + number
                outbox.told([event])
        return told
    finally:
        outbox.close()


class _Commits:
    """The commits of each log's entries, read from the notes once."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._known: dict[Digest, list[Rooted]] | None = None
        self._logs: dict[str, LogReader] = {}

    def of(self, job: Job, first: int) -> tuple[LogReader, list[Covered]]:
        log = self._logs.get(job.log)
        if log is None:
            log = self._logs[job.log] = LogReader.open(self._ws.repo, LOCAL_PREFIX + job.log)
        if log.size < job.size or log.root(job.size) != job.digest:
            raise MalformedError(
                f"the log {job.log} does not have the head of size {job.size} that the outbox holds"
            )
        known = self._recorded()
        covered = [
            Covered(rooted, index)
            for index, root in enumerate(log.entries()[first : job.size], first)
            for rooted in known.get(root, ())
        ]
        return log, covered

    def _recorded(self) -> dict[Digest, list[Rooted]]:
        if self._known is None:
            self._known = {}
            for rooted in roots_in_notes(self._ws):
                self._known.setdefault(rooted.root, []).append(rooted)
        return self._known


def roots_in_notes(ws: Workspace) -> Iterator[Rooted]:
    """Gives the roots that record and statement lines of the local notes say."""
    tip = ws.repo.ref(NOTES_REF)
    notes = Notes(ws.repo, refs={NOTES_REF: tip} if tip else {})
    for commit, text in notes.texts(notes.commits()):
        # Nearly every line is an anchor's, long and of no interest here.
        for found in _ROOT.finditer(text or b""):
            kind: Kind = "record" if found[2] == b"record" else "statement"
            yield Rooted(commit, Digest.parse(found[1].decode()), kind)


def anchor_line(kind: Kind, line: AnchorLine) -> AnchorLine | StatementAnchorLine:
    """Returns the line in the form that its root's kind wants."""
    return line if kind == "record" else StatementAnchorLine(line)


def records_of(ws: Workspace, commits: Iterable[str]) -> Iterator[RecordLine]:
    """Gives the record lines of commits."""
    tip = ws.repo.ref(NOTES_REF)
    notes = Notes(ws.repo, refs={NOTES_REF: tip} if tip else {})
    for commit, text in notes.texts(commits):
        for line in parse_note(text or b""):
            if isinstance(line, RecordLine) and line.commit == commit:
                yield line


def _tell(ws: Workspace, event: Event, found: tuple[LogReader, list[Covered]]) -> int:
    log, covered = found
    job = event.job
    status: Status = event.state if event.state != "failed" else "pending"
    for start in range(0, len(covered), _BATCH):
        lines: dict[str, list[NoteLine]] = {}
        for rooted, index in covered[start : start + _BATCH]:
            line = AnchorLine(
                commit=rooted.commit,
                digest=job.digest,
                index=index,
                network=job.network,
                path=tuple(log.inclusion(index, job.size)),
                receipt=event.receipt,
                root=rooted.root,
                size=job.size,
                status=status,
            )
            lines.setdefault(rooted.commit, []).append(anchor_line(rooted.kind, line))
        write(ws.repo, notes=lines, waiting=ws.waiting)
    return len(covered)
