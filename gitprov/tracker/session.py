"""What tracker and manager share: the repository, the configuration laid over it, the networks."""

import contextlib
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gitprov.anchors.keys import KeySource, load_key
from gitprov.anchors.registry import Means
from gitprov.config.legacy import LegacyConfig
from gitprov.core.canonical import Json
from gitprov.errors import GitprovError, UsageError
from gitprov.ops.networks import anchor_networks, anchors_config
from gitprov.ops.statements import Witnessed, witness
from gitprov.ops.tracked_keys import refuse_tracked_keys
from gitprov.workspace import Workspace

LOG = logging.getLogger("gitprov")

Config = Mapping[str, Any] | str | os.PathLike[str] | None
"""A mapping, or a file with JSON or YAML."""

WAIT_SECONDS = 30.0
"""How long a stage may wait for networks; what they have not taken by then is sent later."""


@dataclass(frozen=True)
class Session:
    """A place to work in: one repository, and one configuration.

    Attributes:
        folder: where it was begun; the repository is the one around it.
        config: what was configured.
        environ: the environment, with the keys of the configuration.
    """

    folder: str
    config: LegacyConfig
    environ: Mapping[str, str] = field(repr=False)

    @classmethod
    def begin(cls, config: Config) -> "Session":
        """Reads the configuration, and refuses keys that git tracks.

        Raises:
            UsageError: the configuration cannot be used, or there is no repository here.
        """
        environ = dict(os.environ)
        parsed = LegacyConfig.parse(_mapping(config), environ)
        session = cls(os.getcwd(), parsed, {**environ, **parsed.keys})
        with session.workspace() as ws:
            source = KeySource(session.environ, None, ws.repo.data_dir)
            names = {"GITPROV_ETHEREUM_KEY": "ethereum", "GITPROV_BITCOIN_KEY": "bitcoin"}
            secrets = [load_key(None, names[name], source) for name in parsed.keys]
            refuse_tracked_keys(ws, secrets)
            anchors_config(ws)
        if parsed.debug:
            LOG.setLevel(logging.DEBUG)
        return session

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Workspace]:
        """Opens the repository with the configuration laid over its own."""
        with Workspace.open(self.folder, waiting=LOG.info) as ws:
            tracked, local = ws.config.anchors
            anchors = _laid_over(local, self.config.anchors)
            ws.__dict__["config"] = replace(ws.config, anchors=(tracked, anchors))
            yield ws

    def networks(self, ws: Workspace) -> tuple[str, ...]:
        """The networks beside the log: those that are configured, none where that is disabled."""
        return anchors_config(ws).networks if self.config.enabled else ()

    def means(self, ws: Workspace) -> Means:
        """What networks are given."""
        return Means(
            environ=self.environ,
            data_dir=ws.repo.data_dir,
            timeout=self.config.timeout,
            deadline=time.monotonic() + max(WAIT_SECONDS, self.config.timeout),
        )

    def refresh(self, ws: Workspace) -> None:
        """Asks how far everything under way is, and tells the notes; it never raises for that."""
        with contextlib.suppress(GitprovError):
            anchor_networks(ws, self.means(ws), self.networks(ws), begin=False)

    def witness(self, ws: Workspace, networks: Sequence[str], index: int) -> list[Witnessed]:
        """Has networks witness the log; says what could not be done, and never raises for it."""
        found = witness(ws, self.means(ws), networks, index=index)
        for one in found:
            if one.problem:
                LOG.warning(
                    "%s: %s; it stays in the outbox, `gitprov anchor` sends it",
                    one.network,
                    one.problem,
                )
        return found


def locators(found: Sequence[Witnessed]) -> dict[str, str]:
    """Returns network -> transaction id, without networks that have none yet."""
    return {one.network: one.locator for one in found if one.locator is not None}


def _mapping(config: Config) -> Mapping[str, Any]:
    if config is None:
        return {}
    if isinstance(config, Mapping):
        return config
    if not isinstance(config, str | os.PathLike):
        raise UsageError(
            f"the configuration is a {type(config).__name__}",
            hint="give a dict, or the path of a JSON or YAML file",
        )
    from gitprov.config import MAX_CONFIG_BYTES, load_yaml
    from gitprov.platform.files import read_bounded

    path = os.fspath(config)
    data = read_bounded(path, MAX_CONFIG_BYTES)
    return load_yaml(data.decode("utf-8", "replace"), what=path)  # JSON is YAML


def _laid_over(local: Mapping[str, Json], above: Mapping[str, Json]) -> dict[str, Json]:
    merged: dict[str, Json] = dict(local)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = {**old, **value} if both else value  # type: ignore[dict-item]  # both dicts
    return merged
