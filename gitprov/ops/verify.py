"""`gitprov verify`: gathers the evidence of commits; the engine below judges it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gitprov.anchors.registry import Means
from gitprov.config import TRACKED_NAME, Config, load_yaml
from gitprov.config.anchors import AnchorsConfig
from gitprov.errors import MalformedError, UnavailableError
from gitprov.git.log import read_log_key
from gitprov.git.notes import Notes
from gitprov.git.tree_digest import TreeDigests
from gitprov.model.note import NoteLine
from gitprov.model.record import ArtifactLeaf, Record
from gitprov.model.report import Report
from gitprov.ops.evidence_artifacts import ArtifactLooker
from gitprov.ops.evidence_logs import OpenLog, log_evidence, open_logs, remember_heads
from gitprov.ops.evidence_runs import RunLooker, stages_of, with_answers
from gitprov.ops.record import compute_record
from gitprov.ops.revisions import chosen_commits
from gitprov.verify.engine import judge_all
from gitprov.verify.evidence import (
    Answer,
    CommitEvidence,
    Malformed,
    Recomputed,
    Unavailable,
)
from gitprov.verify.policy import Policy
from gitprov.workspace import Workspace
from gitprov.worktree.scan import Progress


def verify(
    ws: Workspace,
    revs: Sequence[str],
    *,
    everything: bool = False,
    deep: bool = False,
    require_data: bool = False,
    policy_from: str | None = None,
    means: Means | None = None,
    trust_blocks: Sequence[str] = (),
    now: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Verifies commits.

    Args:
        ws: the workspace.
        revs: revisions or ranges; HEAD when there is none.
        everything: every commit of every branch and tag, but those made before gitprov was there.
        deep: trust no cache, and hash again what the store holds.
        require_data: data that is nowhere here is UNKNOWN, and what only the store has is hashed;
            a policy may say so, too.
        policy_from: the revision whose policy counts; the worktree's by default.
        means: how other networks are asked; None asks none, and judges by what the notes hold.
        trust_blocks: hashes of blocks that are trusted to be in their chains.
        now: seconds since 1970, for ages.
        progress: is told of data that is hashed.

    Raises:
        UsageError: a revision or a policy cannot be used.
    """
    policy = read_policy(ws, policy_from, require_data=require_data).trusting(trust_blocks)
    commits = chosen_commits(ws, revs, everything=everything)
    notes = Notes(ws.repo)
    lines = notes.lines_many(commits)
    digests = TreeDigests(ws.objects, None) if deep else ws.digests
    before = _before_gitprov(ws, commits, lines, digests) if everything else set()
    logs = list(open_logs(ws))
    gatherer = _Gatherer(
        ws,
        lines,
        logs,
        digests,
        ArtifactLooker(ws, deep=deep, progress=progress, hash_store=policy.require_data),
        RunLooker(ws, logs),
        notes_known=bool(notes.refs),
    )
    evidence = [gatherer.gather(commit) for commit in commits if commit not in before]
    ws.digests.save()
    answers = ask_networks(ws, [*evidence, *_stages(evidence)], means)
    told = {id(run): with_answers(run, answers, now) for one in evidence for run in one.runs}
    evidence = [
        replace(one, answers=answers, now=now, runs=tuple(told[id(run)] for run in one.runs))
        for one in evidence
    ]
    report = replace(judge_all(evidence, policy), left_out=len(before))
    remember_heads(ws, logs, report)
    return report


def _stages(evidence: Sequence[CommitEvidence]) -> list[CommitEvidence]:
    """The stages of all runs of these commits, each once."""
    runs = {id(run): run for one in evidence for run in one.runs}
    return stages_of(runs.values())


def ask_networks(
    ws: Workspace, evidence: Sequence[CommitEvidence], means: Means | None
) -> Mapping[str, Answer]:
    """Returns what the networks say about the receipts; nobody is asked without means."""
    anchored = any(line.network != "tlog" for one in evidence for line in one.anchors)
    if means is None or not anchored:
        return {}
    from gitprov.ops.evidence_anchors import gather_answers  # only who has anchors pays for it

    return gather_answers(evidence, AnchorsConfig.of(*ws.config.anchors), means)


def read_policy(ws: Workspace, rev: str | None, *, require_data: bool) -> Policy:
    """Returns the policy of the worktree, or the one that a trusted revision has."""
    section = ws.config.policy
    if rev is not None:
        commit = ws.repo.resolve(rev)
        found = ws.objects.get(f"{commit}:{TRACKED_NAME}", limit=64 << 10)
        text = "" if found is None else found.data.decode("utf-8", "replace")
        section = Config.of(load_yaml(text, what=f"{rev}:{TRACKED_NAME}"), {}).policy
    policy = Policy.parse(dict(section))
    return replace(policy, require_data=require_data or policy.require_data)


def _before_gitprov(
    ws: Workspace,
    commits: Sequence[str],
    lines: Mapping[str, Sequence[NoteLine]],
    digests: TreeDigests,
) -> set[str]:
    """The commits with no trace of gitprov, in themselves or in any commit before them.

    Whoever takes `.gitprov.yaml` and the pointers out again does not escape: their parents show
    that gitprov was there.
    """
    before: set[str] = set()
    listed = set(commits)
    for commit in reversed(commits):  # parents first
        found = ws.objects.commit(commit)
        if found is None or lines[commit]:
            continue
        if not before.issuperset(listed.intersection(found.parents)):
            continue
        recomputed = _recompute(ws, commit, digests)
        if isinstance(recomputed, Record) and not recomputed.artifacts:
            names = {entry.name for entry in ws.objects.tree(found.tree)}
            if TRACKED_NAME.encode() not in names:
                before.add(commit)
    return before


class _Gatherer:
    """Gathers the evidence of one commit after the other."""

    def __init__(
        self,
        ws: Workspace,
        lines: Mapping[str, tuple[NoteLine, ...]],
        logs: Sequence[OpenLog],
        digests: TreeDigests,
        looker: ArtifactLooker,
        runs: RunLooker,
        *,
        notes_known: bool,
    ) -> None:
        self._ws = ws
        self._lines = lines
        self._logs = logs
        self._digests = digests
        self._looker = looker
        self._runs = runs
        self._notes_known = notes_known
        own = read_log_key(ws.repo)
        self._vkeys = (own.vkey,) if own else ()

    def gather(self, commit: str) -> CommitEvidence:
        found = self._ws.objects.commit(commit)
        recomputed = _recompute(self._ws, commit, self._digests)
        artifacts: tuple[ArtifactLeaf, ...] = ()
        if isinstance(recomputed, Record):
            artifacts = recomputed.artifacts
        lines = self._lines[commit]
        runs, runs_problem = self._runs.of_commit(commit)
        evidence = CommitEvidence(
            commit=commit,
            subject=found.subject if found else "",
            recomputed=recomputed,
            lines=lines,
            notes_known=self._notes_known,
            artifacts=tuple(self._looker.look(commit, leaf) for leaf in artifacts),
            vkeys=self._vkeys,
            runs=runs,
            runs_problem=runs_problem,
        )
        logs = (log_evidence(log, evidence.root, lines) for log in self._logs)
        return replace(evidence, logs=tuple(logs))


def _recompute(ws: Workspace, commit: str, digests: TreeDigests) -> Recomputed:
    try:
        return compute_record(ws, commit, digests)
    except UnavailableError as exc:
        return Unavailable(str(exc))
    except MalformedError as exc:
        return Malformed(str(exc))
