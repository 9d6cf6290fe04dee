"""log: inclusion, consistency with heads seen, signed heads, keys."""

from dataclasses import replace

import pytest

from gitprov.core.digest import Sha256Digest
from gitprov.model.report import Verdict
from gitprov.verify.evidence import CommitEvidence, Head, LogEvidence, Unavailable
from gitprov.verify.policy import Policy
from tests.unit.verify.support import (
    KEY,
    LOG_7,
    OTHER_KEY,
    Log,
    digest,
    findings,
    good,
    log_of,
    only,
    record_line,
    verdicts,
    with_logs,
)

PINNED = Policy(tlog_keys=(str(KEY.verifier),))
PINNED_OTHER = Policy(tlog_keys=(str(OTHER_KEY.verifier),))


def bare(*logs: LogEvidence) -> CommitEvidence:
    """Without an anchor line, so that only the logs speak."""
    return replace(with_logs(*logs), lines=(record_line(),))


def test_an_entry_of_a_log_passes_and_says_where() -> None:
    finding = only(good(), "log")
    assert finding.verdict is Verdict.PASS
    assert finding.subject == KEY.verifier.key_id
    assert "entry 4 of 7" in finding.detail
    assert "consistent with the head seen before (size 5)" in finding.detail


def test_an_entry_that_is_not_signed_yet_passes_and_says_so() -> None:
    finding = only(bare(LOG_7.evidence()), "log")
    assert finding.verdict is Verdict.PASS
    assert "no signed head covers it yet" in finding.detail
    assert only(bare(LOG_7.evidence(signed=4)), "log").detail.endswith("signs one")
    assert "signs one" not in only(bare(LOG_7.evidence(signed=5)), "log").detail


def test_an_unsigned_entry_is_not_enough_when_keys_are_pinned() -> None:
    assert only(bare(LOG_7.evidence()), "log", PINNED).verdict is Verdict.UNKNOWN
    assert only(bare(LOG_7.evidence(signed=7)), "log", PINNED).verdict is Verdict.PASS


def test_without_any_log_nobody_can_tell() -> None:
    finding = only(bare(), "log")
    assert finding.verdict is Verdict.UNKNOWN
    assert "gitprov init" in finding.detail


def test_logs_that_do_not_hold_the_root_fail() -> None:
    other = log_of(root=digest("another root"))
    assert only(bare(other.evidence()), "log").verdict is Verdict.FAIL


def test_a_log_that_is_not_here_is_left_to_its_anchor_line() -> None:
    evidence = replace(good(), logs=(), vkeys=(str(KEY.verifier),))
    assert only(evidence, "anchor:tlog").verdict is Verdict.PASS
    assert only(evidence, "log").verdict is Verdict.SKIP


def test_an_anchor_line_does_not_excuse_the_log_that_is_here() -> None:
    other = log_of(root=digest("another root"))
    assert Verdict.FAIL in verdicts(findings(with_logs(other.evidence()), "log"))


def test_a_wrong_entry_fails() -> None:
    evidence = bare(replace(LOG_7.evidence(), index=3))
    assert only(evidence, "log").verdict is Verdict.FAIL


@pytest.mark.parametrize("index", [-1, 7, 1 << 70])
def test_an_index_outside_the_log_fails(index: int) -> None:
    assert only(bare(replace(LOG_7.evidence(), index=index)), "log").verdict is Verdict.FAIL


