"""What verification says: findings, verdicts, reports (DESIGN section 8)."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from gitprov.core.digest import Digest


class Verdict(StrEnum):
    """Three answers, and one for a question that was not asked."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    UNKNOWN = "unknown"
    SKIP = "skip"


def overall(verdicts: Iterable[Verdict]) -> Verdict:
    """Returns the worst: FAIL, then UNKNOWN, then PASS; nothing that passed is UNKNOWN."""
    seen = set(verdicts)
    for verdict in (Verdict.FAIL, Verdict.UNKNOWN, Verdict.PASS):
        if verdict in seen:
            return verdict
    return Verdict.UNKNOWN


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check says about one subject, in one sentence."""

    check: str
    verdict: Verdict
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class CommitReport:
    """All findings about one commit; `subject` is the first line of its message."""

    commit: str
    subject: str
    root: Digest | None
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst finding's."""
        return overall(finding.verdict for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Report:
    """The reports of all commits that were looked at.

    Attributes:
        commits: one for each.
        left_out: how many were passed over because they were made before gitprov was there.
    """

    commits: tuple[CommitReport, ...]
    left_out: int = 0

    @property
    def verdict(self) -> Verdict:
        """The worst commit's; an empty report is UNKNOWN."""
        return overall(commit.verdict for commit in self.commits)
