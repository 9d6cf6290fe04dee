"""The earlier system's configuration, as its users have it."""

from typing import Any

import pytest

from gitprov.config.anchors import AnchorsConfig
from gitprov.config.legacy import LegacyConfig
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
        ({"ethereum": {"private_key": 5}}, "must be a text", None),
        ({"ethereum": {"gas_price": "much"}}, "'auto'", None),
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


def test_a_key_shows_in_no_repr() -> None:
    config = LegacyConfig.parse(WHOLE, {"ETH_KEY": SECRET})
    assert SECRET not in repr(config)
