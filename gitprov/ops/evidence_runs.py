"""What is known of runs: their files in a commit or in the worktree, notes, logs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gitprov.core.digest import Digest
from gitprov.errors import GitprovError
from gitprov.git.log import read_log_key
from gitprov.git.notes import Notes
from gitprov.git.objects import TreeEntry, parse_tree
from gitprov.model.note import AnchorLine, NoteLine, StatementAnchorLine, StatementLine
from gitprov.model.run import FOLDER, MAX_RUN_BYTES, SUFFIX, Run, parse_run
from gitprov.ops.evidence_logs import OpenLog, log_evidence
from gitprov.verify.evidence import Answer, CommitEvidence, RunEvidence, Stated
from gitprov.workspace import Workspace

MAX_RUNS = 10_000
"""Runs of one commit beyond this are not looked at; the newest names come first."""


_MAX_TREE_BYTES = 1 << 24
_FILES = {0o100644, 0o100755}


@dataclass
class _Note:
    """What a note says of statements: by run, and by root."""

    statements: dict[str, list[StatementLine]] = field(default_factory=dict)
    anchors: dict[Digest, list[AnchorLine]] = field(default_factory=dict)


class RunLooker:
    """Gathers the evidence of runs; a file that several commits have is read once."""

    def __init__(self, ws: Workspace, logs: Sequence[OpenLog]) -> None:
        """Takes the logs that are here; `notes_read` counts the notes that were parsed."""
        self._ws = ws
        self._logs = logs
        self._notes = Notes(ws.repo)
        self._known: dict[tuple[str, str], RunEvidence] = {}
        self._trees: dict[str, tuple[tuple[RunEvidence, ...], str]] = {}
        self._parsed: dict[str, _Note] = {}
        self.notes_read = 0
        own = read_log_key(ws.repo)
        self._vkeys = (own.vkey,) if own else ()

    def of_commit(self, commit: str) -> tuple[tuple[RunEvidence, ...], str]:
        """Returns the runs in a commit's tree, and why these are not all, or ""."""
        try:
            entry = self._ws.objects.header(f"{commit}:{FOLDER}")
            if entry is None:
                return (), ""
            if entry.oid not in self._trees:
                self._trees[entry.oid] = self._look_into(entry.oid, entry.type)
        except GitprovError as exc:
            return (), f"the folder {FOLDER} of the commit cannot be read: {exc}"
        return self._trees[entry.oid]

    def _look_into(self, oid: str, kind: str) -> tuple[tuple[RunEvidence, ...], str]:
        if kind != "tree":
            return (), f"{FOLDER} is no folder in this commit, so no run was looked at"
        entries = [
            entry
            for entry in parse_tree(
                self._ws.objects.need(oid, "tree", limit=_MAX_TREE_BYTES), self._ws.repo.hash_len
            )
            if entry.name.endswith(SUFFIX.encode())
        ]
        entries.sort(key=lambda one: one.name, reverse=True)
        runs = tuple(self._of_entry(entry) for entry in entries[:MAX_RUNS])
        left = len(entries) - len(runs)
        return runs, f"{left:,} more runs were not looked at" if left else ""

    def _of_entry(self, entry: TreeEntry) -> RunEvidence:
        path = f"{FOLDER}/{entry.name.decode('utf-8', 'replace')}"
        oid = entry.oid.hex()
        key = path, oid
        if key not in self._known:
            plain = not entry.is_tree and entry.mode in _FILES
            run = self._parse(oid, path) if plain else f"{path} is no file"
            self._known[key] = self.look(path, run)
        return self._known[key]

    def look(self, path: str, run: Run | str) -> RunEvidence:
        """Returns what is known of one run."""
        if isinstance(run, str):
            return RunEvidence(path, run)
        commit = run.commit or ""
        try:
            note = self._note(commit)
        except GitprovError as exc:
            return RunEvidence(path, f"the note of {commit[:12]} cannot be read: {exc}")
        stages = tuple(
            (stage.name, self._stated(commit, run.id, stage.root)) for stage in run.stages
        )
        named = tuple(note.statements.get(run.id, ()))
        return RunEvidence(path, run, named, bool(self._notes.refs), stages, commit)

    def of_root(self, commit: str, name: str, root: Digest) -> CommitEvidence:
        """Returns what logs and networks say of a statement's root."""
        return self._stated(commit, name, root)

    def _stated(self, commit: str, name: str, root: Digest) -> CommitEvidence:
        own: tuple[NoteLine, ...] = tuple(self._note(commit).anchors.get(root, ()))
        return CommitEvidence(
            commit=commit,
            subject=name,
            recomputed=Stated(root),
            lines=own,
            logs=tuple(log_evidence(log, root, own) for log in self._logs),
            vkeys=self._vkeys,
        )

    def _note(self, commit: str) -> _Note:
        """A commit's statements and their anchors; a thousand runs may share one note."""
        if commit not in self._parsed:
            note = _Note()
            self.notes_read += 1
            for line in self._notes.lines(commit) if commit else ():
                if isinstance(line, StatementAnchorLine):
                    note.anchors.setdefault(line.anchor.root, []).append(line.anchor)
                elif isinstance(line, StatementLine) and line.commit == commit:
                    kind, _, rest = line.name.partition("/")
                    if kind == "run":
                        run_id = rest.partition("/")[0]
                        note.statements.setdefault(run_id, []).append(line)
            self._parsed[commit] = note
        return self._parsed[commit]

    def _parse(self, oid: str, path: str) -> Run | str:
        try:
            run = parse_run(self._ws.objects.need(oid, "blob", limit=MAX_RUN_BYTES), what=path)
        except GitprovError as exc:
            return str(exc)
        return run if path == f"{FOLDER}/{run.id}{SUFFIX}" else f"{path} holds the run {run.id}"


def stages_of(runs: Iterable[RunEvidence]) -> list[CommitEvidence]:
    """Returns the evidence of all stages, whose receipts networks are asked about."""
    return [evidence for run in runs for _, evidence in run.stages]


def with_answers(run: RunEvidence, answers: Mapping[str, Answer], now: int) -> RunEvidence:
    """Returns the evidence of a run with what the networks said."""
    stages = tuple(
        (name, replace(evidence, answers=answers, now=now)) for name, evidence in run.stages
    )
    return replace(run, stages=stages)
