"""What the renderers share: marks, escaping, verdicts in words."""

import re
from collections.abc import Iterable

from gitprov.core.paths import show
from gitprov.model.report import CommitReport, Report, Verdict

MARKS = {Verdict.PASS: "✓", Verdict.FAIL: "✗", Verdict.UNKNOWN: "?", Verdict.SKIP: "-"}

_IN_WORDS = {
    Verdict.PASS: "everything that was checked holds",
    Verdict.FAIL: "this does not hold",
    Verdict.UNKNOWN: "nothing is wrong, but not everything could be checked",
    Verdict.SKIP: "nothing was checked",
}
_DIGEST = re.compile(r"\b((?:blake3|sha256):[0-9a-f]{16})[0-9a-f]{48}\b")
_STRICT = "not everything could be checked, and that was demanded"


def printable(text: str, *, ascii_only: bool = False) -> str:
    """Returns text that cannot steer a terminal: whatever is not printable is escaped.

    A commit's message, a file's name or a note is written by whoever can push.
    """
    safe = show(text.encode("utf-8", "surrogatepass"))
    return safe.encode("ascii", "backslashreplace").decode("ascii") if ascii_only else safe


def short_digests(text: str, *, ascii_only: bool = False) -> str:
    """Returns a sentence with its digests cut to what people compare; JSON has all of them."""
    return _DIGEST.sub(r"\1" if ascii_only else r"\1…", text)


def human_size(size: int) -> str:
    """Returns bytes in the unit that keeps the number short."""
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024:
            break
        value, unit = value / 1024, larger
    if unit == "B":
        return f"{size} B"
    return f"{value:.1f} {unit}" if abs(value) < 100 else f"{value:.0f} {unit}"


def plural(count: int, noun: str) -> str:
    """Returns "1 file" or "2,000 files"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def in_words(report: Report, verdict: Verdict) -> str:
    """Returns the verdict as a sentence; `verdict` may be stricter than the report's own."""
    if not report.commits and report.left_out:
        return "no commit was made with gitprov yet"
    if not report.commits:
        return "there was nothing to check"
    if verdict is Verdict.FAIL and report.verdict is Verdict.UNKNOWN:
        return _STRICT
    return _IN_WORDS[verdict]


def left_out(report: Report) -> str:
    """Returns the sentence about commits that were passed over; "" when there are none."""
    if not report.left_out:
        return ""
    return f"left out: {plural(report.left_out, 'commit')} from before gitprov was here"


def tally(verdicts: Iterable[Verdict]) -> str:
    """Returns "3 pass, 1 fail"; empty for nothing."""
    seen = list(verdicts)
    return ", ".join(
        f"{seen.count(verdict)} {verdict.value}" for verdict in Verdict if verdict in seen
    )


def shows_findings(report: Report, commit: CommitReport) -> bool:
    """Whether a commit is shown check by check: alone, or when it did not pass."""
    return len(report.commits) == 1 or commit.verdict is not Verdict.PASS
