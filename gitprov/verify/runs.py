"""The check `runs`: what a run's file says is what went into the log while it ran."""

from dataclasses import replace

from gitprov.core.digest import Digest
from gitprov.errors import GitprovError
from gitprov.model.report import Finding, Verdict, overall
from gitprov.model.run import FOLDER, STAGES, Run, Stage, check_run
from gitprov.verify.anchors import anchors
from gitprov.verify.evidence import CommitEvidence, RunEvidence
from gitprov.verify.logs import log
from gitprov.verify.policy import Policy
from gitprov.verify.required import policy_met
from gitprov.verify.sentences import count, short

NAME = "runs"


def judge_run(evidence: RunEvidence, policy: Policy) -> tuple[Finding, ...]:
    """Judges one run; the subject of each finding is the stage, "" for the whole."""
    run = evidence.run
    if isinstance(run, str):
        return (Finding("run", Verdict.FAIL, "", run),)
    try:
        check_run(run)
    except GitprovError as exc:
        return (Finding("run", Verdict.FAIL, "", str(exc)),)
    findings = [_whole(run)]
    for stage in run.stages:
        findings += _stage(evidence, run, stage, policy)
    findings += _unfiled(evidence, run)
    findings += _order(evidence)
    return tuple(findings)


def _whole(run: Run) -> Finding:
    if not run.stages:
        detail = f"{run.outcome}; no stage of it was logged, so nothing about it can be told"
        return Finding("run", Verdict.UNKNOWN, "", detail)
    return Finding("run", Verdict.PASS, "", _summary(run))


def runs(evidence: CommitEvidence, policy: Policy) -> tuple[Finding, ...]:
    """One finding for all runs of the commit that hold, and one for each other one."""
    findings: list[Finding] = []
    whole = half = 0
    for one in evidence.runs:
        judged = judge_run(one, policy)
        verdict = overall(finding.verdict for finding in judged)
        if verdict is Verdict.PASS:
            ended = isinstance(one.run, Run) and one.run.stage("after") is not None
            whole, half = whole + ended, half + (not ended)
            continue
        reasons = [finding for finding in judged if finding.verdict is verdict]
        detail = "; ".join(_said(finding) for finding in reasons[:3])
        findings.append(Finding(NAME, verdict, one.path, detail))
    if half:
        detail = (
            f"{count(half, 'run')} not logged to the end: only the stage before training holds, "
            "what stands after it proves nothing"
        )
        findings.insert(0, Finding(NAME, Verdict.SKIP, "", detail))
    if whole:
        detail = f"{count(whole, 'run')}: each stage is as it was logged"
        findings.insert(0, Finding(NAME, Verdict.PASS, "", detail))
    if evidence.runs_problem:
        findings.append(Finding(NAME, Verdict.UNKNOWN, FOLDER, evidence.runs_problem))
    return tuple(findings)


def _said(finding: Finding) -> str:
    return f"{finding.subject}: {finding.detail}" if finding.subject else finding.detail


def _summary(run: Run) -> str:
    leaves = "1 leaf" if len(run.leaves) == 1 else f"{len(run.leaves):,} leaves"
    if len(run.stages) == len(STAGES):
        return f"{run.outcome}; {leaves}, and the stage after extends the stage before"
    loose = len(run.leaves) - run.stages[-1].size
    return (
        f"{run.outcome}; {leaves}, of which the last {loose:,} were never logged and prove nothing"
    )


def _stage(evidence: RunEvidence, run: Run, stage: Stage, policy: Policy) -> list[Finding]:
    name = f"run/{run.id}/{stage.name}"
    stated = {line.root for line in evidence.statements if line.name == name}
    problem = _unstated(evidence, run, stage.root, stated)
    if problem is not None:
        return [Finding("statement", problem[0], stage.name, problem[1])]
    findings = [
        Finding(
            "statement",
            Verdict.PASS,
            stage.name,
            f"the note of {short(evidence.commit)} says its root {stage.root}",
        )
    ]
    for which, found in evidence.stages:
        if which == stage.name:
            findings += judge_root(found, stage.name, policy)
    return findings


def judge_root(found: CommitEvidence, subject: str, policy: Policy) -> tuple[Finding, ...]:
    """Judges what logs and networks say of a statement's root."""
    required = () if policy.required is None else policy_met(found, policy)
    findings = (*log(found, policy), *anchors(found, policy), *required)
    return tuple(
        replace(
            finding,
            subject=subject,
            detail=finding.detail.replace("the record root", "its root"),
        )
        for finding in findings
    )


def _unstated(
    evidence: RunEvidence, run: Run, root: Digest, stated: set[Digest]
) -> tuple[Verdict, str] | None:
    """Why the notes do not say this root, or None when they do."""
    if stated == {root}:
        return None
    if not stated and not evidence.notes_known:
        return Verdict.UNKNOWN, "no note of gitprov is here; `git fetch` brings them"
    if not stated and run.outcome in {"running", "interrupted"}:
        return Verdict.UNKNOWN, f"it was {run.outcome} before this stage was logged"
    if not stated:
        return Verdict.FAIL, "no note says that it was ever logged"
    others = ", ".join(str(one) for one in sorted(stated - {root})[:3])
    return Verdict.FAIL, f"while it ran, {others} was logged, the file gives {root}"


def _unfiled(evidence: RunEvidence, run: Run) -> list[Finding]:
    """A stage that was logged, but that the file does not have (any more)."""
    findings = []
    for name in STAGES:
        said = any(line.name == f"run/{run.id}/{name}" for line in evidence.statements)
        if not said or run.stage(name) is not None:
            continue
        if run.outcome == "running":
            # Committed meanwhile: the file of a later commit has the stage.
            detail = "it was still running here; this stage was logged later"
            findings.append(Finding("statement", Verdict.UNKNOWN, name, detail))
        else:
            detail = "this stage was logged, but the file does not have it"
            findings.append(Finding("statement", Verdict.FAIL, name, detail))
    return findings


def _order(evidence: RunEvidence) -> list[Finding]:
    """In one log the stage before stands before the stage after."""
    places = [
        {one.key_id: one.index for one in found.logs if one.index is not None}
        for _, found in evidence.stages
    ]
    if len(places) < len(STAGES):
        return []
    wrong = [key for key, index in places[0].items() if places[1].get(key, index) < index]
    if not wrong:
        return []
    detail = f"in the log {wrong[0]} the stage after stands before the stage before"
    return [Finding("log", Verdict.FAIL, "", detail)]
