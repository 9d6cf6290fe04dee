"""`gitprov record`: binds a commit under one root, in its note and in the log."""

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gitprov.core.digest import Digest
from gitprov.errors import UnavailableError
from gitprov.git.log import LogKey, read_log_key
from gitprov.git.notes import NOTES_REF, Notes
from gitprov.git.objects import parse_commit
from gitprov.git.tree_digest import TreeDigests
from gitprov.git.writer import write
from gitprov.model.note import RecordLine
from gitprov.model.record import CodeLeaf, Record
from gitprov.workspace import Workspace

_BATCH = 1000
"""Commits that are written at once: an interrupted run keeps the batches before."""


class Recorded(NamedTuple):
    """A commit and its root; `new` says whether its note was written just now."""

    commit: str
    root: Digest
    artifacts: int
    new: bool


def compute_record(ws: Workspace, commit: str, digests: TreeDigests | None = None) -> Record:
    """Returns the record that a commit gives; nothing but the commit goes into it.

    Args:
        ws: the workspace.
        commit: the full id.
        digests: other roots of git's trees than the workspace's cached ones.

    Raises:
        MalformedError: a pointer in the commit is not well formed.
        UnavailableError: git lacks an object.
    """
    found = ws.objects.get(commit)
    if found is None or found.type != "commit":
        raise UnavailableError(f"git has no commit {commit}")
    tree = (digests or ws.digests).tree(bytes.fromhex(parse_commit(found.data).tree))
    code = CodeLeaf(
        object_format=ws.repo.object_format,
        commit=commit,
        commit_blake3=Digest.of(found.data),
        tree_blake3=Digest(tree.root),
    )
    return Record.of(code, tree.artifacts)


def record_commits(ws: Workspace, commits: Sequence[str]) -> list[Recorded]:
    """Records commits; one that has its record already keeps it. The order is that of the log.

    Raises:
        MalformedError: a pointer in a commit is not well formed; commits before it are recorded.
    """
    recorded: list[Recorded] = []
    for start in range(0, len(commits), _BATCH):
        recorded += _record_batch(ws, commits[start : start + _BATCH])
    return recorded


def _record_batch(ws: Workspace, commits: Sequence[str]) -> list[Recorded]:
    notes = _local_notes(ws)
    known = notes.lines_many(commits) if len(commits) > 1 else {commits[0]: notes.lines(commits[0])}
    recorded: list[Recorded] = []
    lines: dict[str, list[RecordLine]] = {}
    try:
        for commit in commits:
            record = compute_record(ws, commit)
            line = RecordLine(commit, record, record.root)
            new = line not in known[commit]
            if new:
                lines[commit] = [line]
            recorded.append(Recorded(commit, record.root, len(record.artifacts), new))
    finally:
        ws.digests.save()
        # An entry that is in the log already is not added again, so all roots may be named.
        write(
            ws.repo,
            notes=lines,
            roots=[item.root for item in recorded],
            key=log_key(ws),
            waiting=ws.waiting,
        )
    return recorded


def _local_notes(ws: Workspace) -> Notes:
    """The notes that a record is written beside; what remotes sent does not make one needless."""
    tip = ws.repo.ref(NOTES_REF)
    return Notes(ws.repo, refs={NOTES_REF: tip} if tip else {})


def log_key(ws: Workspace) -> LogKey:
    """Returns the key of this clone's log; it is made at its first use."""
    key = read_log_key(ws.repo)
    if key is None:
        from gitprov.git.keys import ensure_log_key  # the library for signatures costs 13 ms

        key = ensure_log_key(ws.repo, repository_name(ws), waiting=ws.waiting)
    return key


def repository_name(ws: Workspace) -> str:
    """Returns the configured name, else the name of the folder."""
    if ws.config.name:
        return ws.config.name
    top = ws.repo.worktree or ws.repo.common_dir
    return os.path.basename(top.rstrip("/")).removesuffix(".git") or "repository"


def without_record(ws: Workspace, commits: Iterable[str]) -> list[str]:
    """Returns those of the commits that have no record line of their own anywhere."""
    wanted = list(commits)
    known = Notes(ws.repo).lines_many(wanted)
    return [
        commit
        for commit in wanted
        if not any(isinstance(line, RecordLine) and line.commit == commit for line in known[commit])
    ]
