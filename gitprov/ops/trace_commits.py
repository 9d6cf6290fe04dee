"""Reads recorded commits, and the runs in them, into the index of `gitprov trace`."""

import graphlib
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from gitprov.core.canonical import Json, dumps
from gitprov.core.digest import Digest
from gitprov.errors import GitprovError, MalformedError
from gitprov.git.objects import GitObject, TreeEntry, parse_commit
from gitprov.model.record import check_commit_id
from gitprov.model.run import FOLDER, MAX_RUN_BYTES, SUFFIX, Leaf, Run, parse_run
from gitprov.ops.evidence_runs import MAX_RUNS
from gitprov.ops.trace_notes import transaction
from gitprov.workspace import Workspace

_BATCH = 500
_MAX_TREE_BYTES = 1 << 24
_MAX_COMMIT_BYTES = 1 << 20
_MAX_FACTS_BYTES = 64 << 10
_MAX_NAME = 200
_LATEST = 1 << 40
_COMMITTER = re.compile(rb"^committer [^\n]*> (\d{1,13}) [-+]\d{4}$", re.MULTILINE)

_READ, _MISSING = 1, 2


class _Commit(NamedTuple):
    oid: str
    time: int
    subject: str
    parents: tuple[str, ...]


class _Known(NamedTuple):
    """A run's file that was read: its row, the run's id, and when a commit first had it."""

    row: int
    run: str
    first: tuple[int, int] | None


def read_commits(ws: Workspace, db: sqlite3.Connection, *, again: bool) -> int:
    """Reads the recorded commits that are new, and the runs that they brought.

    Args:
        ws: the workspace.
        db: the index.
        again: whether to ask again for commits that this clone lacked.

    Returns:
        How many files of runs were read.
    """
    query = (
        "SELECT id, oid FROM commits c WHERE state IN (0, ?)"
        " AND EXISTS (SELECT 1 FROM places WHERE commit_id = c.id)"
    )
    numbers = {oid: number for number, oid in db.execute(query, (_MISSING if again else 0,))}
    if not numbers:
        return 0
    commits = _in_order(ws, numbers)
    lacking = [(numbers[oid],) for oid in numbers.keys() - {commit.oid for commit in commits}]
    with transaction(db):
        db.executemany(f"UPDATE commits SET state = {_MISSING} WHERE id = ?", lacking)  # noqa: S608
    read = 0
    for start in range(0, len(commits), _BATCH):
        with transaction(db):
            reader = _RunReader(ws, db)
            for commit in commits[start : start + _BATCH]:
                read += _read_commit(ws, db, reader, numbers[commit.oid], commit)
    return read


def _in_order(ws: Workspace, oids: Iterable[str]) -> list[_Commit]:
    """The commits that are here, by their dates; where these are the same, parents first."""
    found: dict[str, _Commit] = {}
    for oid, item in ws.objects.get_many(oids, limit=_MAX_COMMIT_BYTES, skip_larger=True):
        if item is not None and item.type == "commit":
            found[oid] = _parsed(oid, item)
    # git's ids let no commit be its own ancestor, so there is an order.
    graph = {oid: [p for p in commit.parents if p in found] for oid, commit in found.items()}
    order = graphlib.TopologicalSorter(graph).static_order()
    return sorted((found[oid] for oid in order), key=lambda commit: commit.time)


def _parsed(oid: str, item: GitObject) -> _Commit:
    date = _COMMITTER.search(item.data.partition(b"\n\n")[0])
    time = min(int(date[1]), _LATEST) if date else 0
    try:
        commit = parse_commit(item.data)
    except MalformedError:
        return _Commit(oid, time, "", ())
    return _Commit(oid, time, commit.subject[:_MAX_NAME], commit.parents)


def _read_commit(
    ws: Workspace, db: sqlite3.Connection, reader: "_RunReader", number: int, commit: _Commit
) -> int:
    seq = db.execute("SELECT COALESCE(MAX(seq), 0) + 1 FROM commits").fetchone()[0]
    read, whole = reader.read(f"{commit.oid}:{FOLDER}", number, (commit.time, seq))
    db.execute(
        "UPDATE commits SET state = ?, time = ?, seq = ?, subject = ? WHERE id = ?",
        (_READ if whole else _MISSING, commit.time, seq, commit.subject, number),
    )
    return read


