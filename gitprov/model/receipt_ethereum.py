"""The receipt of an Ethereum anchor (docs/formats.md section 7.1)."""

import re
from dataclasses import dataclass
from typing import Literal, Self, cast

from gitprov.core.canonical import Fields, Json
from gitprov.errors import MalformedError

Mode = Literal["event", "storage", "calldata"]

MAX_RAW_BYTES = 64 << 10
MAX_PROOF_NODES = 64
MAX_NODE_BYTES = 1 << 20

_CHAIN = re.compile(r"eip155:([1-9][0-9]{0,15})", re.ASCII)
_HEX = re.compile(r"0x(?:[0-9a-f]{2})*", re.ASCII)
_WHAT = "an Ethereum receipt"


@dataclass(frozen=True, slots=True)
class InBlock:
    """Where the transaction stands, and what proves it.

    Attributes:
        block: the block's hash.
        height: its number.
        header: its RLP header.
        index: the transaction's place in it.
        log: our event's place among the logs of the transaction; None for calldata.
        proof: the nodes of the Merkle-Patricia proof.
    """

    block: bytes
    height: int
    header: bytes
    index: int
    log: int | None
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class EthereumReceipt:
    """What Ethereum gave back.

    Attributes:
        chain_id: the chain's id.
        genesis: the hash of its block 0.
        mode: how the digest stands in the chain.
        contract: the contract's address; None for calldata.
        sender: the address that paid.
        tx: the transaction's hash.
        raw: the signed transaction.
        place: where it stands, None while it is pending.
    """

    chain_id: int
    genesis: bytes
    mode: Mode
    contract: bytes | None
    sender: bytes
    tx: bytes
    raw: bytes
    place: InBlock | None = None

    @property
    def chain(self) -> str:
        """The chain as CAIP-2 names it."""
        return f"eip155:{self.chain_id}"

    @property
    def target(self) -> str:
        """The chain with its first block: two devnets share an id, but not that."""
        return f"{self.chain}/{_hex(self.genesis)}"

    @classmethod
    def parse(cls, receipt: Json) -> Self:
        """Parses a receipt. `parse(x.to_json()) == x`.

        Raises:
            MalformedError: a field is missing, unknown or not well formed.
        """
        fields = Fields(receipt, what=_WHAT)
        found = _CHAIN.fullmatch(fields.text("chain"))
        if found is None:
            raise MalformedError(f"{_WHAT}: 'chain' must be eip155: and a number")
        mode = cast("Mode", fields.text("mode", one_of=("event", "storage", "calldata")))
        parsed = cls(
            chain_id=int(found[1]),
            genesis=_bytes(fields, "genesis", 32),
            mode=mode,
            contract=None if mode == "calldata" else _bytes(fields, "contract", 20),
            sender=_bytes(fields, "sender", 20),
            tx=_bytes(fields, "tx", 32),
            raw=_bytes(fields, "raw"),
            place=_place(fields, mode) if fields.has("block") else None,
        )
        fields.end()
        return parsed

    def to_json(self) -> dict[str, Json]:
        """Returns the receipt as a JSON object."""
        value: dict[str, Json] = {
            "chain": self.chain,
            "genesis": _hex(self.genesis),
            "mode": self.mode,
            "sender": _hex(self.sender),
            "tx": _hex(self.tx),
            "raw": _hex(self.raw),
        }
        if self.contract is not None:
            value["contract"] = _hex(self.contract)
        if self.place is not None:
            place = self.place
            value |= {
                "block": _hex(place.block),
                "height": place.height,
                "header": _hex(place.header),
                "index": place.index,
                "proof": [_hex(node) for node in place.proof],
            }
            if place.log is not None:
                value["log"] = place.log
        return value


def _place(fields: Fields, mode: Mode) -> InBlock:
    nodes = fields.array("proof")
    if len(nodes) > MAX_PROOF_NODES:
        raise MalformedError(f"{_WHAT}: 'proof' has more than {MAX_PROOF_NODES} nodes")
    return InBlock(
        block=_bytes(fields, "block", 32),
        height=fields.integer("height"),
        header=_bytes(fields, "header"),
        index=fields.integer("index"),
        log=None if mode == "calldata" else fields.integer("log"),
        proof=tuple(_parse_hex(node, "proof", limit=MAX_NODE_BYTES) for node in nodes),
    )


def _bytes(fields: Fields, key: str, length: int | None = None) -> bytes:
    raw = _parse_hex(fields.text(key), key, limit=MAX_RAW_BYTES)
    if length is not None and len(raw) != length:
        raise MalformedError(f"{_WHAT}: {key!r} must have {length} bytes")
    return raw


def _parse_hex(value: Json, key: str, *, limit: int) -> bytes:
    if not isinstance(value, str) or len(value) > 2 * limit + 2 or not _HEX.fullmatch(value):
        raise MalformedError(f"{_WHAT}: {key!r} must be 0x and lowercase hex digits")
    return bytes.fromhex(value[2:])


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
