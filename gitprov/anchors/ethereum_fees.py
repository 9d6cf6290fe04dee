"""Fees as EIP-1559 has them: a tip, and the most that is paid per gas, within a cap."""

from typing import NamedTuple

from gitprov.anchors.ethereum_node import EthereumNode
from gitprov.errors import UsageError
from gitprov.platform.jsonrpc import RpcError

GWEI = 10**9


class Fees(NamedTuple):
    """Both in wei per gas."""

    tip: int
    max_fee: int


def base_fee(node: EthereumNode) -> int:
    """Returns what the newest block takes per gas beside the tip; 0 where a chain takes nothing."""
    block = node.block("latest") or {}
    return node.quantity(block.get("baseFeePerGas", "0x0"))


def suggested(node: EthereumNode, cap_gwei: int) -> Fees:
    """Returns fees with which a transaction is taken soon: twice the base fee, and a tip.

    Raises:
        UsageError: even the least that is taken now is above the cap.
    """
    base = base_fee(node)
    try:
        tip = node.quantity(node.rpc.call("eth_maxPriorityFeePerGas"))
    except RpcError:  # not every node has it
        tip = GWEI
    cap = cap_gwei * GWEI
    if base + tip > cap:
        raise _above(base + tip, cap_gwei)
    return Fees(tip, min(2 * base + tip, cap))


def raised(now: Fees, before: Fees, cap_gwei: int) -> Fees:
    """Returns fees that replace a transaction: nodes ask for a tenth more of both; we double.

    Raises:
        UsageError: that is above the cap.
    """
    cap = cap_gwei * GWEI
    tip = max(now.tip, 2 * before.tip, before.tip + 1)
    max_fee = max(now.max_fee, before.max_fee + before.max_fee // 8 + 1, tip)
    if max_fee > cap:
        raise _above(max_fee, cap_gwei)
    return Fees(tip, max(max_fee, min(2 * before.max_fee, cap)))


def _above(fee: int, cap_gwei: int) -> UsageError:
    return UsageError(
        f"the network asks for {fee / GWEI:,.2f} gwei per gas, "
        f"anchors.ethereum.max_fee_gwei allows {cap_gwei:,}",
        hint="wait, or raise it: gitprov anchor setup ethereum --set max_fee_gwei=…",
    )
