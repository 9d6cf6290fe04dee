"""`gitprov devnet up | down | status`: all networks on this machine, for one repository.

Data, keys and the list of processes lie in the git folder, and go with `down`. Only processes that
were started here are ever ended.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gitprov.anchors.keys import address_of
from gitprov.anchors.registry import Means
from gitprov.devnet.finding import find
from gitprov.devnet.nodes import (
    Node,
    start_anvil,
    start_bitcoind,
    start_btcd,
    start_geth,
    start_kubo,
)
from gitprov.devnet.process import Process, start
from gitprov.devnet.state import State, read_state, write_state
from gitprov.errors import UnavailableError, UsageError
from gitprov.ops.anchor_setup import deploy_contract
from gitprov.ops.local_config import read_local_config, update_local_config
from gitprov.platform.files import atomic_write, fault
from gitprov.platform.jsonrpc import RpcError
from gitprov.platform.locks import file_lock
from gitprov.workspace import Workspace

if TYPE_CHECKING:
    from gitprov.core.canonical import Json

FOLDER = "devnet"
KEYS = ("ethereum", "bitcoin")
"""The networks that are paid."""

_ETHER = 10**18
_TRIES, _PAUSE = 100, 0.05
_BLOCKS = 110
"""Coins from mining can be spent 100 blocks later."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class NodeState:
    """One network of the devnet: the program, where it answers, whether it does."""

    network: str
    kind: str
    url: str
    running: bool
    height: int | None
    address: str


def up(ws: Workspace, means: Means, *, say: Say) -> list[NodeState]:
    """Starts what there is on PATH or in the services' folder, and writes a matching configuration.

    Raises:
        UsageError: it is up already, or there is nothing to start.
        UnavailableError: a node does not start; whatever was started is ended again.
    """
    with _lock(ws):
        if any(state.running for state in status(ws)):
            raise UsageError("the devnet is up already", hint="gitprov devnet status")
        _down(ws)  # what a crash of this machine left
        folder = _folder(ws)
        _make(folder)
        try:
            _up(ws, means, folder, say)
        except BaseException:
            _down(ws)
            raise
        return status(ws)


def down(ws: Workspace) -> bool:
    """Ends the nodes, removes their data, and puts the configuration back; safe to repeat.

    Returns:
        Whether there was anything.
    """
    with _lock(ws):
        return _down(ws)


def status(ws: Workspace) -> list[NodeState]:
    """Returns what runs, and whatever was started and runs no longer."""
    state = read_state(_folder(ws)) or State()
    return [
        NodeState(
            network,
            node.kind,
            node.url,
            running := node.process.is_running(),
            _height(node) if running else None,
            state.addresses.get(network, ""),
        )
        for network, node in state.nodes.items()
    ]


def _up(ws: Workspace, means: Means, folder: str, say: Say) -> None:
    keys = {network: _new_key(folder, network) for network in KEYS}
    state = State(before=read_local_config(ws).get("anchors"))
    for network, starter in _STARTERS.items():
        node = starter(_subfolder(folder, network), means.environ, keys)
        if node is None:
            say(f"{network}: no program for it was found")
            continue
        state = replace(state, nodes={**state.nodes, network: node})
        write_state(folder, state)
        say(f"{network}: {node.kind} at {node.url}")
    if not state.nodes:
        raise UsageError(
            "there is nothing to start: no anvil, geth, btcd, bitcoind or ipfs",
            hint="`make devnet` in gitprov's own repository installs them into a cache",
        )
    addresses = {
        network: address_of(keys[network], network, "regtest")
        for network in KEYS
        if network in state.nodes
    }
    state = replace(state, addresses=addresses)
    write_state(folder, state)
    _configure(ws, state.nodes, folder)
    _fund(state)
    if "ethereum" in state.nodes:
        deploy_contract(ws, means)
    if addresses:
        write_state(folder, replace(state, miner=_start_miner(folder)))


def _down(ws: Workspace) -> bool:
    folder = _folder(ws)
    state = read_state(folder)
    if not os.path.lexists(folder):
        return False
    if state is not None:
        for process in state.processes:
            process.stop()
        update_local_config(ws, {"anchors": None})
        if state.before is not None:
            update_local_config(ws, {"anchors": state.before})
    try:
        shutil.rmtree(folder)
    except OSError as exc:
        raise fault(exc, "remove", folder) from exc
    return True


