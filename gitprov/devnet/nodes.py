"""Real nodes on loopback with throw-away data: Ethereum, Bitcoin, IPFS."""

import json
import os
import secrets
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from gitprov.core.canonical import Json
from gitprov.devnet.process import Process, free_port, start
from gitprov.errors import EnvironmentFault, UnavailableError
from gitprov.platform.http import Http
from gitprov.platform.jsonrpc import JsonRpc, RpcError

HOST = "127.0.0.1"
_RPC_SECONDS = 30.0
_INIT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Node:
    """A node that runs: where it answers, where its data lies, its process."""

    kind: str
    url: str
    folder: str
    process: Process
    user: str = ""
    password: str = field(default="", repr=False)
    gateway: str = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the process."""
        self.process.stop()

    def rpc(self, method: str, *params: Json) -> Json:
        """Calls a method of its JSON-RPC.

        Raises:
            RpcError: the node says no.
        """
        http = Http(timeout=_RPC_SECONDS)
        try:
            return self._rpc(http).call(method, *params)
        finally:
            http.close()

    def _rpc(self, http: Http) -> JsonRpc:
        auth = (self.user, self.password) if self.user else None
        return JsonRpc(http, self.url, auth=auth, version="1.0" if auth else "2.0")

    def mine(self, blocks: int, address: str = "") -> None:
        """Makes blocks; Bitcoin Core wants the address to pay to."""
        if self.kind == "btcd":
            self.rpc("generate", blocks)
        elif self.kind == "bitcoind":
            self.rpc("generatetoaddress", blocks, address)
        elif self.kind == "geth":
            self._mine_geth(blocks)
        else:
            self.rpc("anvil_mine", hex(blocks))

    def _mine_geth(self, blocks: int) -> None:
        """A development chain makes a block when there is a transaction."""
        accounts = self.rpc("eth_accounts")
        payer = accounts[0] if isinstance(accounts, list) else None
        for _ in range(blocks):
            before = _block_number(self)
            self.rpc("eth_sendTransaction", {"from": payer, "to": payer, "value": "0x0"})
            while _block_number(self) == before:
                time.sleep(0.01)


def _block_number(node: Node) -> int:
    return int(str(node.rpc("eth_blockNumber")), 16)


def start_anvil(binary: str, folder: str, *options: str, port: int | None = None) -> Node:
    """Starts anvil. Its limit for the gas of one transaction is that of the real chain (EIP-7825).

    A block is finalized two blocks later, so that tests and newcomers see it happen.
    """
    number = free_port(port)
    url = f"http://{HOST}:{number}"
    process = start(
        [
            *(binary, "--host", HOST, "--port", str(number), "--enable-tx-gas-limit"),
            *("--slots-in-an-epoch", "1", "--cache-path", os.path.join(folder, "cache")),
            *options,
        ],
        folder=folder,
        log="anvil.log",
        answers=lambda: _answers(url, "eth_chainId"),
    )
    return Node("anvil", url, folder, process)


def start_geth(binary: str, folder: str, *options: str, port: int | None = None) -> Node:
    """Starts go-ethereum's development chain, which mines a block when there is a transaction."""
    number = free_port(port)
    url = f"http://{HOST}:{number}"
    process = start(
        [
            *(binary, "--dev", "--datadir", os.path.join(folder, "geth"), "--ipcdisable"),
            *("--http", "--http.addr", HOST, "--http.port", str(number)),
            # To name a --port would make it listen for peers, on every address.
            *("--http.api", "eth,net,web3,debug,txpool,dev", "--nodiscover", "--maxpeers", "0"),
            *("--nat", "none"),  # else it looks for routers
            *options,
        ],
        folder=folder,
        log="geth.log",
        answers=lambda: _answers(url, "eth_chainId"),
    )
    return Node("geth", url, folder, process)


def start_btcd(
    binary: str,
    folder: str,
    address: str,
    *options: str,
    port: int | None = None,
    listen: int | None = None,
    connect: Sequence[str] = (),
) -> Node:
    """Starts btcd on the regression test network; mined coins go to the address.

    It has no peers but those of `connect`, and listens for others on `listen` only.
    """
    number = free_port(port)
    url = f"http://{HOST}:{number}"
    user, password = "gitprov", secrets.token_hex(16)
    peers = [f"--listen={HOST}:{listen}"] if listen else ["--nolisten"]
    process = start(
        [
            *(binary, "--regtest", "--notls", "--nodnsseed", "--noonion", "--txindex"),
            *("--addrindex", f"--configfile={os.path.join(folder, 'none.conf')}"),
            *(f"--datadir={folder}/data", f"--logdir={folder}/logs", f"--miningaddr={address}"),
            *(f"--rpclisten={HOST}:{number}", f"--rpcuser={user}", f"--rpcpass={password}"),
            *("--rpcmaxclients=100", "--nobanning"),
            *peers,
            *(f"--addpeer={peer}" for peer in connect),
            *options,
        ],
        folder=folder,
        log="btcd.log",
        answers=lambda: _answers(url, "getblockcount", user, password),
    )
    return Node("btcd", url, folder, process, user=user, password=password)


