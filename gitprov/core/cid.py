"""Content identifiers of IPFS for raw blocks named by BLAKE3: the CID *is* the digest.

CIDv1 (https://github.com/multiformats/cid): 0x01, codec raw 0x55, multihash BLAKE3-256 0x1e, 32.
Lists of such blocks (docs/formats.md section 11) have the codec DAG-CBOR, 0x71, in its place.
"""

import base64
import binascii
from typing import Literal

from gitprov.core.digest import DIGEST_BYTES, Digest
from gitprov.errors import MalformedError

Codec = Literal["raw", "dag-cbor"]
"""What a block is: bytes, or a list of other blocks."""

PREFIXES: dict[Codec, bytes] = {
    "raw": bytes((0x01, 0x55, 0x1E, DIGEST_BYTES)),
    "dag-cbor": bytes((0x01, 0x71, 0x1E, DIGEST_BYTES)),
}
"""What the bytes of a CID begin with; the digest follows."""

CID_BYTES = 4 + DIGEST_BYTES


def to_bytes(digest: Digest, codec: Codec = "raw") -> bytes:
    """Returns the CID's 36 bytes."""
    return PREFIXES[codec] + digest.raw


def to_text(digest: Digest, codec: Codec = "raw") -> str:
    """Returns the CID in base32 with its prefix: `bafkr4i…`, for a list `bafyr4i…`."""
    return text_of(to_bytes(digest, codec))


def text_of(cid: bytes) -> str:
    """Returns the text form of a CID's bytes."""
    return "b" + base64.b32encode(cid).decode().rstrip("=").lower()


def parse(text: str) -> Digest:
    """Returns the digest of a CID. `parse(to_text(d)) == d`, and no other spelling is accepted.

    Raises:
        MalformedError: it is no CID, or not one of a raw block named by BLAKE3.
    """
    try:
        raw = base64.b32decode(text[1:].upper() + "=" * (-len(text[1:]) % 8))
        digest = Digest(raw.removeprefix(PREFIXES["raw"]))
    except (binascii.Error, ValueError, MalformedError):
        raise MalformedError(f"not the CID of a raw block named by BLAKE3: {text[:80]!r}") from None
    if to_text(digest) != text:
        raise MalformedError(f"not the CID of a raw block named by BLAKE3: {text[:80]!r}")
    return digest


def parse_bytes(cid: bytes) -> tuple[Codec, Digest]:
    """Returns what a CID's bytes name.

    Raises:
        MalformedError: it is not a CID of a raw block or a list, named by BLAKE3.
    """
    for codec, prefix in PREFIXES.items():
        if len(cid) == CID_BYTES and cid.startswith(prefix):
            return codec, Digest(cid[len(prefix) :])
    raise MalformedError("a CID is not that of a block named by BLAKE3")