def _ethereum(folder: str, environ: Mapping[str, str], keys: Mapping[str, bytes]) -> Node | None:
    del keys
    anvil, geth = find("anvil", environ), find("geth", environ)
    if anvil is not None:
        return start_anvil(anvil, folder)
    return start_geth(geth, folder) if geth is not None else None


def _bitcoin(folder: str, environ: Mapping[str, str], keys: Mapping[str, bytes]) -> Node | None:
    btcd, bitcoind = find("btcd", environ), find("bitcoind", environ)
    if btcd is not None:
        return start_btcd(btcd, folder, address_of(keys["bitcoin"], "bitcoin", "regtest"))
    return start_bitcoind(bitcoind, folder) if bitcoind is not None else None


def _ipfs(folder: str, environ: Mapping[str, str], keys: Mapping[str, bytes]) -> Node | None:
    del keys
    ipfs = find("ipfs", environ)
    return start_kubo(ipfs, folder) if ipfs is not None else None


_STARTERS: dict[str, Callable[[str, Mapping[str, str], Mapping[str, bytes]], Node | None]] = {
    "ethereum": _ethereum,
    "bitcoin": _bitcoin,
    "ipfs": _ipfs,
}


def _configure(ws: Workspace, nodes: Mapping[str, Node], folder: str) -> None:
    anchors: dict[str, Json] = {"networks": [*nodes]}
    for network, node in nodes.items():
        section: dict[str, Json] = {"url": node.url}
        if network in KEYS:
            section["key"] = f"file:{_key_path(folder, network)}"
        if node.kind == "geth":
            section["confirmations"] = 1  # its development chain calls nothing finalized
        if network == "bitcoin":
            section |= {"chain": "regtest", "user": node.user, "password": node.password}
        if network == "ipfs":
            section["gateways"] = [node.gateway]
        anchors[network] = section
    update_local_config(ws, {"anchors": None})
    update_local_config(ws, {"anchors": anchors})


def _fund(state: State) -> None:
    """Gives the keys money."""
    node = state.nodes.get("bitcoin")
    if node is not None:
        node.mine(_BLOCKS, state.addresses["bitcoin"])
    node = state.nodes.get("ethereum")
    if node is None:
        return
    address = state.addresses["ethereum"]
    if node.kind == "anvil":
        node.rpc("anvil_setBalance", address, hex(100 * _ETHER))
        return
    accounts = node.rpc("eth_accounts")
    rich = accounts[0] if isinstance(accounts, list) and accounts else None
    value: dict[str, Json] = {"from": rich, "to": address, "value": hex(100 * _ETHER)}
    node.rpc("eth_sendTransaction", value)
    for _ in range(_TRIES):
        if node.rpc("eth_getBalance", address, "latest") != "0x0":
            return
        time.sleep(_PAUSE)
    raise UnavailableError("geth did not pay its devnet's key", hint="gitprov devnet up")


def _start_miner(folder: str) -> Process:
    log = os.path.join(folder, "miner.log")
    return start(
        [sys.executable, "-P", "-m", "gitprov.devnet.miner", folder],
        folder=folder,
        log="miner.log",
        answers=lambda: os.path.getsize(log) > 0,
    )


def _new_key(folder: str, network: str) -> bytes:
    """A key that is worth nothing: a file in the git folder, that only this user can read."""
    secret = os.urandom(32)
    atomic_write(_key_path(folder, network), secret.hex().encode() + b"\n", mode=0o600)
    return secret


def _key_path(folder: str, network: str) -> str:
    return os.path.join(folder, f"{network}.key")


def _height(node: Node) -> int | None:
    try:
        if node.kind == "ipfs":
            return None
        if node.kind in {"anvil", "geth"}:
            return int(str(node.rpc("eth_blockNumber")), 16)
        return int(str(node.rpc("getblockcount")))
    except (UnavailableError, RpcError, ValueError):
        return None


def _folder(ws: Workspace) -> str:
    return os.path.join(ws.repo.data_dir, FOLDER)


def _lock(ws: Workspace) -> AbstractContextManager[None]:
    return file_lock(_folder(ws) + ".lock", waiting=ws.waiting)


def _make(folder: str) -> None:
    try:
        os.makedirs(folder, mode=0o700)
    except OSError as exc:
        raise fault(exc, "make", folder) from exc


def _subfolder(folder: str, network: str) -> str:
    path = os.path.join(folder, network)
    _make(path)
    return path
