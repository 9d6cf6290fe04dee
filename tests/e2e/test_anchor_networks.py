"""Fifty commits, all five networks, on real nodes: pushed, cloned, verified, tampered with."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from gitprov.core.wif import encode_wif
from gitprov.devnet.nodes import Node
from gitprov.platform.jsonrpc import RpcError
from tests.e2e.story import gitprov
from tests.support.calendar import Calendar, Respond, calendar, serving
from tests.support.nodes import MINER, MINER_ADDRESS, account, start_node
from tests.support.repos import bare, git, isolated_environment, make_repo, write

COMMITS = 50
NETWORKS = ("ethereum", "bitcoin", "opentimestamps", "ipfs")


@dataclass
class Networks:
    """The nodes, and what a repository needs to reach them."""

    ethereum: Node
    bitcoin: Node
    ipfs: Node
    calendars: tuple[Calendar, Calendar]
    env: dict[str, str]

    def section(self) -> dict[str, object]:
        return {
            "networks": list(NETWORKS),
            "ethereum": {"url": self.ethereum.url, "mode": "calldata"},
            "bitcoin": {
                "url": self.bitcoin.url,
                "user": self.bitcoin.user,
                "password": self.bitcoin.password,
                "chain": "regtest",
            },
            "opentimestamps": {"calendars": [one.url for one in self.calendars]},
            "ipfs": {"url": self.ipfs.url, "gateways": [self.ipfs.gateway]},
        }

    def settle(self, folder: Path) -> None:
        self.ethereum.mine(4)
        self.bitcoin.mine(6, MINER_ADDRESS)
        for one in self.calendars:
            if one.waiting:
                one.commit(self.bitcoin, folder)

    def stop(self) -> None:
        for node in (self.ethereum, self.bitcoin, self.ipfs):
            node.stop()


@pytest.fixture
def networks(tmp_path: Path) -> Iterator[Networks]:
    folders = {kind: tmp_path / f"node-{kind}" for kind in ("anvil", "btcd", "ipfs")}
    for folder in folders.values():
        folder.mkdir()
    with (
        start_node("anvil", folders["anvil"]) as ethereum,
        start_node("btcd", folders["btcd"]) as bitcoin,
        start_node("ipfs", folders["ipfs"]) as ipfs,
        calendar() as one,
        calendar() as two,
    ):
        secret, _ = account(ethereum)
        env = isolated_environment(
            GITPROV_ETHEREUM_KEY=secret.hex(), GITPROV_BITCOIN_KEY=encode_wif(MINER, "regtest")
        )
        yield Networks(ethereum, bitcoin, ipfs, (one, two), env)


def configure(repo: Path, section: dict[str, object]) -> None:
    path = repo / ".git/gitprov/config.yaml"
    path.write_text(yaml.safe_dump({"anchors": section, "hooks": {"anchor_seconds": 60}}))


def verdicts(repo: Path, *args: str, env: dict[str, str]) -> dict[str, set[str]]:
    """Check -> verdicts of all commits."""
    ran = gitprov(repo, "verify", "--json", *args, env=env)
    found: dict[str, set[str]] = {}
    for one in ran.json["commits"]:
        for finding in one["findings"]:
            found.setdefault(finding["check"], set()).add(finding["verdict"])
    return found


@pytest.mark.slow
def test_fifty_commits_on_five_networks(networks: Networks, tmp_path: Path) -> None:
    env = networks.env
    repo, origin = make_repo(tmp_path / "repo"), bare(tmp_path / "origin.git")
    gitprov(repo, "init", "--no-hooks")
    configure(repo, networks.section())
    git(repo, "commit", "-q", "-m", "begin")
    for number in range(COMMITS - 1):
        write(repo, {"a.txt": f"{number}\n"})
        git(repo, "add", "a.txt")
        git(repo, "commit", "-q", "-m", f"change {number}")
    gitprov(repo, "install")
    git(repo, "remote", "add", "origin", str(origin))
    pushed = subprocess.run(
        ["git", "push", "-q", "-u", "origin", "main"], cwd=repo, env=env, capture_output=True
    )
    assert pushed.returncode == 0, pushed.stderr
    said = pushed.stderr.decode()
    for network in NETWORKS:
        assert f"gitprov: {network}: " in said, said
    networks.settle(tmp_path)
    refreshed = gitprov(repo, "anchor", "--refresh", "--json", "--push", "origin", env=env)
    assert refreshed.code == 0, refreshed
    for state in refreshed.json["networks"]:
        assert [job["state"] for job in state["anchorings"]] == ["final"], state
        assert state["noted"] == (0 if state["network"] == "ipfs" else COMMITS)

    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(origin), "clone")
    gitprov(clone, "init", "--no-hooks")
    section = networks.section()
    configure(clone, section)
    online = verdicts(clone, f"HEAD~{COMMITS - 1}..HEAD", env=isolated_environment())
    for network in NETWORKS:
        assert online[f"anchor:{network}"] == {"pass"}, online
    _exports(clone, networks, tmp_path)
    _tampering(clone)

    blocks = _blocks(clone)
    networks.stop()
    offline = verdicts(clone, "--timeout", "5", env=isolated_environment())
    for network in NETWORKS:
        assert offline[f"anchor:{network}"] == {"unknown"}, offline
    trusted = [word for block in blocks for word in ("--trust-block", block)]
    told = verdicts(clone, "--offline", *trusted, env=isolated_environment())
    assert told["anchor:ethereum"] == told["anchor:bitcoin"] == {"pass"}


def _exports(clone: Path, networks: Networks, folder: Path) -> None:
    """The stock client of OpenTimestamps accepts what we export."""
    target = folder / "leaf"
    done = gitprov(clone, "anchor", "export", "--ots", "HEAD", "-o", str(target), "--json")
    assert done.json["complete"] is True, done
    node = networks.bitcoin
    with serving(_as_jsonrpc(node)) as url:
        address = url.replace("http://", "http://user:password@")
        _verify_with_the_stock_client(address, target)


def _as_jsonrpc(node: Node) -> Respond:
    """btcd wants the field `jsonrpc`, which the client leaves out; nothing else is changed."""

    def respond(method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        del method, path
        asked = json.loads(body)
        try:
            result, error = node.rpc(asked["method"], *asked["params"]), None
        except RpcError as exc:
            result, error = None, {"code": exc.code, "message": exc.message}
        answer = {"id": asked["id"], "result": result, "error": error}
        return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()

    return respond


def _verify_with_the_stock_client(address: str, target: Path) -> None:
    ots = str(Path(sys.executable).with_name("ots"))
    command = [ots, "--no-cache", "--btc-regtest", "--bitcoin-node", address, "verify"]
    good = subprocess.run([*command, f"{target}.ots"], capture_output=True, check=False)
    assert good.returncode == 0, good.stderr
    assert b"Success" in good.stderr + good.stdout
    target.write_bytes(b"another leaf")
    bad = subprocess.run([*command, f"{target}.ots"], capture_output=True, check=False)
    assert bad.returncode != 0


def _tampering(clone: Path) -> None:
    """A changed receipt, proof or head of each network is found."""
    head = git(clone, "rev-parse", "HEAD")
    ref = "refs/notes/gitprov"
    tip = git(clone, "rev-parse", "refs/notes/origin/gitprov")
    for network in NETWORKS:
        for field, change in (("index", 3), ("size", 49), ("digest", "sha256:" + "11" * 32)):
            lines = _note(clone, head)
            for line in lines:
                if line.get("network") == network:
                    line[field] = change
            _rewrite(clone, ref, head, lines)
            found = verdicts(clone, "--offline", env=isolated_environment())
            assert "fail" in found[f"anchor:{network}"], (network, field)
    git(clone, "update-ref", "-d", ref)
    assert tip == git(clone, "rev-parse", "refs/notes/origin/gitprov")


def _note(clone: Path, commit: str) -> list[dict[str, object]]:
    text = git(clone, "notes", "--ref", "refs/notes/origin/gitprov", "show", commit)
    return [json.loads(line) for line in text.splitlines()]


def _rewrite(clone: Path, ref: str, commit: str, lines: list[dict[str, object]]) -> None:
    text = "".join(
        json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
        for line in lines
    )
    who = ("-c", "user.name=Mallory", "-c", "user.email=mallory@example.org")
    git(clone, *who, "notes", "--ref", ref, "add", "-f", "-F", "-", commit, input=text.encode())


def _blocks(clone: Path) -> list[str]:
    head = git(clone, "rev-parse", "HEAD")
    receipts = [line.get("receipt", {}) for line in _note(clone, head)]
    return [str(receipt["block"]) for receipt in receipts if "block" in receipt]  # type: ignore[operator,index]


KILLS = 12


@pytest.mark.fault
def test_killed_at_random_nothing_is_lost_and_nothing_is_paid_twice(
    anvil: Node, tmp_path: Path
) -> None:
    _kill_campaign(anvil, tmp_path, KILLS)


@pytest.mark.soak
def test_two_hundred_kills_lose_nothing_and_pay_nothing_twice(anvil: Node, tmp_path: Path) -> None:
    _kill_campaign(anvil, tmp_path, 200)


def _kill_campaign(anvil: Node, tmp_path: Path, kills: int) -> None:
    import random

    dice = random.Random(7)
    secret, address = account(anvil)
    env = isolated_environment(GITPROV_ETHEREUM_KEY=secret.hex())
    repo = make_repo(tmp_path / "repo")
    gitprov(repo, "init", "--no-hooks")
    section = {"url": anvil.url, "mode": "calldata"}
    configure(repo, {"networks": ["ethereum"], "ethereum": section})
    for number in range(kills):
        write(repo, {"a.txt": f"{number}\n"})
        git(repo, "add", "-A")
        git(repo, "commit", "-q", "-m", f"change {number}")
        gitprov(repo, "record", "--quiet")
        process = subprocess.Popen(
            [sys.executable, "-m", "gitprov", "anchor", "--quiet"],
            cwd=repo,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(dice.uniform(0.05, 1.2))
        process.kill()
        process.wait()
    done = gitprov(repo, "anchor", "--json", "--wait", env=env)
    assert done.code == 0, done
    [state] = done.json["networks"]
    digests = [job["digest"] for job in state["anchorings"]]
    assert len(set(digests)) == len(digests)
    paid = int(str(anvil.rpc("eth_getTransactionCount", address, "latest")), 16)
    assert paid == len(digests)
    assert {job["state"] for job in state["anchorings"]} <= {"included", "final"}
    found = verdicts(repo, f"HEAD~{kills - 1}..HEAD", env=env)
    assert found["anchor:ethereum"] <= {"pass", "skip"}
