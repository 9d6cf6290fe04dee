"""Encrypted keystores: Web3 Secret Storage version 3, as Ethereum's wallets read and write it.

https://ethereum.org/developers/docs/data-structures-and-encoding/web3-secret-storage. For Bitcoin
the plaintext is the key's WIF in ASCII instead of 32 bytes; the field `gitprov` says so.
"""

import hashlib
import hmac
import json
import os
import uuid
from typing import Any

from gitprov.core.keccak import keccak256
from gitprov.errors import MalformedError, UsageError

MAX_BYTES = 64 << 10

_SCRYPT_N = 1 << 18
_MAX_MEMORY = 1 << 30
_MAX_ROUNDS = 10_000_000
_MAX_SECRET = 64


def encrypt(
    secret: bytes, passphrase: str, *, network: str, address: str, scrypt_n: int = _SCRYPT_N
) -> bytes:
    """Returns the keystore's JSON.

    Args:
        secret: the plaintext: 32 bytes for Ethereum, a WIF for Bitcoin.
        passphrase: opens it again.
        network: whose key it is.
        address: what is paid with it; it is no secret.
        scrypt_n: the cost of each guess, in memory and time.
    """
    salt, iv = os.urandom(32), os.urandom(16)
    derived = _scrypt(passphrase, salt, scrypt_n, 8, 1)
    ciphertext = _aes_ctr(derived[:16], iv, secret)
    kdf = {"dklen": 32, "n": scrypt_n, "p": 1, "r": 8, "salt": salt.hex()}
    document = {
        "address": address.removeprefix("0x").lower() if network == "ethereum" else address,
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": iv.hex()},
            "ciphertext": ciphertext.hex(),
            "kdf": "scrypt",
            "kdfparams": kdf,
            "mac": keccak256(derived[16:32] + ciphertext).hex(),
        },
        "gitprov": {"network": network},
        "id": str(uuid.uuid4()),
        "version": 3,
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def decrypt(data: bytes, passphrase: str) -> bytes:
    """Returns the plaintext of a keystore, also of one that another wallet wrote.

    Raises:
        MalformedError: it is no keystore, or one that would cost too much memory or time.
        UsageError: the passphrase is wrong.
    """
    crypto: Any = _parse(data).get("crypto")
    try:
        iv = bytes.fromhex(crypto["cipherparams"]["iv"])
        ciphertext = bytes.fromhex(crypto["ciphertext"])
        mac = bytes.fromhex(crypto["mac"])
        if crypto["cipher"] != "aes-128-ctr" or len(iv) != 16 or len(ciphertext) > _MAX_SECRET:
            raise MalformedError("the keystore uses a cipher that is not known here")
        derived = _derive(crypto, passphrase)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError):
        # Not what went wrong: an error about the passphrase's letters would repeat it.
        raise MalformedError("this is not a keystore of version 3") from None
    if not hmac.compare_digest(keccak256(derived[16:32] + ciphertext), mac):
        raise UsageError(
            "the passphrase does not open the keystore",
            hint="it is in GITPROV_PASSPHRASE, or asked",
        )
    return _aes_ctr(derived[:16], iv, ciphertext)


def address_in(data: bytes) -> str | None:
    """Returns the address that a keystore names, without opening it; None when it names none.

    Raises:
        MalformedError: it is no keystore.
    """
    document = _parse(data)
    address = document.get("address")
    if not isinstance(address, str) or not address.isalnum() or len(address) > 100:
        return None
    return f"0x{address}" if len(address) == 40 and "gitprov" not in document else address


def _parse(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise MalformedError(f"a keystore is larger than {MAX_BYTES} bytes")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise MalformedError("this is not a keystore: no JSON") from None
    if not isinstance(document, dict) or document.get("version") != 3:
        raise MalformedError("this is not a keystore of version 3")
    return document


def _derive(crypto: Any, passphrase: str) -> bytes:
    parameters = crypto["kdfparams"]
    salt = bytes.fromhex(parameters["salt"])
    if crypto["kdf"] == "scrypt":
        n, r, p = (int(parameters[name]) for name in ("n", "r", "p"))
        if n < 2 or n & (n - 1) or r < 1 or p < 1 or 128 * n * r > _MAX_MEMORY or p > 16:
            raise MalformedError("the keystore asks for too much memory, or for none")
        return _scrypt(passphrase, salt, n, r, p)
    if crypto["kdf"] == "pbkdf2" and parameters["prf"] == "hmac-sha256":
        rounds = int(parameters["c"])
        if not 1 <= rounds <= _MAX_ROUNDS:
            raise MalformedError("the keystore asks for too many rounds, or for none")
        return hashlib.pbkdf2_hmac("sha256", _bytes_of(passphrase), salt, rounds, 32)
    raise MalformedError("the keystore derives its key in a way that is not known here")


def _scrypt(passphrase: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        _bytes_of(passphrase), salt=salt, n=n, r=r, p=p, dklen=32, maxmem=2 * _MAX_MEMORY - 1
    )


def _bytes_of(passphrase: str) -> bytes:
    """The passphrase as bytes, whatever it holds: an error would repeat it."""
    return passphrase.encode("utf-8", "surrogatepass")


def _aes_ctr(key: bytes, iv: bytes, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    # CTR mode enciphers and deciphers alike; there is nothing to finalize.
    cipher = Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor()
    return cipher.update(data) + cipher.finalize()
