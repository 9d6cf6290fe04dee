"""What goes wrong around a training stops it never, is said, and loses nothing that was learned."""

import datetime
import enum
import logging
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from gitprov.errors import UsageError
from gitprov.model.run import Run, parse_run
from gitprov.ops.local_config import update_local_config
from gitprov.tracker.session import Session
from gitprov.workspace import Workspace
from tests.support import torch as support
from tests.support.cli import gitprov, ok
from tests.support.repos import git, isolated_environment, make_repo, write

support.need()

import torch  # noqa: E402  # skipped above where it is missing

from gitprov import BlockchainManager, ProvenanceTracker  # noqa: E402

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    repo = make_repo(tmp_path / "repo")
    write(repo, {"train.py": "print('training')\n", ".gitignore": "artifacts/\n"})
    ok(repo, "init")
    git(repo, "add", "train.py", ".gitignore")
    git(repo, "commit", "-q", "-m", "first")
    monkeypatch.chdir(repo)
    return repo


def file_of(repo: Path, tracker: ProvenanceTracker) -> Run:
    return parse_run((repo / "runs" / f"{tracker.run_id}.json").read_bytes())


def block(folder: Path) -> Path:
    """Puts a file where a folder has to be: no user, root included, can write below it."""
    aside = folder.with_name(folder.name + ".aside")
    folder.rename(aside)
    folder.write_text("in the way")
    return aside


def free(folder: Path, aside: Path) -> None:
    folder.unlink()
    aside.rename(folder)


# Forks.


def test_a_forked_child_leaves_its_parents_run_alone(repo: Path) -> None:
    script = """
import os, sys
from gitprov import ProvenanceTracker
from gitprov.errors import UsageError
tracker = ProvenanceTracker()
code = 0
with tracker:
    tracker.track_data([b"one"])
    child = os.fork()
    if child == 0:
        said = []
        for call in (
            lambda: tracker.track_epoch(0, {"loss": 1}),
            lambda: tracker.track_data([b"two"]),
            lambda: tracker.track_model({}),
            lambda: tracker.store_merkle_on_blockchain_before_training({}),
            lambda: tracker.store_merkle_on_blockchain_after_training({}),
            lambda: tracker.save(),
            lambda: tracker.save_blockchain_report(),
            lambda: tracker.verify_blockchain_provenance(),
        ):
            try:
                call()
            except UsageError as exc:
                said.append("another process" in str(exc))
        tracker.fail("child")
        assert tracker.__exit__(ValueError, ValueError(), None) is False
        assert tracker.__exit__(None, None, None) is False
        os._exit(0 if said == [True] * 8 else 1)
    code = os.waitpid(child, 0)[1]
    tracker.track_epoch(0, {"loss": 0.5})
print(tracker.run_id, code)
"""
    env = {**isolated_environment(), **support.environment()}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=repo, env=env, capture_output=True, text=True
    )
    run_id, code = done.stdout.split()
    assert code == "0", done.stderr
    run = parse_run((repo / "runs" / f"{run_id}.json").read_bytes())
    assert [leaf["type"] for leaf in run.leaves[2:]] == ["data", "epoch", "end"]
    assert run.outcome == "completed"
    assert gitprov(repo, "runs", "verify").code == 0


# The end of a training.


