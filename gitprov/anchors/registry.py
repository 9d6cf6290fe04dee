"""The one list of networks: how each is made from the configuration. One line per network."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gitprov.anchors.base import Anchor
from gitprov.config.anchors import AnchorsConfig
from gitprov.errors import UsageError
from gitprov.platform.http import Http

if TYPE_CHECKING:
    from gitprov.verify.evidence import Answer


@dataclass(frozen=True)
class Means:
    """What the outside world gives to networks; nothing below reads the environment itself.

    Attributes:
        environ: the environment: keys, passwords, passphrases by name.
        data_dir: gitprov's folder in the git folder.
        ask: asks a person for a passphrase, given a sentence; None where there is nobody.
        guard: is given a secret before it is used, and refuses one that a tracked file holds.
        clock: seconds since 1970.
        timeout: seconds for one request.
        deadline: of `time.monotonic()`, for everything.
    """

    environ: Mapping[str, str]
    data_dir: str
    ask: Callable[[str], str] | None = None
    guard: Callable[[bytes], None] | None = None
    clock: Callable[[], float] = time.time
    timeout: float = 10.0
    deadline: float | None = field(default=None, compare=False)

    def http(self) -> Http:
        """Returns a pool of connections within these bounds."""
        return Http(timeout=self.timeout, deadline=self.deadline)

    def secret(self, value: str) -> str:
        """Returns a password or token: `env:NAME` is looked up, anything else is itself."""
        from gitprov.anchors.keys import resolve_secret

        return resolve_secret(value, self.environ)

    def key(self, network: str, spec: str | None) -> bytes:
        """Returns the 32 bytes of a network's private key.

        Raises:
            UsageError: there is none, it cannot be opened, or a tracked file holds it.
        """
        from gitprov.anchors.keys import KeySource, load_key

        raw = load_key(spec, network, KeySource(self.environ, self.ask, self.data_dir))
        if self.guard is not None:
            self.guard(raw)
        return raw


def open_anchor(name: str, config: AnchorsConfig, means: Means, http: Http) -> Anchor:
    """Returns a network as this clone reaches it, through connections that the caller closes.

    Raises:
        UsageError: it is not set up here, or its library is not installed.
    """
    if name not in ANCHORS:
        raise UsageError(f"unknown network {name!r}", hint=f"known: tlog, {', '.join(ANCHORS)}")
    if not config.is_set_up(name):
        raise UsageError(
            f"{name} is not set up in this clone: anchors.{name}.url is missing",
            hint=f"gitprov anchor setup {name} --url http://…",
        )
    return ANCHORS[name](config, means, http)


def _ethereum(config: AnchorsConfig, means: Means, http: Http) -> Anchor:
    from gitprov.anchors.ethereum import EthereumAnchor

    section = config.ethereum
    return EthereumAnchor(
        section, http, key=lambda: means.key("ethereum", section.key), clock=means.clock
    )


def _bitcoin(config: AnchorsConfig, means: Means, http: Http) -> Anchor:
    from gitprov.anchors.bitcoin import BitcoinAnchor

    section = config.bitcoin
    return BitcoinAnchor(
        section,
        http,
        key=lambda: means.key("bitcoin", section.key),
        secret=means.secret,
        data_dir=means.data_dir,
        clock=means.clock,
    )


def _opentimestamps(config: AnchorsConfig, means: Means, http: Http) -> Anchor:
    from gitprov.anchors.opentimestamps import OpenTimestampsAnchor

    headers: Callable[[Sequence[int]], list[Answer]] | None = None
    if config.is_set_up("bitcoin"):
        from gitprov.anchors.bitcoin import BitcoinAnchor

        bitcoin = _bitcoin(config, means, http)
        if isinstance(bitcoin, BitcoinAnchor):
            headers = bitcoin.headers
    return OpenTimestampsAnchor(config.opentimestamps, http, headers=headers, clock=means.clock)


def _ipfs(config: AnchorsConfig, means: Means, http: Http) -> Anchor:
    from gitprov.anchors.ipfs import IpfsAnchor

    return IpfsAnchor(config.ipfs, http, secret=means.secret, clock=means.clock)


ANCHORS: dict[str, Callable[[AnchorsConfig, Means, Http], Anchor]] = {
    "ethereum": _ethereum,
    "bitcoin": _bitcoin,
    "opentimestamps": _opentimestamps,
    "ipfs": _ipfs,
}
"""Every network but `tlog`, which needs nothing but this repository."""
