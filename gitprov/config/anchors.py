"""The section `anchors`: which networks witness the log, and how each is reached and paid.

Addresses of nodes, users and keys are this clone's own affair: a tracked file could send a reviewer
to a node that lies, or spend somebody's money. What everybody shares (networks, chain, contract)
may stand in either file; the clone's own wins.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Literal, Self, TypeVar, cast
from urllib.parse import urlsplit

from gitprov.core.canonical import Json
from gitprov.errors import UsageError

NETWORKS = ("tlog", "ethereum", "bitcoin", "opentimestamps", "ipfs")
"""Every network, in the order in which reports show them. `tlog` is always on."""

PUBLIC_CALENDARS = (
    "https://a.pool.opentimestamps.org",
    "https://b.pool.opentimestamps.org",
    "https://a.pool.eternitywall.com",
    "https://ots.btc.catallaxy.com",
)

EthereumMode = Literal["event", "storage", "calldata"]
BitcoinBackend = Literal["key", "wallet", "service"]
BitcoinChain = Literal["main", "test", "testnet4", "signet", "regtest"]

_LOCAL = {"local": True}
"""Marks what only the clone's own configuration may say."""


@dataclass(frozen=True, slots=True)
class EthereumConfig:
    """How Ethereum, or any chain like it, is used.

    Attributes:
        url: JSON-RPC of a node.
        key: where the private key is: `env:NAME`, `file:/path`, `keyring:NAME`; None looks in
            GITPROV_ETHEREUM_KEY, then in this clone's keystore, then in the OS keyring.
        chain_id: refused when the node has another.
        genesis: hash of block 0; refused when the node has another.
        mode: `event` and `storage` need a contract, `calldata` none.
        contract: its address.
        gas_limit: the most gas for one transaction.
        max_fee_gwei: the most that is offered per gas.
        confirmations: blocks until final; None: when the node calls the block finalized.
        stuck_seconds: after which a pending transaction is replaced by one with a higher tip.
    """

    url: str | None = field(default=None, metadata=_LOCAL)
    key: str | None = field(default=None, metadata=_LOCAL)
    chain_id: int | None = None
    genesis: str | None = None
    mode: EthereumMode = "event"
    contract: str | None = None
    gas_limit: int = field(default=200_000, metadata=_LOCAL)
    max_fee_gwei: int = field(default=100, metadata=_LOCAL)
    confirmations: int | None = None
    stuck_seconds: int = field(default=600, metadata=_LOCAL)


@dataclass(frozen=True, slots=True)
class BitcoinConfig:
    """How Bitcoin is used.

    Attributes:
        url: JSON-RPC of a node (Bitcoin Core, btcd).
        user: for the node.
        password: for the node; `env:NAME` takes it from the environment.
        cookie: the file in which Bitcoin Core keeps both.
        chain: which chain; refused when the node is on another.
        backend: `key` signs here, `wallet` lets Bitcoin Core's wallet pay, `service` asks public
            servers through bitcoinlib instead of a node.
        wallet: the name of Core's wallet.
        key: as for Ethereum, with GITPROV_BITCOIN_KEY.
        outpoint: `<txid>:<n>`, the first money to spend; change is followed from there. None asks
            the node (scantxoutset, or searchrawtransactions).
        fee_rate: satoshi per virtual byte where the node has no estimate.
        max_fee: the most satoshi for one transaction.
        confirmations: blocks until final.
        stuck_seconds: after which the fee of a pending transaction is raised.
    """

    url: str | None = field(default=None, metadata=_LOCAL)
    user: str | None = field(default=None, metadata=_LOCAL)
    password: str | None = field(default=None, metadata=_LOCAL)
    cookie: str | None = field(default=None, metadata=_LOCAL)
    chain: BitcoinChain = "main"
    backend: BitcoinBackend = field(default="key", metadata=_LOCAL)
    wallet: str | None = field(default=None, metadata=_LOCAL)
    key: str | None = field(default=None, metadata=_LOCAL)
    outpoint: str | None = field(default=None, metadata=_LOCAL)
    fee_rate: int = field(default=5, metadata=_LOCAL)
    max_fee: int = field(default=20_000, metadata=_LOCAL)
    confirmations: int = 6
    stuck_seconds: int = field(default=7200, metadata=_LOCAL)