def test_a_model_that_cannot_be_digested_any_more_hides_no_error(
    repo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = torch.nn.Linear(2, 2)
    tracker = ProvenanceTracker()

    def train() -> None:
        with tracker:
            tracker.track_model(model)
            model.to("meta")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()
    run = file_of(repo, tracker)
    assert run.outcome == "failed"
    assert run.leaves[-1]["error"] == "ZeroDivisionError"
    assert "could not digest the trained model" in caplog.text
    tracker.fail("again")  # it has ended: said, not raised
    assert "has ended" in caplog.text


class Broken(torch.nn.Module):  # type: ignore[misc]  # torch is not there for mypy
    """Raises what a GPU does after an assertion of a kernel."""

    broken = False

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        if self.broken:
            raise RuntimeError("CUDA error: device-side assert triggered")
        return super().state_dict(*args, **kwargs)


def test_any_exception_of_the_model_leaves_the_results(repo: Path) -> None:
    model = Broken()
    tracker = ProvenanceTracker()
    tracker.track_model(model)
    model.broken = True
    assert "tlog" in tracker.store_merkle_on_blockchain_after_training({"accuracy": 0.9})
    run = file_of(repo, tracker)
    assert run.outcome == "completed"
    assert run.of_type("results")[0]["value"] == {"accuracy": 0.9}


@pytest.mark.parametrize(
    ("code", "outcome"), [(None, "completed"), (0, "completed"), (3, "failed")]
)
def test_leaving_by_exit_is_judged_by_its_code(repo: Path, code: int | None, outcome: str) -> None:
    tracker = ProvenanceTracker()
    with pytest.raises(SystemExit), tracker:
        sys.exit(code)
    assert file_of(repo, tracker).outcome == outcome


class Colour(enum.Enum):
    """A setting of training code."""

    RED = 1


def test_nothing_recordable_of_results_is_lost(
    repo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = ProvenanceTracker()
    tracker.store_merkle_on_blockchain_after_training(
        {
            "a": [1, 2, 3, object()],
            "confusion": {0: {1: 5}},
            "when": datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC),
            "day": datetime.date(2024, 1, 2),
            "file": Path("models/best.pt"),
            "id": uuid.UUID(int=5),
            "colour": Colour.RED,
            "loss": torch.tensor(0.5),
            "meta": torch.ones(1, device="meta"),
            "classes": {"cat"},
        }
    )
    run = file_of(repo, tracker)
    assert run.outcome == "completed"
    assert run.of_type("results")[0]["value"] == {
        "a": [1, 2, 3, {"$unrecorded": "object"}],
        "confusion": {"0": {"1": 5}},
        "when": "2024-01-02T00:00:00+00:00",
        "day": "2024-01-02",
        "file": "models/best.pt",
        "id": "00000000-0000-0000-0000-000000000005",
        "colour": "Colour.RED",
        "loss": 0.5,
        "meta": {"$unrecorded": "torch.Tensor"},
        "classes": {"$unrecorded": "set"},
    }
    assert "results['a'][3]" in caplog.text
    assert gitprov(repo, "runs", "verify").code == 0


def test_results_that_are_no_mapping_are_recorded(repo: Path) -> None:
    tracker = ProvenanceTracker()
    tracker.store_merkle_on_blockchain_after_training([0.5, 0.9])  # type: ignore[arg-type]
    assert file_of(repo, tracker).of_type("results")[0]["value"] == [0.5, 0.9]


def test_a_wrong_setting_before_the_training_is_named_with_its_place(repo: Path) -> None:
    tracker = ProvenanceTracker()
    with pytest.raises(UsageError, match=r"config\['layers'\]\[1\]: an object cannot be recorded"):
        tracker.store_merkle_on_blockchain_before_training({"layers": [1, object()]})
    with pytest.raises(UsageError, match=r"metrics\['x'\]"):
        tracker.track_epoch(0, {"x": object()})
    assert "tlog" in tracker.store_merkle_on_blockchain_before_training({"layers": {1: 2}})
    assert file_of(repo, tracker).of_type("config")[0]["value"] == {"layers": {"1": 2}}


# Disks and logs.


def test_a_file_that_cannot_be_written_stops_no_training(
    repo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = ProvenanceTracker()
    aside = block(repo / "runs")
    roots = tracker.track_data([b"one"])
    weights = tracker.track_model(torch.nn.Linear(2, 2))
    tracker.track_epoch(0, {"loss": 0.5})
    assert roots["train"].startswith("blake3:")
    assert weights.startswith("blake3:")
    assert "the epoch of the run" in caplog.text
    assert tracker.store_merkle_on_blockchain_before_training({"lr": 0.1}) == {}
    assert "the stage 'before'" in caplog.text
    free(repo / "runs", aside)
    tracker.track_epoch(1, {"loss": 0.25})  # the file has all of it now
    assert [leaf["type"] for leaf in file_of(repo, tracker).leaves[2:]] == [
        *("data", "model", "epoch", "config", "epoch")
    ]
    assert "tlog" in tracker.store_merkle_on_blockchain_after_training({"accuracy": 0.9})
    run = file_of(repo, tracker)
    assert run.outcome == "completed"
    assert gitprov(repo, "runs", "verify").code == 0


def test_an_end_that_was_kept_back_can_be_made_up_for(
    repo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = ProvenanceTracker()
    tracker.track_model(torch.nn.Linear(2, 2))
    aside = block(repo / "runs")
    assert tracker.store_merkle_on_blockchain_after_training({"accuracy": 0.9}) == {}
    assert "the stage 'after'" in caplog.text
    with pytest.raises(UsageError, match="has ended"):
        tracker.track_epoch(1, {})  # nothing may follow the last leaf
    free(repo / "runs", aside)
    assert "tlog" in tracker.store_merkle_on_blockchain_after_training({"accuracy": 0.9})
    kinds = [leaf["type"] for leaf in file_of(repo, tracker).leaves]
    assert kinds == ["run", "environment", "model", "results", "model", "end"]
    assert gitprov(repo, "runs", "verify").code == 0


def test_git_that_is_gone_stops_no_training(
    repo: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = ProvenanceTracker()
    (repo / ".git").rename(tmp_path / "git.aside")
    assert tracker.store_merkle_on_blockchain_before_training({}) == {}
    tracker.track_epoch(0, {"loss": 1})
    with tracker:
        pass
    assert "is not in the log yet" in caplog.text
    (tmp_path / "git.aside").rename(repo / ".git")
    with tracker:
        pass
    assert file_of(repo, tracker).outcome == "completed"
    assert gitprov(repo, "runs", "verify").code == 0


def test_a_key_of_the_log_that_is_gone_stops_no_training(
    repo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = ProvenanceTracker()
    tracker.store_merkle_on_blockchain_before_training({})
    [key] = (repo / ".git" / "gitprov").glob("**/log.key")
    key.unlink()
    assert tracker.store_merkle_on_blockchain_after_training({}) == {}
    assert "the log is not signed" in caplog.text
    assert file_of(repo, tracker).outcome == "completed"


def test_a_checkpoint_that_cannot_be_written_stops_no_training(
    repo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = ProvenanceTracker(config={"storage_options": {"store_epoch_checkpoints": True}})
    (repo / "artifacts").write_text("in the way")
    tracker.track_epoch(0, {"loss": 1}, torch.nn.Linear(2, 2))
    [epoch] = file_of(repo, tracker).of_type("epoch")
    assert epoch["checkpoint"] is None
    assert epoch["weights"] is not None
    assert "without its checkpoint" in caplog.text


def test_a_folder_that_is_left_does_not_move_the_files(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = ProvenanceTracker("artifacts")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert tracker.save_blockchain_report().parent == repo / "artifacts"


# Networks.


def test_what_is_said_of_a_network_that_is_down_is_true(
    repo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = {"networks": ["ipfs"], "ipfs": {"url": NOWHERE}}
    ProvenanceTracker(config=config).store_merkle_on_blockchain_before_training({})
    assert "until a tracker with this configuration runs again" in caplog.text
    assert "`gitprov anchor setup ipfs` sets it up here" in caplog.text
    caplog.clear()
    with Workspace.open(str(repo)) as ws:
        update_local_config(ws, {"anchors": {"networks": ["ipfs"], "ipfs": {"url": NOWHERE}}})
    ProvenanceTracker(config=config).store_merkle_on_blockchain_before_training({})
    assert "it stays in the outbox: `gitprov anchor` sends it" in caplog.text
    assert "runs again" not in caplog.text


# Secrets.

KEY = "5e" * 32
CONFIG = {
    "networks": ["bitcoin"],
    "bitcoin": {"rpc_url": "http://u:urlpass@127.0.0.1:1", "rpc_password": "hunter2"},
    "ethereum": {"enabled": False, "rpc_url": NOWHERE, "private_key": "0x" + KEY},
}


def test_no_secret_is_recorded(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITPROV_PASSPHRASE", "correct horse")
    tracker = ProvenanceTracker(config=CONFIG)
    tracker.store_merkle_on_blockchain_before_training(
        {
            "chain": CONFIG,
            "note": "the password is hunter2",
            "keys": [KEY, KEY.upper(), int(KEY, 16)],
            "wandb": {"api_key": "abc123", "api_keys_used": 2},
            "database": "postgres://me:dbpass@host/db",
            "passphrase_of_store": "correct horse",
            "hub_token": "hf_abc",
            "max_tokens": 512,
            "tokenizer": "gpt2",
            "pad_token": "<pad>",
        }
    )
    tracker.track_epoch(0, {"secret": "epochsecret", "loss": 1})
    tracker.store_merkle_on_blockchain_after_training({"log": "correct horse battery"})
    text = (repo / "runs" / f"{tracker.run_id}.json").read_text()
    for secret in (
        *("hunter2", "urlpass", KEY, KEY.upper(), str(int(KEY, 16)), "abc123", "dbpass"),
        *("correct horse", "hf_abc", "epochsecret"),
    ):
        assert secret not in text
    value = file_of(repo, tracker).of_type("config")[0]["value"]
    assert isinstance(value, dict)
    assert value["note"] == {"$redacted": True}
    assert value["database"] == "postgres://me:[redacted]@host/db"
    assert value["max_tokens"] == 512
    assert value["tokenizer"] == "gpt2"
    assert value["pad_token"] == "<pad>"


def test_no_secret_of_the_manager_goes_into_a_note(repo: Path) -> None:
    manager = BlockchainManager(CONFIG)
    manager.store_merkle_hash("ab" * 32, {"password": "abc123", "of": "hunter2"}, [])
    head = git(repo, "rev-parse", "HEAD")
    note = git(repo, "notes", "--ref", "gitprov", "show", head)
    assert "abc123" not in note
    assert "hunter2" not in note


def test_a_session_shows_no_secret(repo: Path) -> None:
    session = Session.begin(CONFIG)
    for secret in ("hunter2", "urlpass", KEY):
        assert secret not in repr(session)
        assert secret not in repr(session.config)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"bitcoin": {"rpc_password": 123987}}, "bitcoin.rpc_password must be a text"),
        ({"bitcoin": {"rpc_url": "u:123987@host"}}, "bitcoin.rpc_url must be an address"),
        ({"ethereum": {"private_key": 123987}}, "ethereum.private_key must be a text"),
    ],
)
def test_an_error_of_the_configuration_shows_no_secret(
    repo: Path, wrong: dict[str, Any], named: str
) -> None:
    with pytest.raises(UsageError) as caught:
        ProvenanceTracker(config=wrong)
    assert f"the tracker's configuration: {named}" in str(caught.value)
    assert "123987" not in f"{caught.value} {caught.value.hint}"


def test_a_file_that_is_no_yaml_shows_no_line_of_it(repo: Path) -> None:
    write(repo, {"c.yaml": "bitcoin:\n  rpc_password: hunter2: oops\n", "c.json": '{"a": hunter2}'})
    for name in ("c.yaml", "c.json"):
        with pytest.raises(UsageError) as caught:
            ProvenanceTracker(config=name)
        assert "hunter2" not in str(caught.value)
        assert "line" in str(caught.value)


def test_a_password_in_a_tracked_file_is_refused(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RPC_PASSWORD", "hunter2")
    literal = "bitcoin: {rpc_url: 'http://127.0.0.1:1', rpc_password: hunter2}\n"
    write(repo, {"sub/c.yaml": literal, "ok.yaml": literal.replace("hunter2", "'${RPC_PASSWORD}'")})
    write(repo, {"url.json": '{"ipfs": {"url": "http://me:hunter2@127.0.0.1:1"}}'})
    ProvenanceTracker(config="sub/c.yaml")
    git(repo, "add", ".")
    ProvenanceTracker(config="ok.yaml")
    for name, key in (
        ("sub/c.yaml", "bitcoin.rpc_password"),
        ("url.json", "ipfs.url"),
    ):
        with pytest.raises(UsageError, match=f"is tracked by git and holds {key}") as caught:
            ProvenanceTracker(config=name)
        assert "hunter2" not in str(caught.value)
        assert "${NAME}" in str(caught.value.hint)


# What is read, and what is said of it.


def test_json_is_read_as_json(repo: Path) -> None:
    write(repo, {"c.json": '{\n\t"ethereum": {"url": "http://x", "gas_limit": 2e5}}\n'})
    session = Session.begin("c.json")
    with session.workspace() as ws:
        from gitprov.ops.networks import anchors_config

        assert anchors_config(ws).ethereum.gas_limit == 200_000
    write(repo, {"d.json": "ethereum: {}"})
    with pytest.raises(UsageError, match=r"d\.json is not JSON"):
        ProvenanceTracker(config="d.json")


def test_a_bare_key_in_yaml_gets_a_hint(repo: Path) -> None:
    write(repo, {"c.yaml": f"ethereum:\n  private_key: 0x{KEY}\n"})
    with pytest.raises(UsageError) as caught:
        ProvenanceTracker(config="c.yaml")
    assert "in quotes" in str(caught.value.hint)


def test_what_is_imported_and_seeded_later_counts(repo: Path) -> None:
    script = """
from gitprov import ProvenanceTracker
tracker = ProvenanceTracker()
import torch
torch.manual_seed(4711)
tracker.store_merkle_on_blockchain_before_training({})
assert not torch.cuda.is_initialized()
print(tracker.run_id)
"""
    env = {**isolated_environment(), **support.environment()}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=repo, env=env, capture_output=True, text=True
    )
    run = parse_run((repo / "runs" / f"{done.stdout.strip()}.json").read_bytes())
    first, second = run.of_type("environment")
    assert first["torch"] is None
    assert second["torch"]["version"] == torch.__version__  # type: ignore[index,call-overload]
    assert second["seeds"]["torch"] == "4711"  # type: ignore[index,call-overload]
    assert set(second) == {"type", "torch", "seeds"}


def test_data_that_comes_too_late_is_said(repo: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracker = ProvenanceTracker()
    tracker.track_data([b"one"])
    assert not caplog.text
    tracker.store_merkle_on_blockchain_before_training({})
    tracker.add_data("late", [b"two"])
    assert "'late' came after the stage before training" in caplog.text


def test_debug_shows_what_is_done(repo: Path) -> None:
    script = """
from gitprov import ProvenanceTracker
with ProvenanceTracker(config={"debug": DEBUG}) as tracker:
    tracker.track_data([b"one"])
    tracker.store_merkle_on_blockchain_before_training({})
    tracker.track_epoch(0, {"loss": 1})
"""
    env = {**isolated_environment(), **support.environment()}
    said = {}
    for debug in ("True", "False"):
        done = subprocess.run(
            [sys.executable, "-c", script.replace("DEBUG", debug)],
            cwd=repo,
            env=env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        said[debug] = done.stderr
    for word in ("begins at commit", "data 'train'", "stage 'before'", "epoch 0", "stage 'after'"):
        assert word in said["True"]
    assert said["False"] == ""


def test_debug_adds_no_handler_beside_the_programs_own(
    repo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("gitprov")
    level = log.level
    try:
        Session.begin({"debug": True})
        assert log.handlers == []
        assert caplog.handler in logging.getLogger().handlers
    finally:
        log.setLevel(level)
