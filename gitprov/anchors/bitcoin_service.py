"""Bitcoin without a node: the public servers that bitcoinlib knows, seen as if they were one.

They are asked for whole lists of a block's transactions, so the Merkle branch is built here and
checked like a node's. Which servers there are is bitcoinlib's affair (its `providers.json`).
"""

from collections.abc import Sequence
from typing import Any

from gitprov.anchors.bitcoin_node import BitcoinNode, Coin, ServedBlock
from gitprov.anchors.bitcoin_signing import load_bitcoinlib
from gitprov.config.anchors import BitcoinConfig
from gitprov.core.bitcoin import Header, merkle_root, shown
from gitprov.core.paths import printable
from gitprov.errors import MalformedError, UnavailableError, UsageError
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
        load_bitcoinlib(data_dir)
        try:
            from bitcoinlib.services.services import Service, ServiceError

            timeout = max(int(http.timeout), 1)
            self._service: Any = Service(network=_NETWORKS[config.chain], timeout=timeout)
        except ImportError as exc:
            raise UsageError(
                f"asking Bitcoin's servers needs {exc.name}", hint="pip install 'gitprov[bitcoin]'"
            ) from exc
        except ServiceError as exc:
            raise UnavailableError(f"bitcoinlib has no server for {config.chain}: {exc}") from exc
        self.where = "bitcoinlib's servers"
        self._fallback = config.fee_rate

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
        if height > self.height():
            return None
        return self._hash(self._block(height).block_hash.hex())

    def height_of(self, name: str) -> int:
        """Returns the height of a block."""
        return int(self._block(name).height)

    def headers(self, hashes: Sequence[str]) -> list[bytes]:
        """Returns headers of blocks, checked against their hashes."""
        return [self._header(self._block(name), name) for name in hashes]

    def block(self, name: str) -> ServedBlock:
        """Returns a block's header and the ids of its transactions, which give its Merkle root."""
        found = self._block(name)
        header = Header.parse(self._header(found, name))
        txids = [bytes.fromhex(self._hash(str(one)))[::-1] for one in found.transactions]
        if not txids or merkle_root(txids) != header.merkle_root:
            raise self.odd("the transactions of a block do not give its Merkle root")
        return ServedBlock(header, txids)

    def coin(self, outpoint: str, *, mempool: bool = True) -> Coin | None:
        """Returns an output when it can be spent."""
        del mempool
        txid, _, number = outpoint.partition(":")
        transaction = self._ask("gettransaction", txid)
        if not transaction or int(number) >= len(transaction.outputs):
            return None
        if self._ask("isspent", txid, int(number)):
            return None
        output = transaction.outputs[int(number)]
        script = bytes(output.lock_script)
        return Coin(outpoint, int(output.value), int(transaction.confirmations or 0), script)

    def coins(self, address: str) -> list[Coin]:
        """Returns an address's coins, the most confirmed first."""
        found = self._ask("getutxos", address) or []
        outpoints = [f"{self._hash(one['txid'])}:{int(one['output_n'])}" for one in found]
        coins = [coin for outpoint in outpoints if (coin := self.coin(outpoint)) is not None]
        return sorted(coins, key=lambda coin: -coin.confirmations)

    def fee_rate(self) -> int:
        """Returns satoshi per virtual byte; the configured rate when no server says one."""
        rate = self._ask("estimatefee", 6)
        return max(rate // 1000, 1) if isinstance(rate, int) and rate > 0 else self._fallback

    def send(self, raw: bytes) -> None:
        """Sends a transaction."""
        if not self._ask("sendrawtransaction", raw.hex()):
            raise RpcError("sendrawtransaction", 0, "no server took it")

    def where_is(self, txid: str, change: str | None, since: float) -> str | None:
        """Returns the block that holds a transaction, "" while it waits, None when unknown."""
        del change, since
        transaction = self._ask("gettransaction", txid)
        if not transaction:
            return None
        height = transaction.block_height
        return (self.block_hash(int(height)) or "") if height else ""

    def _block(self, name: str | int) -> Any:
        found = self._ask("getblock", name, parse_transactions=False)
        if not found:
            raise UnavailableError(f"{self.where} do not know the block {name}")
        return found

    def _header(self, found: Any, name: str) -> bytes:
        parts = (found.version[::-1], found.prev_block[::-1], found.merkle_root[::-1])
        rest = int(found.time).to_bytes(4, "little") + found.bits[::-1] + found.nonce[::-1]
        raw: bytes = b"".join(parts) + rest
        if len(raw) != 80 or shown(Header.parse(raw).hash) != name:
            raise self.odd(f"that is not the header of {name}")
        return raw

    def _ask(self, method: str, *args: object, **options: object) -> Any:
        from bitcoinlib.services.services import ServiceError

        try:
            return getattr(self._service, method)(*args, **options)
        except (ServiceError, OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
            raise UnavailableError(
                f"{self.where} do not answer: {printable(str(exc))[:200]}"
            ) from exc
        except MalformedError as exc:
            raise self.odd(str(exc)) from exc