@dataclass(frozen=True, slots=True)
class OpenTimestampsConfig:
    """How OpenTimestamps is used.

    Attributes:
        calendars: the servers that are asked.
        minimum: how many must answer.
    """

    calendars: tuple[str, ...] = field(default=PUBLIC_CALENDARS, metadata=_LOCAL)
    minimum: int = field(default=2, metadata=_LOCAL)


@dataclass(frozen=True, slots=True)
class IpfsConfig:
    """How IPFS is used.

    Attributes:
        url: RPC of a Kubo node.
        gateways: trustless gateways that are asked for blocks; what they send is hashed here.
        pinning_url: a server of the Pinning Service API, beside our own node.
        pinning_token: its token; `env:NAME` takes it from the environment.
    """

    url: str | None = field(default=None, metadata=_LOCAL)
    gateways: tuple[str, ...] = field(default=(), metadata=_LOCAL)
    pinning_url: str | None = field(default=None, metadata=_LOCAL)
    pinning_token: str | None = field(default=None, metadata=_LOCAL)


@dataclass(frozen=True, slots=True)
class AnchorsConfig:
    """The section as a whole. `networks` has no `tlog`: that is always on."""

    networks: tuple[str, ...] = ()
    ethereum: EthereumConfig = field(default_factory=EthereumConfig)
    bitcoin: BitcoinConfig = field(default_factory=BitcoinConfig)
    opentimestamps: OpenTimestampsConfig = field(default_factory=OpenTimestampsConfig)
    ipfs: IpfsConfig = field(default_factory=IpfsConfig)

    @classmethod
    def of(cls, tracked: Mapping[str, Json], local: Mapping[str, Json]) -> Self:
        """Reads the section of both files; what the local one says wins.

        Raises:
            UsageError: an unknown key, a wrong value, or something a tracked file may not say.
        """
        config = _section(cls(), tracked, "anchors", ".gitprov.yaml", tracked=True)
        return _section(config, local, "anchors", "this clone's config.yaml", tracked=False)

    def is_set_up(self, network: str) -> bool:
        """Whether this clone knows how to reach a network."""
        if network in {"tlog", "opentimestamps"}:
            return True
        if network == "bitcoin" and self.bitcoin.backend == "service":
            return True
        section: EthereumConfig | BitcoinConfig | IpfsConfig = getattr(self, network)
        return section.url is not None


def wanted(key: str, value: Json) -> str | None:
    """Returns what a key's value must be, in words, where it is not; None where it is.

    Unlike the errors of `AnchorsConfig.of` it repeats nothing of the value, which may be secret.
    """
    try:
        _CHECKS[key](value)
    except ValueError as exc:
        return str(exc)
    return None


_T = TypeVar("_T")


def _section(config: _T, value: Mapping[str, Json], path: str, file: str, *, tracked: bool) -> _T:
    known = {item.name: item for item in fields(config)}  # type: ignore[arg-type]  # a dataclass
    changes: dict[str, object] = {}
    for key, given in value.items():
        name = f"{path}.{key}"
        if key not in known:
            raise _unknown(file, path, str(key), known)
        if key in _SECTIONS:
            if given is not None and not isinstance(given, dict):
                raise UsageError(f"{file}: {name} must be a mapping")
            old = getattr(config, key)
            changes[key] = _section(old, given or {}, name, file, tracked=tracked)
            continue
        if tracked and known[key].metadata.get("local"):
            raise UsageError(
                f"{file} may not set {name}: a tracked file names no node, no key and no price",
                hint=f"say it for this clone: gitprov anchor setup {path.rpartition('.')[2]}",
            )
        try:
            changes[key] = _CHECKS[key](given)
        except ValueError as exc:
            raise UsageError(f"{file}: {name} must be {exc}, not {given!r:.80}") from None
    return replace(config, **changes)  # type: ignore[type-var]  # a dataclass


