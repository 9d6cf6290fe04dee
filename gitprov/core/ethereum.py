"""Ethereum's transactions, headers and receipts, as far as a proof needs them."""

from dataclasses import dataclass
from typing import Self

from gitprov.core.keccak import keccak256
from gitprov.core.rlp import Item, decode_list, encode, int_of, text_of
from gitprov.errors import MalformedError, UnavailableError, VerificationError

PREFIX = b"gitprov\x01"
"""What the data of a transaction without a contract begins with."""

ANCHOR_SELECTOR = bytes.fromhex("eecdf927")
"""`anchor(bytes32)`."""

STORE_SELECTOR = bytes.fromhex("2acf9f93")
"""`storeHash(bytes32,string)`."""

ANCHORED = bytes.fromhex("cdfd8c88d25a86e1d49452dc0ae55de56801c9cf37d5b930dc3893c32d5e0b1e")
"""`Anchored(bytes32 indexed digest, address indexed sender)`."""

HASH_STORED = bytes.fromhex("79a6fa0507c68b4bbde4bac81d16bb53aed3355d88319717c8ed50549dacd8d5")
"""`HashStored(bytes32 indexed hash, uint256 timestamp, string metadata)`."""

_DYNAMIC_FEE = 2
_TX_FIELDS = 12
_LOW_S = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


@dataclass(frozen=True, slots=True)
class Transaction:
    """A signed transaction with EIP-1559 fees, the only type that gitprov signs."""

    chain_id: int
    nonce: int
    tip: int
    max_fee: int
    gas: int
    to: bytes
    value: int
    data: bytes
    unsigned_hash: bytes
    signature: tuple[int, int, int]

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Parses a transaction of type 2 (EIP-1559).

        Raises:
            MalformedError: it is none.
        """
        if raw[:1] != bytes([_DYNAMIC_FEE]):
            raise MalformedError("the transaction is not of type 2")
        items = decode_list(raw[1:])
        if len(items) != _TX_FIELDS:
            raise MalformedError("the transaction has not 12 fields")
        return cls(
            chain_id=int_of(items, 0),
            nonce=int_of(items, 1),
            tip=int_of(items, 2),
            max_fee=int_of(items, 3),
            gas=int_of(items, 4),
            to=text_of(items, 5),
            value=int_of(items, 6),
            data=text_of(items, 7),
            unsigned_hash=keccak256(bytes([_DYNAMIC_FEE]) + encode(items[:9])),
            signature=(int_of(items, 9), int_of(items, 10), int_of(items, 11)),
        )

    def sender(self) -> bytes:
        """Returns the address whose key signed it, 20 bytes.

        Raises:
            VerificationError: the signature is not well formed.
            UnavailableError: the library for it is not installed.
        """
        try:
            from coincurve import PublicKey  # an extra: only transactions without a contract
        except ImportError as exc:
            raise UnavailableError(
                "checking Ethereum's signatures needs coincurve",
                hint="pip install 'gitprov[ethereum]'",
            ) from exc
        parity, r, s = self.signature
        if parity > 1 or not 0 < s <= _LOW_S:
            raise VerificationError("the transaction's signature is not well formed")
        compact = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([parity])
        try:
            key = PublicKey.from_signature_and_message(compact, self.unsigned_hash, hasher=None)
        except ValueError as exc:
            raise VerificationError("the transaction's signature is not well formed") from exc
        return keccak256(key.format(compressed=False)[1:])[-20:]


@dataclass(frozen=True, slots=True)
class Header:
    """What a proof needs of a block's header."""

    hash: bytes
    number: int
    time: int
    transactions_root: bytes
    receipts_root: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Parses an RLP header; fields that later forks added are bound by the hash alone.

        Raises:
            MalformedError: it is none.
        """
        items = decode_list(raw)
        if not 15 <= len(items) <= 40:
            raise MalformedError("the header has not as many fields as one has")
        return cls(
            hash=keccak256(raw),
            number=int_of(items, 8),
            time=int_of(items, 11),
            transactions_root=text_of(items, 4),
            receipts_root=text_of(items, 5),
        )


@dataclass(frozen=True, slots=True)
class Log:
    """One event of a transaction."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


def logs_of(receipt: bytes) -> tuple[Log, ...]:
    """Returns the events in a transaction's receipt as the receipts trie holds it (EIP-2718).

    Raises:
        MalformedError: it is no receipt.
        VerificationError: the transaction was reverted.
    """
    items = decode_list(receipt[1:] if receipt[:1] < b"\x80" else receipt)
    if len(items) != 4 or not isinstance(items[3], list):
        raise MalformedError("a transaction's receipt has not 4 fields")
    if text_of(items, 0) != b"\x01":
        raise VerificationError("the transaction was reverted")
    return tuple(_log(item) for item in items[3])


def _log(item: Item) -> Log:
    if not isinstance(item, list) or len(item) != 3 or not isinstance(item[1], list):
        raise MalformedError("an event has not 3 fields")
    topics = tuple(text_of(item[1], number) for number in range(len(item[1])))
    return Log(text_of(item, 0), topics, text_of(item, 2))
