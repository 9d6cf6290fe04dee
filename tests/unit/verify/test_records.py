"""record-present and record-matches."""

from dataclasses import replace

import pytest

from gitprov.core.digest import Digest
from gitprov.model.note import MalformedLine, RecordLine, UnknownLine, format_line, parse_line
from gitprov.model.record import ArtifactLeaf, Record
from gitprov.model.report import Verdict
from gitprov.verify.engine import judge
from gitprov.verify.evidence import CommitEvidence, Malformed, Unavailable
from gitprov.verify.policy import Policy
from tests.unit.verify.support import (
    COMMIT,
    OTHER_COMMIT,
    RECORD,
    ROOT,
    digest,
    failing,
    findings,
    good,
    only,
    record_line,
    record_of,
    verdicts,
    with_lines,
)


def test_a_recorded_logged_anchored_commit_passes() -> None:
    report = judge(good(), Policy())
    assert report.verdict is Verdict.PASS
    assert report.root == ROOT
    assert [finding.check for finding in report.findings] == [
        "record-present",
        "record-matches",
        "artifacts",
        "artifacts",
        "log",
        "anchor:tlog",
        "policy",
    ]


def test_a_commit_without_a_note_fails() -> None:
    assert only(with_lines(), "record-present").verdict is Verdict.FAIL
    assert only(with_lines(), "record-matches").verdict is Verdict.SKIP


def test_a_clone_without_any_notes_cannot_tell() -> None:
    finding = only(replace(with_lines(), notes_known=False), "record-present")
    assert finding.verdict is Verdict.UNKNOWN
    assert "gitprov init" in finding.detail


def test_the_same_line_from_two_notes_refs_counts_once() -> None:
    evidence = with_lines(record_line(), record_line())
    assert verdicts(findings(evidence, "record-matches")) == [Verdict.PASS]


def test_an_artifact_that_differs_is_named_with_both_digests() -> None:
    evidence = with_lines(record_line(record_of(data="other")))
    finding = only(evidence, "record-matches")
    assert finding.verdict is Verdict.FAIL
    assert finding.subject == "data"
    assert finding.detail == f"recorded {digest('other')}, the commit gives {digest('data')}"


def test_every_artifact_that_differs_is_named() -> None:
    recorded = Record.of(
        RECORD.code,
        [
            replace(RECORD.artifacts[0], size=13),
            ArtifactLeaf("extra", "data", "file", digest("extra"), 1, 1),
        ],
    )
    found = findings(with_lines(record_line(recorded)), "record-matches")
    assert [finding.subject for finding in found] == ["data", "extra", "models/net.pt"]
    assert found[0].detail == "recorded size 13, the commit gives 12"
    assert found[1].detail == f"recorded {digest('extra')}, but the commit has no pointer for it"
    assert found[2].detail.startswith("not recorded, but the commit has a pointer for it")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("commit_blake3", digest("x"), f"recorded {digest('x')}, the commit gives"),
        ("tree_blake3", digest("x"), f"recorded tree {digest('x')}, the commit gives"),
        ("commit", OTHER_COMMIT, f"recorded commit {OTHER_COMMIT}, this is {COMMIT}"),
        ("object_format", "sha256", "recorded object format sha256, this is sha1"),
    ],
)
def test_code_that_differs_is_named_code(field: str, value: Digest | str, words: str) -> None:
    record = Record.of(replace(RECORD.code, **{field: value}), RECORD.artifacts)  # type: ignore[arg-type]
    finding = only(with_lines(RecordLine(COMMIT, record, record.root)), "record-matches")
    assert (finding.verdict, finding.subject) == (Verdict.FAIL, "code")
    assert words in finding.detail


def test_a_rewritten_tree_is_said_with_the_commit() -> None:
    code = replace(RECORD.code, commit_blake3=digest("x"), tree_blake3=digest("y"))
    record = Record.of(code, RECORD.artifacts)
    finding = only(with_lines(RecordLine(COMMIT, record, record.root)), "record-matches")
    assert finding.detail.endswith("its tree differs")


