"""Tells the notes what became of anchorings: one line for every commit that a head covers."""

import re
from collections.abc import Iterable, Iterator

from gitprov.anchors.outbox import Event, Job, Outbox
from gitprov.core.digest import Digest
from gitprov.errors import MalformedError
from gitprov.git.log import LOCAL_PREFIX, LogReader
from gitprov.git.notes import NOTES_REF, Notes
from gitprov.git.writer import write
from gitprov.model.note import AnchorLine, NoteLine, RecordLine, Status, parse_note
from gitprov.workspace import Workspace

_RECORD_ROOT = re.compile(rb'"root":"(blake3:[0-9a-f]{64})","type":"record"\}')
_BATCH = 2000
"""Commits whose notes are written at once."""

Covered = tuple[str, Digest, int]
"""A commit, its record root, and the entry in the log."""


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
        self._known: dict[Digest, list[str]] | None = None
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
            (commit, root, index)
            for index, root in enumerate(log.entries()[first : job.size], first)
            for commit in known.get(root, ())
        ]
        return log, covered

    def _recorded(self) -> dict[Digest, list[str]]:
        if self._known is None:
            self._known = {}
            for commit, root in record_lines(self._ws):
                self._known.setdefault(root, []).append(commit)
        return self._known


def record_lines(ws: Workspace) -> Iterator[tuple[str, Digest]]:
    """Gives the commits of the local notes with the root that each one's record line says."""
    tip = ws.repo.ref(NOTES_REF)
    notes = Notes(ws.repo, refs={NOTES_REF: tip} if tip else {})
    for commit, text in notes.texts(notes.commits()):
        # Nearly every line is an anchor's, long and of no interest here.
        for found in _RECORD_ROOT.finditer(text or b""):
            yield commit, Digest.parse(found[1].decode())


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
        for commit, root, index in covered[start : start + _BATCH]:
            line = AnchorLine(
                commit=commit,
                digest=job.digest,
                index=index,
                network=job.network,
                path=tuple(log.inclusion(index, job.size)),
                receipt=event.receipt,
                root=root,
                size=job.size,
                status=status,
            )
            lines.setdefault(commit, []).append(line)
        write(ws.repo, notes=lines, waiting=ws.waiting)
    return len(covered)
