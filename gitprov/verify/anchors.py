"""The checks `anchor:<network>`: one finding for every anchor line of the note."""

from collections.abc import Callable
from dataclasses import replace

from gitprov.errors import VerificationError
from gitprov.model.note import AnchorLine
from gitprov.model.report import Finding, Verdict
from gitprov.model.signed_note import VerifierKey
from gitprov.verify import bitcoin, ethereum, ipfs, opentimestamps
from gitprov.verify.evidence import Answer, CommitEvidence, Head, answer_key
from gitprov.verify.policy import Policy
from gitprov.verify.sentences import short
from gitprov.verify.settled import Circumstances, Outcome
from gitprov.verify.tlog import Keys, check_head, check_line, checkpoint_of, extends, signer_of
from gitprov.verify.trust import Trust

Judge = Callable[[AnchorLine, Answer | None, Circumstances], Outcome]
"""What a network's own part says, once the line's proof up to the witnessed head holds."""


def anchors(evidence: CommitEvidence, policy: Policy) -> tuple[Finding, ...]:
    """One finding for every anchor line that counts."""
    lines = [line for line in evidence.anchors if line.network == "tlog"]
    findings = [anchor_finding(line, evidence, policy) for line in lines]
    others = dict.fromkeys(line.network for line in evidence.anchors if line.network != "tlog")
    for network in others:
        findings += _of_network(network, evidence, policy)
    return tuple(findings)


def anchor_finding(line: AnchorLine, evidence: CommitEvidence, policy: Policy) -> Finding:
    """Judges one line: is it of this record, is the record under the head, is the head witnessed.

    The subject is the id of the log for tlog, "" for the others.
    """
    outcome = _binds(line, evidence)
    if outcome is None and line.network == "tlog":
        outcome = _tlog(line, evidence, policy)
    elif outcome is None:
        judge = JUDGES.get(line.network, _cannot)
        outcome = judge(line, evidence.answer(line), _circumstances(line.network, evidence, policy))
    subject = _log_id(line) if line.network == "tlog" else ""
    return Finding(f"anchor:{line.network}", outcome[0], subject, outcome[1])


def passing_networks(
    evidence: CommitEvidence, policy: Policy, *verdicts: Verdict
) -> frozenset[str]:
    """The networks with a finding of one of these verdicts."""
    return frozenset(
        finding.check.removeprefix("anchor:")
        for finding in anchors(evidence, policy)
        if finding.verdict in verdicts
    )


def lines_that_count(network: str, evidence: CommitEvidence) -> tuple[AnchorLine, ...]:
    """The lines of a network that say the most: of one receipt `final` beats `included`.

    A pending line is a promise. It counts while the network has nothing better for this record, and
    of several the one for the largest head.
    """
    bound = [
        line
        for line in evidence.anchors
        if line.network == network and _binds(line, evidence) is None
    ]
    best: dict[str, AnchorLine] = {}
    for line in bound:
        key = answer_key(line)
        if line.status == "final" or (line.status == "included" and key not in best):
            best[key] = line
    if best:
        return tuple(best.values())
    pending = [line for line in bound if line.status in {"pending", "reorged"}]
    return tuple(sorted(pending, key=lambda line: (line.size, line.status == "pending"))[-1:])


def _of_network(network: str, evidence: CommitEvidence, policy: Policy) -> list[Finding]:
    """The findings of one network: those of the lines that count, and of lines of no record."""
    findings = [
        anchor_finding(line, evidence, policy)
        for line in evidence.anchors
        if line.network == network and _binds(line, evidence) is not None
    ]
    counting = lines_that_count(network, evidence)
    gone = {
        answer_key(line)
        for line in evidence.anchors
        if line.network == network and line.status == "reorged"
    }
    case = _circumstances(network, evidence, policy)
    judged = [(line, anchor_finding(line, evidence, policy)) for line in counting]
    stands = any(answer_key(line) not in gone for line, _ in judged)
    for line, finding in judged:
        if answer_key(line) not in gone or finding.verdict is Verdict.PASS:
            findings.append(finding)
        elif not stands:
            # Its maker knows that the block is gone, and has sent it again.
            verdict, detail = case.unsettled(f"reorged, and sent again: {finding.detail}")
            findings.append(replace(finding, verdict=verdict, detail=detail))
    return findings


