"""Receipts of real nodes, kept as vectors: what they prove today they prove in ten years."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitprov.errors import GitprovError
from gitprov.model.receipt_bitcoin import BitcoinReceipt
from gitprov.model.receipt_ethereum import EthereumReceipt
from gitprov.model.receipt_opentimestamps import OpenTimestampsReceipt
from gitprov.verify import bitcoin, ethereum, ots
from gitprov.verify.settled import Place

FOLDER = Path(__file__).parents[2] / "vectors" / "receipts"
CHAINS = ("ethereum-event", "ethereum-storage", "ethereum-calldata", "bitcoin")

UNPROVEN = {"ethereum": {"genesis", "mode"}, "bitcoin": {"chain"}}
"""No digits, or a chain's name: that a block is of that chain, a node or a policy says."""


def _load(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def _check(name: str, receipt: Any, digest: str) -> Place | None:
    if name == "bitcoin":
        return bitcoin.check(BitcoinReceipt.parse(receipt), bytes.fromhex(digest))
    return ethereum.check(EthereumReceipt.parse(receipt), bytes.fromhex(digest))


@pytest.mark.parametrize("name", CHAINS)
def test_a_receipt_proves_what_it_always_proved(name: str) -> None:
    vector = _load(name)
    place = _check(name, vector["receipt"], vector["digest"])
    assert place is not None
    assert {key: getattr(place, key) for key in vector["proves"]} == vector["proves"]


@pytest.mark.parametrize("name", CHAINS)
def test_a_receipt_is_written_as_it_is_read(name: str) -> None:
    receipt = _load(name)["receipt"]
    kind = BitcoinReceipt if name == "bitcoin" else EthereumReceipt
    assert kind.parse(receipt).to_json() == receipt


@pytest.mark.parametrize("name", CHAINS)
@given(data=st.data())
def test_no_digit_of_a_receipt_can_be_changed(name: str, data: st.DataObject) -> None:
    vector = _load(name)
    receipt = vector["receipt"]
    left = UNPROVEN[name.partition("-")[0]]
    proven = {key: value for key, value in receipt.items() if key not in left}
    places: list[tuple[str, int | None]] = [
        (key, None) for key, value in proven.items() if isinstance(value, str)
    ]
    places += [
        (key, number)
        for key, value in proven.items()
        if isinstance(value, list)
        for number in range(len(value))
    ]
    key, number = data.draw(st.sampled_from(places))
    text = receipt[key] if number is None else receipt[key][number]
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("0123456789abcdef").filter(lambda digit: digit != text[at]))
    changed = text[:at] + other + text[at + 1 :]
    if number is None:
        receipt[key] = changed
    else:
        receipt[key][number] = changed
    with pytest.raises(GitprovError):
        _check(name, receipt, vector["digest"])


@pytest.mark.parametrize("name", CHAINS)
def test_a_receipt_of_another_digest_is_refused(name: str) -> None:
    vector = _load(name)
    with pytest.raises(GitprovError):
        _check(name, vector["receipt"], "ff" * 32)


def test_a_timestamp_leads_to_the_block_it_always_led_to() -> None:
    vector = _load("opentimestamps")
    found = ots.read(OpenTimestampsReceipt.parse(vector["receipt"]).ots)
    assert found.digest.hex() == vector["digest"]
    [attested] = found.bitcoin
    assert attested.height == vector["proves"]["height"]
    assert attested.merkle_root.hex() == vector["proves"]["merkle_root"]
    assert [one.uri for one in found.pending] == vector["proves"]["calendars"]
