"""Bitcoin without a node: the public servers that bitcoinlib knows, seen as if they were one.

They are asked for whole lists of a block's transactions, so the Merkle branch is built here and
checked like a node's. Which servers there are is bitcoinlib's affair (its `providers.json`).
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from gitprov.anchors.bitcoin_node import BitcoinNode, Coin, ServedBlock, Spender
from gitprov.anchors.bitcoin_signing import load_bitcoinlib
from gitprov.config.anchors import BitcoinConfig
from gitprov.core.bitcoin import HEADER_BYTES, Header, merkle_root, sha256d, shown
from gitprov.core.paths import printable
from gitprov.errors import MalformedError, UnavailableError
from gitprov.model.receipt_bitcoin import CHAINS
from gitprov.platform.http import Http
from gitprov.platform.jsonrpc import RpcError

_NETWORKS = {
    "main": "bitcoin",
    "test": "testnet",
    "testnet4": "testnet4",
    "signet": "signet",
    "regtest": "regtest",
}


class BitcoinService(BitcoinNode):
    """bitcoinlib's service providers."""

    def __init__(self, config: BitcoinConfig, http: Http, data_dir: str) -> None:
        """Takes the chain; the connections are the library's own."""
        services = load_bitcoinlib(data_dir, "services.services")
        self._error: type[Exception] = services.ServiceError
        self.where = "bitcoinlib's servers"
        self._fallback = config.fee_rate
        # Its cache keeps blocks by their height, and so would hide a reorg for ever.
        self._service: Any = self._safely(
            lambda: services.Service(
                network=_NETWORKS[config.chain], timeout=max(int(http.timeout), 1), cache_uri=""
            )
        )

    def check_chain(self, chain: str) -> str:
        """Returns the chain; the library asks servers of that chain only."""
        return CHAINS[chain]

    def height(self) -> int:
        """Returns the height of the newest block."""
        height = self._ask("blockcount")
        if isinstance(height, bool) or not isinstance(height, int) or height < 0:
            raise self.odd("no height")
        return height

    def block_hash(self, height: int) -> str | None:
        """Returns the hash of the block at a height, None above the newest."""
        return None if height > self.height() else self.block_hashes([height])[0]

    def block_hashes(self, heights: Sequence[int]) -> list[str]:
        """Returns the hashes of the active chain's blocks at heights that it has."""
        blocks = [self._block(height) for height in heights]
        return [self._hash(self._safely(block.block_hash.hex)) for block in blocks]

    def height_of(self, name: str) -> int | None:
        """Returns the height of a block of the active chain; None when it is not in that."""
        height = self._block(name).height
        if isinstance(height, int) and self.block_hash(height) == name:
            return height
        return None

    def headers(self, hashes: Sequence[str]) -> list[bytes]:
        """Returns headers of blocks, checked against their hashes."""
        return [self._header(self._block(name), name) for name in hashes]

    def block(self, name: str) -> ServedBlock:
        """Returns a block's header and the ids of its transactions, which give its Merkle root."""
        found = self._block(name)
        try:
            header = Header.parse(self._header(found, name))
        except MalformedError as exc:
            raise self.odd(str(exc)) from exc
        txids = [bytes.fromhex(self._hash(str(one)))[::-1] for one in found.transactions]
        if not txids or merkle_root(txids) != header.merkle_root:
            raise self.odd("the transactions of a block do not give its Merkle root")
        return ServedBlock(header, txids)

    def coin(self, outpoint: str, *, mempool: bool = True) -> Coin | None:
        """Returns an output when it can be spent; the servers always count what waits."""
        del mempool
        transaction, number = self._transaction_of(outpoint)
        if transaction is None or self._ask("isspent", transaction.txid, number):
            return None
        output = transaction.outputs[number]
        deep = transaction.confirmations or 0
        coin: Coin = self._safely(
            lambda: Coin(outpoint, int(output.value), int(deep), bytes(output.lock_script))
        )
        return coin

    def is_unspent(self, outpoint: str) -> bool:
        """Whether nothing spends an output."""
        return self.coin(outpoint) is not None

    def coins(self, address: str) -> list[Coin]:
        """Returns an address's coins, the most confirmed first."""
        found = self._ask("getutxos", address) or []
        outpoints: list[str] = self._safely(
            lambda: [f"{self._hash(one['txid'])}:{int(one['output_n'])}" for one in found]
        )
        coins = [coin for outpoint in outpoints if (coin := self.coin(outpoint)) is not None]
        return sorted(coins, key=lambda coin: -coin.confirmations)

    def fee_rate(self) -> int:
        """Returns satoshi per virtual byte; the configured rate when no server says one."""
        try:
            rate = self._ask("estimatefee", 6)
        except UnavailableError:
            return self._fallback
        return max(-(-rate // 1000), 1) if isinstance(rate, int) and rate > 0 else self._fallback

    def send(self, raw: bytes) -> None:
        """Sends a transaction."""
        try:
            taken = self._ask("sendrawtransaction", raw.hex())
        except UnavailableError as exc:
            # Whether it was refused or they are away is not told: the caller looks for it.
            raise RpcError("sendrawtransaction", 0, str(exc)) from exc
        if not taken:
            raise RpcError("sendrawtransaction", 0, "no server took it")

    def where_is(self, txid: str, change: str | None) -> str | None:
        """Returns the block that holds a transaction, "" while it waits, None when nobody can tell.

        Servers that do not know it answer like those that are away.
        """
        del change
        try:
            transaction = self._ask("gettransaction", txid)
        except UnavailableError:
            return None
        if not transaction:
            return None
        height = transaction.block_height
        return self.block_hash(height) if isinstance(height, int) and height > 0 else ""

    def spender(self, outpoint: str, since: float) -> Spender | None:
        """Returns what spends a coin where a server says so; None says nothing."""
        del since
        transaction, number = self._transaction_of(outpoint)
        txid = getattr(transaction.outputs[number], "spending_txid", "") if transaction else ""
        block = self.where_is(txid, None) if isinstance(txid, str) and len(txid) == 64 else None
        return Spender(txid, block) if block else None

    def _transaction_of(self, outpoint: str) -> tuple[Any, int]:
        """The transaction that has an output, or None, and the output's number."""
        txid, _, number = outpoint.partition(":")
        found = self._ask("gettransaction", txid)
        return (found if found and int(number) < len(found.outputs) else None), int(number)

    def _block(self, name: str | int) -> Any:
        found = self._ask("getblock", name, parse_transactions=False)
        if not found:
            raise UnavailableError(f"{self.where} do not know the block {name}")
        return found

    def _header(self, found: Any, name: str) -> bytes:
        try:
            parts = (found.version[::-1], found.prev_block[::-1], found.merkle_root[::-1])
            rest = int(found.time).to_bytes(4, "little") + found.bits[::-1] + found.nonce[::-1]
        except (TypeError, ValueError, OverflowError, AttributeError):
            raise self.odd(f"the block {name} has no header") from None
        raw: bytes = b"".join(parts) + rest
        if len(raw) != HEADER_BYTES or shown(sha256d(raw)) != name:
            raise self.odd(f"that is not the header of {name}")
        return raw

    def _ask(self, method: str, *args: object, **options: object) -> Any:
        return self._safely(lambda: getattr(self._service, method)(*args, **options))

    def _safely(self, call: Callable[[], Any]) -> Any:
        """Calls the library, which does not check much of what servers answer."""
        wrong = (OSError, LookupError, TypeError, ValueError, ArithmeticError, AttributeError)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return call()
        except (self._error, *wrong) as exc:
            raise UnavailableError(
                f"{self.where} do not answer: {printable(str(exc))[:200]}"
            ) from exc
