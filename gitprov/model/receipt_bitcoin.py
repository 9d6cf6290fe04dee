"""The receipt of a Bitcoin anchor (docs/formats.md section 7.1)."""

import re
from dataclasses import dataclass
from typing import Self

from gitprov.core.bitcoin import HEADER_BYTES, MAX_BRANCH
from gitprov.core.canonical import Fields, Json
from gitprov.errors import MalformedError

MAX_RAW_BYTES = 100_000
"""Nodes pass no larger transaction on."""

CHAINS = {
    "main": "bip122:000000000019d6689c085ae165831e93",
    "test": "bip122:000000000933ea01ad0ee984209779ba",
    "testnet4": "bip122:00000000da84f2bafbbc53dee25a72ae",
    "signet": "bip122:00000008819873e925422c1ff0f99f7c",
    "regtest": "bip122:0f9188f13cb7b2c71f2a335e3a4fc328",
}
"""Bitcoin's chains by their names, as CAIP-2 names them."""

_CHAIN = re.compile(r"bip122:[0-9a-f]{32}", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_HEX = re.compile(r"(?:[0-9a-f]{2})+", re.ASCII)
_WHAT = "a Bitcoin receipt"


@dataclass(frozen=True, slots=True)
class InBlock:
    """Where the transaction stands, and what proves it.

    Attributes:
        block: the block's hash, as people write it.
        height: its height.
        header: its 80 bytes.
        index: the transaction's place in it.
        branch: the hashes beside its way up to the Merkle root, the nearest first.
    """

    block: str
    height: int
    header: bytes
    index: int
    branch: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class BitcoinReceipt:
    """What Bitcoin gave back.

    Attributes:
        chain: the chain (CAIP-2).
        txid: the transaction's id, as people write it.
        raw: the transaction without its witness.
        place: where it stands, None while it is pending.
    """

    chain: str
    txid: str
    raw: bytes
    place: InBlock | None = None

    @classmethod
    def parse(cls, receipt: Json) -> Self:
        """Parses a receipt. `parse(x.to_json()) == x`.

        Raises:
            MalformedError: a field is missing, unknown or not well formed.
        """
        fields = Fields(receipt, what=_WHAT)
        parsed = cls(
            chain=_match(fields.text("chain"), _CHAIN, "chain"),
            txid=_match(fields.text("txid"), _HASH, "txid"),
            raw=_hex(fields.text("raw"), "raw", MAX_RAW_BYTES),
            place=_place(fields) if fields.has("block") else None,
        )
        fields.end()
        return parsed

    def to_json(self) -> dict[str, Json]:
        """Returns the receipt as a JSON object."""
        value: dict[str, Json] = {"chain": self.chain, "txid": self.txid, "raw": self.raw.hex()}
        if self.place is not None:
            value |= {
                "block": self.place.block,
                "height": self.place.height,
                "header": self.place.header.hex(),
                "index": self.place.index,
                "branch": [node.hex() for node in self.place.branch],
            }
        return value


def _place(fields: Fields) -> InBlock:
    nodes = fields.array("branch")
    if len(nodes) > MAX_BRANCH:
        raise MalformedError(f"{_WHAT}: 'branch' has more than {MAX_BRANCH} hashes")
    branch: list[bytes] = []
    for node in nodes:
        if not isinstance(node, str):
            raise MalformedError(f"{_WHAT}: 'branch' must hold hashes")
        branch.append(bytes.fromhex(_match(node, _HASH, "branch")))
    header = _hex(fields.text("header"), "header", HEADER_BYTES)
    return InBlock(
        block=_match(fields.text("block"), _HASH, "block"),
        height=fields.integer("height"),
        header=header,
        index=fields.integer("index"),
        branch=tuple(branch),
    )


def _match(text: str, pattern: re.Pattern[str], key: str) -> str:
    if not pattern.fullmatch(text):
        raise MalformedError(f"{_WHAT}: {key!r} is not well formed")
    return text


def _hex(text: str, key: str, limit: int) -> bytes:
    if len(text) > 2 * limit:
        raise MalformedError(f"{_WHAT}: {key!r} has more than {limit} bytes")
    return bytes.fromhex(_match(text, _HEX, key))
