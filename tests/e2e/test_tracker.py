"""Training code records its own provenance, on real nodes, as it did with the earlier system."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gitprov.devnet.nodes import Node
from gitprov.errors import UnavailableError, UsageError
from gitprov.model.run import Run, parse_run
from tests.support import torch as support
from tests.support.cli import gitprov, ok
from tests.support.nodes import MINER_ADDRESS, MINER_WIF, account
from tests.support.repos import git, isolated_environment, make_repo, write

support.need()

import torch  # noqa: E402  # skipped above where it is missing

from gitprov import BlockchainManager, ProvenanceTracker  # noqa: E402


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    repo = make_repo(tmp_path / "repo")
    write(repo, {"train.py": "print('training')\n", ".gitignore": "artifacts/\n"})
    ok(repo, "init")
    git(repo, "add", "train.py", ".gitignore")
    git(repo, "commit", "-q", "-m", "first")
    monkeypatch.chdir(repo)
    return repo


@pytest.fixture
def model() -> torch.nn.Module:
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))


@pytest.fixture
def networks(anvil: Node, btcd: Node, kubo: Node) -> dict[str, Any]:
    """The earlier system's configuration, for the test nodes."""
    secret, _ = account(anvil)
    return {
        "blockchain": {
            "enabled": True,
            "networks": ["ipfs", "ethereum", "bitcoin"],
            "ipfs": {"enabled": True, "url": kubo.url, "timeout": 30, "retry_attempts": 3},
            "ethereum": {
                "enabled": True,
                "rpc_url": anvil.url,
                "private_key": "0x" + secret.hex(),
                "gas_limit": 200000,
                "gas_price": "auto",
            },
            "bitcoin": {
                "enabled": True,
                "rpc_url": btcd.url,
                "rpc_user": btcd.user,
                "rpc_password": btcd.password,
                "network": "regtest",
                "private_key": MINER_WIF,
            },
            "storage_options": {
                "store_before_training": True,
                "store_after_training": True,
                "store_epoch_checkpoints": True,
            },
            "debug": False,
        }
    }


DATA = torch.utils.data.TensorDataset(torch.arange(40.0).reshape(10, 4), torch.arange(10) % 2)


def step(model: torch.nn.Module) -> float:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.25)
    return float(next(model.parameters()).detach().sum())


def file_of(repo: Path, tracker: ProvenanceTracker) -> Run:
    return parse_run((repo / "runs" / f"{tracker.run_id}.json").read_bytes())


def test_the_basic_usage_of_the_earlier_system(repo: Path, model: torch.nn.Module) -> None:
    tracker = ProvenanceTracker(base_dir="artifacts")
    tracker.track_data(DATA, DATA)
    tracker.track_model(model)
    before = tracker.store_merkle_on_blockchain_before_training({"epochs": 2, "lr": 0.1})
    for epoch in range(2):
        tracker.track_epoch(epoch, {"loss": step(model)}, model)
    after = tracker.store_merkle_on_blockchain_after_training({"accuracy": 0.9})
    verification = tracker.verify_blockchain_provenance()
    tracker.save()
    report = tracker.save_blockchain_report()

    assert set(before) == set(after) == {"tlog"}
    assert verification["chain_integrity"] is True
    assert json.loads(report.read_text())["verification"]["verdict"] == "pass"
    assert tracker.run_id in report.with_suffix(".md").read_text()
    run = file_of(repo, tracker)
    assert [leaf["type"] for leaf in run.leaves] == [
        *("run", "environment", "data", "data", "model", "config", "epoch", "epoch"),
        *("results", "model", "end"),
    ]
    weights = [leaf["weights"] for leaf in (*run.of_type("epoch"), *run.of_type("model"))]
    assert weights[1] == weights[3]  # the last epoch's are the trained model's
    assert len(set(weights)) == 3


def test_the_advanced_usage_on_three_real_networks(
    repo: Path, model: torch.nn.Module, networks: dict[str, Any], anvil: Node, btcd: Node
) -> None:
    tracker = ProvenanceTracker(base_dir="artifacts", config=networks)
    tracker.track_data(DATA, DATA)
    tracker.track_model(model)
    before = tracker.store_merkle_on_blockchain_before_training({"epochs": 1})
    tracker.track_epoch(0, {"loss": step(model)}, model)
    after = tracker.store_merkle_on_blockchain_after_training({"accuracy": 0.9})
    for found in (before, after):
        assert set(found) == {"tlog", "ipfs", "ethereum", "bitcoin"}
    assert before["ethereum"] != after["ethereum"]
    assert before["bitcoin"] != after["bitcoin"]
    status = tracker.get_blockchain_status()
    assert status["blockchain_enabled"] is True
    assert set(status["stored_hashes"]) == {"before", "after"}
    assert set(status["networks"]) == {"tlog", "ipfs", "ethereum", "bitcoin"}

    anvil.mine(4)
    btcd.mine(6, MINER_ADDRESS)
    verification = tracker.verify_blockchain_provenance()
    assert verification["chain_integrity"] is True, verification
    for stage in ("before", "after"):
        assert verification["stages"][stage]["ethereum"]["verdict"] == "pass"
        assert verification["stages"][stage]["bitcoin"]["verdict"] == "pass"

    checkpoint = repo / "artifacts" / tracker.run_id / "epoch-0000.safetensors"
    [epoch] = file_of(repo, tracker).of_type("epoch")
    from gitprov.core.digest import Digest

    assert epoch["checkpoint"] == str(Digest.of(checkpoint.read_bytes()))


