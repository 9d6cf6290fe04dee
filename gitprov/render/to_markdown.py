"""Reports as Markdown: the comment on a pull request."""

from gitprov.model.report import CommitReport, Finding, Report, Verdict
from gitprov.render.words import MARKS, in_words, left_out, printable, shows_findings, tally

MAX_CHARS = 60_000
"""GitHub refuses a comment of more than 65,536 characters."""

_SAFE = frozenset(" .,-/()=;+")
_ZERO_WIDTH = "&#8203;"


def to_markdown(report: Report, *, verdict: Verdict | None = None) -> str:
    """Returns a headline and a table for each commit, without a newline at the end.

    Of several commits, those that pass share one table, a line each. What does not fit into a
    comment is counted, never cut silently; the headline always has the whole verdict.
    """
    last = verdict or report.verdict
    lines = [f"### {MARKS[last]} gitprov: {last.value.upper()}, {in_words(report, last)}"]
    if len(report.commits) > 1:
        counts = tally(commit.verdict for commit in report.commits)
        lines += ["", f"{len(report.commits):,} commits: {counts}"]
    if report.left_out:
        lines += ["", left_out(report)]
    shown = [commit for commit in report.commits if shows_findings(report, commit)]
    passed = [commit for commit in report.commits if not shows_findings(report, commit)]
    blocks = [_commit(commit) for commit in shown]
    if passed:
        blocks.append(_passed(passed))
    return "\n".join(lines + _fitting(blocks))


def escape(text: str) -> str:
    """Returns text that Markdown and GitHub show as it is: no markup, link, image or mention.

    A character reference cannot begin markup (CommonMark 0.31, section 2.5), and a zero-width
    space keeps `@name`, `#1`, `://` and `www.` from being linked afterwards.
    """
    parts: list[str] = []
    for char in printable(text):
        if char in "@#":
            parts.append(f"&#{ord(char)};{_ZERO_WIDTH}")
        elif char.isascii() and not char.isalnum() and char not in _SAFE:
            parts.append(f"&#{ord(char)};")
        else:
            parts.append(char)
    escaped = "".join(parts).replace("www.", f"www{_ZERO_WIDTH}.")
    return escaped.replace("&#58;//", f"&#58;{_ZERO_WIDTH}//")


def _commit(commit: CommitReport) -> list[str]:
    title = f"{MARKS[commit.verdict]} `{commit.commit[:12]}` {escape(commit.subject)}"
    root = f"`{commit.root}`" if commit.root else "none"
    return [
        "",
        f"**{title.rstrip()}**",
        "",
        f"Record root: {root}",
        "",
        "| | check | subject | detail |",
        "|---|---|---|---|",
        *(_row(finding) for finding in commit.findings),
    ]


def _row(finding: Finding) -> str:
    word = f"{MARKS[finding.verdict]} {finding.verdict.value.upper()}"
    cells = (word, escape(finding.check), escape(finding.subject), escape(finding.detail))
    return f"| {' | '.join(cells)} |"


def _passed(commits: list[CommitReport]) -> list[str]:
    rows = [
        f"| {MARKS[commit.verdict]} {commit.verdict.value.upper()} "
        f"| `{commit.commit[:12]}` | {escape(commit.subject)} |"
        for commit in commits
    ]
    return ["", "| | commit | subject |", "|---|---|---|", *rows]


def _fitting(blocks: list[list[str]]) -> list[str]:
    lines = [line for block in blocks for line in block]
    room = MAX_CHARS
    for number, line in enumerate(lines):
        room -= len(line) + 1
        if room < 0:
            left = sum(1 for rest in lines[number:] if rest.startswith("| "))
            return [*lines[:number], "", f"… and {left:,} more lines: see the text form."]
    return lines
