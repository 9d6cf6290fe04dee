"""The check `anchor:ethereum`: from the digest to an event, to a block's header, to the chain."""

from functools import lru_cache

from gitprov.core.canonical import dumps, loads
from gitprov.core.ethereum import (
    ANCHOR_SELECTOR,
    ANCHORED,
    HASH_STORED,
    PREFIX,
    STORE_SELECTOR,
    Header,
    Log,
    Transaction,
    logs_of,
)
from gitprov.core.keccak import keccak256
from gitprov.core.patricia import verify_proof
from gitprov.core.rlp import encode, encode_int
from gitprov.errors import GitprovError, UnavailableError, VerificationError
from gitprov.model.note import AnchorLine
from gitprov.model.receipt_ethereum import EthereumReceipt, InBlock
from gitprov.model.report import Verdict
from gitprov.verify.evidence import Answer
from gitprov.verify.settled import Circumstances, Outcome, Place, chain_name, other_chain, settle
from gitprov.verify.trust import Trust

_ADDRESS_BYTES = 20
_LIMIT = 4 << 20


def judge(line: AnchorLine, answer: Answer | None, case: Circumstances) -> Outcome:
    """Judges one line whose inclusion proof up to the digest holds."""
    try:
        receipt, place = _checked(dumps(line.receipt), line.digest.raw)
        _check_pins(receipt, case.trust)
    except UnavailableError as exc:
        return Verdict.UNKNOWN, f"{exc}: {exc.hint}"
    except GitprovError as exc:
        return Verdict.FAIL, str(exc)
    if place is not None:
        return settle(place, answer, case)
    if line.status in {"included", "final"}:
        return Verdict.FAIL, f"it is said to be {line.status}, but its receipt names no block"
    return _pending(receipt, answer, case)


# Thousands of commits share one receipt.
@lru_cache(maxsize=16_384)
def _checked(receipt: bytes, digest: bytes) -> tuple[EthereumReceipt, Place | None]:
    parsed = EthereumReceipt.parse(loads(receipt, what="an Ethereum receipt", limit=_LIMIT))
    return parsed, check(parsed, digest)


def check(receipt: EthereumReceipt, digest: bytes) -> Place | None:
    """Checks what can be checked without a node; returns where it leads, None while pending.

    Raises:
        VerificationError: something does not hold.
        UnavailableError: a library is not installed.
    """
    _check_transaction(receipt, digest)
    at = receipt.place
    if at is None:
        return None
    header = Header.parse(at.header)
    if header.hash != at.block or header.number != at.height:
        raise VerificationError("the header in the receipt is not that of the block it names")
    key = encode(encode_int(at.index))
    if receipt.mode == "calldata":
        if verify_proof(header.transactions_root, key, at.proof) != receipt.raw:
            raise VerificationError("the block has another transaction at that place")
        what = f"the transaction 0x{receipt.tx.hex()} of 0x{receipt.sender.hex()}"
    else:
        logs = logs_of(verify_proof(header.receipts_root, key, at.proof))
        _check_event(receipt, at, logs, digest)
        what = f"the event of the contract 0x{(receipt.contract or b'').hex()}"
        if receipt.mode == "event":
            what += f", sent by 0x{receipt.sender.hex()},"
    return Place(receipt.target, f"0x{at.block.hex()}", at.height, what, header.time)


def _check_transaction(receipt: EthereumReceipt, digest: bytes) -> None:
    if keccak256(receipt.raw) != receipt.tx:
        raise VerificationError("the transaction in the receipt has another hash than it names")
    transaction = Transaction.parse(receipt.raw)
    if transaction.chain_id != receipt.chain_id:
        raise VerificationError(
            f"the transaction is for the chain {transaction.chain_id}, "
            f"the receipt says {receipt.chain_id}"
        )
    if receipt.mode == "calldata":
        to, data = receipt.sender, PREFIX + digest
        fits = transaction.data == data
    else:
        to = receipt.contract or b""
        selector = ANCHOR_SELECTOR if receipt.mode == "event" else STORE_SELECTOR
        fits = transaction.data[:36] == selector + digest
    if not fits:
        raise VerificationError("the transaction does not carry the witnessed head")
    if transaction.to != to:
        raise VerificationError("the transaction goes to another address than the receipt says")
    # A proven event names its sender itself.
    if receipt.mode != "event" and transaction.sender() != receipt.sender:
        raise VerificationError("the transaction was not signed by the sender it names")


def _check_event(
    receipt: EthereumReceipt, at: InBlock, logs: tuple[Log, ...], digest: bytes
) -> None:
    if at.log is None or at.log >= len(logs):
        raise VerificationError("the transaction has no such event")
    event = logs[at.log]
    wanted: tuple[bytes, ...] = (HASH_STORED, digest)
    if receipt.mode == "event":
        wanted = (ANCHORED, digest, receipt.sender.rjust(32, b"\0"))
    if event.address != receipt.contract:
        raise VerificationError("the event is of another contract than the receipt says")
    if event.topics != wanted:
        raise VerificationError("the event does not witness the head, or names another sender")


def _check_pins(receipt: EthereumReceipt, trust: Trust) -> None:
    """Holds the receipt against what the policy trusts."""
    if trust.chain_id is not None and receipt.chain_id != trust.chain_id:
        raise VerificationError(
            f"it is on {chain_name(receipt.chain)}, the policy trusts the chain {trust.chain_id}"
        )
    if trust.genesis is not None and receipt.genesis.hex() != trust.genesis:
        raise VerificationError("it is on a chain with another first block than the policy trusts")
    contract = f"0x{(receipt.contract or b'').hex()}"
    if trust.contracts and contract not in trust.contracts:
        named = f"the contract {contract}" if receipt.contract else "no contract at all"
        raise VerificationError(f"it is of {named}, which the policy does not trust")
    if not trust.senders:
        return
    if receipt.mode == "storage":
        # The event names no sender, so the signature has to, and only the proven block binds it.
        raise VerificationError(
            "the policy pins senders, which the event of `mode: storage` does not name"
        )
    if f"0x{receipt.sender.hex()}" not in trust.senders:
        raise VerificationError(
            f"it was sent by 0x{receipt.sender.hex()}, which the policy does not trust"
        )


def _pending(receipt: EthereumReceipt, answer: Answer | None, case: Circumstances) -> Outcome:
    name = f"0x{receipt.tx.hex()}"
    if answer is not None and not answer.problem:
        if answer.chain != receipt.target:
            return Verdict.FAIL, other_chain(receipt.target, answer)
        if answer.contradiction:
            return Verdict.FAIL, answer.contradiction
        if answer.block:
            told = "`gitprov anchor --refresh` tells the note"
            return case.unsettled(f"pending here, but {name} is in a block already: {told}")
    return case.unsettled(f"pending: the transaction {name} is in no block yet")
