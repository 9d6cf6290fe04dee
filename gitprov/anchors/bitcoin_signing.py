"""Signs Bitcoin transactions: the one module that loads bitcoinlib (GPL-3.0, an extra)."""

import importlib
import os
import warnings
from typing import Any

from gitprov.core.bitcoin import Transaction, script
from gitprov.core.paths import printable
from gitprov.core.wif import hash160
from gitprov.errors import UsageError

RBF = 0xFFFFFFFD
"""The sequence that lets a transaction be replaced (BIP 125)."""

DUST = 546
"""Nodes pass no smaller output on."""


def load_bitcoinlib(data_dir: str, module: str = "transactions") -> Any:
    """Returns a module of bitcoinlib; the library's files go into gitprov's own folder.

    Raises:
        UsageError: the library is not installed, or cannot be loaded here.
    """
    # It writes settings, logs and databases when it is imported, else into the user's home.
    os.environ.setdefault("BCL_DATA_DIR", os.path.join(data_dir, "bitcoinlib"))
    try:
        with warnings.catch_warnings():
            # What SQLAlchemy thinks of bitcoinlib is no business of whoever runs gitprov.
            warnings.simplefilter("ignore")
            return importlib.import_module(f"bitcoinlib.{module}")  # an extra, and 300 ms
    except ImportError as exc:
        raise UsageError(
            f"Bitcoin needs {exc.name or 'bitcoinlib'}", hint="pip install 'gitprov[bitcoin]'"
        ) from exc
    except (OSError, RuntimeError, ValueError) as exc:
        raise UsageError(
            f"bitcoinlib cannot be loaded here: {printable(str(exc))[:200]}",
            hint="it needs a UTF-8 locale (LC_ALL=C.UTF-8) and a home that can be written to",
        ) from exc


def sign(
    secret: bytes,
    public: bytes,
    *,
    spends: str,
    value: int,
    digest: bytes,
    fee: int,
    data_dir: str,
) -> bytes:
    """Returns a signed transaction: the digest in one output, the change back to the same key.

    Args:
        secret: the private key.
        public: its compressed public key.
        spends: the coin, `<txid>:<n>`.
        value: its satoshi.
        digest: the 32 bytes to witness.
        fee: satoshi; change that would be dust is added to it.
        data_dir: where bitcoinlib may write.
    """
    transactions = load_bitcoinlib(data_dir)
    key = load_bitcoinlib(data_dir, "keys").Key(secret.hex(), network="bitcoin", is_private=True)
    txid, _, number = spends.partition(":")
    # Only the scripts decide; the library's own regtest has another chain's prefixes.
    transaction = transactions.Transaction(network="bitcoin", witness_type="segwit", version=2)
    transaction.add_input(
        txid,
        int(number),
        keys=[key],
        script_type="sig_pubkey",
        value=value,
        witness_type="segwit",
        sequence=RBF,
    )
    transaction.add_output(0, lock_script=script(digest))
    change = value - fee
    if change >= DUST:
        transaction.add_output(change, lock_script=b"\x00\x14" + hash160(public))
    transaction.sign_and_update()
    raw: bytes = transaction.raw()
    signed = Transaction.parse(raw)
    if signed.inputs != (spends,) or not signed.carries(digest):
        raise UsageError("bitcoinlib made another transaction than it was asked for")
    return raw
