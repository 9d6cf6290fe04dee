"""A block of Ethereum made by hand, so that receipts can be bent in every way without a node."""

from dataclasses import dataclass, replace

from gitprov.anchors.ethereum_signing import sign
from gitprov.anchors.keys import address_of
from gitprov.core.ethereum import (
    ANCHOR_SELECTOR,
    ANCHORED,
    HASH_STORED,
    PREFIX,
    STORE_SELECTOR,
)
from gitprov.core.keccak import keccak256
from gitprov.core.patricia import Trie
from gitprov.core.rlp import Item, encode, encode_int
from gitprov.model.receipt_ethereum import EthereumReceipt, InBlock, Mode

SECRET = bytes.fromhex("22" * 32)
OTHER_SECRET = bytes.fromhex("33" * 32)
CONTRACT = bytes.fromhex("c0" * 20)
GENESIS = bytes.fromhex("9e" * 32)
CHAIN_ID = 31337
HEIGHT = 1234
TIME = 1_790_000_000


def sender_of(secret: bytes) -> bytes:
    return bytes.fromhex(address_of(secret, "ethereum")[2:])


@dataclass(frozen=True)
class Block:
    """What stands in a block: a transaction of ours among others, and what it left behind.

    Each field is what an honest chain has; a test changes some and gets the receipt of that block.
    """

    digest: bytes
    mode: Mode = "event"
    secret: bytes = SECRET
    chain_id: int = CHAIN_ID
    nonce: int = 5
    index: int = 2
    size: int = 4
    height: int = HEIGHT
    status: int = 1
    log: int = 1
    contract: bytes = CONTRACT
    to: bytes | None = None
    data: bytes | None = None
    emitter: bytes | None = None
    topics: list[bytes] | None = None

    @property
    def sender(self) -> bytes:
        return sender_of(self.secret)

    def transaction(self) -> bytes:
        """Our transaction, signed."""
        to = self.sender if self.mode == "calldata" else self.contract
        data = {
            "event": ANCHOR_SELECTOR + self.digest,
            "storage": STORE_SELECTOR + self.digest + (64).to_bytes(32, "big") + bytes(32),
            "calldata": PREFIX + self.digest,
        }[self.mode]
        return sign(
            self.secret,
            chain_id=self.chain_id,
            nonce=self.nonce,
            tip=1,
            max_fee=10**9,
            gas=50_000,
            to=to if self.to is None else self.to,
            data=data if self.data is None else self.data,
        )

    def logs(self) -> list[Item]:
        """The events that our transaction left; ours is the one at `log`."""
        topics: list[bytes] = {
            "event": [ANCHORED, self.digest, self.sender.rjust(32, b"\0")],
            "storage": [HASH_STORED, self.digest],
            "calldata": [],
        }[self.mode]
        wanted = topics if self.topics is None else self.topics
        emitter = self.contract if self.emitter is None else self.emitter
        foreign: Item = [b"\xaa" * 20, [b"\xbb" * 32], b"data"]
        ours: Item = [emitter, [*wanted], b""]
        return [*[foreign] * self.log, ours, foreign]

    def pairs(self) -> dict[bytes, bytes]:
        """What the trie that the proof is of holds."""
        pairs: dict[bytes, bytes] = {}
        for number in range(self.size):
            key = encode(encode_int(number))
            if self.mode == "calldata":
                ours = self.transaction()
                pairs[key] = ours if number == self.index else b"\x02" + bytes([number]) * 100
            else:
                status = encode_int(self.status) if number == self.index else b"\x01"
                logs = self.logs() if number == self.index else []
                body: Item = [status, encode_int(21000 * (number + 1)), bytes(256), [*logs]]
                pairs[key] = b"\x02" + encode(body)
        return pairs

    def header(self, root: bytes) -> bytes:
        """The header; both roots are the one that the proof is of, the other one is empty."""
        empty = keccak256(b"\x80")
        calldata = self.mode == "calldata"
        items: list[Item] = [
            *(b"\x01" * 32, b"\x02" * 32, b"\x03" * 20, b"\x04" * 32),
            *((root, empty) if calldata else (empty, root)),
            *(bytes(256), b"", encode_int(self.height), encode_int(30_000_000)),
            *(encode_int(100_000), encode_int(TIME), b"", bytes(32), bytes(8), encode_int(7)),
        ]
        return encode(items)

    def pending(self) -> EthereumReceipt:
        """The receipt before the transaction is in a block."""
        raw = self.transaction()
        return EthereumReceipt(
            chain_id=self.chain_id,
            genesis=GENESIS,
            mode=self.mode,
            contract=None if self.mode == "calldata" else self.contract,
            sender=self.sender,
            tx=keccak256(raw),
            raw=raw,
        )

    def receipt(self) -> EthereumReceipt:
        """The receipt with the proof."""
        trie = Trie(self.pairs())
        header = self.header(trie.root)
        place = InBlock(
            block=keccak256(header),
            height=self.height,
            header=header,
            index=self.index,
            log=None if self.mode == "calldata" else self.log,
            proof=tuple(trie.proof(encode(encode_int(self.index)))),
        )
        return replace(self.pending(), place=place)
