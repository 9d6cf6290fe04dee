"""Verdicts: the worst counts, and nothing that was not looked at passes."""

import pytest

from gitprov.model.report import CommitReport, Finding, Report, Verdict, overall

PASS, FAIL, UNKNOWN, SKIP = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN, Verdict.SKIP


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        ([], UNKNOWN),
        ([SKIP], UNKNOWN),
        ([PASS], PASS),
        ([PASS, SKIP], PASS),
        ([PASS, UNKNOWN, SKIP], UNKNOWN),
        ([UNKNOWN, FAIL, PASS], FAIL),
        ([SKIP, FAIL], FAIL),
    ],
)
def test_the_worst_verdict_counts(verdicts: list[Verdict], worst: Verdict) -> None:
    assert overall(verdicts) is worst
    assert overall(reversed(verdicts)) is worst


def test_an_empty_report_is_unknown_and_never_a_pass() -> None:
    assert Report(()).verdict is UNKNOWN
    assert CommitReport("a" * 40, "", None, ()).verdict is UNKNOWN
    assert Report((CommitReport("a" * 40, "", None, ()),)).verdict is UNKNOWN


def test_one_failing_commit_fails_the_report() -> None:
    good = CommitReport("a" * 40, "good", None, (Finding("log", PASS, "log", "it holds"),))
    bad = CommitReport("b" * 40, "bad", None, (Finding("log", FAIL, "log", "it does not"),))
    assert Report((good,)).verdict is PASS
    assert Report((good, bad)).verdict is FAIL


def test_a_verdict_is_written_in_lower_case() -> None:
    assert [str(verdict) for verdict in Verdict] == ["pass", "fail", "unknown", "skip"]
