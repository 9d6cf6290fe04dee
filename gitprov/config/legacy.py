"""The configuration of the ML provenance system that gitprov generalises, read as it is.

It comes as a mapping, or as JSON or YAML in a file, whole (below `blockchain`) or short. What it
says is laid over this clone's own configuration; keys go beside it, and never into it. No error
repeats a value: passwords and keys are among them.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from gitprov.config.anchors import NETWORKS, wanted
from gitprov.core.canonical import Json
from gitprov.errors import UsageError

HASHES = ("blake3", "sha256", "sha3_256", "sha512", "blake2b")
"""What `hash_algorithm` may say. gitprov hashes with BLAKE3 whatever it is."""

_DIGITS = re.compile(r"[0-9]{1,30}", re.ASCII)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_OUTSIDE = NETWORKS[1:]
_WHOSE = "the tracker's configuration"
_MAX_DEPTH = 12
_CLOSE = 0.6
"""How near a key must be to a known one to be taken for it: difflib's own measure."""

_TOP = ("blockchain", "storage_options", "debug", "hash_algorithm")
_BLOCKCHAIN = ("enabled", "networks", *_OUTSIDE, "storage_options", "debug", "hash_algorithm")
_STORAGE = ("store_before_training", "store_after_training", "store_epoch_checkpoints")
_SECTIONS: dict[str, dict[str, str]] = {
    "ethereum": {
        "enabled": "",
        "rpc_url": "url",
        "url": "url",
        "private_key": "",
        "contract_address": "contract",
        "contract": "contract",
        "gas_limit": "gas_limit",
        "gas_price": "",
        "chain_id": "chain_id",
        "mode": "mode",
        "confirmations": "confirmations",
    },
    "bitcoin": {
        "enabled": "",
        "rpc_url": "url",
        "url": "url",
        "rpc_user": "user",
        "user": "user",
        "rpc_password": "password",
        "password": "password",
        "network": "chain",
        "chain": "chain",
        "private_key": "",
        "fee_rate": "fee_rate",
        "confirmations": "confirmations",
    },
    "ipfs": {
        "enabled": "",
        "url": "url",
        "timeout": "",
        "retry_attempts": "",
        "gateways": "gateways",
    },
    "opentimestamps": {"enabled": "", "calendars": "calendars", "minimum": "minimum"},
}
"""By network: the earlier key, and ours; "" where it is treated on its own."""

_CHAINS = {"mainnet": "main", "testnet": "test", "bitcoin": "main"}
_SECRETS = ("private_key", "password", "rpc_password")
_URL_PASSWORD = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@?#]*:([^\s/@]+)@")
_KEYS = {"ethereum": "GITPROV_ETHEREUM_KEY", "bitcoin": "GITPROV_BITCOIN_KEY"}


@dataclass(frozen=True)
class LegacyConfig:
    """What the earlier system's configuration comes to.

    Attributes:
        enabled: whether networks beside the log are used.
        networks: which; None leaves it to this clone's configuration.
        anchors: what is laid over this clone's section `anchors`.
        keys: private keys by the name of the variable that gitprov reads them from.
        timeout: seconds for one request.
        before: whether the stage before training is sent to networks.
        after: whether the one after is.
        checkpoints: whether every epoch's weights are kept.
        debug: whether what is done is logged.
        hash_algorithm: what the earlier system hashed with, "" when it does not say.
    """

    enabled: bool = True
    networks: tuple[str, ...] | None = None
    anchors: Mapping[str, Json] = field(default_factory=dict, repr=False)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 10.0
    before: bool = True
    after: bool = True
    checkpoints: bool = False
    debug: bool = False
    hash_algorithm: str = ""

    @classmethod
    def parse(cls, value: Mapping[str, Any], environ: Mapping[str, str]) -> "LegacyConfig":
        """Reads the mapping; `${NAME}` in a text is taken from the environment.

        Raises:
            UsageError: an unknown key or network, a wrong value, a variable that is not set.
        """
        top = _expanded(dict(value), environ, "", _MAX_DEPTH)
        short = "blockchain" not in top
        _known(top, (*_TOP, *_BLOCKCHAIN) if short else _TOP, "")
        chain = dict(top) if short else {**_section(top, "blockchain")}
        _known(chain, _BLOCKCHAIN, "" if short else "blockchain.")
        both = {**_section(top, "storage_options"), **_section(chain, "storage_options")}
        _known(both, _STORAGE, "storage_options.")
        anchors: dict[str, Json] = {}
        keys: dict[str, str] = {}
        named = [
            name
            for name in _OUTSIDE
            if name in chain and _read_network(name, _section(chain, name), anchors, keys)
        ]
        networks = _networks(chain, named)
        if networks is not None:
            anchors["networks"] = [*networks]
        algorithm = chain.get("hash_algorithm", top.get("hash_algorithm", ""))
        if algorithm and str(algorithm).lower().replace("-", "") not in HASHES:
            raise UsageError(f"hash_algorithm is {algorithm!r}", hint=f"known: {', '.join(HASHES)}")
        return cls(
            enabled=_flag(chain, "enabled", default=True),
            networks=networks,
            anchors=anchors,
            keys=keys,
            timeout=_ipfs_timeout(_section(chain, "ipfs")),
            before=_flag(both, "store_before_training", default=True),
            after=_flag(both, "store_after_training", default=True),
            checkpoints=_flag(both, "store_epoch_checkpoints", default=False),
            debug=_flag(chain, "debug", default=_flag(top, "debug", default=False)),
            hash_algorithm=str(algorithm),
        )


