"""Digests: known values of b3sum, one text form, no other spelling."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gitprov.core.digest import Digest, Sha256Digest
from gitprov.errors import MalformedError

_VECTORS = Path(__file__).parents[2] / "vectors"
_B3SUM: list[dict[str, Any]] = json.loads((_VECTORS / "b3sum.json").read_text())["cases"]
_HEX = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


def official_input(length: int) -> bytes:
    """The input of BLAKE3's official test vectors."""
    return bytes(i % 251 for i in range(length))


@pytest.mark.parametrize("case", _B3SUM, ids=lambda case: f"{case['length']} bytes")
def test_a_digest_is_what_b3sum_printed(case: dict[str, Any]) -> None:
    assert str(Digest.of(official_input(case["length"]))) == case["digest"]


@pytest.mark.skipif(shutil.which("b3sum") is None, reason="b3sum (Debian: b3sum) is not installed")
def test_a_digest_is_what_b3sum_prints_for_the_same_files(tmp_path: Path) -> None:
    files = [tmp_path / str(case["length"]) for case in _B3SUM]
    for file in files:
        file.write_bytes(official_input(int(file.name)))
    command = ["b3sum", "--no-names", *map(str, files)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert printed == [Digest.of(file.read_bytes()).hex for file in files]


def test_the_text_form_is_read_back() -> None:
    digest = Digest.of(b"hello\n")
    assert Digest.parse(str(digest)) == digest
    assert str(Sha256Digest.parse(f"sha256:{_HEX}")) == f"sha256:{_HEX}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        _HEX,
        f"sha256:{_HEX}",
        f"blake3:{_HEX.upper()}",
        f"BLAKE3:{_HEX}",
        f"blake3: {_HEX}",
        f" blake3:{_HEX}",
        f"blake3:{_HEX}\n",
        f"blake3:{_HEX}0",
        f"blake3:{_HEX[:-1]}",
        f"blake3:0x{_HEX[2:]}",
        f"blake3:{_HEX[:-1]}g",
        f"blake3:{_HEX[:-1]}\u0661",
        f"blake3::{_HEX[1:]}",
        f"blake3:../{_HEX[3:]}",
        "blake3:" + "a" * 100_000,
    ],
)
def test_another_spelling_is_refused_with_a_short_message(text: str) -> None:
    with pytest.raises(MalformedError, match="not a blake3 digest") as caught:
        Digest.parse(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_digest_of_another_length_cannot_be_made(length: int) -> None:
    with pytest.raises(MalformedError, match="32 bytes"):
        Digest(bytes(length))


def test_digests_of_different_algorithms_are_never_equal() -> None:
    blake, sha = Digest(bytes(32)), Sha256Digest(bytes(32))
    assert len({blake, sha, Digest(bytes(32))}) == 2


def test_digests_sort_by_their_bytes() -> None:
    digests = [Digest.of(bytes([i])) for i in range(20)]
    assert [d.raw for d in sorted(digests)] == sorted(d.raw for d in digests)
