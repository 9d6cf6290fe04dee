"""The engine: order, verdicts, strictness."""

from dataclasses import replace

from gitprov.model.report import Report, Verdict
from gitprov.verify.engine import judge, judge_all, verdict_of
from gitprov.verify.evidence import Unavailable
from gitprov.verify.policy import Policy
from tests.unit.verify.support import good, with_lines

UNTOLD = replace(good(), recomputed=Unavailable("shallow"))


def test_the_same_evidence_gives_the_same_report() -> None:
    assert judge(good(), Policy()) == judge(good(), Policy())


def test_the_worst_commit_decides() -> None:
    assert judge_all([good(), good()], Policy()).verdict is Verdict.PASS
    assert judge_all([good(), UNTOLD], Policy()).verdict is Verdict.UNKNOWN
    assert judge_all([good(), UNTOLD, with_lines()], Policy()).verdict is Verdict.FAIL


def test_an_empty_report_is_unknown() -> None:
    assert verdict_of(Report(())) is Verdict.UNKNOWN
    assert verdict_of(Report(()), strict=True) is Verdict.FAIL


def test_strict_makes_unknown_a_failure_and_leaves_the_findings_alone() -> None:
    report = judge_all([UNTOLD], Policy())
    assert verdict_of(report) is Verdict.UNKNOWN
    assert verdict_of(report, strict=True) is Verdict.FAIL
    assert report.commits[0].verdict is Verdict.UNKNOWN
    assert verdict_of(judge_all([good()], Policy()), strict=True) is Verdict.PASS


def test_a_report_has_the_commits_own_words_and_root() -> None:
    report = judge(good(), Policy())
    assert (report.commit, report.subject, report.root) == (
        good().commit,
        "Add the training data",
        good().root,
    )