def _circumstances(network: str, evidence: CommitEvidence, policy: Policy) -> Circumstances:
    required = policy.required
    return Circumstances(
        trust=policy.trust.get(network, Trust()),
        required=required is not None and network in required.networks,
        now=evidence.now,
        depth=DEPTHS.get(network),
    )


def _binds(line: AnchorLine, evidence: CommitEvidence) -> Outcome | None:
    """What every network has in common: None when the line ties this record to its head."""
    if evidence.root is None:
        return Verdict.UNKNOWN, "there is no record root that it could witness"
    if line.commit != evidence.commit:
        detail = f"it was made for the commit {short(line.commit)}"
        if line.root == evidence.root:
            return Verdict.FAIL, f"{detail}, but names this commit's record root"
        return Verdict.SKIP, f"{detail}, was copied here and does not count"
    if line.root != evidence.root:
        return Verdict.FAIL, f"it witnesses {line.root}, the record root is {evidence.root}"
    try:
        check_line(line)
    except VerificationError as exc:
        return Verdict.FAIL, f"it does not lead from the record root to the witnessed head: {exc}"
    return None


def _cannot(line: AnchorLine, answer: Answer | None, case: Circumstances) -> Outcome:
    del answer, case
    return Verdict.UNKNOWN, f"this version cannot check anchors of the network {line.network}"


def _tlog(line: AnchorLine, evidence: CommitEvidence, policy: Policy) -> Outcome:
    if line.status != "final":
        return Verdict.FAIL, f"a signed head is final at once, but the line says {line.status!r}"
    keys = Keys.of(evidence, policy)
    try:
        origin = check_head(line).origin
        signer = signer_of(checkpoint_of(line), keys.counting)
    except VerificationError as exc:
        return Verdict.FAIL, f"its signed head does not hold: {exc}"
    if signer is None and keys.pinned:
        return Verdict.FAIL, f"its head is signed by {origin}, a key that the policy does not trust"
    if signer is None:
        return (
            Verdict.UNKNOWN,
            f"the public key of {origin} is not here; `git fetch` brings its log",
        )
    forked = _forked(line, evidence, signer)
    if forked:
        return Verdict.FAIL, forked
    pin = "which the policy trusts" if keys.pinned else "which no policy pins"
    detail = f"entry {line.index} under the head of size {line.size}, signed with its key, {pin}"
    return Verdict.PASS, detail


def _forked(line: AnchorLine, evidence: CommitEvidence, signer: VerifierKey) -> str:
    """Why the log that is here contradicts the signed head, or ""."""
    for log in evidence.logs:
        if log.key_id != signer.key_id or log.size < line.size:
            continue
        if extends(log, Head(line.size, line.digest)) is False:
            return f"the log here no longer begins with the head signed at size {line.size}"
    return ""


def _log_id(line: AnchorLine) -> str:
    """The last part of the log's name: for people, and to find the log; nothing is proven by it."""
    try:
        return check_head(line).origin.rpartition("/")[2]
    except VerificationError:
        return ""


JUDGES: dict[str, Judge] = {
    "ethereum": ethereum.judge,
    "bitcoin": bitcoin.judge,
    "opentimestamps": opentimestamps.judge,
    "ipfs": ipfs.judge,
}
"""One line per network beside `tlog` that this version can check."""

DEPTHS = {"bitcoin": 6, "opentimestamps": 6}
"""Confirmations until final where the policy says nothing; elsewhere the network itself knows."""
