"""The check `anchor:opentimestamps`: from the digest to the Merkle root of a Bitcoin block."""

from collections.abc import Sequence
from functools import lru_cache

from gitprov.core.bitcoin import Header, shown
from gitprov.core.canonical import dumps, loads
from gitprov.errors import GitprovError, UnavailableError, VerificationError
from gitprov.model.note import AnchorLine
from gitprov.model.receipt_opentimestamps import OpenTimestampsReceipt
from gitprov.model.report import Verdict
from gitprov.verify.bitcoin import check_chain
from gitprov.verify.evidence import Answer
from gitprov.verify.ots import Attestations, InBitcoin, read
from gitprov.verify.sentences import listed
from gitprov.verify.settled import Circumstances, Outcome, Place, chain_name, settle

_LIMIT = 1 << 20


def judge(line: AnchorLine, answer: Answer | None, case: Circumstances) -> Outcome:
    """Judges one line whose inclusion proof up to the digest holds."""
    try:
        found = _checked(dumps(line.receipt), line.digest.raw)
    except UnavailableError as exc:
        return Verdict.UNKNOWN, f"{exc}: {exc.hint}"
    except GitprovError as exc:
        return Verdict.FAIL, str(exc)
    if found.bitcoin:
        return _in_bitcoin(found.bitcoin, answer, case)
    if line.status in {"included", "final"}:
        return Verdict.FAIL, f"it is said to be {line.status}, but no block attests it"
    if not found.pending:
        return Verdict.FAIL, "nothing that this version knows attests it"
    calendars = listed([one.uri for one in found.pending])
    return case.unsettled(f"pending: promised by {calendars}")


@lru_cache(maxsize=4096)
def _checked(receipt: bytes, digest: bytes) -> Attestations:
    value = loads(receipt, what="an OpenTimestamps receipt", limit=_LIMIT)
    found = read(OpenTimestampsReceipt.parse(value).ots)
    if found.digest != digest:
        raise VerificationError("the timestamp is of another digest than the witnessed head")
    return found


def fits(attested: InBitcoin, answer: Answer) -> bool:
    """Whether the header in an answer has the Merkle root that is attested."""
    try:
        header = Header.parse(bytes.fromhex(answer.header))
    except (VerificationError, ValueError):
        return False
    return shown(header.hash) == answer.block and header.merkle_root == attested.merkle_root


def _in_bitcoin(
    attestations: Sequence[InBitcoin], answer: Answer | None, case: Circumstances
) -> Outcome:
    """Judges the attestation that the answer speaks of; of several calendars one is enough."""
    first = attestations[0]
    root = shown(first.merkle_root)
    if answer is None or answer.problem:
        why = answer.problem if answer else "no Bitcoin node was asked"
        return Verdict.UNKNOWN, (
            f"the proof leads to the Merkle root {root} of Bitcoin's block {first.height:,}, "
            f"but nobody confirmed that block: {why}"
        )
    try:
        check_chain(answer.chain, case.trust.chain)
    except VerificationError as exc:
        return Verdict.FAIL, str(exc)
    attested = next((one for one in attestations if fits(one, answer)), None)
    if attested is None:
        has = f"has {answer.block} there" if answer.block else "has no such block"
        return Verdict.FAIL, (
            f"the proof leads to the Merkle root {root} of block {first.height:,} of "
            f"{chain_name(answer.chain)}, but {answer.asked} {has}, with another one"
        )
    time = Header.parse(bytes.fromhex(answer.header)).time
    place = Place(answer.chain, answer.block, attested.height, "the timestamp", time)
    return settle(place, answer, case)
