"""Reports as text: one line a check, what is wrong in plain words with the file named."""

from dataclasses import dataclass

from gitprov.model.report import CommitReport, Finding, Report, Verdict
from gitprov.render.words import (
    MARKS,
    in_words,
    left_out,
    printable,
    short_digests,
    shows_findings,
    tally,
)

_ASCII = {Verdict.PASS: "+", Verdict.FAIL: "x", Verdict.UNKNOWN: "?", Verdict.SKIP: "-"}
_COLOURS = {
    Verdict.PASS: "\x1b[32m",
    Verdict.FAIL: "\x1b[1;31m",
    Verdict.UNKNOWN: "\x1b[33m",
    Verdict.SKIP: "\x1b[2m",
}
_RESET = "\x1b[0m"
_WORD = max(len(verdict.value) for verdict in Verdict)


@dataclass(frozen=True, slots=True)
class _Style:
    colour: bool
    ascii_only: bool

    def safe(self, text: str) -> str:
        return printable(text, ascii_only=self.ascii_only)

    def mark(self, verdict: Verdict, *, word: bool = True) -> str:
        mark = (_ASCII if self.ascii_only else MARKS)[verdict]
        text = f"{mark} {verdict.value.upper():<{_WORD}}" if word else mark
        return f"{_COLOURS[verdict]}{text}{_RESET}" if self.colour else text


def to_text(
    report: Report,
    *,
    colour: bool = False,
    ascii_only: bool = False,
    verdict: Verdict | None = None,
) -> str:
    """Returns the text, without a newline at the end.

    Args:
        report: what to show. Of several commits, those that pass take one line each.
        colour: whether to use ANSI colours.
        ascii_only: for terminals that show nothing else.
        verdict: the last line's verdict, when it is stricter than the report's own.
    """
    style = _Style(colour, ascii_only)
    last = verdict or report.verdict
    lines: list[str] = []
    for commit in report.commits:
        if not shows_findings(report, commit):
            lines.append(_one_line(commit, style))
            continue
        if lines and lines[-1]:
            lines.append("")
        lines += [*_commit(commit, style), ""]
    if lines and lines[-1]:
        lines.append("")
    if len(report.commits) > 1:
        counts = tally(commit.verdict for commit in report.commits)
        lines.append(f"{len(report.commits):,} commits: {counts}")
    if report.left_out:
        lines.append(left_out(report))
    lines.append(f"{style.mark(last, word=False)} {last.value.upper()}: {in_words(report, last)}")
    return "\n".join(lines)


def _one_line(commit: CommitReport, style: _Style) -> str:
    title = f"{commit.commit[:12]}  {style.safe(commit.subject)}".rstrip()
    return f"{style.mark(commit.verdict)}  {title}"


def _commit(commit: CommitReport, style: _Style) -> list[str]:
    root = str(commit.root) if commit.root else "none"
    width = max((len(finding.check) for finding in commit.findings), default=0)
    return [
        f"commit  {commit.commit[:12]}  {style.safe(commit.subject)}".rstrip(),
        f"root    {root}",
        *(_finding(finding, width, style) for finding in commit.findings),
    ]


def _finding(finding: Finding, width: int, style: _Style) -> str:
    subject = f"{style.safe(finding.subject)}: " if finding.subject else ""
    check = f"{style.safe(finding.check):<{width}}"
    detail = short_digests(style.safe(finding.detail), ascii_only=style.ascii_only)
    return f"  {style.mark(finding.verdict)}  {check}  {subject}{detail}"
