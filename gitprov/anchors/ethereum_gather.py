"""What an Ethereum node says now about many receipts, in as few requests as possible."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gitprov.anchors.base import Receipt
from gitprov.anchors.ethereum_node import EthereumNode
from gitprov.core.ethereum import Transaction
from gitprov.errors import MalformedError, UnavailableError
from gitprov.model.receipt_ethereum import EthereumReceipt
from gitprov.platform.jsonrpc import Result, RpcError
from gitprov.verify.evidence import Answer

_MALFORMED = "the receipt is not well formed"

_BEHIND = 256
"""How many blocks a node may lack before what a receipt says is no block of its chain."""


class _Now(NamedTuple):
    """What is the same for all receipts: who was asked, and how far the chain is."""

    node: EthereumNode
    chain: str
    newest: int
    finalized: int

    def problem(self, sentence: str) -> Answer:
        return Answer(self.node.where, problem=sentence)


def gather(node: EthereumNode, receipts: Sequence[Receipt]) -> list[Answer]:
    """Returns one answer per receipt: for one in a block that block, for a pending one its state.

    A block is asked for once, however many receipts name it. What a node answers wrongly is a
    problem of the receipts that it concerns, and of no other.

    Raises:
        UnavailableError: the node does not answer at all.
    """
    parsed = [_parse(receipt) for receipt in receipts]
    now = _Now(node, node.target(), node.number("eth_blockNumber"), node.finalized())
    placed = _placed(now, {one.place.height for one in parsed if one and one.place})
    pending = _pending(now, [one for one in parsed if one and not one.place])
    answers: list[Answer] = []
    for one in parsed:
        if one is None:
            answers.append(now.problem(_MALFORMED))
        else:
            answers.append(placed[one.place.height] if one.place else pending[one])
    return answers


def _parse(receipt: Receipt) -> EthereumReceipt | None:
    try:
        return EthereumReceipt.parse(receipt)
    except MalformedError:
        return None


def _placed(now: _Now, heights: Iterable[int]) -> dict[int, Answer]:
    ordered = sorted(heights)
    results = now.node.rpc.batch(
        [("eth_getBlockByNumber", [hex(height), False]) for height in ordered]
    )
    return {
        height: _of_block(now, height, result)
        for height, result in zip(ordered, results, strict=True)
    }


def _of_block(now: _Now, height: int, result: Result) -> Answer:
    node = now.node
    if isinstance(result, RpcError):
        return now.problem(f"{node.where} refuses {result}")
    if result is None:
        return _without_block(now, height)
    try:
        found = node.block(height, result=result) or {}
        return Answer(
            asked=node.where,
            chain=now.chain,
            block=f"0x{node.data(found.get('hash'), 32).hex()}",
            time=node.quantity(found.get("timestamp")),
            confirmations=max(now.newest - height + 1, 0),
            final=height <= now.finalized,
        )
    except UnavailableError as exc:
        return now.problem(str(exc))


def _without_block(now: _Now, height: int) -> Answer:
    """A block that was pruned, or that a node has not seen yet, says nothing against a receipt."""
    if height <= now.newest:
        return now.problem(f"{now.node.where} does not keep block {height:,} any more")
    if height - now.newest <= _BEHIND:
        return now.problem(f"{now.node.where} is only at block {now.newest:,}: it may be behind")
    return Answer(now.node.where, chain=now.chain)


def _pending(now: _Now, receipts: Sequence[EthereumReceipt]) -> dict[EthereumReceipt, Answer]:
    """What became of transactions that a note calls pending."""
    unique = list(dict.fromkeys(receipts))
    # In this order: a transaction that comes into a block meanwhile is not taken for a lost one.
    counts = now.node.rpc.batch(
        [("eth_getTransactionCount", [f"0x{one.sender.hex()}", "latest"]) for one in unique]
    )
    mined = now.node.rpc.batch(
        [("eth_getTransactionReceipt", [f"0x{one.tx.hex()}"]) for one in unique]
    )
    answers: dict[EthereumReceipt, Answer] = {}
    for one, count, found in zip(unique, counts, mined, strict=True):
        try:
            answers[one] = _of_pending(now, one, count, found)
        except UnavailableError as exc:
            answers[one] = now.problem(str(exc))
    return answers


def _of_pending(now: _Now, one: EthereumReceipt, count: Result, found: Result) -> Answer:
    node = now.node
    if isinstance(count, RpcError):
        return now.problem(f"{node.where} refuses {count}")
    if isinstance(found, RpcError):
        return now.problem(f"{node.where} refuses {found}")
    if isinstance(found, dict) and found.get("blockNumber") is not None:
        said = "the transaction was reverted" if node.quantity(found.get("status")) != 1 else ""
        block = f"0x{node.data(found.get('blockHash'), 32).hex()}"
        return Answer(node.where, chain=now.chain, block=block, contradiction=said)
    if node.quantity(count) <= _nonce(one):
        return Answer(node.where, chain=now.chain)
    said = f"another transaction used the nonce of 0x{one.tx.hex()}: it was replaced"
    return Answer(node.where, chain=now.chain, contradiction=said)


def _nonce(receipt: EthereumReceipt) -> int:
    """The nonce of its transaction; a number that nobody reaches when it is none."""
    try:
        return Transaction.parse(receipt.raw).nonce
    except MalformedError:
        return 2**64
