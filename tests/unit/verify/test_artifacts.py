"""artifacts."""

from dataclasses import replace

import pytest

from gitprov.model.record import Record
from gitprov.model.report import Finding, Verdict
from gitprov.verify.evidence import ArtifactEvidence, Change, Unavailable
from gitprov.verify.policy import Policy
from tests.unit.verify.support import RECORD, findings, good, only

MODEL = ArtifactEvidence("models/net.pt", "clean")


def judged(artifact: ArtifactEvidence, *, require_data: bool = False) -> Finding:
    evidence = replace(good(), artifacts=(artifact, MODEL))
    policy = Policy(require_data=require_data)
    first, second = findings(evidence, "artifacts", policy)
    assert (second.subject, second.verdict) == ("models/net.pt", Verdict.PASS)
    assert first.subject == "data"
    return first


def test_modified_added_and_deleted_files_are_named() -> None:
    changes = (
        Change("added", "data/new"),
        Change("modified", "data/a"),
        Change("modified", "data/b"),
        Change("deleted", "data/old"),
    )
    finding = judged(ArtifactEvidence("data", "modified", changes))
    assert finding.verdict is Verdict.FAIL
    assert (
        finding.detail
        == "4 files differ: modified data/a, data/b; added data/new; deleted data/old"
    )


def test_twenty_files_are_named_and_the_rest_is_counted() -> None:
    changes = [Change("modified", f"data/{number:02}") for number in range(15)]
    changes += [Change("added", f"data/x{number:02}") for number in range(15)]
    detail = judged(ArtifactEvidence("data", "modified", tuple(changes))).detail
    assert "data/14; added data/x00" in detail
    assert detail.endswith("data/x04 and 10 more")
    assert detail.startswith("30 files differ: ")


@pytest.mark.parametrize("state", ["clean", "absent", "not-checked-out", "missing"])
def test_what_is_stated_wrongly_fails_wherever_the_data_is(state: str) -> None:
    said = ("the pointer says size 3, and it is 2", "the pointer says files 7, and there are 1")
    finding = judged(ArtifactEvidence("data", state, misstated=said))  # type: ignore[arg-type]
    assert finding.verdict is Verdict.FAIL
    assert finding.detail == "; ".join(said)


def test_what_is_stated_wrongly_is_said_beside_what_differs() -> None:
    change = Change("modified", "data/a")
    finding = judged(ArtifactEvidence("data", "modified", (change,), misstated=("so it is",)))
    assert finding.detail == "1 file differs: modified data/a; so it is"


def test_a_corrupt_blob_fails_naming_the_file() -> None:
    finding = judged(ArtifactEvidence("data", "corrupt", (Change("corrupt", "data/a"),)))
    assert finding.verdict is Verdict.FAIL
    assert finding.detail == "1 file differs: damaged in the store: data/a"


def test_a_wrong_file_fails_whatever_the_state_says() -> None:
    finding = judged(ArtifactEvidence("data", "clean", (Change("modified", "data/a"),)))
    assert finding.verdict is Verdict.FAIL


@pytest.mark.parametrize("state", ["modified", "corrupt"])
def test_a_wrong_state_fails_without_a_file_to_name(state: str) -> None:
    finding = judged(ArtifactEvidence("data", state))  # type: ignore[arg-type]
    assert finding.verdict is Verdict.FAIL


@pytest.mark.parametrize(
    "artifact",
    [
        ArtifactEvidence("data", "absent"),
        ArtifactEvidence("data", "not-checked-out"),
        ArtifactEvidence("data", "missing"),
        ArtifactEvidence("data", "missing", (Change("missing", "data/a"),)),
    ],
)
def test_absent_data_is_skipped_unless_it_is_required(artifact: ArtifactEvidence) -> None:
    assert judged(artifact).verdict is Verdict.SKIP
    assert judged(artifact, require_data=True).verdict is Verdict.UNKNOWN


def test_missing_files_are_named() -> None:
    finding = judged(ArtifactEvidence("data", "missing", (Change("missing", "data/a"),)))
    assert finding.detail == "1 file differs: missing in the store: data/a"


def test_a_store_that_was_hashed_again_passes_without_a_checkout() -> None:
    finding = judged(ArtifactEvidence("data", "not-checked-out", rehashed=True))
    assert finding.verdict is Verdict.PASS


def test_a_hashed_store_is_said_beside_a_clean_worktree() -> None:
    assert "hashed again" in judged(ArtifactEvidence("data", "clean", rehashed=True)).detail


def test_data_that_cannot_be_read_is_unknown_with_the_reason() -> None:
    finding = judged(ArtifactEvidence("data", "unreadable", problem="permission denied"))
    assert (finding.verdict, finding.detail) == (Verdict.UNKNOWN, "permission denied")


def test_an_artifact_that_nobody_looked_at_is_unknown() -> None:
    found = findings(replace(good(), artifacts=(MODEL,)), "artifacts")
    assert [finding.verdict for finding in found] == [Verdict.UNKNOWN, Verdict.PASS]


def test_a_commit_without_artifacts_is_skipped() -> None:
    evidence = replace(good(), recomputed=Record.of(RECORD.code, []), artifacts=())
    assert only(evidence, "artifacts").verdict is Verdict.SKIP


def test_artifacts_of_an_unreadable_commit_are_unknown() -> None:
    evidence = replace(good(), recomputed=Unavailable("shallow"))
    assert only(evidence, "artifacts").verdict is Verdict.UNKNOWN
