"""The logs that are here, as evidence: opened once, and their heads remembered afterwards."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gitprov.core.digest import Digest, Sha256Digest
from gitprov.core.merkle import LOG
from gitprov.errors import MalformedError, UnavailableError
from gitprov.git.consistency import signed_head
from gitprov.git.heads import Head as SeenHead
from gitprov.git.heads import Heads, note_heads, read_heads
from gitprov.git.log import LogKey, LogReader, known_logs, read_log_key
from gitprov.model.note import AnchorLine, NoteLine
from gitprov.model.report import Report, Verdict
from gitprov.model.signed_note import read_unverified
from gitprov.verify.evidence import Head, LogEvidence
from gitprov.workspace import Workspace

_NOTHING = Sha256Digest(LOG.empty())

HERE = "."
"""The place under which this repository's own logs are remembered in heads.json."""


@dataclass(frozen=True, slots=True)
class OpenLog:
    """A log that is here, opened; `reader` is None when it cannot be read."""

    place: str
    reader: LogReader | None
    key_id: str
    problem: str
    seen: SeenHead | None


def open_logs(ws: Workspace) -> Iterator[OpenLog]:
    """Opens every log once, under however many names it is here.

    Who may push can copy a log to any number of refs. Of the copies that lie under the name of
    another key, which was never seen here, the first is reported; the others say nothing more.
    """
    heads = read_heads(ws.repo)
    opened: dict[str, LogReader | MalformedError | UnavailableError] = {}
    copied: set[tuple[str, str]] = set()
    for ref in known_logs(ws.repo):
        place = ref.remote or HERE
        seen = _seen(heads, ref.remote, ref.key_id)
        if ref.commit not in opened:
            opened[ref.commit] = _open(ws, ref.ref, ref.commit)
        reader = opened[ref.commit]
        if seen is None and isinstance(reader, LogReader) and not _is_own(reader, ref.key_id):
            if (place, ref.commit) in copied:
                continue
            copied.add((place, ref.commit))
        if isinstance(reader, LogReader):
            yield OpenLog(place, reader, ref.key_id, "", seen)
        else:
            yield OpenLog(place, None, ref.key_id, str(reader), seen)


def _open(ws: Workspace, ref: str, commit: str) -> LogReader | MalformedError | UnavailableError:
    try:
        reader = LogReader(ws.objects, ref, commit)
        reader.root()
    except (MalformedError, UnavailableError) as exc:
        return exc
    return reader


def _is_own(reader: LogReader, key_id: str) -> bool:
    """Whether a log holds the key of that id."""
    try:
        return LogKey.parse(reader.vkey() or "").key_id == key_id
    except (MalformedError, UnavailableError):
        return False


def _seen(heads: Heads, remote: str | None, key_id: str) -> SeenHead | None:
    """The newest head seen: of a remote's copy there, of our own log anywhere.

    A remote may lag behind another; our own log may lag behind nobody.
    """
    places = [remote] if remote else list(heads)
    found = [heads[place][key_id] for place in places if key_id in heads.get(place, {})]
    return max(found, default=None, key=lambda head: head.size)


def log_evidence(log: OpenLog, root: Digest | None, lines: Iterable[NoteLine]) -> LogEvidence:
    """Returns what a log says of a root, with the proofs that the lines of a note need."""
    seen = Head(log.seen.size, log.seen.root) if log.seen else None
    reader = log.reader
    if reader is None:
        return LogEvidence(log.key_id, 0, _NOTHING, seen=seen, problem=log.problem)
    try:
        index = None if root is None else reader.find(root)
        checkpoint = reader.signed_note()
        sizes = {line.size for line in lines if isinstance(line, AnchorLine)}
        if seen is not None:
            sizes.add(seen.size)
        sizes.update(_signed_size(checkpoint))
        return LogEvidence(
            key_id=log.key_id,
            size=reader.size,
            root=reader.root(),
            vkey=reader.vkey(),
            index=index,
            path=() if index is None else tuple(reader.inclusion(index)),
            checkpoint=checkpoint,
            seen=seen,
            consistency={
                size: tuple(reader.consistency(size)) for size in sizes if size <= reader.size
            },
        )
    except (MalformedError, UnavailableError) as exc:
        return LogEvidence(log.key_id, 0, _NOTHING, seen=seen, problem=str(exc))


def _signed_size(checkpoint: str | None) -> set[int]:
    if checkpoint is None:
        return set()
    try:
        return {read_unverified(checkpoint).size}
    except MalformedError:
        return set()  # the engine says so


def remember_heads(ws: Workspace, logs: Sequence[OpenLog], report: Report) -> None:
    """Keeps the heads of logs that no finding speaks against: later ones must extend them.

    Of this clone's own log that is all of it, of any other what its key has signed.
    """
    own = read_log_key(ws.repo)
    wrong = {
        finding.subject
        for commit in report.commits
        for finding in commit.findings
        if finding.check == "log" and finding.verdict is not Verdict.PASS
    }
    for log in logs:
        if log.reader is None or log.key_id in wrong or not log.reader.size:
            continue
        if log.place == HERE and own is not None and own.key_id == log.key_id:
            head: SeenHead | None = SeenHead(log.reader.size, log.reader.root())
        else:
            head = signed_head(log.reader, log.key_id)
        if head is not None:
            note_heads(ws.repo, log.place, {log.key_id: head})