def test_weights_that_were_added_later_are_named() -> None:
    leaf = replace(RECORD.artifacts[1], weights=digest("w"))
    record = Record.of(RECORD.code, [RECORD.artifacts[0], leaf])
    finding = only(with_lines(record_line(record)), "record-matches")
    assert finding.detail == f"recorded weights {digest('w')}, the commit gives nothing"


def test_a_root_that_is_not_over_its_leaves_fails() -> None:
    finding = only(with_lines(RecordLine(COMMIT, RECORD, digest("x"))), "record-matches")
    assert (finding.verdict, finding.subject) == (Verdict.FAIL, "root")
    assert str(ROOT) in finding.detail


def test_a_record_copied_from_another_commit_fails_and_names_it() -> None:
    evidence = with_lines(record_line(record_of(OTHER_COMMIT)))
    present, matches = only(evidence, "record-present"), only(evidence, "record-matches")
    assert (present.verdict, matches.verdict) == (Verdict.FAIL, Verdict.FAIL)
    assert OTHER_COMMIT[:12] in present.detail
    assert "notes.rewriteRef" in matches.detail


def test_a_copied_record_beside_the_right_one_is_reported_and_does_not_count() -> None:
    evidence = with_lines(record_line(), record_line(record_of(OTHER_COMMIT)))
    assert verdicts(findings(evidence, "record-matches")) == [Verdict.SKIP, Verdict.PASS]


def test_a_record_whose_commit_id_was_edited_fails_even_beside_the_right_one() -> None:
    evidence = with_lines(record_line(), RecordLine(OTHER_COMMIT, RECORD, ROOT))
    assert verdicts(findings(evidence, "record-matches")) == [Verdict.FAIL, Verdict.PASS]


def test_two_different_records_of_one_commit_fail() -> None:
    evidence = with_lines(record_line(), record_line(record_of(data="other")))
    found = findings(evidence, "record-matches")
    assert verdicts(found) == [Verdict.FAIL, Verdict.PASS, Verdict.FAIL]
    assert "2 different records" in found[0].detail


def test_a_malformed_line_fails_and_says_why() -> None:
    evidence = with_lines(record_line(), MalformedLine(b"{", "it is not JSON"))
    assert [finding.detail for finding in failing(judge(evidence, Policy()))] == [
        "a line of the note is malformed: it is not JSON"
    ]


def test_a_line_of_an_unknown_type_cannot_be_checked() -> None:
    evidence = with_lines(*good().lines, UnknownLine(b'{"type":"run"}'))
    assert judge(evidence, Policy()).verdict is Verdict.UNKNOWN


def test_a_commit_whose_pointer_is_malformed_fails() -> None:
    evidence = replace(good(), recomputed=Malformed("data.prov has no root"))
    finding = only(evidence, "record-matches")
    assert finding.verdict is Verdict.FAIL
    assert "data.prov has no root" in finding.detail


def test_a_commit_that_is_not_here_cannot_be_told() -> None:
    evidence = replace(good(), recomputed=Unavailable("the clone is shallow"))
    assert only(evidence, "record-matches").verdict is Verdict.UNKNOWN
    assert judge(evidence, Policy()).verdict is Verdict.UNKNOWN
    assert evidence.root == ROOT


def test_every_changed_byte_of_a_note_is_found() -> None:
    for number, line in enumerate(good().lines):
        raw = format_line(line)
        for position in range(len(raw)):
            flipped = bytes([*raw[:position], raw[position] ^ 1, *raw[position + 1 :]])
            lines = [*good().lines]
            lines[number] = parse_line(flipped)
            verdict = judge(with_lines(*lines), Policy()).verdict
            assert verdict is not Verdict.PASS, (number, position, flipped)


def test_evidence_of_nothing_is_never_a_pass() -> None:
    empty = CommitEvidence(COMMIT, "", Unavailable("not here"), notes_known=False)
    assert judge(empty, Policy()).verdict is Verdict.UNKNOWN
