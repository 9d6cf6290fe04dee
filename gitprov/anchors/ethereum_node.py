"""An Ethereum node's answers as values: bounded, checked, with one error for all that is odd."""

import re
from collections.abc import Sequence
from typing import Any, cast

from gitprov.core.canonical import Json
from gitprov.core.rlp import Item, encode, encode_int
from gitprov.errors import MalformedError, UnavailableError
from gitprov.platform.jsonrpc import JsonRpc, Result, RpcError

_QUANTITY = re.compile(r"0x(?:0|[1-9a-f][0-9a-f]{0,63})", re.ASCII)
_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)
_MAX_TRANSACTIONS = 50_000

_REQUIRED = (
    *(("parentHash", False), ("sha3Uncles", False), ("miner", False), ("stateRoot", False)),
    *(("transactionsRoot", False), ("receiptsRoot", False), ("logsBloom", False)),
    *(("difficulty", True), ("number", True), ("gasLimit", True), ("gasUsed", True)),
    *(("timestamp", True), ("extraData", False), ("mixHash", False), ("nonce", False)),
)
_LATER = (
    *(("baseFeePerGas", True), ("withdrawalsRoot", False), ("blobGasUsed", True)),
    *(("excessBlobGas", True), ("parentBeaconBlockRoot", False), ("requestsHash", False)),
    *(("blockAccessListHash", False), ("slotNumber", True)),
)
"""The header's fields in order, and whether each is a number; forks appended the later ones."""

Object = dict[str, Any]


