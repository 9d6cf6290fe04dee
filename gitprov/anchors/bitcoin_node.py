"""A Bitcoin node's answers as values: calls that Bitcoin Core and btcd both know, checked."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast
from urllib.parse import quote

from gitprov.config.anchors import BitcoinConfig
from gitprov.core.bitcoin import HEADER_BYTES, Block, Header, header_time, sha256d, shown
from gitprov.core.canonical import Json
from gitprov.errors import MalformedError, UnavailableError, UsageError
from gitprov.model.receipt_bitcoin import CHAINS
from gitprov.platform.http import Http
from gitprov.platform.jsonrpc import JsonRpc, RpcError

SATOSHI = 100_000_000

_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_HEX = re.compile(r"(?:[0-9a-f]{2})+", re.ASCII)
_MATURITY = 100
_MOST_SATOSHI = 21_000_000 * SATOSHI
_SCAN_BLOCKS = 300
_BACK = 12
_SEARCHED = 1000
_ENOUGH = 20
_CLOCK_SLACK = 2 * 3600
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


@dataclass(frozen=True, slots=True)
class Spender:
    """The transaction in the chain that spends a coin, and its block."""

    txid: str
    block: str


class BitcoinNode:
    """Asks one node; what it answers is never used before it has the right form."""

    def __init__(self, config: BitcoinConfig, http: Http, auth: tuple[str, str] | None) -> None:
        """Takes where the node is, and user and password."""
        if config.url is None:
            raise UsageError("anchors.bitcoin.url is missing")
        url = config.url + (f"/wallet/{quote(config.wallet, safe='')}" if config.wallet else "")
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
        if not _is_number(height):
            raise self.odd(f"{height!r:.60} is no height")
        return cast("int", height)

    def block_hash(self, height: int) -> str | None:
        """Returns the hash of the active chain's block at a height, None above its end."""
        try:
            return self._hash(self.rpc.call("getblockhash", height))
        except RpcError:
            if height > self.height():
                return None
            raise self.odd(f"no block at height {height:,}") from None

    def block_hashes(self, heights: Sequence[int]) -> list[str]:
        """Returns the hashes of the active chain's blocks at heights that it has."""
        results = self.rpc.batch([("getblockhash", [height]) for height in heights])
        for result in results:
            if isinstance(result, RpcError):
                raise UnavailableError(f"{self.where} refuses {result}")
        return [self._hash(result) for result in results]

    def height_of(self, name: str) -> int | None:
        """Returns the height of a block of the active chain; None when it is not in that."""
        try:
            found = self.rpc.call("getblockheader", name, True)
        except RpcError:
            return None  # btcd knows no header of another chain; whoever lies gains nothing
        height = found.get("height") if isinstance(found, dict) else None
        if not _is_number(height):
            raise self.odd("a header without a height")
        return cast("int", height) if self.block_hash(cast("int", height)) == name else None

    def headers(self, hashes: Sequence[str]) -> list[bytes]:
        """Returns headers of blocks, checked against their hashes."""
        calls: list[tuple[str, list[Json]]] = [("getblockheader", [name, False]) for name in hashes]
        headers: list[bytes] = []
        for name, result in zip(hashes, self.rpc.batch(calls), strict=True):
            if isinstance(result, RpcError):
                raise UnavailableError(f"{self.where} refuses {result}")
            raw = self._hex(result)
            if len(raw) != HEADER_BYTES or shown(sha256d(raw)) != name:
                raise self.odd(f"that is not the header of {name}")
            headers.append(raw)
        return headers

    def block(self, name: str) -> ServedBlock:
        """Returns a block, whose transactions give the Merkle root of a header with that hash."""
        block = self._block(name)
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
        if not _is_number(depth) or not isinstance(script, dict):
            raise self.odd("an output without confirmations or script")
        deep = cast("int", depth)
        if found.get("coinbase") and deep < _MATURITY:
            return None
        value = self._satoshi(found.get("value"))
        return Coin(outpoint, value, deep, self._hex(script.get("hex")))

    def is_unspent(self, outpoint: str) -> bool:
        """Whether no block spends an output that is known, though something that waits may."""
        txid, _, number = outpoint.partition(":")
        calls = [self.ask("gettxout", txid, int(number), mempool) for mempool in (True, False)]
        return any(isinstance(found, dict) for found in calls)

    def coins(self, address: str) -> list[Coin]:
        """Returns an address's coins, the most confirmed first: Core scans, btcd has an index."""
        try:
            found = self.rpc.call("scantxoutset", "start", [f"addr({address})"])
        except RpcError:
            outpoints = self._search(address)
        else:
            outpoints = [self._outpoint(one, "vout") for one in _items(found, "unspents")]
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
        for one in _items({"found": found}, "found"):
            txid = self._hash(one.get("txid"))
            outputs += [self._outpoint({**to, "txid": txid}, "n") for to in _items(one, "vout")]
            # The input of a block's first transaction spends nothing.
            spent |= {self._outpoint(i, "vout") for i in _items(one, "vin") if "txid" in i}
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

    def where_is(self, txid: str, change: str | None) -> str | None:
        """Returns the block that holds a transaction, "" while it waits, None when nobody can tell.

        The node's index of transactions is asked, then the change: while that is unspent, it tells.
        """
        try:
            found = self.rpc.call("getrawtransaction", txid, 1)
        except RpcError:
            found = None
        if isinstance(found, dict):
            if not found.get("blockhash"):
                return ""
            name = self._hash(found["blockhash"])
            # Bitcoin Core's index goes on naming a block that is no longer in the chain.
            if self.height_of(name) is not None:
                return name
        coin = self.coin(change) if change else None
        if coin is None:
            return None
        return self.block_hash(self.height() - coin.confirmations + 1) if coin.confirmations else ""

    def spender(self, outpoint: str, since: float) -> Spender | None:
        """Returns what spends a coin, looking through the blocks that came after a time.

        None when it is in none of the first few hundred of them: that says nothing.
        """
        newest = self.height()
        first = max(self._first_after(since - _CLOCK_SLACK, newest) - _BACK, 0)
        for height in range(first, min(newest, first + _SCAN_BLOCKS) + 1):
            name = self.block_hash(height)
            if name is None:
                return None
            for one in self._block(name).transactions:
                if outpoint in one.inputs:
                    return Spender(shown(one.id), name)
        return None

    def _first_after(self, time: float, newest: int) -> int:
        """The height of the first block after a time; their times rise, but for an hour or two."""
        low, high = 0, newest
        while low < high:
            middle = (low + high) // 2
            [raw] = self.headers(self.block_hashes([middle]))
            if header_time(raw) < time:
                low = middle + 1
            else:
                high = middle
        return low

    def _block(self, name: str) -> Block:
        raw = self._hex(self.ask("getblock", name, 0))
        try:
            block = Block.parse(raw)
        except MalformedError as exc:
            raise self.odd(str(exc)) from exc
        if shown(block.header.hash) != name:
            raise self.odd(f"another block than {name}")
        return block

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

    def _outpoint(self, value: dict[str, Json], key: str) -> str:
        number = value.get(key)
        if not _is_number(number):
            raise self.odd(f"{number!r:.60} is not the number of an output")
        return f"{self._hash(value.get('txid'))}:{number}"

    def _satoshi(self, value: object) -> int:
        # Not a number is not between these either.
        if isinstance(value, (int, float)) and 0 <= value * SATOSHI <= _MOST_SATOSHI:
            return round(value * SATOSHI)
        raise self.odd(f"{value!r:.60} is no amount")


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32


def _items(value: Json, key: str) -> list[dict[str, Json]]:
    """The objects in a list in a reply; what is none is passed over."""
    found = value.get(key) if isinstance(value, dict) else None
    many = found[:_SEARCHED] if isinstance(found, list) else []
    return [one for one in many if isinstance(one, dict)]


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