class _RunReader:
    """Reads folders of runs and runs; each folder and each file once, whoever has them."""

    def __init__(self, ws: Workspace, db: sqlite3.Connection) -> None:
        self._ws = ws
        self._db = db
        self._known: dict[str, _Known] = {}
        query = (
            "SELECT r.oid, r.id, run, time, seq FROM runs r LEFT JOIN commits c ON c.id = commit_id"
        )
        for oid, row, run, time, seq in db.execute(query):
            self._known[oid] = _Known(row, run, None if time is None else (time, seq))

    def read(self, spec: str, commit: int, when: tuple[int, int]) -> tuple[int, bool]:
        """Reads the runs in a commit's folder.

        Returns:
            How many files were read, and whether this clone has all of them.
        """
        header = self._ws.objects.header(spec)
        if header is None or header.type != "tree" or header.size > _MAX_TREE_BYTES:
            return 0, True
        seen = self._db.execute("SELECT 1 FROM run_trees WHERE oid = ?", (header.oid,)).fetchone()
        if seen is not None and not self._is_earlier(when):
            return 0, True
        entries = _runs_in(self._ws.objects.tree(header.oid))
        new = [oid for oid in dict.fromkeys(oid for oid, _ in entries) if oid not in self._known]
        whole = True
        objects = self._ws.objects
        for oid, found in objects.get_many(new, limit=MAX_RUN_BYTES, skip_larger=True):
            if found is None:
                whole = False  # too large, or not here; asked again when more of git is
            else:
                self._keep(oid, found)
        for oid, name in entries:
            self._sight(oid, name, commit, when)
        if whole:
            self._db.execute("INSERT OR IGNORE INTO run_trees VALUES (?)", (header.oid,))
        return len(new), whole

    def _is_earlier(self, when: tuple[int, int]) -> bool:
        """Whether a commit is from before some that were read: then its runs are older, too."""
        latest = max((one.first for one in self._known.values() if one.first), default=(0, 0))
        return when < latest

    def _sight(self, oid: str, name: str, commit: int, when: tuple[int, int]) -> None:
        known = self._known.get(oid)
        if known is None or known.run != name or (known.first and known.first <= when):
            return
        self._known[oid] = known._replace(first=when)
        self._db.execute("UPDATE runs SET commit_id = ? WHERE id = ?", (commit, known.row))

    def _keep(self, oid: str, found: GitObject) -> None:
        run = _parsed_run(found)
        values = (run.id, run.outcome, _base(run), _facts(run)) if run else ("", "", "", b"{}")
        query = "INSERT INTO runs (oid, run, outcome, base, facts) VALUES (?, ?, ?, ?, ?)"
        row = self._db.execute(query, (oid, *values)).lastrowid or 0
        self._known[oid] = _Known(row, values[0], None)
        if run is not None:
            rows = ((row, role, name, digest) for role, name, digest in _digests(run))
            self._db.executemany("INSERT INTO run_digests VALUES (?, ?, ?, ?)", rows)


def _parsed_run(found: GitObject) -> Run | None:
    if found.type != "blob":
        return None
    try:
        return parse_run(found.data)
    except GitprovError:
        return None


def _runs_in(entries: Iterable[TreeEntry]) -> list[tuple[str, str]]:
    """The files of runs with the ids that their names say; the newest names, if there are many."""
    ending = SUFFIX.encode()
    found = sorted((e for e in entries if e.name.endswith(ending) and not e.is_tree), key=_name)
    return [
        (entry.oid.hex(), entry.name.removesuffix(ending).decode("utf-8", "replace"))
        for entry in found[-MAX_RUNS:]
    ]


def _name(entry: TreeEntry) -> bytes:
    return entry.name


def _digests(run: Run) -> Iterator[tuple[str, str, bytes]]:
    """What a run names, each with its role and with what the run calls it."""
    for stage in run.stages:
        yield "stage", stage.name, stage.root.raw
    before = run.stage("before")
    for number, leaf in enumerate(run.leaves):
        kind = leaf["type"]
        if kind == "data":
            yield from _named("data", leaf.get("name"), leaf.get("root"))
        elif kind == "model":
            after = before is not None and number >= before.size
            role = "model after" if after else "model before"
            yield from _named(role, leaf.get("class"), leaf.get("weights"))
        elif kind == "epoch":
            epoch = leaf.get("epoch")
            yield from _named("epoch", epoch, leaf.get("weights"))
            yield from _named("checkpoint", epoch, leaf.get("checkpoint"))
        elif kind in ("input", "output"):
            artifact = leaf.get("artifact")
            if isinstance(artifact, dict):
                yield from _named(str(kind), artifact.get("path"), artifact.get("root"))
                yield from _named(str(kind), artifact.get("path"), artifact.get("weights"))


def _named(role: str, name: Json, digest: Json) -> Iterator[tuple[str, str, bytes]]:
    if not isinstance(digest, str):
        return
    try:
        raw = Digest.parse(digest).raw
    except MalformedError:
        return
    yield role, _text(name), raw


def _text(name: Json) -> str:
    return str(name)[:_MAX_NAME] if isinstance(name, str | int) else ""


def _base(run: Run) -> str:
    for leaf in run.of_type("run"):
        commit = leaf.get("commit")
        try:
            return check_commit_id(commit, what="a run") if isinstance(commit, str) else ""
        except MalformedError:
            return ""
    return ""


def _facts(run: Run) -> bytes:
    """What is shown of a run: its data and how it was configured, as far as that is short."""
    start: Leaf = next(iter(run.of_type("run")), {})
    config = [leaf.get("value") for leaf in run.of_type("config")]
    facts: dict[str, Json] = {
        "started": start.get("started"),
        "clean": start.get("clean"),
        "data": _short(run.of_type("data"), ("name", "form", "root", "count")),
        "config": config[-1] if config else None,
        "inputs": _artifacts(run.of_type("input")),
        "outputs": _artifacts(run.of_type("output")),
    }
    for key in ("config", "outputs", "inputs", "data", "started", "clean"):
        encoded = dumps(facts)
        if len(encoded) <= _MAX_FACTS_BYTES:
            return encoded
        facts[key] = None
        facts["left_out"] = True
    return dumps(facts)


def _artifacts(leaves: Sequence[Leaf]) -> list[Json]:
    found = [leaf["artifact"] for leaf in leaves if isinstance(leaf.get("artifact"), dict)]
    artifacts = [artifact for artifact in found if isinstance(artifact, dict)]
    return _short(artifacts, ("path", "kind", "root", "weights"))


def _short(leaves: Sequence[Leaf], keys: Sequence[str]) -> list[Json]:
    return [{key: leaf[key] for key in keys if key in leaf} for leaf in leaves]