def test_the_custom_configuration_comes_from_a_file_too(
    repo: Path, networks: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = networks["blockchain"]
    monkeypatch.setenv("MY_ETH_KEY", chain["ethereum"]["private_key"])
    chain["ethereum"]["private_key"] = "${MY_ETH_KEY}"
    chain["networks"] = ["ethereum"]
    del chain["bitcoin"]
    write(repo, {"provenance.json": json.dumps(networks)})
    tracker = ProvenanceTracker("artifacts", "provenance.json")
    assert set(tracker.store_merkle_on_blockchain_before_training({})) == {"tlog", "ethereum"}


def test_the_manager_stores_verifies_and_tells(
    repo: Path, networks: dict[str, Any], anvil: Node, btcd: Node
) -> None:
    manager = BlockchainManager(networks)
    digest = "ab" * 32
    sent = manager.store_merkle_hash(digest, {"stage": "before"}, ["ethereum", "bitcoin"])
    assert set(sent) == {"tlog", "ethereum", "bitcoin"}
    anvil.mine(4)
    btcd.mine(6, MINER_ADDRESS)
    found = manager.verify_merkle_hash(digest, sent)
    assert found["verified"] is True, found
    assert found["metadata"] == [{"stage": "before"}]
    told = manager.get_transaction_info(sent)
    assert told["ethereum"]["confirmations"] >= 1
    assert told["bitcoin"]["block"]
    assert told["tlog"]["state"] == "final"

    wrong = manager.verify_merkle_hash(digest, {**sent, "ethereum": "0x" + "00" * 32})
    assert wrong["verified"] is False
    assert manager.verify_merkle_hash("cd" * 32, sent)["verified"] is False
    assert manager.get_transaction_info({"bitcoin": "00" * 32})["bitcoin"]["state"] == "unknown"
    with pytest.raises(UsageError, match="64 hexadecimal digits"):
        manager.store_merkle_hash("abc", {})


def test_a_network_that_is_down_stops_no_training(
    repo: Path, model: torch.nn.Module, networks: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    networks["blockchain"]["ethereum"]["rpc_url"] = "http://127.0.0.1:1"
    networks["blockchain"]["networks"] = ["ethereum", "ipfs"]
    tracker = ProvenanceTracker("artifacts", networks)
    tracker.track_model(model)
    found = tracker.store_merkle_on_blockchain_before_training({})
    assert set(found) == {"tlog", "ipfs"}
    assert "ethereum" in caplog.text
    assert "`gitprov anchor` sends it" in caplog.text
    assert set(tracker.store_merkle_on_blockchain_after_training({})) == {"tlog", "ipfs"}
    assert tracker.verify_blockchain_provenance()["chain_integrity"] is True


def test_no_network_at_all_is_asked_where_that_is_switched_off(
    repo: Path, networks: dict[str, Any]
) -> None:
    networks["blockchain"]["enabled"] = False
    tracker = ProvenanceTracker("artifacts", networks)
    assert set(tracker.store_merkle_on_blockchain_before_training({})) == {"tlog"}
    assert tracker.get_blockchain_status()["blockchain_enabled"] is False


def test_an_exception_is_recorded_as_a_failed_run(repo: Path, model: torch.nn.Module) -> None:
    tracker = ProvenanceTracker()

    def train() -> None:
        with tracker:
            tracker.track_model(model)
            tracker.track_epoch(0, {"loss": 1 / 0}, model)

    with pytest.raises(ZeroDivisionError):
        train()
    run = file_of(repo, tracker)
    assert run.outcome == "failed"
    assert run.leaves[-1]["error"] == "ZeroDivisionError"
    assert gitprov(repo, "runs", "verify").code == 0


def test_leaving_it_ends_the_run(repo: Path) -> None:
    with ProvenanceTracker() as tracker:
        tracker.track_data([b"one", b"two"], None)
    assert file_of(repo, tracker).outcome == "completed"
    with pytest.raises(UsageError, match="has ended"):
        tracker.track_epoch(1, {})
    with pytest.raises(UsageError, match="has ended"):
        tracker.store_merkle_on_blockchain_after_training({})


def test_nan_is_kept_and_canonical(repo: Path) -> None:
    with ProvenanceTracker() as tracker:
        tracker.store_merkle_on_blockchain_before_training({"big": 2**70})
        tracker.store_merkle_on_blockchain_after_training(
            {"nan": float("nan"), "inf": float("-inf"), "t": torch.tensor(1.5)}
        )
    run = file_of(repo, tracker)
    [results] = run.of_type("results")
    assert results["value"]["nan"] == {"$float": "NaN"}  # type: ignore[index,call-overload]
    assert results["value"]["inf"] == {"$float": "-Infinity"}  # type: ignore[index,call-overload]
    assert "nan=NaN" in ok(repo, "runs").out


def test_a_killed_training_is_interrupted_and_loses_nothing_else(repo: Path) -> None:
    script = """
import os, signal, sys
from gitprov import ProvenanceTracker
tracker = ProvenanceTracker()
tracker.track_data([b"one"], None)
tracker.store_merkle_on_blockchain_before_training({"lr": 0.1})
tracker.track_epoch(0, {"loss": 0.5})
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=repo, env=isolated_environment())
    assert done.returncode == -signal.SIGKILL
    [one] = ok(repo, "runs", "--json").json["runs"]
    assert one["outcome"] == "interrupted"
    run = parse_run((repo / "runs" / f"{one['id']}.json").read_bytes())
    assert [leaf["type"] for leaf in run.leaves][-1] == "epoch"
    assert gitprov(repo, "runs", "verify").code == 0


def test_a_key_that_git_tracks_is_refused(repo: Path, networks: dict[str, Any]) -> None:
    key = networks["blockchain"]["ethereum"]["private_key"]
    write(repo, {"settings.yaml": f"blockchain:\n  ethereum:\n    private_key: '{key}'\n"})
    git(repo, "add", "settings.yaml")
    for config in (networks, "settings.yaml"):
        with pytest.raises(UsageError, match="holds a private key") as caught:
            ProvenanceTracker("artifacts", config)
        assert key not in str(caught.value)


def test_what_cannot_be_digested_is_named(repo: Path, model: torch.nn.Module) -> None:
    tracker = ProvenanceTracker()
    with pytest.raises(UsageError, match="object"):
        tracker.track_data(object(), None)
    with pytest.raises(UsageError, match="object"):
        tracker.track_model(object())
    with pytest.raises(UsageError, match="meta"):
        tracker.track_model(torch.nn.Linear(2, 2, device="meta"))
    with pytest.raises(UsageError, match="unknown network"):
        ProvenanceTracker("artifacts", {"networks": ["dogecoin"]})
    tracker.track_model(model)  # it goes on


def test_it_needs_a_repository_with_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((UsageError, UnavailableError)):
        ProvenanceTracker()
    monkeypatch.chdir(make_repo(tmp_path / "empty"))
    with pytest.raises(UnavailableError, match="no commit yet"):
        ProvenanceTracker()


def test_two_trackings_of_the_same_code_give_the_same_roots(repo: Path) -> None:
    roots = []
    for _ in range(2):
        torch.manual_seed(3)
        net = torch.nn.Linear(3, 3)
        tracker = ProvenanceTracker()
        roots.append((tracker.track_data(DATA, None), tracker.track_model(net)))
    assert roots[0] == roots[1]


def test_a_wrapped_model_has_the_root_of_the_model_inside(
    repo: Path, model: torch.nn.Module
) -> None:
    tracker = ProvenanceTracker()
    plain = tracker.track_model(model)
    assert tracker.track_model(torch.nn.DataParallel(model)) == plain
    assert tracker.track_model(torch.compile(model)) == plain
    assert tracker.track_model(model.state_dict()) == plain
    leaves = file_of(repo, tracker).of_type("model")
    assert len({str(leaf["architecture"]) for leaf in leaves[:3]}) == 1


def test_a_metric_in_a_tensor_of_one_number_is_that_number(repo: Path) -> None:
    tracker = ProvenanceTracker()
    tracker.track_epoch(0, {"loss": torch.tensor(0.5), "more": {"n": torch.tensor(3)}})
    [epoch] = file_of(repo, tracker).of_type("epoch")
    assert epoch["metrics"] == {"loss": 0.5, "more": {"n": 3}}


def test_importing_gitprov_loads_nothing_heavy() -> None:
    script = (
        "import sys, gitprov; heavy = {'torch', 'web3', 'eth_account', 'numpy', 'pandas', 'httpx'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    env = {**isolated_environment(), **support.environment()}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_a_run_is_found_in_the_repository_around_a_subfolder(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repo / "src").mkdir()
    monkeypatch.chdir(repo / "src")
    with ProvenanceTracker() as tracker:
        pass
    assert file_of(repo, tracker).outcome == "completed"
    assert os.listdir(repo / "src") == []  # noqa: PTH208
