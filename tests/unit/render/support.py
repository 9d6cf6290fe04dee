"""Reports to show, made by hand, and the texts that they must give."""

from pathlib import Path

from gitprov.core.digest import Digest
from gitprov.model.report import CommitReport, Finding, Report, Verdict

GOLDEN = Path(__file__).parent / "golden"
ROOT = Digest.of(b"root")

HOSTILE = "\x1b[2J\x1b]0;owned\x07 \u202egnp.\n| **bold** <img src=x> @admin #1 www.evil.example"

PASSING = CommitReport(
    commit="9263b9f99b61e2364c862e1fdfdb2de1b5880056",
    subject="Add the training data",
    root=ROOT,
    findings=(
        Finding("record-present", Verdict.PASS, "", "the note holds a record of this commit"),
        Finding("record-matches", Verdict.PASS, "", "the code and 1 artifact are as recorded"),
        Finding("artifacts", Verdict.SKIP, "data", "its data is not here (3 files, 12 bytes)"),
        Finding("log", Verdict.PASS, "45a1c9d2e3f40516", "entry 4 of 7 is the record root"),
        Finding("policy", Verdict.SKIP, "", "the policy requires no network"),
    ),
)
FAILING = CommitReport(
    commit="a" * 40,
    subject="Retrain with Müller's labels",
    root=ROOT,
    findings=(
        Finding("record-present", Verdict.PASS, "", "the note holds a record of this commit"),
        Finding(
            "record-matches",
            Verdict.FAIL,
            "data",
            f"recorded {Digest.of(b'old')}, the commit gives {Digest.of(b'new')}",
        ),
        Finding(
            "artifacts",
            Verdict.FAIL,
            "data",
            "2 files: modified data/train/x.png; added data/a b.png",
        ),
        Finding("anchor:ethereum", Verdict.UNKNOWN, "", "this version cannot check it"),
    ),
)
UNTOLD = CommitReport(
    commit="b" * 40,
    subject="",
    root=None,
    findings=(Finding("record-present", Verdict.UNKNOWN, "", "no notes of gitprov are here"),),
)
ATTACK = CommitReport(
    commit="c" * 40,
    subject=HOSTILE,
    root=ROOT,
    findings=(Finding("artifacts", Verdict.FAIL, HOSTILE, f"1 file: modified {HOSTILE}"),),
)

REPORTS = {
    "passing": Report((PASSING,)),
    "failing": Report((FAILING,)),
    "many": Report((PASSING, FAILING, UNTOLD, PASSING)),
    "hostile": Report((ATTACK,)),
    "empty": Report(()),
}


def golden(name: str) -> str:
    """The text that was looked at and found right."""
    return (GOLDEN / name).read_text(encoding="utf-8").removesuffix("\n")
