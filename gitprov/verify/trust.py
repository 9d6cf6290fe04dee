"""What a policy trusts of each network: chain, contract, senders, confirmations, blocks."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from gitprov.core.canonical import Json
from gitprov.errors import UsageError

_HASH = re.compile(r"(?:0x)?[0-9a-f]{64}", re.ASCII)
_ADDRESS = re.compile(r"0x[0-9a-f]{40}", re.ASCII)
_BITCOIN_CHAINS = ("main", "test", "testnet4", "signet", "regtest")
_MAX = 1000


@dataclass(frozen=True, slots=True)
class Trust:
    """The section of one network; what is empty or None is not pinned, and reports say so.

    Attributes:
        chain_id: of Ethereum's chains.
        genesis: the hash of Ethereum's block 0.
        contracts: addresses whose events count.
        senders: addresses whose transactions count.
        chain: which of Bitcoin's chains.
        confirmations: blocks that must lie on top, the block itself counted; None: the default.
        blocks: hashes of blocks that are trusted to be in the chain, so that no node is asked.
    """

    chain_id: int | None = None
    genesis: str | None = None
    contracts: tuple[str, ...] = ()
    senders: tuple[str, ...] = ()
    chain: str | None = None
    confirmations: int | None = None
    blocks: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, network: str, section: Mapping[str, Json]) -> Self:
        """Parses `policy.<network>`.

        Raises:
            UsageError: an unknown key (the nearest known one is named) or a wrong value.
        """
        place = f"policy.{network}"
        known = _KEYS[network]
        for key in section:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                raise UsageError(f"unknown key {key!r} in {place}", hint=hint)
        chain = section.get("chain")
        if chain is not None and chain not in _BITCOIN_CHAINS:
            raise UsageError(f"{place}.chain must be {' or '.join(_BITCOIN_CHAINS)}")
        return cls(
            chain_id=_number(section, "chain_id", place),
            genesis=next(iter(_hashes(section, "genesis", place)), None),
            contracts=_addresses(section, "contracts", place),
            senders=_addresses(section, "senders", place),
            chain=chain if isinstance(chain, str) else None,
            confirmations=_number(section, "confirmations", place),
            blocks=frozenset(_hashes(section, "blocks", place)),
        )


_KEYS = {
    "ethereum": ("chain_id", "genesis", "contracts", "senders", "confirmations", "blocks"),
    "bitcoin": ("chain", "confirmations", "blocks"),
    "opentimestamps": ("chain", "confirmations", "blocks"),
    "ipfs": (),
}


def parse_block(text: str) -> str:
    """Returns a block hash as it is compared: lowercase, without 0x.

    Raises:
        UsageError: it is none.
    """
    lower = text.strip().lower()
    if not _HASH.fullmatch(lower):
        raise UsageError(f"{text[:80]!r} is not the hash of a block: 64 hex digits")
    return lower.removeprefix("0x")


def _number(section: Mapping[str, Json], key: str, place: str) -> int | None:
    value = section.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**53:
        raise UsageError(f"{place}.{key} must be a whole number from 1")
    return value


def _texts(section: Mapping[str, Json], key: str, place: str) -> Iterable[str]:
    value = section.get(key)
    values = value if isinstance(value, list) else [] if value is None else [value]
    if len(values) > _MAX:
        raise UsageError(f"{place}.{key} has more than {_MAX} values")
    for item in values:
        if not isinstance(item, str):
            # YAML reads an unquoted 0x… as a number.
            raise UsageError(f"{place}.{key} must hold texts: put each in quotes")
        yield item


def _hashes(section: Mapping[str, Json], key: str, place: str) -> tuple[str, ...]:
    return tuple(parse_block(text) for text in _texts(section, key, place))


def _addresses(section: Mapping[str, Json], key: str, place: str) -> tuple[str, ...]:
    found = tuple(text.lower() for text in _texts(section, key, place))
    for text in found:
        if not _ADDRESS.fullmatch(text):
            raise UsageError(f"{place}.{key}: {text[:80]!r} is not an address: 0x, 40 hex digits")
    return found
