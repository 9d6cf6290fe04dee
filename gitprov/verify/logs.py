"""The check `log`: the record root is in a log, and the log only ever grew."""

from collections.abc import Iterator

from gitprov.core.digest import Digest
from gitprov.errors import VerificationError
from gitprov.model.report import Finding, Verdict
from gitprov.model.signed_note import read_unverified
from gitprov.verify.anchors import anchor_finding
from gitprov.verify.evidence import CommitEvidence, Head, LogEvidence
from gitprov.verify.policy import Policy
from gitprov.verify.sentences import count
from gitprov.verify.tlog import Keys, check_inclusion, extends, signer_of

NAME = "log"

_NO_LOG = "no log is in this clone; `gitprov init` fetches those of the remotes"


def log(evidence: CommitEvidence, policy: Policy) -> tuple[Finding, ...]:
    """One finding per log that holds the root or does not hold itself; at least one in all.

    When the policy pins keys, the logs of other keys do not count, for or against.
    """
    root = evidence.root
    if root is None:
        return (Finding(NAME, Verdict.UNKNOWN, "", "there is no record root to look for"),)
    keys = Keys.of(evidence, policy)
    findings: list[Finding] = []
    counting: list[LogEvidence] = []
    held: dict[str, Finding] = {}
    for one in evidence.logs:
        if keys.pinned and keys.of_log(one.key_id) is None:
            detail = "the policy does not trust this log's key, so the log does not count"
            findings.append(Finding(NAME, Verdict.SKIP, one.key_id, detail))
            continue
        counting.append(one)
        faults = [*_faults(one, keys), *_contradictions(one, evidence.logs)]
        findings.extend(faults)
        if faults or one.index is None:
            continue
        finding = _held(one, root, keys)
        if finding.verdict is Verdict.FAIL:
            findings.append(finding)
        elif one.key_id not in held or held[one.key_id].verdict is not Verdict.PASS:
            held[one.key_id] = finding  # of several copies, the first that passes speaks
    if not any(one.index is not None for one in counting):
        findings.append(_nowhere(evidence, policy, counting))
    return (*held.values(), *findings)


def _contradictions(log: LogEvidence, logs: tuple[LogEvidence, ...]) -> Iterator[Finding]:
    """Where another copy of the same log, ours or a remote's, is no beginning of this one."""
    for other in logs:
        smaller = other is not log and other.key_id == log.key_id and other.size <= log.size
        if smaller and not other.problem and extends(log, Head(other.size, other.root)) is False:
            detail = f"two copies of the log contradict each other (sizes {other.size}, {log.size})"
            yield Finding(NAME, Verdict.FAIL, log.key_id, detail)


def _faults(log: LogEvidence, keys: Keys) -> Iterator[Finding]:
    """What is wrong with a log, whether or not it holds this root."""
    subject = log.key_id
    if log.problem:
        yield Finding(NAME, Verdict.FAIL, subject, f"the log cannot be read: {log.problem}")
        return
    key = keys.of_log(subject)
    if log.vkey and (key is None or str(key) != log.vkey):
        yield Finding(NAME, Verdict.FAIL, subject, "the log's public key is not that of its name")
    if log.seen:
        yield from _earlier(log, log.seen, f"the head seen here before (size {log.seen.size})")
    if log.checkpoint is not None:
        yield from _signed(log, keys, log.checkpoint)


def _signed(log: LogEvidence, keys: Keys, note: str) -> Iterator[Finding]:
    try:
        head = read_unverified(note)
        key = keys.of_log(log.key_id)
        if key is not None and signer_of(note, [key]) is None:
            raise VerificationError(f"it is a head of the log {head.origin}")
    except VerificationError as exc:
        yield Finding(NAME, Verdict.FAIL, log.key_id, f"the log's signed head does not hold: {exc}")
        return
    yield from _earlier(log, Head(head.size, head.root), f"its signed head (size {head.size})")


def _earlier(log: LogEvidence, head: Head, what: str) -> Iterator[Finding]:
    holds = extends(log, head)
    if holds is None:
        detail = f"the log could not be compared with {what}"
        yield Finding(NAME, Verdict.UNKNOWN, log.key_id, detail)
    elif not holds:
        happened = "was rolled back" if head.size > log.size else "was rewritten"
        detail = f"the log {happened}: at size {log.size} it does not extend {what}"
        yield Finding(NAME, Verdict.FAIL, log.key_id, detail)


def _held(log: LogEvidence, root: Digest, keys: Keys) -> Finding:
    try:
        check_inclusion(root, log)
    except VerificationError as exc:
        detail = f"entry {log.index} of the log is not the record root: {exc}"
        return Finding(NAME, Verdict.FAIL, log.key_id, detail)
    detail = f"entry {log.index} of {log.size} is the record root"
    if log.seen:
        detail += f"; consistent with the head seen before (size {log.seen.size})"
    verdict = Verdict.PASS
    if log.index is not None and log.index >= _signed_size(log, keys):
        detail += "; no signed head covers it yet, `gitprov anchor` signs one"
        # Who pins keys wants signatures: anyone who can push can write an unsigned entry.
        verdict = Verdict.UNKNOWN if keys.pinned else Verdict.PASS
    return Finding(NAME, verdict, log.key_id, detail)


def _signed_size(log: LogEvidence, keys: Keys) -> int:
    """How many entries the log's signed head covers; `_faults` has checked the signature."""
    if log.checkpoint is None or keys.of_log(log.key_id) is None:
        return 0
    return read_unverified(log.checkpoint).size


def _nowhere(evidence: CommitEvidence, policy: Policy, logs: list[LogEvidence]) -> Finding:
    """No log that is here, and counts, claims to hold the root."""
    here = {log.key_id for log in logs}
    for line in evidence.anchors:
        finding = anchor_finding(line, evidence, policy)
        elsewhere = finding.subject not in here
        if elsewhere and finding.verdict in {Verdict.PASS, Verdict.UNKNOWN}:
            detail = "the log that holds the record root is not here; its anchor line has the proof"
            return Finding(NAME, Verdict.SKIP, finding.subject, detail)
    if not logs:
        return Finding(NAME, Verdict.UNKNOWN, "", _NO_LOG)
    number = count(len(logs), "log")
    return Finding(NAME, Verdict.FAIL, "", f"no entry of the {number} here is the record root")
