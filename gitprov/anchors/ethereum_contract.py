"""The contract MLProvenance: where its code lies in this package, and how it gets onto a chain."""

import json
import os
import time
from dataclasses import dataclass
from typing import Any

from gitprov.anchors.ethereum import EthereumAnchor
from gitprov.anchors.ethereum_fees import suggested
from gitprov.anchors.ethereum_signing import create2_address, created_address
from gitprov.core.keccak import keccak256
from gitprov.errors import EnvironmentFault, UnavailableError, UsageError
from gitprov.platform.jsonrpc import RpcError

PROXY = bytes.fromhex("4e59b44847b379578588920ca78fbf26c0b4956c")
"""The deterministic deployment proxy, at the same address on nearly every chain."""

SALT = b"gitprov MLProvenance v1".ljust(32, b"\0")
"""Makes the address; it changes when the contract does."""

_GAS_LIMIT = 3_000_000
_WAIT_SECONDS = 300.0
_SETTLE_SECONDS = 60.0
_PAUSE = 0.1
_LOOK_BACK = 500
_RUNTIME = "deployedBytecode"


@dataclass(frozen=True, slots=True)
class Deployed:
    """Where the contract is, the transaction that put it there, whether it was there before."""

    address: str
    tx: str | None
    existed: bool


def load() -> dict[str, Any]:
    """Returns ABI and bytecode as they were compiled.

    Raises:
        EnvironmentFault: this installation lacks the file.
    """
    here = os.path.dirname(os.path.abspath(__file__))
    for folder in (os.path.join(here, "contracts"), os.path.join(here, "..", "..", "contracts")):
        path = os.path.join(folder, "MLProvenance.json")
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                loaded: dict[str, Any] = json.load(file)
                return loaded
    raise EnvironmentFault("this installation lacks MLProvenance.json: install gitprov again")


def deploy(anchor: EthereumAnchor) -> Deployed:
    """Deploys the contract, unless the chain has it.

    Where the proxy exists the address depends on the code alone; elsewhere on who pays, and when.
    It may be called again after a crash: what an earlier call sent is waited for and found.

    Raises:
        UsageError: no key, no money, another chain, other code at that address.
        UnavailableError: the node does not answer, or takes too long.
    """
    _ = anchor.chain
    compiled = load()
    code = bytes.fromhex(compiled["bytecode"][2:])
    known = anchor.config.contract
    if known is not None and _is_ours(anchor, bytes.fromhex(known[2:]), compiled):
        return Deployed(known, None, existed=True)
    address = create2_address(PROXY, SALT, code) if _code(anchor, PROXY) else None
    if address is not None and _is_ours(anchor, address, compiled):
        return Deployed(_hex(address), None, existed=True)
    nonce = _settled_nonce(anchor)
    earlier = _earlier(anchor, address, nonce, compiled)
    if earlier is not None:
        return Deployed(_hex(earlier), None, existed=True)
    to, data = (b"", code) if address is None else (PROXY, SALT + code)
    fees = suggested(anchor.node, anchor.config.max_fee_gwei)
    raw = anchor.signed(to, data, nonce, fees, max(anchor.config.gas_limit, _GAS_LIMIT))
    name = _send(anchor, raw)
    _wait(anchor, name)
    address = address or created_address(anchor.signer[1], nonce)
    if not _is_ours(anchor, address, compiled):
        raise UsageError(f"the deployment {name} left no contract at {_hex(address)}")
    return Deployed(_hex(address), name, existed=False)


def _settled_nonce(anchor: EthereumAnchor) -> int:
    """The next nonce, once nothing of this account waits any more: it might be a deployment."""
    sender = _hex(anchor.signer[1])
    ends = time.monotonic() + _SETTLE_SECONDS
    while True:
        used = anchor.node.number("eth_getTransactionCount", sender, "latest")
        pending = anchor.node.number("eth_getTransactionCount", sender, "pending")
        if pending <= used:
            return used
        if time.monotonic() > ends:
            raise UnavailableError(
                f"{pending - used} transactions of {sender} wait to come into a block",
                hint="run the same command again later",
            )
        time.sleep(_PAUSE)


def _earlier(
    anchor: EthereumAnchor, address: bytes | None, nonce: int, compiled: dict[str, Any]
) -> bytes | None:
    """Where a call that was killed put the contract: there, or where one of our nonces led to."""
    if address is not None:
        return address if _is_ours(anchor, address, compiled) else None
    sender = anchor.signer[1]
    tried = [created_address(sender, one) for one in range(max(nonce - _LOOK_BACK, 0), nonce)]
    codes = anchor.node.all_of([("eth_getCode", [_hex(one), "latest"]) for one in tried])
    ours = [one for one, code in zip(tried, codes, strict=True) if code == compiled[_RUNTIME]]
    return ours[-1] if ours else None


def _send(anchor: EthereumAnchor, raw: bytes) -> str:
    name = _hex(keccak256(raw))
    try:
        anchor.node.rpc.call("eth_sendRawTransaction", _hex(raw))
    except RpcError as exc:
        if anchor.node.ask("eth_getTransactionByHash", name) is None:
            raise UnavailableError(f"{anchor.node.where} did not take it: {exc.message}") from exc
    return name


def _code(anchor: EthereumAnchor, address: bytes) -> bytes:
    return anchor.node.data(anchor.node.ask("eth_getCode", _hex(address), "latest"))


def _is_ours(anchor: EthereumAnchor, address: bytes, compiled: dict[str, Any]) -> bool:
    code = _code(anchor, address)
    if code and _hex(code) != compiled[_RUNTIME]:
        raise UsageError(f"at {_hex(address)} is another contract than this version's")
    return bool(code)


def _wait(anchor: EthereumAnchor, name: str) -> None:
    ends = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < ends:
        found = anchor.node.ask("eth_getTransactionReceipt", name)
        if found is not None:
            if anchor.node.quantity(anchor.node.object(found).get("status")) != 1:
                raise UsageError(f"the deployment {name} was reverted")
            return
        time.sleep(_PAUSE)
    raise UnavailableError(
        f"the deployment {name} is in no block yet", hint="run the same command again later"
    )


def _hex(raw: bytes) -> str:
    return f"0x{raw.hex()}"
