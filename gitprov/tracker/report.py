"""A tracker's report, as JSON and as Markdown."""

import json
from typing import Any

from gitprov.model.report import Report
from gitprov.model.run import Run, run_path
from gitprov.render.to_markdown import to_markdown

SCHEMA = "gitprov/run-report/v1"


def verdict_json(report: Report) -> dict[str, Any]:
    """Returns the verdict, the findings, and those of networks by stage."""
    findings = [finding for commit in report.commits for finding in commit.findings]
    stages: dict[str, dict[str, dict[str, str]]] = {}
    for finding in findings:
        network = finding.check.removeprefix("anchor:")
        if network != finding.check:
            stages.setdefault(finding.subject, {})[network] = {
                "verdict": finding.verdict.value,
                "detail": finding.detail,
            }
    return {
        "verdict": report.verdict.value,
        "stages": stages,
        "findings": [
            {
                "check": finding.check,
                "verdict": finding.verdict.value,
                "subject": finding.subject,
                "detail": finding.detail,
            }
            for finding in findings
        ],
    }


def report_json(run: Run, status: dict[str, Any], report: Report) -> str:
    """Returns the whole as one JSON object."""
    document = {
        "schema": SCHEMA,
        "file": run_path(run.id),
        "status": status,
        "verification": verdict_json(report),
        "leaves": [*run.leaves],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def report_markdown(run: Run, status: dict[str, Any], report: Report) -> str:
    """Returns what a reader of the repository wants to see."""
    lines = [f"# Run {run.id}", "", f"{run.outcome}; its record is `{run_path(run.id)}`.", ""]
    lines += ["| stage | root | network | transaction |", "|---|---|---|---|"]
    for stage in run.stages:
        sent = status["transactions"].get(stage.name, {})
        for network, transaction in sent.items() or {"": ""}.items():
            lines.append(f"| {stage.name} | `{stage.root}` | {network} | `{transaction}` |")
    return "\n".join(lines) + "\n\n" + to_markdown(report, verdict=report.verdict)
