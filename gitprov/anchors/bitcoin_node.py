"""A Bitcoin node's answers as values: calls that Bitcoin Core and btcd both know, checked."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from gitprov.config.anchors import BitcoinConfig
from gitprov.core.bitcoin import Block, Header, shown
from gitprov.core.canonical import Json
from gitprov.errors import MalformedError, UnavailableError, UsageError
from gitprov.model.receipt_bitcoin import CHAINS
from gitprov.platform.http import Http
from gitprov.platform.jsonrpc import JsonRpc, RpcError

SATOSHI = 100_000_000

_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_HEX = re.compile(r"(?:[0-9a-f]{2})+", re.ASCII)
_MATURITY = 100
_SCAN_BLOCKS = 300
_SEARCHED = 1000
_ENOUGH = 20
_CLOCK_SLACK = 2 * 3600
_NOT_FOUND = -5
_BLOCK_LIMIT = 16 << 20


@dataclass(frozen=True, slots=True)
class Coin:
    """An unspent output: `<txid>:<n>`, its satoshi, and how deep it lies (0: in no block yet)."""

    outpoint: str
    value: int
    confirmations: int
    script: bytes


@dataclass(frozen=True, slots=True)
class ServedBlock:
    """A block's header, and the ids of its transactions, which give its Merkle root."""

    header: Header
    txids: list[bytes]


