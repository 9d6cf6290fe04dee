"""Keccak-256 is not SHA3-256, and comes from an extra."""

import sys

import pytest

from gitprov.core.keccak import keccak256
from gitprov.errors import UnavailableError


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (b"abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
        (b"\x80", "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"),
    ],
)
def test_the_digests_are_those_of_ethereum(text: bytes, digest: str) -> None:
    assert keccak256(text).hex() == digest


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "Crypto.Hash", None)
    with pytest.raises(UnavailableError, match="pycryptodome") as caught:
        keccak256(b"")
    assert caught.value.hint == "pip install 'gitprov[ethereum]'"
