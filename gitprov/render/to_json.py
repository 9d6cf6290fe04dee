"""Reports as JSON (DESIGN section 8)."""

import json

from gitprov.model.report import CommitReport, Report, Verdict


def to_json(report: Report, *, verb: str = "verify", verdict: Verdict | None = None) -> str:
    """Returns one JSON object of the schema `gitprov/<verb>/v1`, in ASCII, on one line.

    Args:
        report: what to write.
        verb: the command that made it.
        verdict: the report's verdict, when it is stricter than its own.
    """
    value = {
        "schema": f"gitprov/{verb}/v1",
        "verdict": (verdict or report.verdict).value,
        "commits": [_commit(commit) for commit in report.commits],
    }
    return json.dumps(value, separators=(",", ":"))


def _commit(commit: CommitReport) -> dict[str, object]:
    return {
        "commit": commit.commit,
        "root": str(commit.root) if commit.root else None,
        "verdict": commit.verdict.value,
        "findings": [
            {
                "check": finding.check,
                "verdict": finding.verdict.value,
                "subject": finding.subject,
                "detail": finding.detail,
            }
            for finding in commit.findings
        ],
    }
