"""anchor:<network> and policy."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitprov.core.digest import Digest, Sha256Digest
from gitprov.errors import UsageError
from gitprov.model.note import AnchorLine
from gitprov.model.report import Finding, Verdict
from gitprov.model.signed_note import SignerKey, TreeHead
from gitprov.verify.engine import judge
from gitprov.verify.evidence import CommitEvidence, Unavailable
from gitprov.verify.policy import Policy, Requirement
from tests.unit.verify.support import (
    COMMIT,
    KEY,
    LOG_7,
    OTHER_COMMIT,
    OTHER_KEY,
    Log,
    digest,
    findings,
    good,
    log_of,
    only,
    record_line,
    with_lines,
)

LINE = LOG_7.anchor(6)
PINNED = Policy(tlog_keys=(str(KEY.verifier),))
REQUIRED = Policy(required=Requirement.all_of("tlog"))


def judged(line: AnchorLine, policy: Policy | None = None) -> Finding:
    return only(with_lines(record_line(), line), f"anchor:{line.network}", policy)


def test_an_anchor_says_that_its_key_is_not_pinned() -> None:
    finding = judged(LINE)
    assert finding.verdict is Verdict.PASS
    assert finding.subject == KEY.verifier.key_id
    assert "no policy pins" in finding.detail


def test_an_anchor_signed_with_a_pinned_key_passes() -> None:
    finding = judged(LINE, PINNED)
    assert finding.verdict is Verdict.PASS
    assert "the policy trusts" in finding.detail


def test_a_pinned_key_needs_no_log_here() -> None:
    evidence = replace(with_lines(record_line(), LINE), logs=())
    assert only(evidence, "anchor:tlog", PINNED).verdict is Verdict.PASS


def test_an_anchor_signed_with_a_key_that_is_not_pinned_fails() -> None:
    finding = judged(LINE, Policy(tlog_keys=(str(OTHER_KEY.verifier),)))
    assert finding.verdict is Verdict.FAIL
    assert "does not trust" in finding.detail


def test_a_key_that_is_not_here_cannot_be_told() -> None:
    evidence = replace(with_lines(record_line(), LINE), logs=())
    finding = only(evidence, "anchor:tlog")
    assert finding.verdict is Verdict.UNKNOWN
    assert "git fetch" in finding.detail


def test_a_key_may_come_from_elsewhere() -> None:
    evidence = replace(
        with_lines(record_line(), LINE), logs=(), vkeys=("rubbish", str(KEY.verifier))
    )
    assert only(evidence, "anchor:tlog").verdict is Verdict.PASS


def test_a_key_cannot_pose_as_another_log() -> None:
    impostor = SignerKey(KEY.name, OTHER_KEY.seed)
    line = replace(LOG_7, key=impostor).anchor()
    evidence = with_lines(record_line(), line)
    evidence = replace(evidence, vkeys=(str(impostor.verifier),))
    assert only(evidence, "anchor:tlog").verdict is Verdict.FAIL
    assert only(replace(evidence, logs=()), "anchor:tlog").verdict is Verdict.UNKNOWN


def _receipt(line: AnchorLine, text: str) -> AnchorLine:
    return replace(line, receipt={"checkpoint": text})


FORGED: dict[str, Callable[[AnchorLine], AnchorLine]] = {
    "another root": lambda line: replace(line, root=digest("x")),
    "another digest": lambda line: replace(line, digest=Sha256Digest(digest("x").raw)),
    "another size": lambda line: replace(line, size=5),
    "a larger size": lambda line: replace(line, size=7),
    "another index": lambda line: replace(line, index=3),
    "an index outside": lambda line: replace(line, index=6),
    "a huge index": lambda line: replace(line, index=1 << 52),
    "a shorter path": lambda line: replace(line, path=line.path[1:]),
    "a longer path": lambda line: replace(line, path=(*line.path, bytes(32))),
    "not final": lambda line: replace(line, status="pending"),
    "no receipt": lambda line: replace(line, receipt={}),
    "more in the receipt": lambda line: replace(line, receipt={**line.receipt, "x": 1}),
    "no text": lambda line: replace(line, receipt={"checkpoint": 1}),
    "no signed note": lambda line: _receipt(line, "nonsense"),
    "the head of another size": lambda line: _receipt(line, LOG_7.checkpoint(7)),
    "the head of another log": lambda line: _receipt(line, log_of(6, 2).checkpoint(6)),
    "a head signed by a stranger in our name": lambda line: _receipt(
        line,
        SignerKey(KEY.name, OTHER_KEY.seed).sign(TreeHead(KEY.name, 6, LOG_7.root(6))),
    ),
    "a head of a stranger signed by us": lambda line: _receipt(
        line, KEY.sign(TreeHead(OTHER_KEY.name, 6, LOG_7.root(6)))
    ),
    "an edited commit": lambda line: replace(line, commit=OTHER_COMMIT),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
def test_a_forged_anchor_line_fails(forge: Callable[[AnchorLine], AnchorLine]) -> None:
    for policy in (Policy(), PINNED):
        assert judged(forge(LINE), policy).verdict is Verdict.FAIL


def test_a_line_for_another_record_root_fails_with_both_roots() -> None:
    other = digest("another record")
    line = log_of(root=other).anchor(record_root=other)
    assert str(other) in judged(line).detail
    assert judged(line).verdict is Verdict.FAIL


def test_a_line_copied_from_another_commit_does_not_count() -> None:
    other = digest("another record")
    line = log_of(root=other).anchor(record_root=other, commit=OTHER_COMMIT)
    finding = judged(line)
    assert finding.verdict is Verdict.SKIP
    assert OTHER_COMMIT[:12] in finding.detail
    assert only(with_lines(record_line(), line), "policy", REQUIRED).verdict is Verdict.FAIL


def test_a_signed_head_that_the_log_here_no_longer_extends_fails() -> None:
    forked = log_of(6, 2)
    finding = judged(forked.anchor())
    assert finding.verdict is Verdict.FAIL
    assert "no longer begins" in finding.detail


def test_a_log_here_that_lags_behind_says_nothing_against_an_anchor() -> None:
    evidence = replace(with_lines(record_line(), LOG_7.anchor(7)), logs=(log_of(6).evidence(),))
    assert only(evidence, "anchor:tlog").verdict is Verdict.PASS


def test_every_anchor_line_gets_a_finding() -> None:
    evidence = with_lines(record_line(), LOG_7.anchor(6), LOG_7.anchor(7), LOG_7.anchor(6))
    assert len(findings(evidence, "anchor:tlog")) == 2


def test_an_anchor_needs_a_record_root() -> None:
    evidence = replace(with_lines(LINE), recomputed=Unavailable("shallow"))
    assert only(evidence, "anchor:tlog").verdict is Verdict.UNKNOWN


def test_a_network_of_another_version_cannot_be_checked() -> None:
    finding = judged(replace(LINE, network="dogecoin"))
    assert finding.verdict is Verdict.UNKNOWN
    assert "cannot check" in finding.detail


def test_a_forged_path_fails_on_every_network() -> None:
    assert judged(replace(LINE, network="ethereum", index=0)).verdict is Verdict.FAIL


@given(
    size=st.integers(1, 40),
    data=st.data(),
)
def test_any_flipped_bit_index_or_size_fails_and_never_raises(
    size: int, data: st.DataObject
) -> None:
    log = log_of(size, data.draw(st.integers(0, size - 1)))
    at = data.draw(st.integers(log.entries.index(good().root.raw) + 1, size))  # type: ignore[union-attr]
    line = log.anchor(at)
    evidence = replace(good(), lines=(record_line(), line), logs=(log.evidence(),))
    assert only(evidence, "anchor:tlog").verdict is Verdict.PASS
    what = data.draw(st.sampled_from(["path", "index", "size", "digest", "checkpoint"]))
    forged = _bend(line, what, data)
    if forged == line:
        return
    assert only(replace(evidence, lines=(record_line(), forged)), "anchor:tlog").verdict in {
        Verdict.FAIL,
        Verdict.UNKNOWN,
    }


def _bend(line: AnchorLine, what: str, data: st.DataObject) -> AnchorLine:
    if what == "path" and line.path:
        number = data.draw(st.integers(0, len(line.path) - 1))
        path = list(line.path)
        path[number] = _flip(path[number], data)
        return replace(line, path=tuple(path))
    if what == "index":
        return replace(line, index=data.draw(st.integers(-2, 1 << 65)))
    if what == "size":
        return replace(line, size=data.draw(st.integers(-2, 1 << 65)))
    if what == "digest":
        return replace(line, digest=Sha256Digest(_flip(line.digest.raw, data)))
    text = str(line.receipt["checkpoint"])
    position = data.draw(st.integers(0, len(text) - 1))
    char = data.draw(st.characters())
    return _receipt(line, text[:position] + char + text[position + 1 :])


def _flip(raw: bytes, data: st.DataObject) -> bytes:
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    flipped = bytearray(raw)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


def _anchored(*networks: str) -> CommitEvidence:
    lines = [replace(LINE, network=network) for network in networks]
    return with_lines(record_line(), *lines)


def test_a_policy_that_requires_nothing_is_skipped() -> None:
    assert only(_anchored(), "policy").verdict is Verdict.SKIP


def test_a_required_network_that_anchored_passes() -> None:
    assert only(_anchored("tlog"), "policy", REQUIRED).verdict is Verdict.PASS


def test_a_required_network_that_did_not_anchor_fails_and_is_named() -> None:
    finding = only(_anchored(), "policy", REQUIRED)
    assert finding.verdict is Verdict.FAIL
    assert finding.detail == "required tlog: no final anchor that holds on tlog"


def test_a_forged_anchor_does_not_meet_a_policy() -> None:
    evidence = with_lines(record_line(), replace(LINE, index=3))
    assert only(evidence, "policy", REQUIRED).verdict is Verdict.FAIL


def test_an_anchor_that_cannot_be_checked_leaves_the_policy_open() -> None:
    policy = Policy(required=Requirement.all_of("tlog", "dogecoin"))
    finding = only(_anchored("tlog", "dogecoin"), "policy", policy)
    assert finding.verdict is Verdict.UNKNOWN
    assert "on dogecoin" in finding.detail
    assert only(_anchored("tlog"), "policy", policy).verdict is Verdict.FAIL


def test_any_of_several_networks_is_enough() -> None:
    policy = Policy(required=Requirement.any_of("tlog", "bitcoin"))
    assert only(_anchored("tlog"), "policy", policy).verdict is Verdict.PASS


def test_a_policy_that_pins_no_key_at_all_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="not a verifier key"):
        judge(good(), Policy(tlog_keys=("nonsense",)))


def test_the_key_of_a_log_in_the_repository_does_not_replace_a_pinned_one() -> None:
    mine = Log(LOG_7.entries, OTHER_KEY)
    evidence = replace(
        good(), lines=(record_line(), mine.anchor()), logs=(mine.evidence(signed=7),)
    )
    assert judge(evidence, Policy()).verdict is Verdict.PASS
    assert judge(evidence, PINNED).verdict is Verdict.FAIL


def test_the_root_that_is_judged_is_the_commits_own() -> None:
    other: Digest = digest("x")
    evidence = with_lines(replace(record_line(), root=other), LINE)
    assert evidence.root != other
    assert judge(evidence, Policy()).commit == COMMIT
