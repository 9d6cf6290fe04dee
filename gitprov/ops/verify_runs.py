"""`gitprov runs verify`: judges the runs of the worktree, committed or not."""

from collections.abc import Sequence
from dataclasses import replace

from gitprov.anchors.registry import Means
from gitprov.model.note import StatementLine
from gitprov.model.report import CommitReport, Report
from gitprov.model.run import Run, run_path
from gitprov.ops.evidence_logs import open_logs
from gitprov.ops.evidence_runs import RunLooker, stages_of, with_answers
from gitprov.ops.runs import FoundRun
from gitprov.ops.verify import ask_networks, read_policy
from gitprov.verify.runs import judge_root, judge_run
from gitprov.workspace import Workspace


def verify_runs(
    ws: Workspace,
    runs: Sequence[FoundRun],
    *,
    policy_from: str | None = None,
    means: Means | None = None,
    now: int = 0,
) -> Report:
    """Judges runs: each report's commit is the one that the run was started from.

    Args:
        ws: the workspace.
        runs: the runs.
        policy_from: the revision whose policy counts; the worktree's by default.
        means: how networks are asked; None asks none.
        now: seconds since 1970, for ages.
    """
    policy = read_policy(ws, policy_from, require_data=False)
    looker = RunLooker(ws, list(open_logs(ws)))
    found = [looker.look(run_path(one.id), one.run or one.problem) for one in runs]
    answers = ask_networks(ws, stages_of(found), means)
    reports = []
    for one, evidence in zip(runs, found, strict=True):
        findings = judge_run(with_answers(evidence, answers, now), policy)
        root = one.run.stages[-1].root if one.run is not None and one.run.stages else None
        reports.append(CommitReport(evidence.commit, f"run {one.id}", root, findings))
    return Report(tuple(reports))


def verify_run(ws: Workspace, run: Run, *, means: Means | None = None, now: int = 0) -> Report:
    """Judges one run that is in memory."""
    return verify_runs(ws, [FoundRun(run.id, run)], means=means, now=now)


def verify_statement(
    ws: Workspace,
    lines: Sequence[StatementLine],
    *,
    means: Means | None = None,
    now: int = 0,
) -> Report:
    """Judges statements that are no run's: is the root logged, and what do networks say."""
    policy = read_policy(ws, None, require_data=False)
    looker = RunLooker(ws, list(open_logs(ws)))
    found = [(line, looker.of_root(line.commit, line.name, line.root)) for line in lines]
    answers = ask_networks(ws, [evidence for _, evidence in found], means)
    reports = []
    for line, evidence in found:
        told = replace(evidence, answers=answers, now=now)
        findings = judge_root(told, line.name, policy)
        reports.append(CommitReport(line.commit, line.name, line.root, findings))
    return Report(tuple(reports))
