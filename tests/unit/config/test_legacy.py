"""The earlier system's configuration, as its users have it."""

from typing import Any

import pytest

from gitprov.config.anchors import AnchorsConfig
from gitprov.config.legacy import LegacyConfig, literal_secrets
from gitprov.errors import UsageError

WHOLE: dict[str, Any] = {
    "blockchain": {
        "enabled": True,
        "networks": ["ipfs", "ethereum", "bitcoin"],
        "ipfs": {
            "enabled": True,
            "url": "http://127.0.0.1:5001",
            "timeout": 30,
            "retry_attempts": 3,
        },
        "ethereum": {
            "enabled": True,
            "rpc_url": "http://127.0.0.1:8545",
            "private_key": "${ETH_KEY}",
            "contract_address": "0x" + "ab" * 20,
            "gas_limit": 150000,
            "gas_price": "auto",
        },
        "bitcoin": {
            "enabled": False,
            "rpc_url": "http://127.0.0.1:8332",
            "rpc_user": "me",
            "rpc_password": "secret",
            "network": "testnet",
        },
        "storage_options": {
            "store_before_training": True,
            "store_after_training": True,
            "store_epoch_checkpoints": True,
        },
        "debug": False,
    }
}
SECRET = "11" * 32


def test_the_whole_form_is_read_as_it_is() -> None:
    config = LegacyConfig.parse(WHOLE, {"ETH_KEY": SECRET})
    assert config.networks == ("ipfs", "ethereum")
    assert config.checkpoints
    assert config.timeout == 30
    assert config.keys == {"GITPROV_ETHEREUM_KEY": SECRET}
    anchors = AnchorsConfig.of({}, config.anchors)
    assert anchors.ethereum.mode == "storage"
    assert anchors.ethereum.gas_limit == 150_000
    assert anchors.ipfs.url == "http://127.0.0.1:5001"


def test_the_short_form_is_read_too() -> None:
    short = {"enabled": True, "networks": ["opentimestamps"], "hash_algorithm": "sha256"}
    config = LegacyConfig.parse(short, {})
    assert config.networks == ("opentimestamps",)
    assert config.hash_algorithm == "sha256"


def test_nothing_at_all_leaves_it_to_the_clone() -> None:
    assert LegacyConfig.parse({}, {}) == LegacyConfig()


def test_without_a_contract_the_digest_goes_into_the_data() -> None:
    config = LegacyConfig.parse({"ethereum": {"rpc_url": "http://127.0.0.1:1"}}, {})
    assert config.networks == ("ethereum",)
    assert AnchorsConfig.of({}, config.anchors).ethereum.mode == "calldata"


def test_a_gas_price_in_wei_is_a_cap() -> None:
    config = LegacyConfig.parse({"ethereum": {"url": "http://x", "gas_price": 20 * 10**9}}, {})
    assert AnchorsConfig.of({}, config.anchors).ethereum.max_fee_gwei == 20


@pytest.mark.parametrize(
    ("value", "said", "hint"),
    [
        ({"blockchian": {}}, "unknown key blockchian", "did you mean blockchain"),
        ({"blockchain": {"netwerks": []}}, "blockchain.netwerks", "blockchain.networks"),
        ({"ethereum": {"rpc": "x"}}, "ethereum.rpc", "did you mean ethereum.rpc_url"),
        ({"networks": ["etherium"]}, "unknown network 'etherium'", "ethereum, bitcoin"),
        ({"networks": "ipfs"}, "must be a list", "known"),
        ({"enabled": "yes"}, "must be true or false", None),
        ({"ethereum": {"privat_key": "x"}}, "privat_key", "did you mean ethereum.private_key?"),
        ({"privat_key": "x"}, "privat_key", "ethereum.private_key or bitcoin.private_key?"),
        ({"blockchain": {}, "netwrks": []}, "key netwrks", "did you mean blockchain.networks?"),
        ({"blockchain": {}, "gas_limt": 1}, "gas_limt", "blockchain.ethereum.gas_limit?"),
        ({"store_before_trainin": 1}, "trainin", "storage_options.store_before_training?"),
        ({"ethereum": {"private_key": 5}}, "must be a text", "in quotes"),
        ({"ethereum": {"gas_price": "much"}}, "'auto'", None),
        ({"ethereum": {"gas_price": "-5"}}, "'auto'", None),
        ({"ethereum": {"gas_price": 0}}, "'auto'", None),
        ({"ethereum": {"gas_limit": 5}}, "ethereum.gas_limit must be a whole number from", None),
        ({"bitcoin": {"network": "moon"}}, "bitcoin.network must be main or test", None),
        ({"ipfs": {"retry_attempts": "3"}}, "ipfs.retry_attempts", None),
        ({"ipfs": {"retry_attempts": -1}}, "0 or more", None),
        ({"ipfs": {"retry_attempts": True}}, "0 or more", None),
        ({"ipfs": {"timeout": 0}}, "seconds", None),
        ({"ipfs": 3}, "must be a mapping", None),
        ({"hash_algorithm": "crc32"}, "crc32", "blake3"),
        ({"storage_options": {"store_befor": True}}, "store_befor", "did you mean"),
        ({"ethereum": {"url": "${NOWHERE}"}}, "NOWHERE, which is not set", "export NOWHERE"),
    ],
)
def test_what_is_wrong_is_named(value: dict[str, Any], said: str, hint: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        LegacyConfig.parse(value, {})
    assert said in str(caught.value)
    assert hint is None or hint in str(caught.value.hint)


@pytest.mark.parametrize("key", ["colour", "zzz", "x"])
def test_nothing_is_guessed_from_afar(key: str) -> None:
    for value in ({key: 1}, {"bitcoin": {key: 1}}):
        with pytest.raises(UsageError) as caught:
            LegacyConfig.parse(value, {})
        assert str(caught.value.hint).startswith("known: ")


@pytest.mark.parametrize("price", ["20000000000", 20 * 10**9, 2e10])
def test_a_gas_price_may_be_quoted(price: object) -> None:
    config = LegacyConfig.parse({"ethereum": {"url": "http://x", "gas_price": price}}, {})
    assert AnchorsConfig.of({}, config.anchors).ethereum.max_fee_gwei == 20


def test_a_secret_shows_in_no_repr() -> None:
    config = LegacyConfig.parse(WHOLE, {"ETH_KEY": SECRET})
    assert SECRET not in repr(config)
    lit = {"bitcoin": {"rpc_password": "hunter2", "url": "http://u:p4ss@h"}}
    shown = repr(LegacyConfig.parse(lit, {}))
    assert "hunter2" not in shown
    assert "p4ss" not in shown


def test_an_error_shows_no_value() -> None:
    with pytest.raises(UsageError) as caught:
        LegacyConfig.parse({"bitcoin": {"rpc_password": "hunter2\n, not x"}}, {})
    assert str(caught.value) == "the tracker's configuration: bitcoin.rpc_password must be a text"


def test_endless_nesting_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["blockchain"] = endless
    with pytest.raises(UsageError, match="nested deeper"):
        LegacyConfig.parse(endless, {})


def test_secrets_that_stand_there_as_they_are_are_named() -> None:
    assert literal_secrets(WHOLE) == ["blockchain.bitcoin.rpc_password"]
    value = {
        "bitcoin": {"password": "env:RPC", "rpc_password": "${RPC}", "url": "http://u:${P}@h"},
        "ethereum": {"private_key": "", "url": "http://u:p@h"},
        "ipfs": {"gateways": ["http://h", "http://u:p@h"], "url": None},
    }
    assert literal_secrets(value) == ["ethereum.url", "ipfs.gateways"]
