"""`gitprov anchor setup` and `deploy`: how this clone reaches and pays a network."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gitprov.anchors.registry import Means
from gitprov.config.anchors import NETWORKS
from gitprov.core.canonical import Json
from gitprov.errors import UsageError
from gitprov.ops.local_config import update_local_config
from gitprov.ops.networks import anchors_config
from gitprov.ops.tracked_keys import refuse_tracked_keys
from gitprov.workspace import Workspace

_NUMBER = re.compile(r"[0-9]{1,15}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SetUp:
    """The file that was written, and the networks that are used from now on."""

    path: str
    networks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeployedContract:
    """Where the contract is, the transaction that put it there, whether it was there before."""

    address: str
    tx: str | None
    existed: bool


def set_up_network(ws: Workspace, network: str, *, url: str | None, values: Sequence[str]) -> SetUp:
    """Writes a network's section of this clone's configuration and adds it to the networks.

    Args:
        ws: the workspace.
        network: its name.
        url: the node's address.
        values: `key=value` for other keys; commas part the items of a list.

    Raises:
        UsageError: a key or a value is not known; nothing is written then.
    """
    section: dict[str, Json] = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set takes KEY=VALUE, not {text!r}")
        section[key] = _value(key, value)
    if url is not None:
        section["url"] = url
    config = anchors_config(ws)
    chosen = tuple(name for name in NETWORKS[1:] if name in {*config.networks, network})
    changes: dict[str, Json] = {"anchors": {"networks": [*chosen], network: section}}
    path = update_local_config(ws, changes)
    ws.forget_config()
    if not anchors_config(ws).is_set_up(network):
        raise UsageError(
            f"{network} needs the address of a node", hint=f"gitprov anchor setup {network} --url …"
        )
    return SetUp(path, chosen)


def deploy_contract(ws: Workspace, means: Means) -> DeployedContract:
    """Deploys the contract unless it is there, and writes its address to the configuration.

    Raises:
        UnavailableError: the node does not answer.
        UsageError: no key, no money, another chain.
    """
    from gitprov.anchors.ethereum import EthereumAnchor
    from gitprov.anchors.ethereum_contract import deploy
    from gitprov.anchors.registry import open_anchor

    guarded = replace(means, guard=lambda secret: refuse_tracked_keys(ws, [secret]))
    with means.http() as http:
        anchor = open_anchor("ethereum", anchors_config(ws), guarded, http)
        if not isinstance(anchor, EthereumAnchor):
            raise UsageError("only Ethereum has contracts")
        done = deploy(anchor)
    update_local_config(ws, {"anchors": {"ethereum": {"contract": done.address}}})
    ws.forget_config()
    return DeployedContract(done.address, done.tx, done.existed)


def _value(key: str, text: str) -> Json:
    if key in {"calendars", "gateways"}:
        return [item for item in text.split(",") if item]
    return int(text) if _NUMBER.fullmatch(text) else text