def _unknown(file: str, path: str, key: str, known: Mapping[str, object]) -> UsageError:
    import difflib  # only on the way to an error

    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {path}.{near[0]}?" if near else f"known: {', '.join(known)}"
    return UsageError(f"{file} has the unknown key {path}.{key}", hint=hint)


def _networks(value: Json) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        names = cast("list[str]", value)
        if set(names) <= set(NETWORKS) and len(set(names)) == len(names):
            return tuple(name for name in NETWORKS[1:] if name in names)
    raise ValueError(f"a list of networks ({', '.join(NETWORKS)}), each once")


def _text(value: Json) -> str:
    if isinstance(value, str) and value and value.isprintable():
        return value
    raise ValueError("a text")


def _url(value: Json) -> str:
    if isinstance(value, str) and value.isprintable() and " " not in value:
        parts = urlsplit(value)
        if parts.scheme in {"http", "https"} and parts.hostname:
            return value.rstrip("/")
    raise ValueError("an address that begins with http:// or https://")


def _urls(value: Json) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > 32:
        raise ValueError("a list of at most 32 addresses")
    return tuple(_url(item) for item in value)


def _number(low: int, high: int) -> Callable[[Json], int]:
    def check(value: Json) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise ValueError(f"a whole number from {low} to {high}")

    return check


def _one_of(*allowed: str) -> Callable[[Json], str]:
    def check(value: Json) -> str:
        if isinstance(value, str) and value in allowed:
            return value
        raise ValueError(" or ".join(allowed))

    return check


def _matching(pattern: str, wanted: str) -> Callable[[Json], str]:
    compiled = re.compile(pattern, re.ASCII)

    def check(value: Json) -> str:
        if isinstance(value, str) and compiled.fullmatch(value):
            return value.lower()
        raise ValueError(wanted)

    return check


def _key(value: Json) -> str:
    if isinstance(value, str) and re.fullmatch(
        r"env:[A-Za-z_][A-Za-z0-9_]*|file:/.+|keyring:.+", value
    ):
        return value
    # The value itself may be a private key: it is not shown.
    raise UsageError(
        "a key is named by env:NAME, file:/path/of/keystore.json or keyring:NAME, and never stands "
        "in a configuration",
        hint="`gitprov key import` puts one into an encrypted keystore",
    )


_SECTIONS = ("ethereum", "bitcoin", "opentimestamps", "ipfs")

_CHECKS: dict[str, Callable[[Json], object]] = {
    "networks": _networks,
    "url": _url,
    "key": _key,
    "chain_id": _number(1, 2**53 - 1),
    "genesis": _matching(r"0x[0-9a-fA-F]{64}", "0x and 64 hex digits, in quotes"),
    "mode": _one_of("event", "storage", "calldata"),
    "contract": _matching(r"0x[0-9a-fA-F]{40}", "0x and 40 hex digits, in quotes"),
    "gas_limit": _number(21_000, 30_000_000),
    "max_fee_gwei": _number(1, 1_000_000),
    "confirmations": _number(1, 100_000),
    "stuck_seconds": _number(1, 10_000_000),
    "user": _text,
    "password": _text,
    "cookie": _text,
    "chain": _one_of("main", "test", "testnet4", "signet", "regtest"),
    "backend": _one_of("key", "wallet", "service"),
    "wallet": _text,
    "outpoint": _matching(r"[0-9a-f]{64}:[0-9]{1,6}", "<txid>:<n>"),
    "fee_rate": _number(1, 10_000),
    "max_fee": _number(100, 100_000_000),
    "calendars": _urls,
    "minimum": _number(1, 32),
    "gateways": _urls,
    "pinning_url": _url,
    "pinning_token": _text,
}
