"""CIDs: what the multiformats library writes for the same bytes, and no other spelling."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitprov.core import cid
from gitprov.core.digest import Digest
from gitprov.errors import MalformedError

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "ipfs.json").read_text()
)["cids"]
HELLO = Digest.of(b"hello\n")
TEXT = cid.to_text(HELLO)


def _spelled(prefix: bytes, digest: bytes = HELLO.raw) -> str:
    return "b" + base64.b32encode(prefix + digest).decode().rstrip("=").lower()


OTHERS = {
    "nothing": "",
    "only the prefix": "b",
    "upper case": TEXT.upper(),
    "one letter in upper case": TEXT[:9] + TEXT[9:].replace("i", "I", 1),
    "the prefix of another base": "z" + TEXT[1:],
    "padding": TEXT + "======",
    "a letter more": TEXT + "a",
    "a letter less": TEXT[:-1],
    "bits after the end": TEXT[:-1] + chr(ord(TEXT[-1]) + 1),
    "a line end": TEXT + "\n",
    "no letter of base32": TEXT[:-1] + "1",
    "not ASCII": TEXT[:-1] + "é",
    "a letter that grows in upper case": TEXT[:-1] + "ß",
    "CIDv0": "QmULKig5Fxrs2sC4qt9nNduucXfb92AFYQ6Hi3YRqDmrYC",
    "a list": cid.to_text(HELLO, "dag-cbor"),
    "SHA-256": _spelled(bytes((1, 0x55, 0x12, 32))),
    "another length": _spelled(bytes((1, 0x55, 0x1E, 33)), HELLO.raw + b"\0"),
    "a length that is not minimal": _spelled(bytes((1, 0x55, 0x1E, 0xA0, 0x00))),
    "a digest alone": _spelled(b""),
    "a long one": "b" + "a" * 100_000,
}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["bytes_hex"] or "nothing")
def test_a_cid_is_what_multiformats_writes(vector: dict[str, Any]) -> None:
    digest = Digest.of(bytes.fromhex(vector["bytes_hex"]))
    assert cid.to_text(digest) == vector["raw"]
    assert cid.to_text(digest, "dag-cbor") == vector["dag-cbor"]


@given(st.binary(min_size=32, max_size=32))
def test_a_cid_is_read_back(raw: bytes) -> None:
    digest = Digest(raw)
    assert cid.parse(cid.to_text(digest)) == digest
    assert cid.parse_bytes(cid.to_bytes(digest)) == ("raw", digest)
    assert cid.parse_bytes(cid.to_bytes(digest, "dag-cbor")) == ("dag-cbor", digest)
    assert cid.text_of(cid.to_bytes(digest)) == cid.to_text(digest)


@pytest.mark.parametrize("what", OTHERS)
def test_another_spelling_is_refused(what: str) -> None:
    with pytest.raises(MalformedError, match="not the CID of a raw block"):
        cid.parse(OTHERS[what])


@given(st.text(alphabet="ab234567z=", max_size=64) | st.text(max_size=64))
def test_whatever_is_read_is_written_alike(text: str) -> None:
    try:
        digest = cid.parse(text)
    except MalformedError:
        return
    assert cid.to_text(digest) == text


@pytest.mark.parametrize(
    "raw",
    [b"", cid.to_bytes(HELLO)[:-1], cid.to_bytes(HELLO) + b"\0", b"\2" + cid.to_bytes(HELLO)[1:]],
)
def test_other_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        cid.parse_bytes(raw)
