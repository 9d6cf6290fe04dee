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
_PAUSE = 0.1


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
    """Deploys the contract, unless the chain has it; the address is known before it is paid.

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
    if _code(anchor, PROXY):
        address, to, data = create2_address(PROXY, SALT, code), PROXY, SALT + code
    else:
        address, to, data = None, b"", code
    if address is not None and _is_ours(anchor, address, compiled):
        return Deployed(f"0x{address.hex()}", None, existed=True)
    sender = anchor.signer[1]
    nonce = anchor.node.number("eth_getTransactionCount", f"0x{sender.hex()}", "pending")
    fees = suggested(anchor.node, anchor.config.max_fee_gwei)
    raw = anchor.signed(to, data, nonce, fees, max(anchor.config.gas_limit, _GAS_LIMIT))
    name = f"0x{keccak256(raw).hex()}"
    try:
        anchor.node.rpc.call("eth_sendRawTransaction", f"0x{raw.hex()}")
    except RpcError as exc:
        raise UnavailableError(f"{anchor.node.where} did not take it: {exc.message}") from exc
    _wait(anchor, name)
    address = address or created_address(sender, nonce)
    if not _is_ours(anchor, address, compiled):
        raise UsageError(f"the deployment {name} left no contract at 0x{address.hex()}")
    return Deployed(f"0x{address.hex()}", name, existed=False)


def _code(anchor: EthereumAnchor, address: bytes) -> bytes:
    return anchor.node.data(anchor.node.ask("eth_getCode", f"0x{address.hex()}", "latest"))


def _is_ours(anchor: EthereumAnchor, address: bytes, compiled: dict[str, Any]) -> bool:
    code = _code(anchor, address)
    if code and f"0x{code.hex()}" != compiled["deployedBytecode"]:
        raise UsageError(f"at 0x{address.hex()} is another contract than this version's")
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
