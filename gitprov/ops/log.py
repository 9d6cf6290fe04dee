"""`gitprov log`: commits with their records, artifacts and anchors; the logs that are here."""

from collections.abc import Sequence
from dataclasses import dataclass

from gitprov.core.digest import Digest, Sha256Digest
from gitprov.git.log import LogReader, known_logs, read_log_key
from gitprov.git.notes import Notes
from gitprov.model.note import AnchorLine, MalformedLine, RecordLine, UnknownLine
from gitprov.model.record import ArtifactLeaf
from gitprov.workspace import Workspace


@dataclass(frozen=True, slots=True)
class LoggedAnchor:
    """One anchor line, unverified."""

    network: str
    status: str
    index: int
    size: int


@dataclass(frozen=True, slots=True)
class LoggedCommit:
    """What the notes say of a commit, unverified; `gitprov verify` judges.

    Attributes:
        commit: its id.
        subject: the first line of its message.
        root: the record root, None when nothing is recorded.
        artifacts: the artifacts of the record.
        anchors: its anchor lines, the newest size first.
        unreadable: lines of the note that this version cannot read.
    """

    commit: str
    subject: str
    root: Digest | None
    artifacts: tuple[ArtifactLeaf, ...]
    anchors: tuple[LoggedAnchor, ...]
    unreadable: int


@dataclass(frozen=True, slots=True)
class KnownLog:
    """A log that is here: this clone's own, or one that a remote has sent."""

    key_id: str
    vkey: str | None
    size: int
    root: Sha256Digest
    remote: str | None
    own: bool


def log_commits(ws: Workspace, revs: Sequence[str], *, limit: int | None) -> list[LoggedCommit]:
    """Returns commits, newest first."""
    commits = ws.repo.rev_list(*(revs or ["HEAD"]), limit=limit)
    lines = Notes(ws.repo).lines_many(commits)
    logged: list[LoggedCommit] = []
    for commit in commits:
        found = ws.objects.commit(commit)
        records = [ln for ln in lines[commit] if isinstance(ln, RecordLine) and ln.commit == commit]
        anchors = [ln for ln in lines[commit] if isinstance(ln, AnchorLine) and ln.commit == commit]
        anchors.sort(key=lambda line: (-line.size, line.network))
        logged.append(
            LoggedCommit(
                commit=commit,
                subject=found.subject if found else "",
                root=records[0].root if records else None,
                artifacts=records[0].record.artifacts if records else (),
                anchors=tuple(
                    LoggedAnchor(ln.network, ln.status, ln.index, ln.size) for ln in anchors
                ),
                unreadable=sum(isinstance(ln, MalformedLine | UnknownLine) for ln in lines[commit]),
            )
        )
    return logged


def list_logs(ws: Workspace) -> list[KnownLog]:
    """Returns every log that is here, this clone's own first, even when it has no record yet."""
    own = read_log_key(ws.repo)
    logs: list[KnownLog] = []
    refs = known_logs(ws.repo)
    if own is not None and all(ref.ref != own.ref for ref in refs):
        empty = LogReader.open(ws.repo, own.ref)
        logs.append(KnownLog(own.key_id, own.vkey, empty.size, empty.root(), None, own=True))
    for ref in refs:
        log = LogReader.open(ws.repo, ref.ref)
        logs.append(
            KnownLog(
                key_id=ref.key_id,
                vkey=log.vkey(),
                size=log.size,
                root=log.root(),
                remote=ref.remote,
                own=ref.remote is None and own is not None and own.key_id == ref.key_id,
            )
        )
    return sorted(logs, key=lambda log: not log.own)
