"""What an Ethereum node says now about many receipts, in as few requests as possible."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gitprov.anchors.base import Receipt
from gitprov.anchors.ethereum_node import EthereumNode, Object
from gitprov.errors import MalformedError, UnavailableError
from gitprov.model.receipt_ethereum import EthereumReceipt
from gitprov.platform.jsonrpc import RpcError
from gitprov.verify.evidence import Answer

if TYPE_CHECKING:
    from gitprov.core.canonical import Json

_MALFORMED = "the receipt is not well formed"


def gather(node: EthereumNode, receipts: Sequence[Receipt]) -> list[Answer]:
    """Returns one answer per receipt: for one in a block that block, for a pending one its state.

    Raises:
        UnavailableError: the node does not answer at all.
    """
    parsed = [_parse(receipt) for receipt in receipts]
    chain = node.target()
    newest = node.number("eth_blockNumber")
    finalized = node.finalized()
    blocks = _blocks(node, {one.place.height for one in parsed if one and one.place})
    pending = _pending(node, chain, [one for one in parsed if one and not one.place])
    answers: list[Answer] = []
    for one in parsed:
        if one is None:
            answers.append(Answer(node.where, problem=_MALFORMED))
        elif one.place is None:
            answers.append(pending[one.tx])
        else:
            height = one.place.height
            found = blocks[height]
            if isinstance(found, str):
                answers.append(Answer(node.where, problem=found))
                continue
            answers.append(
                Answer(
                    asked=node.where,
                    chain=chain,
                    block="" if found is None else f"0x{node.data(found.get('hash'), 32).hex()}",
                    time=None if found is None else node.quantity(found.get("timestamp")),
                    confirmations=max(newest - height + 1, 0),
                    final=height <= finalized,
                )
            )
    return answers


def _parse(receipt: Receipt) -> EthereumReceipt | None:
    try:
        return EthereumReceipt.parse(receipt)
    except MalformedError:
        return None


def _blocks(node: EthereumNode, heights: set[int]) -> dict[int, Object | str | None]:
    """The blocks by number; a text says why one could not be read."""
    ordered = sorted(heights)
    calls: list[tuple[str, list[Json]]] = [
        ("eth_getBlockByNumber", [hex(height), False]) for height in ordered
    ]
    blocks: dict[int, Object | str | None] = {}
    for height, result in zip(ordered, node.rpc.batch(calls), strict=True):
        if isinstance(result, RpcError):
            blocks[height] = f"{node.where} refuses {result}"
            continue
        try:
            blocks[height] = None if result is None else node.block(height, result=result)
        except UnavailableError as exc:
            blocks[height] = str(exc)
    return blocks


def _pending(
    node: EthereumNode, chain: str, receipts: Sequence[EthereumReceipt]
) -> dict[bytes, Answer]:
    """What became of transactions that a note calls pending."""
    unique = list({one.tx: one for one in receipts}.values())
    calls: list[tuple[str, list[Json]]] = [
        ("eth_getTransactionReceipt", [f"0x{one.tx.hex()}"]) for one in unique
    ]
    calls += [("eth_getTransactionCount", [f"0x{one.sender.hex()}", "latest"]) for one in unique]
    results = node.rpc.batch(calls)
    answers: dict[bytes, Answer] = {}
    for one, found, count in zip(
        unique, results[: len(unique)], results[len(unique) :], strict=True
    ):
        answer = Answer(node.where, chain=chain)
        if isinstance(found, RpcError) or isinstance(count, RpcError):
            answer = Answer(node.where, problem=f"{node.where} refuses to say")
        elif isinstance(found, dict):
            block = f"0x{node.data(found.get('blockHash'), 32).hex()}"
            answer = Answer(node.where, chain=chain, block=block)
            if node.quantity(found.get("status")) != 1:
                said = "the transaction was reverted"
                answer = Answer(node.where, chain=chain, block=block, contradiction=said)
        elif node.quantity(count) > _nonce(one):
            said = f"another transaction used the nonce of 0x{one.tx.hex()}: it was replaced"
            answer = Answer(node.where, chain=chain, contradiction=said)
        answers[one.tx] = answer
    return answers


def _nonce(receipt: EthereumReceipt) -> int:
    from gitprov.core.ethereum import Transaction

    try:
        return Transaction.parse(receipt.raw).nonce
    except MalformedError:
        return 2**64
