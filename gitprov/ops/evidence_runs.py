"""What is known of runs: their files in a commit or in the worktree, notes, logs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from gitprov.core.digest import Digest
from gitprov.errors import GitprovError, MalformedError
from gitprov.git.log import read_log_key
from gitprov.git.notes import Notes
from gitprov.git.objects import parse_tree
from gitprov.model.note import AnchorLine, NoteLine, StatementAnchorLine, StatementLine
from gitprov.model.record import check_commit_id
from gitprov.model.run import FOLDER, MAX_RUN_BYTES, SUFFIX, Run, parse_run
from gitprov.ops.evidence_logs import OpenLog, log_evidence
from gitprov.verify.evidence import Answer, CommitEvidence, RunEvidence, Stated
from gitprov.workspace import Workspace

MAX_RUNS = 10_000
"""Runs of one commit beyond this are not looked at; the newest names come first."""


class RunLooker:
    """Gathers the evidence of runs; a file that several commits have is read once."""

    def __init__(self, ws: Workspace, logs: Sequence[OpenLog]) -> None:
        """Takes the logs that are here."""
        self._ws = ws
        self._logs = logs
        self._notes = Notes(ws.repo)
        self._known: dict[str, RunEvidence] = {}
        self._trees: dict[str, tuple[RunEvidence, ...]] = {}
        own = read_log_key(ws.repo)
        self._vkeys = (own.vkey,) if own else ()

    def of_commit(self, commit: str) -> tuple[RunEvidence, ...]:
        """Returns the runs in a commit's tree."""
        try:
            found = self._ws.objects.get(f"{commit}:{FOLDER}", limit=1 << 24)
        except GitprovError:
            return ()
        if found is None or found.type != "tree":
            return ()
        if found.oid not in self._trees:
            self._trees[found.oid] = tuple(self._in_tree(found.data))
        return self._trees[found.oid]

    def look(self, path: str, run: Run | str) -> RunEvidence:
        """Returns what is known of one run."""
        if isinstance(run, str):
            return RunEvidence(path, run)
        commit = _base(run)
        lines = self._lines(commit)
        named = tuple(
            line
            for line in lines
            if isinstance(line, StatementLine) and line.name.startswith(f"run/{run.id}/")
        )
        anchors = [line.anchor for line in lines if isinstance(line, StatementAnchorLine)]
        stages = tuple(
            (stage.name, self._stated(commit, run.id, stage.root, anchors)) for stage in run.stages
        )
        return RunEvidence(path, run, named, bool(self._notes.refs), stages, commit)

    def of_root(self, commit: str, name: str, root: Digest) -> CommitEvidence:
        """Returns what logs and networks say of a statement's root."""
        lines = self._lines(commit)
        anchors = [line.anchor for line in lines if isinstance(line, StatementAnchorLine)]
        return self._stated(commit, name, root, anchors)

    def _stated(
        self, commit: str, name: str, root: Digest, anchors: Sequence[AnchorLine]
    ) -> CommitEvidence:
        own: tuple[NoteLine, ...] = tuple(one for one in anchors if one.root == root)
        return CommitEvidence(
            commit=commit,
            subject=name,
            recomputed=Stated(root),
            lines=own,
            logs=tuple(log_evidence(log, root, own) for log in self._logs),
            vkeys=self._vkeys,
        )

    def _in_tree(self, data: bytes) -> Iterator[RunEvidence]:
        entries = [
            entry
            for entry in parse_tree(data, self._ws.repo.hash_len)
            if entry.name.endswith(SUFFIX.encode()) and not entry.is_tree
        ]
        for entry in sorted(entries, key=lambda one: one.name, reverse=True)[:MAX_RUNS]:
            oid = entry.oid.hex()
            path = f"{FOLDER}/{entry.name.decode('utf-8', 'replace')}"
            if oid not in self._known:
                self._known[oid] = self.look(path, self._parse(oid, path))
            yield self._known[oid]

    def _parse(self, oid: str, path: str) -> Run | str:
        try:
            run = parse_run(self._ws.objects.need(oid, "blob", limit=MAX_RUN_BYTES), what=path)
        except GitprovError as exc:
            return str(exc)
        return run if path == f"{FOLDER}/{run.id}{SUFFIX}" else f"{path} holds the run {run.id}"

    def _lines(self, commit: str) -> tuple[NoteLine, ...]:
        return self._notes.lines(commit) if commit else ()


def stages_of(runs: Iterable[RunEvidence]) -> list[CommitEvidence]:
    """Returns the evidence of all stages, whose receipts networks are asked about."""
    return [evidence for run in runs for _, evidence in run.stages]


def with_answers(run: RunEvidence, answers: Mapping[str, Answer], now: int) -> RunEvidence:
    """Returns the evidence of a run with what the networks said."""
    stages = tuple(
        (name, replace(evidence, answers=answers, now=now)) for name, evidence in run.stages
    )
    return replace(run, stages=stages)


def _base(run: Run) -> str:
    """The commit that a run says it was started from, "" when it says none."""
    for leaf in run.of_type("run"):
        commit = leaf.get("commit")
        try:
            return check_commit_id(commit, what="a run") if isinstance(commit, str) else ""
        except MalformedError:
            return ""
    return ""
