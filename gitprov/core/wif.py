"""Bitcoin's texts for keys and addresses: base58check, WIF, bech32 (BIP 173)."""

import hashlib
import re

from gitprov.errors import MalformedError

KEY_BYTES = 32

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_COMPRESSED = b"\x01"
_WIF = re.compile(r"[1-9A-HJ-NP-Za-km-z]{51,52}", re.ASCII)

PREFIXES = {"main": 0x80, "test": 0xEF, "testnet4": 0xEF, "signet": 0xEF, "regtest": 0xEF}
"""The first byte of a WIF by chain."""

HRPS = {"main": "bc", "test": "tb", "testnet4": "tb", "signet": "tb", "regtest": "bcrt"}
"""The beginning of an address by chain (BIP 173)."""


def encode_wif(secret: bytes, chain: str) -> str:
    """Returns the wallet import format of a secret whose public key is compressed."""
    return _base58(_checked(bytes([PREFIXES[chain]]) + secret + _COMPRESSED))


def decode_wif(text: str) -> bytes:
    """Returns the 32 bytes of a WIF of any chain.

    Raises:
        MalformedError: it is none; the text is not repeated, since it may nearly be a secret.
    """
    if _WIF.fullmatch(text):
        number = 0
        for letter in text:
            number = number * 58 + _ALPHABET.index(letter)
        length = 38 if len(text) == 52 else 37
        raw = number.to_bytes(39, "big")[-length:]
        body, checksum = raw[:-4], raw[-4:]
        flagged = len(body) == 33 or (len(body) == 34 and body[-1:] == _COMPRESSED)
        fits = number >> (8 * length) == 0 and body[0] in PREFIXES.values()
        if fits and flagged and _sha256d(body)[:4] == checksum:
            return body[1 : 1 + KEY_BYTES]
    raise MalformedError("not a private key in the wallet import format (WIF)")


def segwit_address(public_key: bytes, chain: str) -> str:
    """Returns the P2WPKH address of a compressed public key (BIP 141, BIP 173)."""
    return encode_segwit(HRPS[chain], 0, hash160(public_key))


def encode_segwit(hrp: str, version: int, program: bytes) -> str:
    """Returns the bech32 text of a witness program of version 0."""
    data = [version, *_groups_of_five(program)]
    values = [ord(c) >> 5 for c in hrp] + [0] + [ord(c) & 31 for c in hrp] + data
    checksum = _polymod([*values, 0, 0, 0, 0, 0, 0]) ^ 1
    data += [(checksum >> 5 * (5 - i)) & 31 for i in range(6)]
    return hrp + "1" + "".join(_BECH32[value] for value in data)


def hash160(data: bytes) -> bytes:
    """Returns RIPEMD-160 of SHA-256, in 20 bytes.

    Raises:
        MalformedError: this Python's OpenSSL has no RIPEMD-160.
    """
    try:
        return hashlib.new("ripemd160", hashlib.sha256(data).digest()).digest()
    except ValueError:
        pass
    try:
        from Crypto.Hash import RIPEMD160  # an extra, where OpenSSL 3 keeps it as "legacy"
    except ImportError as exc:
        raise MalformedError(
            "this Python has no RIPEMD-160", hint="pip install 'gitprov[bitcoin]'"
        ) from exc
    return RIPEMD160.new(hashlib.sha256(data).digest()).digest()


def _checked(body: bytes) -> bytes:
    return body + _sha256d(body)[:4]


def _sha256d(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def _base58(raw: bytes) -> str:
    number = int.from_bytes(raw, "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text


def _groups_of_five(data: bytes) -> list[int]:
    bits = int.from_bytes(data, "big")
    count = -(-len(data) * 8 // 5)
    bits <<= count * 5 - len(data) * 8
    return [(bits >> 5 * (count - 1 - i)) & 31 for i in range(count)]


def _polymod(values: list[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate(_GENERATORS):
            checksum ^= generator if (top >> i) & 1 else 0
    return checksum
