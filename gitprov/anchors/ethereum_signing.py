"""Signs Ethereum transactions: the one module that loads eth-account."""

import sys
from typing import Any, cast

from gitprov.core.keccak import keccak256
from gitprov.core.rlp import Item, encode, encode_int
from gitprov.errors import UsageError


def sign(
    secret: bytes,
    *,
    chain_id: int,
    nonce: int,
    tip: int,
    max_fee: int,
    gas: int,
    to: bytes,
    data: bytes,
) -> bytes:
    """Returns a signed transaction with EIP-1559 fees (type 2); `to` is empty for a deployment.

    Raises:
        UsageError: the library is not installed.
    """
    account = load_account()
    fields: dict[str, Any] = {
        "type": 2,
        "chainId": chain_id,
        "nonce": nonce,
        "maxPriorityFeePerGas": tip,
        "maxFeePerGas": max_fee,
        "gas": gas,
        "value": 0,
        "data": data,
    }
    if to:
        fields["to"] = _checksum(to)
    signed = account.sign_transaction(fields, secret)
    return bytes(cast("Any", signed).raw_transaction)


def load_account() -> Any:
    """Returns eth-account's class for keys.

    Raises:
        UsageError: the library is not installed.
    """
    limit = sys.getrecursionlimit()
    try:
        from eth_account import Account  # an extra, and 400 ms: only who signs pays for it
    except ImportError as exc:
        raise UsageError(
            f"signing for Ethereum needs {exc.name}", hint="pip install 'gitprov[ethereum]'"
        ) from exc
    finally:
        # One of its libraries raises the limit so far that deeply nested JSON from outside would
        # overflow the stack and end the process.
        sys.setrecursionlimit(limit)
    return Account


def created_address(sender: bytes, nonce: int) -> bytes:
    """Returns where a deployment puts its contract (Yellow Paper, section 7)."""
    items: list[Item] = [sender, encode_int(nonce)]
    return keccak256(encode(items))[-20:]


def create2_address(deployer: bytes, salt: bytes, code: bytes) -> bytes:
    """Returns where CREATE2 puts a contract (EIP-1014)."""
    return keccak256(b"\xff" + deployer + salt + keccak256(code))[-20:]


def _checksum(address: bytes) -> str:
    """The mixed-case spelling of an address (EIP-55)."""
    text = address.hex()
    digest = keccak256(text.encode()).hex()
    return "0x" + "".join(
        c.upper() if int(d, 16) >= 8 else c for c, d in zip(text, digest, strict=False)
    )
