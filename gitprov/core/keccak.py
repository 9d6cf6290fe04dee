"""Keccak-256 as Ethereum uses it: the original padding, not that of SHA-3."""

from gitprov.errors import UnavailableError


def keccak256(data: bytes) -> bytes:
    """Returns 32 bytes.

    Raises:
        UnavailableError: the library for it is not installed.
    """
    try:
        from Crypto.Hash import keccak  # an extra: only who has Ethereum anchors needs it
    except ImportError as exc:
        raise UnavailableError(
            "checking Ethereum's hashes needs pycryptodome",
            hint="pip install 'gitprov[ethereum]'",
        ) from exc
    return keccak.new(data=data, digest_bits=256).digest()