def _networks(chain: Mapping[str, Any], named: list[str]) -> tuple[str, ...] | None:
    """The networks by name, else those with a section that is not switched off."""
    value = chain.get("networks")
    if value is None:
        return tuple(named) or None
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise UsageError(
            f"{_WHOSE}: networks must be a list of names", hint=f"known: {', '.join(NETWORKS)}"
        )
    for one in value:
        if one not in NETWORKS:
            raise UsageError(
                f"{_WHOSE}: unknown network {one!r}", hint=f"known: {', '.join(NETWORKS)}"
            )
    off = {name for name in _OUTSIDE if _section(chain, name).get("enabled") is False}
    return tuple(one for one in dict.fromkeys(value) if one != "tlog" and one not in off)


def _read_network(
    name: str, section: Mapping[str, Any], anchors: dict[str, Json], keys: dict[str, str]
) -> bool:
    """Translates one network's section; returns whether it is switched on."""
    known = _SECTIONS[name]
    _known(section, tuple(known), f"{name}.")
    ours: dict[str, Json] = {}
    theirs: dict[str, str] = {}
    for key, value in section.items():
        if known[key] and value not in (None, ""):
            ours[known[key]], theirs[known[key]] = _whole(value), key
    secret = section.get("private_key")
    if secret not in (None, ""):
        if not isinstance(secret, str):
            raise UsageError(
                f"{_WHOSE}: {name}.private_key must be a text",
                hint='write it in quotes, "0x…": YAML takes bare hexadecimal digits for a number',
            )
        keys[_KEYS[name]] = secret
        ours["key"] = f"env:{_KEYS[name]}"
    if name == "ethereum":
        _read_ethereum(section, ours)
    if name == "bitcoin" and isinstance(ours.get("chain"), str):
        ours["chain"] = _CHAINS.get(cast("str", ours["chain"]), ours["chain"])
    for key, value in ours.items():
        problem = wanted(key, value)
        if problem is not None:
            raise UsageError(f"{_WHOSE}: {name}.{theirs.get(key, key)} must be {problem}")
    enabled = _flag(section, "enabled", default=True)
    if enabled and ours:
        anchors[name] = ours
    return enabled