def start_bitcoind(binary: str, folder: str, *options: str, port: int | None = None) -> Node:
    """Starts Bitcoin Core on the regression test network, without peers."""
    number = free_port(port)
    url = f"http://{HOST}:{number}"
    user, password = "gitprov", secrets.token_hex(16)
    process = start(
        [
            *(binary, "-regtest", f"-datadir={folder}", "-server", "-listen=0", "-connect=0"),
            *("-dnsseed=0", "-fixedseeds=0", "-txindex=1", "-fallbackfee=0.00005"),
            *(f"-rpcbind={HOST}", f"-rpcallowip={HOST}", f"-rpcport={number}"),
            *(f"-rpcuser={user}", f"-rpcpassword={password}"),
            *options,
        ],
        folder=folder,
        log="bitcoind.log",
        answers=lambda: _answers(url, "getblockcount", user, password),
    )
    return Node("bitcoind", url, folder, process, user=user, password=password)


def start_kubo(
    binary: str, folder: str, *options: str, port: int | None = None, gateway: int | None = None
) -> Node:
    """Starts Kubo without peers: nothing is announced, asked for or found outside loopback."""
    try:
        return _start_kubo(binary, folder, options, port, gateway)
    except UnavailableError:
        if port is not None or gateway is not None:
            raise
    # Somebody else may have taken a port since it was found free.
    return _start_kubo(binary, folder, options, port, gateway)


def _start_kubo(
    binary: str, folder: str, options: Sequence[str], port: int | None, gateway: int | None
) -> Node:
    api, web = free_port(port), free_port(gateway)
    repo = os.path.join(folder, "ipfs")
    env = {"IPFS_PATH": repo, "IPFS_TELEMETRY": "off"}
    if not os.path.exists(os.path.join(repo, "config")):
        _run([binary, "init", "--empty-repo", "--profile=test"], env)
    _configure_kubo(os.path.join(repo, "config"), api, web)
    url = f"http://{HOST}:{api}"
    process = start(
        [binary, "daemon", "--offline", *options],
        folder=folder,
        log="ipfs.log",
        answers=lambda: _kubo_answers(url, web),
        env=env,
    )
    return Node("ipfs", url, folder, process, gateway=f"http://{HOST}:{web}")


def _configure_kubo(path: str, api: int, web: int) -> None:
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    config["Bootstrap"] = []
    config["Addresses"] = {
        **config.get("Addresses", {}),
        "API": f"/ip4/{HOST}/tcp/{api}",
        "Gateway": f"/ip4/{HOST}/tcp/{web}",
        "Swarm": [],
    }
    config["Routing"] = {"Type": "none"}
    config["Discovery"] = {"MDNS": {"Enabled": False}}
    config["AutoTLS"] = {"Enabled": False}
    config["AutoConf"] = {"Enabled": False}
    config.setdefault("DNS", {})["Resolvers"] = {}
    config["Ipns"] = {**config.get("Ipns", {}), "DelegatedPublishers": []}
    config.setdefault("Routing", {})["DelegatedRouters"] = []
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file)


def _run(command: Sequence[str], env: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **env},
            capture_output=True,
            timeout=_INIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise EnvironmentFault(f"cannot run {command[0]}: {exc}") from exc
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[-300:]
        raise EnvironmentFault(f"{command[0]} {command[1]} failed: {said}")


def _answers(url: str, method: str, user: str = "", password: str = "") -> bool:
    http = Http(timeout=2)
    auth = (user, password) if user else None
    try:
        JsonRpc(http, url, auth=auth, version="1.0" if auth else "2.0").call(method)
    except (UnavailableError, RpcError):
        return False
    finally:
        http.close()
    return True


def _kubo_answers(url: str, web: int) -> bool:
    """Whether API and gateway answer; the gateway is asked for the CID of nothing."""
    http = Http(timeout=2)
    try:
        nothing = f"http://{HOST}:{web}/ipfs/bafkqaaa"
        return (
            http.request("POST", f"{url}/api/v0/version").status == 200
            and http.request("GET", nothing).status == 200
        )
    except UnavailableError:
        return False
    finally:
        http.close()
