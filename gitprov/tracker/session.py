"""What tracker and manager share: the repository, the configuration laid over it, the networks."""

import contextlib
import json
import logging
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gitprov.anchors.keys import KeySource, load_key
from gitprov.anchors.registry import Means
from gitprov.config.anchors import AnchorsConfig
from gitprov.config.legacy import LegacyConfig, literal_secrets
from gitprov.core.canonical import Json
from gitprov.errors import GitprovError, UsageError
from gitprov.git.command import Git
from gitprov.ops.elements import a_type
from gitprov.ops.networks import anchor_networks, anchors_config
from gitprov.ops.redact import Redactor, secrets_of
from gitprov.ops.statements import Witnessed, witness
from gitprov.ops.tracked_keys import refuse_tracked_keys
from gitprov.workspace import Workspace

LOG = logging.getLogger("gitprov")

Config = Mapping[str, Any] | str | os.PathLike[str] | None
"""A mapping, or a file with JSON or YAML."""

WAIT_SECONDS = 30.0
"""How long a stage may wait for networks; what they have not taken by then is sent later."""


FAULTS = (GitprovError, OSError, sqlite3.Error)
"""What a disk, a network or git can do to a training that goes on; anything else is a bug."""


@dataclass(frozen=True)
class Session:
    """A place to work in: one repository, and one configuration.

    Attributes:
        folder: where it was begun; the repository is the one around it.
        config: what was configured.
        environ: the environment, with the keys of the configuration.
        own: the clone's own configuration of networks, which `gitprov anchor` goes by.
        redactor: knows the secrets of both, and keeps them out of what is recorded.
    """

    folder: str
    config: LegacyConfig
    environ: Mapping[str, str] = field(repr=False)
    own: AnchorsConfig = field(repr=False)
    redactor: Redactor = field(repr=False)

    @classmethod
    def begin(cls, config: Config) -> "Session":
        """Reads the configuration, and refuses keys that git tracks.

        Raises:
            UsageError: the configuration cannot be used, or there is no repository here.
        """
        environ = dict(os.environ)
        written = _mapping(config)
        parsed = LegacyConfig.parse(written, environ)
        if parsed.debug:
            _show_debug()
        folder = os.getcwd()
        with Workspace.open(folder, waiting=LOG.info) as ws:
            own = anchors_config(ws)  # first alone: its mistakes are the clone's, not the caller's
            above = AnchorsConfig.of(
                ws.config.anchors[0], _laid_over(ws.config.anchors[1], parsed.anchors)
            )
            source = KeySource({**environ, **parsed.keys}, None, ws.repo.data_dir)
            names = {"GITPROV_ETHEREUM_KEY": "ethereum", "GITPROV_BITCOIN_KEY": "bitcoin"}
            secrets = [load_key(None, names[name], source) for name in parsed.keys]
            refuse_tracked_keys(ws, secrets)
        if isinstance(config, str | os.PathLike):
            _refuse_tracked_literals(os.fspath(config), written)
        everything = {**environ, **parsed.keys}
        # The clone's own secrets count even where the caller's configuration hides them.
        redactor = Redactor(
            [*secrets_of(own, everything), *secrets_of(above, everything), *parsed.keys.values()]
        )
        LOG.debug("networks: %s", ", ".join(above.networks) or "only the log")
        return cls(folder, parsed, everything, own, redactor)

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
        with contextlib.suppress(*FAULTS):
            anchor_networks(ws, self.means(ws), self.networks(ws), begin=False)

    def witness(self, ws: Workspace, networks: Sequence[str], index: int) -> list[Witnessed]:
        """Has networks witness the log; says what could not be done, and never raises for it."""
        try:
            found = witness(ws, self.means(ws), networks, index=index)
        except FAULTS as exc:
            warn(exc, "the log is not signed; `gitprov anchor` signs and sends it")
            return []
        for one in found:
            if one.problem:
                LOG.warning(
                    "%s: %s; it stays in the outbox: %s",
                    one.network,
                    one.problem,
                    self._sent_by(one.network),
                )
            else:
                LOG.debug("%s: %s: %s", one.network, one.state, one.detail)
        return found

    def _sent_by(self, network: str) -> str:
        """How work for a network that did not take it is sent later."""
        if network in self.own.networks and self.own.is_set_up(network):
            return "`gitprov anchor` sends it"
        return (
            "it is not sent until a tracker with this configuration runs again, or `gitprov anchor "
            f"setup {network}` sets it up here and `gitprov anchor` sends it"
        )


def warn(problem: BaseException, what: str) -> None:
    """Logs what went wrong, what that means, and what can be done."""
    hint = getattr(problem, "hint", None)
    LOG.warning("%s: %s%s", what, problem, f" ({hint})" if hint else "")


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
            f"the configuration is {a_type(config)}",
            hint="give a dict, or the path of a JSON or YAML file",
        )
    from gitprov.config import MAX_CONFIG_BYTES
    from gitprov.platform.files import read_bounded

    path = os.fspath(config)
    text = read_bounded(path, MAX_CONFIG_BYTES).decode("utf-8-sig", "replace")
    # YAML reads nearly all of JSON, but no tabs, and 2e5 as a text.
    return _json(text, path) if path.lower().endswith(".json") else _yaml(text, path)


def _json(text: str, path: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{path} is not JSON: {exc}") from None
    if not isinstance(value, dict):
        raise UsageError(f"{path} must be a mapping with text keys")
    return value


def _yaml(text: str, path: str) -> Mapping[str, Any]:
    from gitprov.config import load_yaml

    try:
        return load_yaml(text, what=path)
    except UsageError as exc:
        # The parser quotes the line in question, which may be the one with a password.
        kept = [line.strip() for line in str(exc).split("\n") if not line.startswith(" " * 4)]
        raise UsageError(" ".join(kept), hint=exc.hint) from None


def _refuse_tracked_literals(path: str, written: Mapping[str, Any]) -> None:
    """Refuses passwords in a configuration file that git tracks: whoever reads it has them."""
    found = literal_secrets(written)
    if not found:
        return
    real = os.path.realpath(path)
    git = Git(os.path.dirname(real))
    name = f":(literal){os.path.basename(real)}"
    if git.call("ls-files", "--error-unmatch", "-z", "--", name).returncode == 0:
        raise UsageError(
            f"{path} is tracked by git and holds {', '.join(found)}",
            hint="write ${NAME} there, and put the value into the environment",
        )


def _show_debug() -> None:
    """Shows what is logged on stderr, unless the program has set up logging itself."""
    LOG.setLevel(logging.DEBUG)
    if not LOG.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("gitprov: %(levelname)s: %(message)s"))
        LOG.addHandler(handler)


def _laid_over(local: Mapping[str, Json], above: Mapping[str, Json]) -> dict[str, Json]:
    merged: dict[str, Json] = dict(local)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = {**old, **value} if both else value  # type: ignore[dict-item]  # both dicts
    return merged