class BitcoinNode:
    """Asks one node; what it answers is never used before it has the right form."""

    def __init__(self, config: BitcoinConfig, http: Http, auth: tuple[str, str] | None) -> None:
        """Takes where the node is, and user and password."""
        if config.url is None:
            raise UsageError("anchors.bitcoin.url is missing")
        url = config.url + (f"/wallet/{config.wallet}" if config.wallet else "")
        self.rpc = JsonRpc(http, url, auth=auth, version="1.0")
        self.where = f"the node at {self.rpc.where}"
        self._fallback = config.fee_rate

    def ask(self, method: str, *params: Json) -> Json:
        """Calls a method that has to succeed.

        Raises:
            UnavailableError: the node says no, or does not answer.
        """
        try:
            return self.rpc.call(method, *params, limit=_BLOCK_LIMIT)
        except RpcError as exc:
            raise UnavailableError(f"{self.where} refuses {exc}") from exc

    def check_chain(self, chain: str) -> str:
        """Returns the chain as CAIP-2 names it, when it is the wanted one.

        Raises:
            UsageError: the node is on another.
        """
        first = self._hash(self.ask("getblockhash", 0))
        found = f"bip122:{first[:32]}"
        if found != CHAINS[chain]:
            name = next((name for name, one in CHAINS.items() if one == found), found)
            raise UsageError(
                f"{self.where} is on the chain {name}, anchors.bitcoin.chain is {chain}"
            )
        return found

    def height(self) -> int:
        """Returns the height of the newest block."""
        height = self.ask("getblockcount")
        if isinstance(height, bool) or not isinstance(height, int) or height < 0:
            raise self.odd(f"{height!r:.60} is no height")
        return height

    def block_hash(self, height: int) -> str | None:
        """Returns the hash of the active chain's block at a height, None above its end."""
        try:
            return self._hash(self.rpc.call("getblockhash", height))
        except RpcError:
            if height > self.height():
                return None
            raise self.odd(f"no block at height {height:,}") from None

    def height_of(self, name: str) -> int:
        """Returns the height that the node gives a block; -1 when it is in no active chain."""
        found = self.ask("getblockheader", name, True)
        height = found.get("height") if isinstance(found, dict) else None
        if isinstance(height, bool) or not isinstance(height, int):
            raise self.odd("a header without a height")
        return height

    def headers(self, hashes: Sequence[str]) -> list[bytes]:
        """Returns headers of blocks, checked against their hashes."""
        calls: list[tuple[str, list[Json]]] = [("getblockheader", [name, False]) for name in hashes]
        headers: list[bytes] = []
        for name, result in zip(hashes, self.rpc.batch(calls), strict=True):
            if isinstance(result, RpcError):
                raise UnavailableError(f"{self.where} refuses {result}")
            raw = self._hex(result)
            if len(raw) != 80 or shown(Header.parse(raw).hash) != name:
                raise self.odd(f"that is not the header of {name}")
            headers.append(raw)
        return headers

    def block(self, name: str) -> ServedBlock:
        """Returns a block, whose transactions give the Merkle root of a header with that hash."""
        raw = self._hex(self.ask("getblock", name, 0))
        try:
            block = Block.parse(raw)
        except MalformedError as exc:
            raise self.odd(str(exc)) from exc
        if shown(block.header.hash) != name:
            raise self.odd(f"another block than {name}")
        return ServedBlock(block.header, block.txids)

    def coin(self, outpoint: str, *, mempool: bool = True) -> Coin | None:
        """Returns an output when it can be spent now; None when it is spent or not known."""
        txid, _, number = outpoint.partition(":")
        found = self.ask("gettxout", txid, int(number), mempool)
        if found is None:
            return None
        if not isinstance(found, dict):
            raise self.odd("an output that is no object")
        depth = found.get("confirmations")
        script = found.get("scriptPubKey")
        if not isinstance(depth, int) or not isinstance(script, dict):
            raise self.odd("an output without confirmations or script")
        if found.get("coinbase") and depth < _MATURITY:
            return None
        return Coin(outpoint, self._satoshi(found.get("value")), depth, self._hex(script["hex"]))

    def coins(self, address: str) -> list[Coin]:
        """Returns an address's coins, the most confirmed first: Core scans, btcd has an index."""
        try:
            found = self.rpc.call("scantxoutset", "start", [f"addr({address})"])
            unspents = found.get("unspents") if isinstance(found, dict) else None
            outpoints = [
                f"{self._hash(one['txid'])}:{one['vout']}"
                for one in cast("list[dict[str, Json]]", unspents or [])[:_SEARCHED]
            ]
        except RpcError:
            outpoints = self._search(address)
        coins: list[Coin] = []
        for outpoint in outpoints:
            coin = self.coin(outpoint)
            if coin is not None:
                coins.append(coin)
            if len(coins) == _ENOUGH:
                break
        return sorted(coins, key=lambda coin: -coin.confirmations)

    def _search(self, address: str) -> list[str]:
        try:
            found = self.rpc.call("searchrawtransactions", address, 1, 0, _SEARCHED, 0, True)
        except RpcError:
            return []
        outputs: list[str] = []
        spent: set[str] = set()
        for one in found if isinstance(found, list) else []:
            transaction = cast("dict[str, Any]", one if isinstance(one, dict) else {})
            txid = self._hash(transaction.get("txid"))
            outputs += [f"{txid}:{output['n']}" for output in transaction.get("vout") or []]
            spent |= {f"{i.get('txid')}:{i.get('vout')}" for i in transaction.get("vin") or []}
        # btcd's gettxout does not see what waits in the mempool to be spent; this index does.
        return [outpoint for outpoint in reversed(outputs) if outpoint not in spent]

    def fee_rate(self) -> int:
        """Returns satoshi per virtual byte for the next hour; the configured rate when unknown."""
        try:
            found = self.rpc.call("estimatesmartfee", 6)
        except RpcError:
            return self._fallback
        rate = found.get("feerate") if isinstance(found, dict) else None
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate < 1:
            return self._fallback
        return max(-int(-rate * SATOSHI // 1000), 1)

    def send(self, raw: bytes) -> None:
        """Sends a transaction.

        Raises:
            RpcError: the node does not take it; it may know it already.
        """
        self.rpc.call("sendrawtransaction", raw.hex())

    def where_is(self, txid: str, change: str | None, since: float) -> str | None:
        """Returns the block that holds a transaction, "" while it waits, None when unknown.

        Without a transaction index the change tells; when that is spent, the newest blocks do.
        """
        try:
            found = self.rpc.call("getrawtransaction", txid, 1)
        except RpcError:
            found = None
        if isinstance(found, dict):
            block = found.get("blockhash")
            return self._hash(block) if block else ""
        coin = self.coin(change) if change else None
        if coin is not None:
            if coin.confirmations == 0:
                return ""
            return self.block_hash(self.height() - coin.confirmations + 1)
        return self._scan(txid, since)

    def _scan(self, txid: str, since: float) -> str | None:
        newest = self.height()
        for height in range(newest, max(newest - _SCAN_BLOCKS, -1), -1):
            name = self.block_hash(height)
            if name is None:
                continue
            block = self.block(name)
            if any(shown(one) == txid for one in block.txids):
                return name
            if block.header.time < since - _CLOCK_SLACK:
                return None
        return None

    def odd(self, what: str) -> UnavailableError:
        """Returns the error for an answer that cannot be one."""
        return UnavailableError(f"{self.where} answers wrongly: {what}")

    def _hash(self, value: object) -> str:
        if not isinstance(value, str) or not _HASH.fullmatch(value):
            raise self.odd(f"{value!r:.60} is no hash")
        return value

    def _hex(self, value: object) -> bytes:
        if not isinstance(value, str) or not _HEX.fullmatch(value):
            raise self.odd(f"{value!r:.60} are no bytes")
        return bytes.fromhex(value)

    def _satoshi(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            raise self.odd(f"{value!r:.60} is no amount")
        return round(value * SATOSHI)


def read_cookie(path: str) -> tuple[str, str]:
    """Returns the user and the password that Bitcoin Core wrote into its cookie file.

    Raises:
        UsageError: there is no such file, or it is none.
    """
    try:
        with open(os.path.expanduser(path), encoding="ascii") as file:
            user, colon, password = file.read(1024).strip().partition(":")
    except (OSError, UnicodeDecodeError):
        raise UsageError(
            f"cannot read the cookie {path}", hint="is Bitcoin Core running?"
        ) from None
    if not colon:
        raise UsageError(f"{path} is no cookie of Bitcoin Core")
    return user, password
