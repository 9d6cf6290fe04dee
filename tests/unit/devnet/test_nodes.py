"""Nodes start, answer on loopback, and leave nothing behind; nobody else's process is ended."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gitprov.devnet.finding import find, services_folder
from gitprov.devnet.nodes import Node, start_anvil, start_btcd
from gitprov.devnet.process import Process, free_port, start
from gitprov.errors import EnvironmentFault, UnavailableError
from gitprov.platform.http import Http
from tests.support.nodes import (
    MINER_ADDRESS,
    MINER_WIF,
    account,
    bitcoin_key,
    program,
    reorg,
    start_node,
)

KINDS = ["anvil", "geth", "btcd", "bitcoind", "ipfs"]


def say(node: Node) -> object:
    """What a node answers to the simplest question."""
    if node.kind in {"anvil", "geth"}:
        return node.rpc("eth_blockNumber")
    if node.kind in {"btcd", "bitcoind"}:
        return node.rpc("getblockcount")
    http = Http(timeout=5)
    try:
        return http.request("POST", f"{node.url}/api/v0/version").status
    finally:
        http.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_starts_answers_and_leaves_no_process_behind(kind: str, tmp_path: Path) -> None:
    with start_node(kind, tmp_path) as node:
        assert node.kind == kind
        assert node.url.startswith("http://127.0.0.1:")
        assert say(node) in {"0x0", 110, 200}
        assert node.process.is_running()
        assert node.process.pid != os.getpid()
    assert not node.process.is_running()
    with pytest.raises(ProcessLookupError):
        os.kill(node.process.pid, 0)
    with pytest.raises(UnavailableError):
        say(node)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.skipif(not Path("/proc/self/net").exists(), reason="only Linux tells by /proc")
def test_a_node_listens_on_loopback_only(kind: str, tmp_path: Path) -> None:
    with start_node(kind, tmp_path) as node:
        listening = _listening(node.process.pid)
    assert listening
    assert {address for address, _ in listening} == {"0100007F"}


def test_all_that_a_node_writes_lies_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for variable in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "IPFS_PATH"):
        monkeypatch.delenv(variable, raising=False)
    for kind in ("anvil", "btcd", "ipfs"):
        if find(kind, os.environ) is None and not _installed(kind):
            continue
        folder = tmp_path / kind
        folder.mkdir()
        start_node(kind, folder).stop()
    assert sorted(home.rglob("*")) == []


def test_a_node_outlives_who_started_it_and_is_ended_by_what_was_written_down(
    tmp_path: Path,
) -> None:
    script = (
        "import sys; from gitprov.devnet.nodes import start_anvil;"
        "node = start_anvil(sys.argv[1], sys.argv[2]);"
        "print(node.process.pid, node.process.began, node.url)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, program("anvil"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    pid, began, url = done.stdout.split()
    node = Node("anvil", url, str(tmp_path), Process(int(pid), began))
    assert node.process.is_running()
    assert say(node) == "0x0"
    node.stop()
    assert not node.process.is_running()


def test_another_process_with_the_same_number_is_left_alone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        if not Path("/proc/self").exists():
            pytest.skip("no /proc: the number is all there is")
        stranger = Process(child.pid, "1")
        assert not stranger.is_running()
        stranger.stop()
        assert child.poll() is None
    finally:
        child.communicate(b"\n")


def test_a_process_that_will_not_end_is_ended_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitprov.devnet.process._STOP_SECONDS", 0.2)
    ready = tmp_path / "ready"
    script = (
        "import signal, sys, pathlib, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"
    )
    process = start(
        [sys.executable, "-c", script, str(ready)],
        folder=str(tmp_path),
        log="stubborn.log",
        answers=ready.exists,
    )
    process.stop()
    assert not process.is_running()


def test_a_node_that_cannot_start_says_why(tmp_path: Path) -> None:
    anvil = program("anvil")
    with pytest.raises(UnavailableError, match=r"ended at once: .*--no-such-option"):
        start_anvil(anvil, str(tmp_path), "--no-such-option")
    with pytest.raises(EnvironmentFault, match="cannot start"):
        start_anvil(str(tmp_path / "absent"), str(tmp_path))


def test_a_process_that_never_answers_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitprov.devnet.process._START_SECONDS", 0.3)
    pids = tmp_path / "pid"
    script = (
        "import os, sys, pathlib, time; print('one last word', flush=True);"
        "pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(600)"
    )
    with pytest.raises(UnavailableError, match="does not answer"):
        start(
            [sys.executable, "-c", script, str(pids)],
            folder=str(tmp_path),
            log="mute.log",
            answers=lambda: False,
        )
    if pids.exists():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pids.read_text()), 0)


def test_a_port_that_is_taken_is_an_error(anvil: Node, tmp_path: Path) -> None:
    port = int(anvil.url.rpartition(":")[2])
    with pytest.raises(UnavailableError, match="in use"):
        start_anvil(program("anvil"), str(tmp_path), port=port)
    assert anvil.process.is_running()


def test_a_port_is_free_again_as_soon_as_its_node_has_ended(tmp_path: Path) -> None:
    path = program("anvil")
    with start_anvil(path, str(tmp_path)) as first:
        say(first)
        port = int(first.url.rpartition(":")[2])
    with start_anvil(path, str(tmp_path), port=port) as again:
        assert again.url == first.url
        assert say(again) == "0x0"


def test_blocks_are_made_and_unmade(anvil: Node, btcd: Node) -> None:
    before = int(str(anvil.rpc("eth_blockNumber")), 16)
    anvil.mine(4)
    old = anvil.rpc("eth_getBlockByNumber", hex(before + 4), False)
    reorg(anvil, 2)
    new = anvil.rpc("eth_getBlockByNumber", hex(before + 4), False)
    assert isinstance(old, dict)
    assert isinstance(new, dict)
    assert old["hash"] != new["hash"]

    height = int(str(btcd.rpc("getblockcount")))
    btcd.mine(3)
    names = [btcd.rpc("getblockhash", height + n) for n in (1, 2, 3)]
    reorg(btcd, 2)
    assert btcd.rpc("getblockcount") == height + 4
    assert [btcd.rpc("getblockhash", height + n) == names[n - 1] for n in (1, 2, 3)] == [
        True,
        False,
        False,
    ]


def test_accounts_of_tests_have_what_they_say(anvil: Node, btcd: Node) -> None:
    _, address = account(anvil, 3)
    assert anvil.rpc("eth_getBalance", address, "latest") == hex(3 * 10**18)
    mined = btcd.rpc("searchrawtransactions", MINER_ADDRESS, 1, 0, 200)
    assert isinstance(mined, list)
    assert len(mined) >= 110
    assert MINER_WIF[0] == "c"
    assert bitcoin_key()[1].startswith("bcrt1q")


def test_two_btcds_find_each_other_on_loopback_and_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    path, port = program("btcd"), free_port()
    with start_btcd(path, str(tmp_path / "a"), MINER_ADDRESS, listen=port) as one:
        one.mine(5)
        with start_btcd(
            path, str(tmp_path / "b"), MINER_ADDRESS, connect=[f"127.0.0.1:{port}"]
        ) as two:
            while two.rpc("getblockcount") != 5:
                assert two.process.is_running()
            peers = two.rpc("getpeerinfo")
            assert isinstance(peers, list)
            assert len(peers) == 1


def test_a_script_on_the_path_is_passed_over_for_the_real_program(tmp_path: Path) -> None:
    package = tmp_path / "node_modules" / "@foundry-rs"
    wrapper = package / "anvil" / "bin.mjs"
    real = package / "anvil-linux-amd64" / "bin" / "anvil"
    for file, text in ((wrapper, "#!/usr/bin/env node\n"), (real, "\x7fELF")):
        file.parent.mkdir(parents=True)
        file.write_text(text)
        file.chmod(0o755)
    links = tmp_path / "bin"
    links.mkdir()
    (links / "anvil").symlink_to(wrapper)
    empty = str(tmp_path / "empty")
    assert find("anvil", {"PATH": str(links), "GITPROV_SERVICES": empty}) == str(real)
    real.unlink()
    assert find("anvil", {"PATH": str(links), "GITPROV_SERVICES": empty}) is None


def test_programs_are_looked_for_on_the_path_first_and_never_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("first", "services/bin", "here"):
        path = tmp_path / folder / "ipfs"
        path.parent.mkdir(parents=True)
        path.write_text("\x7fELF")
        path.chmod(0o755)
    services = {"GITPROV_SERVICES": str(tmp_path / "services")}
    assert find("ipfs", {"PATH": str(tmp_path / "first"), **services}) == str(
        tmp_path / "first" / "ipfs"
    )
    monkeypatch.chdir(tmp_path / "here")
    assert find("ipfs", {"PATH": f":.:{tmp_path}", **services}) == str(
        tmp_path / "services" / "bin" / "ipfs"
    )
    assert find("ipfs", {"PATH": ""}) is None


def test_the_services_folder_follows_the_environment() -> None:
    assert services_folder({"GITPROV_SERVICES": "/s", "XDG_CACHE_HOME": "/c"}) == "/s"
    assert services_folder({"XDG_CACHE_HOME": "/c", "HOME": "/h"}) == "/c/gitprov/services"
    assert services_folder({"HOME": "/h"}) == "/h/.cache/gitprov/services"


def test_a_node_repeats_no_password_when_it_is_shown(btcd: Node) -> None:
    assert btcd.password
    assert btcd.password not in repr(btcd)
    assert btcd.password not in repr(replace(btcd, kind="other"))


def _installed(kind: str) -> bool:
    from tests.support.nodes import ENVIRON

    return find(kind, ENVIRON) is not None


def _listening(pid: int) -> set[tuple[str, str]]:
    """Address (hex, little-endian) and port of every socket of a process that listens."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            listens = fields[3] == "0A" or table.startswith("udp")
            if listens and fields[9] in inodes:
                address, _, port = fields[1].partition(":")
                found.add((address, port))
    return found