class EthereumNode:
    """Asks one node; what it answers is never used before it has the right form."""

    def __init__(self, rpc: JsonRpc) -> None:
        """Takes the connection."""
        self.rpc = rpc
        self.where = f"the node at {rpc.where}"

    def ask(self, method: str, *params: Json) -> Json:
        """Calls a method that has to succeed.

        Raises:
            UnavailableError: the node says no, or does not answer.
        """
        try:
            return self.rpc.call(method, *params)
        except RpcError as exc:
            raise UnavailableError(f"{self.where} refuses {exc}") from exc

    def number(self, method: str, *params: Json) -> int:
        """Calls a method that answers with a number."""
        return self.quantity(self.ask(method, *params))

    def quantity(self, value: Json) -> int:
        """Returns a number in the node's spelling."""
        if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
            raise self.odd(f"{value!r:.60} is no number")
        return int(value, 16)

    def data(self, value: Json, length: int | None = None) -> bytes:
        """Returns bytes in the node's spelling, of that length if one is given."""
        if not isinstance(value, str) or not _DATA.fullmatch(value):
            raise self.odd(f"{value!r:.60} are no bytes")
        raw = bytes.fromhex(value[2:])
        if length is not None and len(raw) != length:
            raise self.odd(f"{value!r:.60} has not {length} bytes")
        return raw

    def object(self, value: Json) -> Object:
        """Returns an object."""
        if not isinstance(value, dict):
            raise self.odd(f"{value!r:.60} is no object")
        return cast("Object", value)

    def odd(self, what: str) -> UnavailableError:
        """Returns the error for an answer that cannot be one."""
        return UnavailableError(f"{self.where} answers wrongly: {what}")

    def chain(self) -> tuple[int, bytes]:
        """Returns the chain's id and the hash of its first block."""
        chain_id = self.number("eth_chainId")
        first = self.block(0)
        if first is None:
            raise self.odd("no block 0")
        return chain_id, self.data(first.get("hash"), 32)

    def target(self) -> str:
        """Returns the chain as CAIP-2 names it, with its first block."""
        chain_id, genesis = self.chain()
        return f"eip155:{chain_id}/0x{genesis.hex()}"

    def block(self, number: int | str, *, result: Result | None = None) -> Object | None:
        """Returns a block by number or tag; None when there is none, or the tag is not known."""
        name = hex(number) if isinstance(number, int) else number
        try:
            value = self.rpc.call("eth_getBlockByNumber", name, False) if result is None else result
        except RpcError as exc:
            if isinstance(number, str):
                return None
            raise UnavailableError(f"{self.where} refuses {exc}") from exc
        if value is None:
            return None
        block = self.object(cast("Json", value))
        if isinstance(number, int) and self.quantity(block.get("number")) != number:
            raise self.odd(f"another block than {number:,}")
        return block

    def finalized(self) -> int:
        """Returns the newest finalized block's number; -1 when the node knows no such thing."""
        block = self.block("finalized")
        return -1 if block is None else self.quantity(block.get("number"))

    def header(self, block: Object) -> bytes:
        """Returns a block's header as RLP: as many of the later fields as give its hash.

        Raises:
            UnavailableError: no number of them gives it.
        """
        from gitprov.core.keccak import keccak256

        wanted = self.data(block.get("hash"), 32)
        items: list[Item] = [self._field(block, *field) for field in _REQUIRED]
        for field in (None, *_LATER):
            if field is not None:
                if block.get(field[0]) is None:
                    break
                items.append(self._field(block, *field))
            raw = encode(items)
            if keccak256(raw) == wanted:
                return raw
        raise self.odd(f"the fields of block {self.quantity(block.get('number')):,} lack its hash")

    def receipts(self, block: Object) -> dict[bytes, bytes]:
        """Returns the receipts trie's pairs of a block."""
        hashes = self._hashes(block)
        try:
            found = self.rpc.call("eth_getBlockReceipts", block["number"])
            receipts = found if isinstance(found, list) else []
        except RpcError:  # not every node has it
            receipts = self.all_of([("eth_getTransactionReceipt", [name]) for name in hashes])
        if len(receipts) != len(hashes):
            raise self.odd("not as many receipts as transactions")
        return {_key(index): self._receipt(value) for index, value in enumerate(receipts)}

    def transactions(self, block: Object) -> dict[bytes, bytes]:
        """Returns the transactions trie's pairs of a block."""
        hashes = self._hashes(block)
        raws = self.all_of([("eth_getRawTransactionByHash", [name]) for name in hashes])
        return {_key(index): self.data(raw) for index, raw in enumerate(raws)}

    def all_of(self, calls: Sequence[tuple[str, Sequence[Json]]]) -> list[Json]:
        """Calls many methods that all have to succeed.

        Raises:
            UnavailableError: the node says no to one, or does not answer.
        """
        results: list[Json] = []
        for result in self.rpc.batch(calls):
            if isinstance(result, RpcError):
                raise UnavailableError(f"{self.where} refuses {result}")
            results.append(result)
        return results

    def _hashes(self, block: Object) -> list[str]:
        hashes = block.get("transactions")
        if not isinstance(hashes, list) or len(hashes) > _MAX_TRANSACTIONS:
            raise self.odd("a block without a list of transactions")
        for name in hashes:
            self.data(name, 32)
        return cast("list[str]", hashes)

    def _field(self, block: Object, name: str, is_number: bool) -> bytes:
        value = block.get(name)
        return encode_int(self.quantity(value)) if is_number else self.data(value)

    def _receipt(self, value: Json) -> bytes:
        """One receipt as the trie holds it (EIP-2718)."""
        receipt = self.object(value)
        logs = receipt.get("logs")
        if not isinstance(logs, list):
            raise self.odd("a receipt without logs")
        body: list[Item] = [
            encode_int(self.quantity(receipt.get("status"))),
            encode_int(self.quantity(receipt.get("cumulativeGasUsed"))),
            self.data(receipt.get("logsBloom")),
            [self._log(log) for log in logs],
        ]
        kind = self.quantity(receipt.get("type", "0x0"))
        if kind > 0x7F:
            raise MalformedError("a receipt of an unknown type")
        return (bytes([kind]) if kind else b"") + encode(body)

    def _log(self, value: Json) -> Item:
        log = self.object(value)
        topics = log.get("topics")
        if not isinstance(topics, list):
            raise self.odd("an event without topics")
        return [
            self.data(log.get("address"), 20),
            [self.data(topic, 32) for topic in topics],
            self.data(log.get("data")),
        ]


def _key(index: int) -> bytes:
    return encode(encode_int(index))
