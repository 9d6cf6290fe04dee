"""Real nodes for tests, one of each kind for a worker, started when the first test asks for it.

They are shared: a test takes an account of its own (`account`, `bitcoin_key`), and does not expect
the chain to stand still. A node whose program is missing skips the test and says why.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from gitprov.anchors.keys import address_of
from gitprov.core.wif import encode_wif
from gitprov.devnet.finding import find
from gitprov.devnet.nodes import (
    Node,
    start_anvil,
    start_bitcoind,
    start_btcd,
    start_geth,
    start_kubo,
)

ENVIRON = dict(os.environ)
"""The environment before tests/conftest.py hides the user's home, where the services' cache is."""

ETHER = 10**18

MINER = bytes.fromhex("11" * 32)
"""The secret that mined coins go to. They are everybody's: a test that must know what it has pays
some to a key of its own first."""

MINER_WIF = encode_wif(MINER, "regtest")
MINER_ADDRESS = address_of(MINER, "bitcoin", "regtest")

SPENDABLE_AFTER = 110
"""Coins from mining can be spent 100 blocks later."""


def program(kind: str) -> str:
    """Returns the path of a node's program, or skips the test."""
    path = find(kind, ENVIRON)
    if path is None:
        how = "put it on PATH" if kind in {"geth", "bitcoind"} else "`make services` brings it"
        pytest.skip(f"{kind} is not installed: {how}")
    return path


def start_node(kind: str, folder: Path) -> Node:
    """Starts a node of a test's own in a folder that is there; the test stops it.

    A Bitcoin node has mined coins for MINER that can be spent.
    """
    path = program(kind)
    if kind == "btcd":
        node = start_btcd(path, str(folder), MINER_ADDRESS)
    else:
        node = _STARTERS[kind](path, str(folder))
    if kind in {"btcd", "bitcoind"}:
        node.mine(SPENDABLE_AFTER, MINER_ADDRESS)
    return node


def fund(node: Node, address: str, ether: int = 100) -> None:
    """Gives an Ethereum address money."""
    if node.kind == "anvil":
        node.rpc("anvil_setBalance", address, hex(ether * ETHER))
        return
    [rich, *_] = cast("list[str]", node.rpc("eth_accounts"))
    before = int(str(node.rpc("eth_blockNumber")), 16)
    node.rpc("eth_sendTransaction", {"from": rich, "to": address, "value": hex(ether * ETHER)})
    while int(str(node.rpc("eth_blockNumber")), 16) == before:
        pass


def account(node: Node, ether: int = 100) -> tuple[bytes, str]:
    """Returns the secret and the address of a fresh Ethereum account that has money."""
    secret = secrets.token_bytes(32)
    address = address_of(secret, "ethereum")
    fund(node, address, ether)
    return secret, address


def bitcoin_key() -> tuple[bytes, str]:
    """Returns the secret and the regtest address of a fresh Bitcoin key, without any money."""
    secret = secrets.token_bytes(32)
    return secret, address_of(secret, "bitcoin", "regtest")


def reorg(node: Node, depth: int) -> None:
    """Replaces the newest blocks by other ones; a Bitcoin chain gets one block longer by that.

    On anvil what was in those blocks is gone; a Bitcoin node puts it back into its mempool, and so
    into the first of the new blocks.
    """
    if node.kind == "anvil":
        # Empty blocks of the same second would be the same blocks: another miner makes others.
        node.rpc("anvil_setCoinbase", "0x" + os.urandom(20).hex())
        node.rpc("anvil_reorg", depth, [])
        return
    height = int(str(node.rpc("getblockcount")))
    node.rpc("invalidateblock", node.rpc("getblockhash", height - depth + 1))
    node.mine(depth + 1, MINER_ADDRESS)


@pytest.fixture(scope="session")
def anvil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """An Ethereum chain that mines a block for every transaction."""
    with start_node("anvil", tmp_path_factory.mktemp("anvil")) as node:
        yield node


@pytest.fixture(scope="session")
def btcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A Bitcoin regtest chain whose mined coins belong to MINER; blocks come from `mine`."""
    with start_node("btcd", tmp_path_factory.mktemp("btcd")) as node:
        yield node


@pytest.fixture(scope="session")
def kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """An IPFS node without peers: RPC at `url`, trustless gateway at `gateway`."""
    with start_node("ipfs", tmp_path_factory.mktemp("kubo")) as node:
        yield node


@pytest.fixture(scope="session", params=["anvil", "geth"])
def ethereum_node(request: pytest.FixtureRequest) -> Iterator[Node]:
    """Each Ethereum node that is installed."""
    yield from _either(request, "anvil")


@pytest.fixture(scope="session", params=["btcd", "bitcoind"])
def bitcoin_node(request: pytest.FixtureRequest) -> Iterator[Node]:
    """Each Bitcoin node that is installed."""
    yield from _either(request, "btcd")


def _either(request: pytest.FixtureRequest, shared: str) -> Iterator[Node]:
    """The node that other tests use too, or another one."""
    kind = str(request.param)
    if kind == shared:
        yield cast("Node", request.getfixturevalue(kind))
        return
    factory = cast("pytest.TempPathFactory", request.getfixturevalue("tmp_path_factory"))
    with start_node(kind, factory.mktemp(kind)) as node:
        yield node


_STARTERS: dict[str, Callable[[str, str], Node]] = {
    "anvil": start_anvil,
    "geth": start_geth,
    "bitcoind": start_bitcoind,
    "ipfs": start_kubo,
}
