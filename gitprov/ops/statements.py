"""Statements: roots that are no record's, put into the log and witnessed like one."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gitprov.anchors.registry import Means
from gitprov.core.canonical import Json
from gitprov.core.digest import Digest
from gitprov.errors import GitprovError, UnavailableError
from gitprov.git.log import LogReader, read_log_key
from gitprov.git.notes import Notes
from gitprov.git.writer import write
from gitprov.model.note import StatementLine, parse_note
from gitprov.ops.anchor import NETWORK, anchor_log
from gitprov.ops.networks import NetworkState, Until, anchor_networks
from gitprov.ops.record import log_key
from gitprov.workspace import Workspace

_MARK = re.compile(rb'"type":"statement"\}$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Witnessed:
    """How one network stands with a statement.

    Attributes:
        network: its name.
        locator: what the network calls it; None while nothing was signed for it.
        state: `pending`, `included`, `final`, …; `waiting` while nothing was sent.
        detail: one sentence for people.
        problem: why it is not further; the work is kept.
    """

    network: str
    locator: str | None
    state: str
    detail: str
    problem: str = ""


def head_commit(ws: Workspace) -> str:
    """Returns the commit that is checked out.

    Raises:
        UnavailableError: there is none yet, so nothing could be bound to it.
    """
    commit = ws.repo.head()
    if commit is None:
        raise UnavailableError(
            "there is no commit yet that this could belong to",
            hint="commit the code first: git add . && git commit",
        )
    return commit


def state(
    ws: Workspace,
    commit: str,
    name: str,
    root: Digest,
    leaves: Sequence[dict[str, Json]] = (),
) -> int:
    """Puts a root into this clone's log and says so in the commit's note; safe to repeat.

    Returns:
        The root's entry in the log.
    """
    line = StatementLine(commit, name, root, tuple(leaves))
    written = write(
        ws.repo, notes={commit: [line]}, roots=[root], key=log_key(ws), waiting=ws.waiting
    )
    return written.indices[root]


def statements(ws: Workspace, commits: Iterable[str] | None = None) -> Iterator[StatementLine]:
    """Gives the statements in the notes of these commits, else of all; each once."""
    notes = Notes(ws.repo)
    seen: set[tuple[str, str, Digest]] = set()
    for _, text in notes.texts(notes.commits() if commits is None else commits):
        if text is None or not _MARK.search(text):
            continue
        for line in parse_note(text):
            if isinstance(line, StatementLine):
                key = (line.commit, line.name, line.root)
                if key not in seen:
                    seen.add(key)
                    yield line


def witness(
    ws: Workspace,
    means: Means,
    networks: Sequence[str],
    *,
    index: int,
    until: Until | None = None,
) -> list[Witnessed]:
    """Signs the log and has the networks witness its head, which covers the entry `index`.

    It does not raise for a network: what could not be sent stays in the outbox.
    """
    done = anchor_log(ws)
    entry = f"{done.origin}#{index}"
    head = f"entry {index:,} under the signed head of size {done.size:,}"
    found = [Witnessed(NETWORK, entry, "final", head)]
    try:
        states = anchor_networks(ws, means, networks, until=until) if networks else []
    except GitprovError as exc:
        states = []
        found += [Witnessed(name, None, "waiting", str(exc), str(exc)) for name in networks]
    return found + [_witnessed(one, index) for one in states]


def log_entry(ws: Workspace, root: Digest) -> tuple[str, int] | None:
    """Returns the name of this clone's log and where a root stands in it, or None."""
    key = read_log_key(ws.repo)
    if key is None:
        return None
    index = LogReader.open(ws.repo, key.ref).find(root)
    return None if index is None else (key.origin, index)


def _witnessed(one: NetworkState, index: int) -> Witnessed:
    problem = str(one.problem) if one.problem is not None else ""
    covering = [job for job in one.jobs if job.live and job.size > index]
    if not covering:
        return Witnessed(one.network, None, "waiting", problem or "nothing was sent yet", problem)
    job = min(covering, key=lambda job: (job.size, job.id))
    return Witnessed(one.network, job.locator, job.state, job.detail, problem)
