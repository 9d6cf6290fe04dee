"""What `devnet up` writes down for `status`, `down` and the miner: one JSON file in its folder."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from gitprov.core.canonical import Json
from gitprov.devnet.nodes import Node
from gitprov.devnet.process import Process
from gitprov.errors import EnvironmentFault, UnavailableError
from gitprov.platform.files import atomic_write, read_bounded

_NAME = "state.json"
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class State:
    """The devnet of one clone.

    Attributes:
        before: the section `anchors` of the clone's configuration as it was.
        nodes: what was started, by network.
        addresses: whom the networks pay, by network.
        miner: the process that makes blocks.
    """

    before: Json = None
    nodes: Mapping[str, Node] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)
    miner: Process | None = None

    @property
    def processes(self) -> list[Process]:
        """Everything that runs; what makes blocks comes first, so that it ends first."""
        nodes = [node.process for node in self.nodes.values()]
        return nodes if self.miner is None else [self.miner, *nodes]


def write_state(folder: str, state: State) -> None:
    """Keeps it; it holds passwords of nodes, so only this user may read it.

    Raises:
        EnvironmentFault: the file system refused.
    """
    atomic_write(os.path.join(folder, _NAME), json.dumps(asdict(state)).encode(), mode=0o600)


def read_state(folder: str) -> State | None:
    """Returns what is there, None when nothing is.

    Raises:
        EnvironmentFault: the file is damaged.
    """
    path = os.path.join(folder, _NAME)
    try:
        value = json.loads(read_bounded(path, _MAX_BYTES))
        nodes = {name: _node(fields) for name, fields in value["nodes"].items()}
        miner = None if value["miner"] is None else Process(**value["miner"])
        return State(value["before"], nodes, value["addresses"], miner)
    except UnavailableError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise EnvironmentFault(
            f"{path} is damaged", hint=f"end the nodes by hand, then remove {folder}"
        ) from None


def _node(fields: Mapping[str, Any]) -> Node:
    return Node(**{**fields, "process": Process(**fields["process"])})
