"""Content identifiers of IPFS for raw blocks named by BLAKE3: the CID *is* the digest.

CIDv1 (https://github.com/multiformats/cid): 0x01, codec raw 0x55, multihash BLAKE3-256 0x1e, 32.
"""

import base64
import binascii

from gitprov.core.digest import DIGEST_BYTES, Digest
from gitprov.errors import MalformedError

RAW_BLAKE3 = bytes((0x01, 0x55, 0x1E, DIGEST_BYTES))
"""What the bytes of such a CID begin with."""


def to_bytes(digest: Digest) -> bytes:
    """Returns the CID's 36 bytes."""
    return RAW_BLAKE3 + digest.raw


def to_text(digest: Digest) -> str:
    """Returns the CID in base32 with its prefix: `bafkr4i…`."""
    return "b" + base64.b32encode(to_bytes(digest)).decode().rstrip("=").lower()


def parse(text: str) -> Digest:
    """Returns the digest of a CID. `parse(to_text(d)) == d`, and no other spelling is accepted.

    Raises:
        MalformedError: it is no CID, or not one of a raw block named by BLAKE3.
    """
    try:
        raw = base64.b32decode(text[1:].upper() + "=" * (-len(text[1:]) % 8))
        digest = Digest(raw.removeprefix(RAW_BLAKE3))
    except (binascii.Error, ValueError, MalformedError):
        raise MalformedError(f"not the CID of a raw block named by BLAKE3: {text[:80]!r}") from None
    if to_text(digest) != text:
        raise MalformedError(f"not the CID of a raw block named by BLAKE3: {text[:80]!r}")
    return digest