def test_every_flipped_bit_of_the_proof_fails() -> None:
    log = LOG_7.evidence()
    for number, node in enumerate(log.path):
        for bit in range(256):
            flipped = bytearray(node)
            flipped[bit // 8] ^= 1 << bit % 8
            path = (*log.path[:number], bytes(flipped), *log.path[number + 1 :])
            assert only(bare(replace(log, path=path)), "log").verdict is Verdict.FAIL


def test_a_proof_of_another_length_fails() -> None:
    log = LOG_7.evidence()
    for path in (log.path[1:], log.path[:-1], (*log.path, bytes(32)), (b"", *log.path[1:])):
        assert only(bare(replace(log, path=path)), "log").verdict is Verdict.FAIL


def test_a_log_that_was_rolled_back_fails() -> None:
    finding = only(bare(log_of(6).evidence(seen=LOG_7.head(7))), "log")
    assert finding.verdict is Verdict.FAIL
    assert "rolled back" in finding.detail
    assert "size 7" in finding.detail


@pytest.mark.parametrize("size", [1, 4, 6, 7])
def test_a_log_that_was_rewritten_fails(size: int) -> None:
    seen = Head(size, Sha256Digest(digest("fork").raw))
    finding = only(bare(LOG_7.evidence(seen=seen)), "log")
    assert finding.verdict is Verdict.FAIL
    assert "rewritten" in finding.detail


@pytest.mark.parametrize("size", range(8))
def test_a_log_that_grew_passes(size: int) -> None:
    evidence = bare(LOG_7.evidence(seen=LOG_7.head(size)))
    assert only(evidence, "log").verdict is Verdict.PASS


def test_a_head_that_cannot_be_compared_is_unknown() -> None:
    log = replace(LOG_7.evidence(seen=LOG_7.head(5)), consistency={})
    assert verdicts(findings(bare(log), "log")) == [Verdict.UNKNOWN]


def test_no_proof_is_needed_for_the_same_head() -> None:
    log = replace(LOG_7.evidence(seen=LOG_7.head(7)), consistency={})
    assert only(bare(log), "log").verdict is Verdict.PASS


def test_a_signed_head_of_another_history_fails() -> None:
    forked = log_of(6, 2)
    log = replace(LOG_7.evidence(), checkpoint=forked.checkpoint(6))
    finding = only(bare(log), "log")
    assert finding.verdict is Verdict.FAIL
    assert "signed head (size 6)" in finding.detail


def test_a_log_shorter_than_its_signed_head_fails() -> None:
    log = replace(log_of(6).evidence(), checkpoint=LOG_7.checkpoint(7))
    assert "rolled back" in only(bare(log), "log").detail


def test_a_head_signed_with_another_key_fails() -> None:
    log = replace(LOG_7.evidence(), checkpoint=replace(LOG_7, key=OTHER_KEY).checkpoint(7))
    finding = only(bare(log), "log")
    assert finding.verdict is Verdict.FAIL
    assert "signed head does not hold" in finding.detail


def test_a_malformed_signed_head_fails() -> None:
    for text in ("", "nonsense", LOG_7.checkpoint(7) + "x", LOG_7.checkpoint(7)[:-2]):
        log = replace(LOG_7.evidence(), checkpoint=text)
        assert only(bare(log), "log").verdict is Verdict.FAIL


def test_a_key_under_another_logs_name_fails() -> None:
    log = replace(LOG_7.evidence(), vkey=str(OTHER_KEY.verifier))
    assert "not that of its name" in only(bare(log), "log").detail
    assert only(bare(replace(log, vkey="nonsense")), "log").verdict is Verdict.FAIL


def test_a_log_that_cannot_be_read_fails_with_the_reason() -> None:
    log = replace(LOG_7.evidence(), problem="a tile is missing")
    finding = only(bare(log), "log")
    assert finding.verdict is Verdict.FAIL
    assert "a tile is missing" in finding.detail


def test_a_broken_log_fails_beside_a_good_one() -> None:
    other = replace(log_of(key=OTHER_KEY, root=digest("x")).evidence(), problem="cut off")
    found = findings(bare(LOG_7.evidence(), other), "log")
    assert verdicts(found) == [Verdict.PASS, Verdict.FAIL]


def test_a_log_that_does_not_hold_the_root_is_not_mentioned_beside_one_that_does() -> None:
    other = log_of(key=OTHER_KEY, root=digest("x")).evidence()
    assert verdicts(findings(bare(other, LOG_7.evidence()), "log")) == [Verdict.PASS]


def test_a_log_whose_key_is_not_pinned_does_not_count() -> None:
    found = findings(bare(LOG_7.evidence(signed=7)), "log", PINNED_OTHER)
    assert verdicts(found) == [Verdict.SKIP, Verdict.UNKNOWN]
    trusted = log_of(key=OTHER_KEY, root=digest("x")).evidence(signed=7)
    found = findings(bare(LOG_7.evidence(signed=7), trusted), "log", PINNED_OTHER)
    assert verdicts(found) == [Verdict.SKIP, Verdict.FAIL]


def test_a_broken_log_whose_key_is_not_pinned_does_not_count_either() -> None:
    broken = replace(log_of(key=OTHER_KEY).evidence(), problem="cut off")
    found = findings(bare(LOG_7.evidence(signed=7), broken), "log", PINNED)
    assert verdicts(found) == [Verdict.PASS, Verdict.SKIP]


def test_without_a_record_root_there_is_nothing_to_look_for() -> None:
    evidence = replace(good(), recomputed=Unavailable("shallow"), lines=())
    assert only(evidence, "log").verdict is Verdict.UNKNOWN


def test_two_copies_of_one_log_give_one_finding() -> None:
    found = findings(bare(LOG_7.evidence(), log_of(6).evidence()), "log")
    assert verdicts(found) == [Verdict.PASS]
    found = findings(bare(LOG_7.evidence(), LOG_7.evidence(signed=7)), "log", PINNED)
    assert verdicts(found) == [Verdict.PASS]


def test_a_copy_that_lags_behind_says_nothing_against_the_other() -> None:
    behind = Log(LOG_7.entries[:3]).evidence()
    for logs in ((behind, LOG_7.evidence()), (LOG_7.evidence(), behind)):
        assert verdicts(findings(bare(*logs), "log")) == [Verdict.PASS]


def test_two_copies_that_contradict_each_other_fail() -> None:
    for other in (log_of(6, 2), log_of(7, 2)):
        for logs in ((LOG_7, other), (other, LOG_7)):
            found = findings(bare(*(log.evidence() for log in logs)), "log")
            assert Verdict.FAIL in verdicts(found)
            assert any("contradict" in finding.detail for finding in found)


def test_a_copy_that_could_not_be_compared_is_not_hidden_by_another() -> None:
    untold = replace(LOG_7.evidence(seen=LOG_7.head(5)), consistency={})
    found = findings(bare(LOG_7.evidence(), untold), "log")
    assert verdicts(found) == [Verdict.PASS, Verdict.UNKNOWN]
