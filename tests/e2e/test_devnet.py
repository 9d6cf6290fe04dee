"""All networks on this machine: up, used, down, and nothing of it is left."""

import json
import os
import shutil
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitprov.devnet.process import Process
from gitprov.devnet.state import State, read_state
from tests.support import cli
from tests.support.cli import Ended
from tests.support.nodes import program
from tests.support.repos import commit, git, make_repo

NODES = ("anvil", "btcd", "ipfs")


class Clone:
    """A repository with gitprov, and the programs that its commands may find."""

    def __init__(self, path: Path, tools: Path) -> None:
        self.path = make_repo(path)
        self.tools = tools
        self.bin = tools / "bin"
        self.bin.mkdir(parents=True)
        # Nothing but git is on PATH, so that the tests know what is found.
        (tools / "path").mkdir()
        (tools / "path" / "git").symlink_to(str(shutil.which("git")))
        self.env = {"PATH": str(tools / "path"), "GITPROV_SERVICES": str(tools)}
        self.ok("init")
        commit(self.path, {"code.py": "print(1)\n"})

    def has(self, *kinds: str) -> "Clone":
        """Lets its commands find real programs."""
        for kind in kinds:
            (self.bin / kind).symlink_to(program(kind))
        return self

    def run(self, *args: str) -> Ended:
        """Runs a gitprov process."""
        return cli.gitprov_process(self.path, *args, env=self.env)

    def ok(self, *args: str) -> Ended:
        """Runs one that has to succeed."""
        ended = self.run(*args)
        assert ended.code == 0, ended
        return ended

    @property
    def data(self) -> Path:
        """gitprov's folder in the git folder."""
        return self.path / ".git" / "gitprov"

    @property
    def config(self) -> Any:
        """The clone's own configuration, None when it has none."""
        file = self.data / "config.yaml"
        return yaml.safe_load(file.read_text()) if file.exists() else None

    @property
    def state(self) -> State:
        """What was written down about the devnet that is up."""
        state = read_state(str(self.data / "devnet"))
        assert state is not None
        return state


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Clone]:
    """A clone without any program; what a failed test left running is ended."""
    clone = Clone(tmp_path / "r", tmp_path / "tools")
    yield clone
    clone.run("devnet", "down")


def test_a_newcomer_sees_all_networks_work(clone: Clone) -> None:
    clone.has(*NODES)
    up = clone.ok("devnet", "up")
    assert [line.split()[:3] for line in up.out.splitlines()[:3]] == [
        ["ethereum", "anvil", "running"],
        ["bitcoin", "btcd", "running"],
        ["ipfs", "ipfs", "running"],
    ]
    assert "next: gitprov anchor --wait" in up.out
    processes = clone.state.processes
    assert len(processes) == 4

    assert clone.ok("anchor", "--wait", "final", "--timeout", "120").out.count("final") == 3
    verified = clone.ok("verify", "--strict", "HEAD").out
    for network in ("ethereum", "bitcoin", "ipfs"):
        assert f"PASS     anchor:{network}" in verified
    heights = [node["height"] for node in clone.ok("devnet", "status", "--json").json["nodes"]]
    assert heights[1] == 116
    assert heights[2] is None

    # A second commit: change is followed, nonces go on.
    commit(clone.path, {"code.py": "print(2)\n"})
    assert clone.ok("anchor", "--wait", "--timeout", "120").code == 0
    clone.ok("verify", "--strict", "HEAD")

    assert git(clone.path, "status", "--porcelain") == ""
    assert "down" in clone.ok("devnet", "down").out
    assert [process.is_running() for process in processes] == [False] * 4
    assert clone.config is None
    assert not (clone.data / "devnet").exists()


def test_what_is_not_installed_is_left_out(clone: Clone) -> None:
    clone.has("ipfs")
    up = clone.ok("devnet", "up")
    assert "gitprov: ethereum: no program for it was found" in up.err
    assert clone.config["anchors"]["networks"] == ["ipfs"]
    assert {*clone.config["anchors"]} == {"networks", "ipfs"}
    clone.ok("anchor", "--wait", "--timeout", "60")
    clone.ok("verify", "--strict", "HEAD")


def test_without_any_program_there_is_one_clear_sentence_and_nothing_changes(clone: Clone) -> None:
    ended = clone.run("devnet", "up")
    assert ended.code == 2
    assert "error: there is nothing to start: no anvil, geth, btcd, bitcoind or ipfs" in ended.err
    assert "hint: `make devnet`" in ended.err
    assert ended.out == ""
    assert not (clone.data / "devnet").exists()
    assert clone.config is None
    assert "no devnet: gitprov devnet up" in clone.ok("devnet", "status").out
    assert "there was no devnet" in clone.ok("devnet", "down").out


def test_the_configuration_that_was_there_is_put_back(clone: Clone) -> None:
    clone.ok("anchor", "setup", "ethereum", "--url", "http://127.0.0.1:9", "--set", "mode=calldata")
    file = clone.data / "config.yaml"
    file.write_text(file.read_text() + "hooks:\n  push_seconds: 7\n")
    before = clone.config
    clone.has("ipfs").ok("devnet", "up")
    assert clone.config["hooks"] == {"push_seconds": 7}
    assert "ethereum" not in clone.config["anchors"]
    clone.ok("devnet", "down")
    assert clone.config == before
    clone.ok("devnet", "down")
    assert clone.config == before