def _read_ethereum(section: Mapping[str, Any], ours: dict[str, Json]) -> None:
    if "mode" not in ours:
        # The earlier contract stores hashes; without one the digest goes into the data.
        ours["mode"] = "storage" if "contract" in ours else "calldata"
    price = _whole(section.get("gas_price", "auto"))
    if isinstance(price, str) and _DIGITS.fullmatch(price):
        price = int(price)
    if price in ("auto", None, ""):
        return
    if isinstance(price, bool) or not isinstance(price, int) or price < 1:
        raise UsageError(f"{_WHOSE}: ethereum.gas_price must be 'auto' or a whole number of wei")
    ours["max_fee_gwei"] = -(-price // 10**9)


def _ipfs_timeout(section: Mapping[str, Any]) -> float:
    value = section.get("timeout", 10)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86_400:
        raise UsageError(f"{_WHOSE}: ipfs.timeout must be a number of seconds")
    # Nothing here tries a number of times (the outbox tries until it is done), but a wrong value is
    # a mistake all the same.
    tries = section.get("retry_attempts", 0)
    if isinstance(tries, bool) or not isinstance(tries, int) or tries < 0:
        raise UsageError(f"{_WHOSE}: ipfs.retry_attempts must be a whole number, 0 or more")
    return float(value)


def _whole(value: Any) -> Any:
    """A number such as JSON's 2e5 as the whole number that it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _section(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    section = value.get(key)
    if section is None:
        return {}
    if not isinstance(section, Mapping):
        raise UsageError(f"{_WHOSE}: {key} must be a mapping")
    return section


def _flag(value: Mapping[str, Any], key: str, *, default: bool) -> bool:
    found = value.get(key, default)
    if not isinstance(found, bool):
        raise UsageError(f"{_WHOSE}: {key} must be true or false")
    return found


def _known(value: Mapping[str, Any], known: tuple[str, ...], prefix: str) -> None:
    for key in value:
        if key not in known:
            raise UsageError(
                f"{_WHOSE} has the unknown key {prefix}{key}", hint=_hint(str(key), known, prefix)
            )


def _hint(key: str, known: tuple[str, ...], prefix: str) -> str:
    """What was meant: a key of this place, else one of a section below, where it is near to one."""
    listed = f"known: {', '.join(dict.fromkeys(known))}"
    near = difflib.get_close_matches(key, known, n=1, cutoff=_CLOSE)
    if near:
        return f"did you mean {prefix}{near[0]}? {listed}"
    places: dict[str, list[str]] = {}
    for place, one in _below(known):
        places.setdefault(one, []).append(f"{prefix}{place}{one}")
    near = difflib.get_close_matches(key, places, n=1, cutoff=_CLOSE)
    return f"did you mean {' or '.join(places[near[0]])}? {listed}" if near else listed


def _below(known: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The keys one or two levels below these, each with where it is."""
    if "networks" in known:
        yield from ((f"{name}.", one) for name, section in _SECTIONS.items() for one in section)
    elif "blockchain" in known:
        yield from (("blockchain.", one) for one in _BLOCKCHAIN)
        yield from ((f"blockchain.{place}", one) for place, one in _below(_BLOCKCHAIN))
    if "storage_options" in known:
        yield from (("storage_options.", one) for one in _STORAGE)


def literal_secrets(value: Mapping[str, Any]) -> list[str]:
    """Returns the names of passwords and keys that stand in a configuration as they are.

    `${NAME}` and `env:NAME` only say where one is to be found. The configuration is as it was
    written, not yet expanded.
    """
    return [*_literals(value, "", _MAX_DEPTH)]


def _literals(value: Any, where: str, depth: int) -> Iterator[str]:
    if isinstance(value, Mapping) and depth:
        for key, one in value.items():
            name = f"{where}.{key}" if where else str(key)
            if key in _SECRETS and not isinstance(one, Mapping | list | tuple):
                text = "" if one is None else _VARIABLE.sub("", str(one)).strip()
                if text and not text.startswith("env:"):
                    yield name
            else:
                yield from _literals(one, name, depth - 1)
    elif isinstance(value, list | tuple) and depth:
        for one in value:
            yield from _literals(one, where, depth - 1)
    elif isinstance(value, str):
        found = _URL_PASSWORD.search(value)
        if found is not None and _VARIABLE.sub("", found[1]):
            yield where


def _expanded(value: Any, environ: Mapping[str, str], where: str, depth: int) -> Any:
    if isinstance(value, Mapping | list | tuple) and not depth:
        raise UsageError(f"{_WHOSE} is nested deeper than {_MAX_DEPTH}")
    if isinstance(value, Mapping):
        return {
            key: _expanded(one, environ, f"{where}{key}.", depth - 1) for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [_expanded(one, environ, where, depth - 1) for one in value]
    if not isinstance(value, str):
        return value

    def replace(found: re.Match[str]) -> str:
        if found[1] not in environ:
            raise UsageError(
                f"{_WHOSE}: {where.rstrip('.')} names the variable {found[1]}, which is not set",
                hint=f"export {found[1]}=…",
            )
        return environ[found[1]]

    return _VARIABLE.sub(replace, value)
