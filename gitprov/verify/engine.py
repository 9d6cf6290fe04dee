"""Runs the checks over evidence and makes the reports."""

from collections.abc import Iterable

from gitprov.model.report import CommitReport, Report, Verdict
from gitprov.verify.checks import CHECKS
from gitprov.verify.evidence import CommitEvidence
from gitprov.verify.policy import Policy


def judge(evidence: CommitEvidence, policy: Policy) -> CommitReport:
    """Judges one commit. Pure: the same evidence and policy give the same report.

    Raises:
        UsageError: the policy pins something that is no key.
    """
    findings = tuple(finding for check in CHECKS for finding in check(evidence, policy))
    return CommitReport(evidence.commit, evidence.subject, evidence.root, findings)


def judge_all(commits: Iterable[CommitEvidence], policy: Policy) -> Report:
    """Judges commits in the order given."""
    return Report(tuple(judge(evidence, policy) for evidence in commits))


def verdict_of(report: Report, *, strict: bool = False) -> Verdict:
    """Returns the report's verdict; with `strict`, what could not be told is a failure."""
    if strict and report.verdict is Verdict.UNKNOWN:
        return Verdict.FAIL
    return report.verdict
