"""`gitprov trace`: every commit and run that binds a file, a folder or a model's weights.

It answers from an index in the repository's own folder, which is brought up to date first.
"""

import os
import sqlite3
from collections.abc import Sequence

from gitprov.errors import EnvironmentFault
from gitprov.ops.trace_index import NAME, opened, refresh
from gitprov.ops.trace_query import Query, with_runs
from gitprov.ops.trace_targets import Target, resolve
from gitprov.ops.traced import Asked, Behind, Binding, Role, Trace, TracedRun, Traces
from gitprov.workspace import Workspace
from gitprov.worktree.scan import Progress


def trace(ws: Workspace, words: Sequence[str], *, progress: Progress | None = None) -> Traces:
    """Returns all that notes, commits and store tell of things; nothing of it is verified.

    Args:
        ws: the workspace.
        words: paths, and digests (`blake3:<hex>`, or the beginning of one).
        progress: is told of data that is hashed.

    Raises:
        UsageError: a word is neither, may mean several digests, or is code that git tracks.
        MalformedError: nobody's git wrote the local notes, or a pointer is not well formed.
        UnavailableError: what would tell the digest of a path is not here.
        EnvironmentFault: something cannot be read or written.
    """
    try:
        return _trace(ws, words, progress, anew=False)
    except sqlite3.DatabaseError:
        pass  # a damaged index is made anew
    try:
        return _trace(ws, words, progress, anew=True)
    except sqlite3.DatabaseError as exc:
        path = os.path.join(ws.repo.data_dir, NAME)
        raise EnvironmentFault(f"cannot use the index {path}: {exc}") from exc


def _trace(ws: Workspace, words: Sequence[str], progress: Progress | None, *, anew: bool) -> Traces:
    with opened(ws, anew=anew) as db:
        looked = refresh(ws, db)
        query = Query(db, ws.repo.head())
        targets = [resolve(ws, query, word, progress=progress) for word in words]
        return Traces(tuple(_answer(query, target) for target in targets), looked)


def _answer(query: Query, target: Target) -> Trace:
    digests = list(dict.fromkeys(target.digests))
    known = {asked.digest for asked in digests}
    for asked in target.digests:
        for weights in query.weights_of(asked.digest):
            if weights not in known:
                known.add(weights)
                digests.append(Asked("weights", weights))
    bindings: list[Binding] = []
    behind: dict[str, Behind] = {}
    runs: dict[str, TracedRun] = {}
    left_out = False
    for asked in digests:
        some, below, is_cut = query.bindings(asked.digest)
        bindings += some
        left_out = left_out or is_cut
        for one in below:
            behind.setdefault(one.artifact, one)
        for run in query.runs(asked.digest):
            runs[run.id] = _merged(runs.get(run.id), run)
    found = [*runs.values()]
    return Trace(
        asked=target.word,
        digests=tuple(digests),
        bindings=tuple(sorted(bindings, key=_since)),
        runs=tuple(found),
        behind=tuple(with_runs(behind.values(), found)),
        left_out=left_out,
        remarks=target.remarks,
    )


def _since(binding: Binding) -> tuple[bool, int, str, str]:
    time = binding.commits[0].time
    return time is None, time or 0, binding.artifact, binding.inside


def _merged(known: TracedRun | None, run: TracedRun) -> TracedRun:
    """One run that names both the bytes and the weights is one run."""
    if known is None:
        return run
    roles: dict[Role, None] = dict.fromkeys((*known.roles, *run.roles))
    return TracedRun(
        id=run.id,
        outcome=run.outcome,
        roles=tuple(roles),
        commit=run.commit,
        recorded_in=known.recorded_in,
        anchor=run.anchor,
        facts=run.facts,
    )
