"""What tests of Bitcoin share: anchors, money for keys, and a node that somebody stands before."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from gitprov.anchors.base import Statement
from gitprov.anchors.bitcoin import BitcoinAnchor
from gitprov.anchors.bitcoin_signing import load_bitcoinlib
from gitprov.config.anchors import BitcoinConfig
from gitprov.core.canonical import Json
from gitprov.core.digest import Sha256Digest
from gitprov.core.wif import hash160
from gitprov.devnet.nodes import Node
from gitprov.platform.http import Http
from gitprov.platform.jsonrpc import RpcError
from tests.support.calendar import serving
from tests.support.nodes import MINER, MINER_ADDRESS

NOW = 2_000_000_000.0
"""The time that anchors of tests read, long after any block of theirs."""

Answerer = Callable[[list[Json]], Json]
"""Takes a call's parameters; raises RpcError to refuse."""


def head(number: int = 7) -> Statement:
    return Statement(Sha256Digest(bytes([number]) * 32), number, "")


def anchor_on(
    node: Node, http: Http, folder: Path, secret: bytes = MINER, **config: object
) -> BitcoinAnchor:
    section: dict[str, Any] = {
        "url": node.url,
        "user": node.user,
        "password": node.password,
        "chain": "regtest",
        **config,
    }
    return BitcoinAnchor(
        BitcoinConfig(**section),
        http,
        key=lambda: secret,
        secret=lambda value: value,
        data_dir=str(folder),
        clock=lambda: NOW,
    )


def pay(node: Node, folder: Path, public: bytes, satoshi: int, fee: int = 1000) -> str:
    """Pays some of the mined coins to a public key, mines that, and returns the outpoint."""
    with Http() as http:
        coins = anchor_on(node, http, folder).node.coins(MINER_ADDRESS)
    coin = next(one for one in coins if one.value > satoshi + fee)
    transactions = load_bitcoinlib(str(folder))
    from bitcoinlib.keys import Key

    made = transactions.Transaction(network="bitcoin", witness_type="segwit", version=2)
    txid, _, number = coin.outpoint.partition(":")
    made.add_input(
        txid,
        int(number),
        keys=[Key(MINER.hex(), network="bitcoin", is_private=True)],
        script_type="sig_pubkey",
        value=coin.value,
        witness_type="segwit",
    )
    made.add_output(satoshi, lock_script=b"\x00\x14" + hash160(public))
    made.add_output(coin.value - satoshi - fee, lock_script=coin.script)
    made.sign_and_update()
    sent = str(node.rpc("sendrawtransaction", made.raw_hex()))
    node.mine(1, MINER_ADDRESS)
    return f"{sent}:0"


@contextmanager
def before(node: Node, answers: dict[str, Answerer]) -> Iterator[str]:
    """Stands before a real node and answers some methods itself; the rest is the node's own."""

    def one(call: dict[str, Any]) -> dict[str, Json]:
        method, params = call["method"], call["params"]
        reply: dict[str, Json] = {"id": call["id"], "result": None, "error": None}
        try:
            mine = answers.get(method)
            reply["result"] = node.rpc(method, *params) if mine is None else mine(params)
        except RpcError as exc:
            reply["error"] = {"code": exc.code, "message": exc.message}
        return reply

    def respond(_method: str, _path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        asked = cast("Any", json.loads(body))
        told = [one(call) for call in asked] if isinstance(asked, list) else one(asked)
        return 200, {"Content-Type": "application/json"}, json.dumps(told).encode()

    with serving(respond) as url:
        yield url


def refused(code: int, message: str) -> Answerer:
    """Returns what a node that refuses a method answers."""

    def refuse(_params: list[Json]) -> Json:
        raise RpcError("", code, message)

    return refuse


WITHOUT_INDEX: dict[str, Answerer] = {
    "getrawtransaction": refused(-5, "No such mempool transaction. Use -txindex"),
    "searchrawtransactions": refused(-32601, "Method not found"),
}
"""How a node without any index answers."""
