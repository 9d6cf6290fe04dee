"""The check `anchor:bitcoin`: from the digest to a transaction, to a header, to the chain."""

from functools import lru_cache

from gitprov.core.bitcoin import Header, Transaction, check_branch, check_is_no_node, shown
from gitprov.core.canonical import dumps, loads
from gitprov.errors import VerificationError
from gitprov.model.note import AnchorLine
from gitprov.model.receipt_bitcoin import CHAINS, BitcoinReceipt
from gitprov.model.report import Verdict
from gitprov.verify.evidence import Answer
from gitprov.verify.settled import Circumstances, Outcome, Place, chain_name, other_chain, settle

_LIMIT = 1 << 20
_EASIEST = {
    CHAINS["main"]: 1 << 224,
    CHAINS["test"]: 1 << 224,
    CHAINS["testnet4"]: 1 << 224,
    CHAINS["signet"]: 0x377AE << (8 * 0x1B),
}
"""The largest target that a chain ever allows; others (regtest) have next to none."""


def judge(line: AnchorLine, answer: Answer | None, case: Circumstances) -> Outcome:
    """Judges one line whose inclusion proof up to the digest holds."""
    try:
        receipt, place = _checked(dumps(line.receipt), line.digest.raw)
        check_chain(receipt.chain, case.trust.chain)
    except VerificationError as exc:
        return Verdict.FAIL, str(exc)
    if place is not None:
        return settle(place, answer, case)
    if line.status in {"included", "final"}:
        return Verdict.FAIL, f"it is said to be {line.status}, but its receipt names no block"
    return _pending(receipt, answer, case)


@lru_cache(maxsize=16_384)
def _checked(receipt: bytes, digest: bytes) -> tuple[BitcoinReceipt, Place | None]:
    parsed = BitcoinReceipt.parse(loads(receipt, what="a Bitcoin receipt", limit=_LIMIT))
    return parsed, check(parsed, digest)


def check(receipt: BitcoinReceipt, digest: bytes) -> Place | None:
    """Checks what can be checked without a node; returns where it leads, None while pending.

    Raises:
        VerificationError: something does not hold.
    """
    transaction = Transaction.parse(receipt.raw)
    if transaction.stripped != receipt.raw or shown(transaction.id) != receipt.txid:
        raise VerificationError("the transaction in the receipt has another id than it names")
    check_is_no_node(receipt.raw)
    if not transaction.carries(digest):
        raise VerificationError("the transaction does not carry the witnessed head")
    at = receipt.place
    if at is None:
        return None
    header = Header.parse(at.header)
    if shown(header.hash) != at.block:
        raise VerificationError("the header in the receipt is not that of the block it names")
    header.check_work(_EASIEST.get(receipt.chain, 1 << 255))
    check_branch(transaction.id, at.index, at.branch, header.merkle_root)
    what = f"the transaction {receipt.txid}"
    return Place(receipt.chain, at.block, at.height, what, header.time)


def check_chain(chain: str, wanted: str | None) -> None:
    """Holds a chain against the one that the policy trusts.

    Raises:
        VerificationError: it is another.
    """
    if wanted is not None and chain != CHAINS[wanted]:
        raise VerificationError(
            f"it is on {chain_name(chain)}, the policy trusts {chain_name(CHAINS[wanted])}"
        )


def _pending(receipt: BitcoinReceipt, answer: Answer | None, case: Circumstances) -> Outcome:
    if answer is not None and not answer.problem:
        if answer.chain != receipt.chain:
            return Verdict.FAIL, other_chain(receipt.chain, answer)
        if answer.contradiction:
            return Verdict.FAIL, answer.contradiction
    return case.unsettled(f"pending: the transaction {receipt.txid} is in no block yet")
