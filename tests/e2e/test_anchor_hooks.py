"""What the hooks do about networks: beside a commit, and within bounds before a push."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitprov.devnet.nodes import Node
from tests.e2e.story import gitprov
from tests.support.nodes import account
from tests.support.repos import bare, git, isolated_environment, make_repo

DEADLINE = 60.0


@contextmanager
def silence() -> Iterator[str]:
    """A node that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def repository(tmp_path: Path, url: str, **hooks: Any) -> Path:
    repo = make_repo(tmp_path / "repo")
    gitprov(repo, "init")
    section = {"networks": ["ethereum"], "ethereum": {"url": url, "mode": "calldata"}}
    text = yaml.safe_dump({"anchors": section, "hooks": hooks})
    (repo / ".git/gitprov/config.yaml").write_text(text)
    git(repo, "remote", "add", "origin", str(bare(tmp_path / "origin.git")))
    return repo


def commit(repo: Path, env: dict[str, str]) -> None:
    command = ["git", "commit", "-q", "--allow-empty", "-m", "one more"]
    subprocess.run(command, cwd=repo, env=env, check=True, capture_output=True)


def push(repo: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["git", "push", "-q", "origin", "main"]
    return subprocess.run(command, cwd=repo, env=env, capture_output=True, text=True, check=False)


def noted(repo: Path) -> list[str]:
    """The networks that the note of HEAD names."""
    text = git(repo, "notes", "--ref", "gitprov", "show", "HEAD", check=False)
    return [json.loads(line).get("network", "") for line in text.splitlines()]


def test_a_commit_is_anchored_in_the_background(anvil: Node, tmp_path: Path) -> None:
    secret, _ = account(anvil)
    env = isolated_environment(GITPROV_ETHEREUM_KEY=secret.hex())
    repo = repository(tmp_path, anvil.url, post_commit="anchor")
    commit(repo, env)
    ends = time.monotonic() + DEADLINE
    while "ethereum" not in noted(repo) and time.monotonic() < ends:
        time.sleep(0.2)
    assert "ethereum" in noted(repo), (repo / ".git/gitprov/anchor.log").read_text()


def test_a_commit_starts_nothing_unless_it_is_told_to(anvil: Node, tmp_path: Path) -> None:
    repo = repository(tmp_path, anvil.url)
    commit(repo, isolated_environment())
    assert not (repo / ".git/gitprov/anchor.log").exists()


def test_a_node_that_hangs_costs_a_push_its_time_and_nothing_else(tmp_path: Path) -> None:
    env = isolated_environment(GITPROV_ETHEREUM_KEY="11" * 32)
    with silence() as url:
        repo = repository(tmp_path, url, anchor_seconds=1)
        commit(repo, env)
        done = push(repo, env)
    assert done.returncode == 0, done.stderr
    assert "did not answer within" in done.stderr
    assert "ethereum: nothing is lost; the next push goes on with it" in done.stderr
    assert git(tmp_path / "origin.git", "rev-parse", "main") == git(repo, "rev-parse", "HEAD")


def test_a_required_network_that_is_away_keeps_the_push_back(tmp_path: Path) -> None:
    env = isolated_environment(GITPROV_ETHEREUM_KEY="11" * 32)
    with silence() as url:
        repo = repository(tmp_path, url, anchor_seconds=1)
        with (repo / ".gitprov.yaml").open("a") as file:
            file.write("policy:\n  required: [tlog, ethereum]\n")
        commit(repo, env)
        done = push(repo, env)
        address = subprocess.run(
            ["git", "push", "-q", str(tmp_path / "origin.git"), "main"],
            cwd=repo,
            env=env,
            capture_output=True,
            check=False,
        )
    assert done.returncode != 0
    assert "the policy requires all of tlog, ethereum: nothing was pushed" in done.stderr
    assert address.returncode != 0  # whatever the remote is called


def test_the_next_push_does_what_the_last_one_left(anvil: Node, tmp_path: Path) -> None:
    secret, _ = account(anvil)
    env = isolated_environment(GITPROV_ETHEREUM_KEY=secret.hex())
    with silence() as url:
        repo = repository(tmp_path, url, anchor_seconds=1)
        commit(repo, env)
        push(repo, env)
    gitprov(repo, "anchor", "setup", "ethereum", "--url", anvil.url)
    config = repo / ".git/gitprov/config.yaml"
    config.write_text(config.read_text().replace("anchor_seconds: 1", "anchor_seconds: 60"))
    commit(repo, env)
    done = push(repo, env)
    assert "gitprov: ethereum: " in done.stderr, done.stderr
    ran = gitprov(repo, "verify", "HEAD~1..HEAD", "--json", env=env)
    checks = {finding["check"] for one in ran.json["commits"] for finding in one["findings"]}
    assert "anchor:ethereum" in checks
    git(repo, "update-ref", "-d", "refs/notes/origin/gitprov")
    assert "ethereum" in noted(repo)


@pytest.mark.parametrize("key", ["url: http://evil.example", "key: env:HOME", "max_fee_gwei: 9"])
def test_a_tracked_file_names_no_node_no_key_and_no_price(tmp_path: Path, key: str) -> None:
    repo = make_repo(tmp_path / "r")
    gitprov(repo, "init", "--no-hooks")
    with (repo / ".gitprov.yaml").open("a") as file:
        file.write(f"anchors:\n  networks: [ethereum]\n  ethereum:\n    {key}\n")
    gitprov(repo, "record")
    ran = gitprov(repo, "anchor")
    assert ran.code == 2
    assert "a tracked file names no node, no key and no price" in ran.err


def test_doctor_says_which_network_answers(anvil: Node, tmp_path: Path) -> None:
    repo = repository(tmp_path, anvil.url)
    found = {one["name"]: one for one in gitprov(repo, "doctor", "--json").json["checks"]}
    assert found["ethereum"]["state"] == "ok"
    assert "eip155:31337" in found["ethereum"]["detail"]
    with silence() as url:
        gitprov(repo, "anchor", "setup", "ethereum", "--url", url)
        found = {one["name"]: one for one in gitprov(repo, "doctor", "--json").json["checks"]}
    assert found["ethereum"]["state"] == "warn"
