"""Makes blocks where somebody waits for one: `python -m gitprov.devnet.miner FOLDER`.

The chains of a devnet stand still by themselves, so that an anchor would wait for ever. A chain
that nobody uses gets no blocks. The process ends with the nodes, or when their folder goes.
"""

import sys
import time
from contextlib import suppress

from gitprov.devnet.nodes import Node
from gitprov.devnet.state import State, read_state
from gitprov.errors import UnavailableError
from gitprov.platform.jsonrpc import RpcError

_PAUSE = 0.5

_DEPTH = {"btcd": 6, "bitcoind": 6, "anvil": 3}
"""How many blocks a transaction gets, its own and those on top, until it is final."""


class Miner:
    """Remembers how many blocks each chain is to get."""

    def __init__(self) -> None:
        self._owed: dict[str, int] = {}

    def step(self, state: State) -> None:
        """Gives each chain at most one block; a node that does not answer is asked again later."""
        for network, node in state.nodes.items():
            if node.kind not in _DEPTH:
                continue
            with suppress(UnavailableError, RpcError):
                if _is_used(node):
                    self._owed[network] = _DEPTH[node.kind]
                if self._owed.get(network, 0) > 0:
                    node.mine(1, state.addresses.get(network, ""))
                    self._owed[network] -= 1


def _is_used(node: Node) -> bool:
    """Whether a transaction waits; on anvil, where none ever does, whether one is in the tip."""
    if node.kind != "anvil":
        return bool(node.rpc("getrawmempool"))
    newest = node.rpc("eth_getBlockByNumber", "latest", False)
    return isinstance(newest, dict) and bool(newest.get("transactions"))


def main(folder: str) -> None:
    """Makes blocks until there is nothing to make them for."""
    miner = Miner()
    sys.stdout.write("waiting for transactions\n")
    sys.stdout.flush()
    while True:
        state = read_state(folder)
        if state is None or not any(node.process.is_running() for node in state.nodes.values()):
            return
        miner.step(state)
        time.sleep(_PAUSE)


if __name__ == "__main__":
    main(sys.argv[1])