def test_up_is_refused_while_it_is_up(clone: Clone) -> None:
    clone.has("ipfs").ok("devnet", "up", "--quiet")
    pid = clone.state.nodes["ipfs"].process.pid
    ended = clone.run("devnet", "up")
    assert ended.code == 2
    assert "error: the devnet is up already" in ended.err
    assert clone.state.nodes["ipfs"].process.pid == pid
    assert clone.ok("devnet", "status", "--json").json["nodes"][0]["running"]


def test_of_two_that_start_it_at_once_one_does(clone: Clone) -> None:
    clone.has("ipfs")
    both = [cli.start(clone.path, "devnet", "up", env=clone.env) for _ in range(2)]
    ended = [cli.finish(process) for process in both]
    assert sorted(one.code for one in ended) == [0, 2]
    assert clone.ok("devnet", "status", "--json").json["nodes"][0]["running"]


def test_a_node_that_ended_shows_and_down_and_up_cope(clone: Clone) -> None:
    clone.has("anvil").ok("devnet", "up")
    state = clone.state
    os.kill(state.nodes["ethereum"].process.pid, signal.SIGKILL)
    assert state.miner is not None
    _wait_for_the_end(state.nodes["ethereum"].process)
    node = clone.ok("devnet", "status", "--json").json["nodes"][0]
    assert not node["running"]
    assert node["height"] is None
    assert "ended" in clone.ok("devnet", "status").out
    _wait_for_the_end(state.miner)  # by itself: nobody is left to make blocks for
    clone.ok("devnet", "up")
    assert clone.state.nodes["ethereum"].process != state.nodes["ethereum"].process


def test_a_node_that_does_not_start_takes_the_others_with_it(clone: Clone) -> None:
    clone.has("anvil")
    shutil.copy("/bin/false", clone.bin / "btcd")
    started = cli.start(clone.path, "devnet", "up", env=clone.env)
    assert started.stderr is not None
    assert "ethereum: anvil at http://127.0.0.1:" in started.stderr.readline()
    process = clone.state.nodes["ethereum"].process
    ended = cli.finish(started)
    assert ended.code == 3
    assert "btcd ended at once" in ended.err
    assert not process.is_running()
    assert not (clone.data / "devnet").exists()
    assert clone.config is None


def test_up_that_is_interrupted_leaves_nothing(clone: Clone) -> None:
    clone.has(*NODES)
    started = cli.start(clone.path, "devnet", "up", env=clone.env)
    assert started.stderr is not None
    started.stderr.readline()
    process = clone.state.nodes["ethereum"].process
    started.send_signal(signal.SIGINT)
    assert cli.finish(started).code != 0
    assert not process.is_running()
    assert not (clone.data / "devnet").exists()
    assert clone.config is None


def test_keys_and_passwords_stay_with_this_user_and_out_of_what_is_shown(clone: Clone) -> None:
    clone.has("anvil", "btcd")
    up = clone.ok("devnet", "up", "--json")
    folder = clone.data / "devnet"
    secrets = [(folder / f"{network}.key").read_text().strip() for network in up_networks(up)]
    assert len(secrets) == 2
    secrets.append(clone.state.nodes["bitcoin"].password)
    for path in (folder / "ethereum.key", folder / "state.json", clone.data / "config.yaml"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    shown = [
        up,
        clone.ok("devnet", "status"),
        clone.ok("doctor"),
        clone.ok("anchor", "--wait", "--timeout", "60"),
        clone.ok("key", "show-address", "ethereum"),
    ]
    for ended in shown:
        for secret in secrets:
            assert secret not in ended.out + ended.err
    assert up.json["nodes"][0]["address"] in shown[-1].out


def test_a_damaged_list_of_processes_ends_nobody(clone: Clone) -> None:
    clone.has("ipfs").ok("devnet", "up")
    file = clone.data / "devnet" / "state.json"
    good = file.read_text()
    process = clone.state.nodes["ipfs"].process
    value = json.loads(good)
    stranger = {"pid": os.getpid(), "began": value["nodes"]["ipfs"]["process"]["began"]}
    value["nodes"]["ipfs"]["process"] = stranger
    for text in ("", "[]", "{", '{"nodes": 7}', json.dumps({**value, "nodes": {"ipfs": {}}})):
        file.write_text(text)
        for command in ("up", "down", "status"):
            ended = clone.run("devnet", command)
            assert ended.code == 4
            assert "state.json is damaged" in ended.err
    assert process.is_running()
    if Path("/proc/self").exists():
        file.write_text(json.dumps(value))
        clone.ok("devnet", "status")
        assert not clone.ok("devnet", "status", "--json").json["nodes"][0]["running"]
    file.write_text(good)
    clone.ok("devnet", "down")
    assert not process.is_running()


def up_networks(up: Ended) -> list[str]:
    """The networks that a devnet has."""
    return [str(node["network"]) for node in up.json["nodes"]]


def _wait_for_the_end(process: Process) -> None:
    while process.is_running():
        time.sleep(0.01)
