"""The frameworks themselves record their runs: real trainers, a real MLflow, a real Opacus."""

import math
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gitprov.errors import UnavailableError
from gitprov.model.run import Run, parse_run
from tests.support import torch as support
from tests.support.cli import ok
from tests.support.repos import git, make_repo, write

support.need()

import torch  # noqa: E402  # skipped above where it is missing

from gitprov import ProvenanceTracker  # noqa: E402
from gitprov.tracker import callbacks  # noqa: E402
from gitprov.tracker.samples import data_of  # noqa: E402
from gitprov.tracker.torch_state import weights_of_state  # noqa: E402

# What the frameworks warn of is theirs: newer versions of each other, few workers, tiny data.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

INPUTS = torch.arange(64.0).reshape(16, 4) / 64
LABELS = torch.arange(16) % 2


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    repo = make_repo(tmp_path / "repo")
    write(repo, {"train.py": "print('training')\n", ".gitignore": "out/\nartifacts/\n"})
    ok(repo, "init")
    git(repo, "add", "train.py", ".gitignore")
    git(repo, "commit", "-q", "-m", "first")
    monkeypatch.chdir(repo)
    torch.manual_seed(1)
    return repo


def ended(tracker: ProvenanceTracker | None) -> Run:
    """The run of a callback, which has to hold."""
    assert tracker is not None
    verdict = tracker.verify_blockchain_provenance()
    assert verdict["chain_integrity"] is True, verdict
    return tracker.run


def root(model: torch.nn.Module) -> str:
    return str(weights_of_state(model.state_dict()).root)


def value(run: Run, kind: str) -> dict[str, Any]:
    [leaf] = run.of_type(kind)
    found = leaf["value"]
    assert isinstance(found, dict)
    return found


def types(run: Run) -> list[str]:
    return [str(leaf["type"]) for leaf in run.leaves]


class Samples(torch.utils.data.Dataset):  # type: ignore[misc]  # torch is not there for mypy
    """What transformers trains on: mappings."""

    def __len__(self) -> int:
        return len(INPUTS)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"inputs": INPUTS[index], "labels": LABELS[index]}


class Classifier(torch.nn.Module):  # type: ignore[misc]  # the same
    """What it can train: a module that gives its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)

    def forward(self, inputs: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.layer(inputs)
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


def hugging_face(model: torch.nn.Module, callback: Any, **options: Any) -> Any:
    support.need("transformers")
    support.need("accelerate")
    from transformers import Trainer, TrainingArguments

    settings: dict[str, Any] = {
        "num_train_epochs": 2,
        "learning_rate": 0.1,
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_strategy": "epoch",
        "eval_strategy": "epoch",
    }
    train, test = Samples(), torch.utils.data.Subset(Samples(), range(4))
    return Trainer(
        model,
        TrainingArguments("out", **{**settings, **options}),
        train_dataset=train,
        eval_dataset=test,
        callbacks=[callback],
    )


def test_a_training_by_transformers_is_recorded_from_data_to_results(repo: Path) -> None:
    callback = callbacks.HuggingFaceCallback(base_dir="artifacts")
    model = Classifier()
    first = root(model)
    hugging_face(model, callback).train()

    run = ended(callback.tracker)
    assert types(run) == [
        *("run", "environment", "data", "model", "config"),
        *("data", "epoch", "epoch", "results", "model", "end"),
    ]
    assert run.outcome == "completed"
    assert [leaf["name"] for leaf in run.of_type("data")] == ["train", "test"]
    assert [leaf["count"] for leaf in run.of_type("data")] == [16, 4]
    assert run.of_type("data")[0]["root"] == str(data_of(Samples()).root)
    assert [leaf["weights"] for leaf in run.of_type("model")] == [first, root(model)]
    assert value(run, "config")["learning_rate"] == 0.1
    assert {"train_loss", "eval_loss"} <= value(run, "results").keys()


def test_an_epoch_of_transformers_has_its_own_metrics_and_weights(repo: Path) -> None:
    callback = callbacks.HuggingFaceCallback()
    model = Classifier()
    trainer = hugging_face(model, callback)
    trainer.train()

    epochs = ended(callback.tracker).of_type("epoch")
    assert [leaf["epoch"] for leaf in epochs] == [0, 1]
    losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    recorded = [leaf["metrics"] for leaf in epochs]
    assert [metrics["eval_loss"] for metrics in recorded if isinstance(metrics, dict)] == losses
    assert epochs[0]["weights"] != epochs[1]["weights"] == root(model)


def test_the_last_epoch_keeps_its_weights_when_the_best_ones_are_loaded(repo: Path) -> None:
    callback = callbacks.HuggingFaceCallback()
    model = Classifier()
    trainer = hugging_face(
        model,
        callback,
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=True,  # the worst, so that it is not the last
    )
    trainer.train()

    run = ended(callback.tracker)
    first, last = (leaf["weights"] for leaf in run.of_type("epoch"))
    assert run.of_type("model")[-1]["weights"] == first == root(model) != last


def test_a_tracker_of_ones_own_is_not_told_again_what_it_knows(repo: Path) -> None:
    write(repo, {"corpus/a.txt": "text"})
    with ProvenanceTracker() as tracker:
        tracker.track_data("corpus", "corpus")
        hugging_face(Classifier(), callbacks.HuggingFaceCallback(tracker)).train()

    data = ended(tracker).of_type("data")
    assert [(leaf["name"], leaf["form"]) for leaf in data] == [("train", "dir"), ("test", "dir")]


def test_a_training_by_transformers_that_raises_is_a_failed_run(repo: Path) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    model = Classifier()
    model.register_forward_hook(broken)
    tracker = ProvenanceTracker()
    trainer = hugging_face(model, callbacks.HuggingFaceCallback(tracker))
    with pytest.raises(ZeroDivisionError), tracker:
        trainer.train()

    run = ended(tracker)
    assert run.outcome == "failed"
    assert run.of_type("end")[0]["error"] == "ZeroDivisionError"


def test_epochs_are_counted_when_the_steps_run_out_in_the_middle_of_one(repo: Path) -> None:
    callback = callbacks.HuggingFaceCallback()
    hugging_face(
        Classifier(), callback, max_steps=5, per_device_train_batch_size=8, eval_strategy="no"
    ).train()
    assert [leaf["epoch"] for leaf in ended(callback.tracker).of_type("epoch")] == [0, 1, 2]


def test_a_training_that_is_begun_anew_after_an_error_leaves_a_failed_run(repo: Path) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    callback = callbacks.HuggingFaceCallback()
    model = Classifier()
    hook = model.register_forward_hook(broken)
    trainer = hugging_face(model, callback)
    with pytest.raises(ZeroDivisionError):
        trainer.train()
    first = callback.tracker
    hook.remove()
    trainer.train()

    assert ended(first).outcome == "failed"
    second = ended(callback.tracker)
    assert second.outcome == "completed"
    assert len(second.of_type("epoch")) == 2


def test_each_training_with_one_callback_is_a_run(repo: Path) -> None:
    callback = callbacks.HuggingFaceCallback()
    trainer = hugging_face(Classifier(), callback)
    trainer.train()
    first = ended(callback.tracker)
    trainer.train()
    second = ended(callback.tracker)

    assert first.id != second.id
    assert types(second)[:4] == ["run", "environment", "data", "data"]  # both are known by now
    assert second.of_type("model")[0]["weights"] == first.of_type("model")[-1]["weights"]


def test_a_process_that_is_not_the_main_one_records_nothing(repo: Path) -> None:
    callback = callbacks.HuggingFaceCallback()
    trainer = hugging_face(Classifier(), callback)
    trainer.state.is_world_process_zero = False
    trainer.is_world_process_zero = lambda: False
    trainer.train()
    assert callback.tracker is None
    assert not (repo / "runs").exists()


LIGHTNING = """
import sys
{block}
import torch
from {package} import LightningModule, Trainer
from gitprov.tracker.callbacks import LightningCallback


class Module(LightningModule):
    def __init__(self, lr, extra=None):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 2)

    def training_step(self, batch, index):
        if {fails} and self.current_epoch == 1:
            raise ZeroDivisionError
        loss = torch.nn.functional.cross_entropy(self.layer(batch[0]), batch[1])
        self.log("loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", torch.nn.functional.cross_entropy(self.layer(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


torch.manual_seed(1)
data = torch.utils.data.TensorDataset(torch.arange(64.0).reshape(16, 4) / 64, torch.arange(16) % 2)
loader = torch.utils.data.DataLoader(data, batch_size=4, shuffle=True)
test = torch.utils.data.DataLoader(torch.utils.data.Subset(data, range(4)))
callback = LightningCallback(base_dir="artifacts")
trainer = Trainer(
    accelerator="cpu", max_epochs=2, logger=False, enable_checkpointing=False,
    enable_progress_bar=False, enable_model_summary=False, callbacks=[callback],
)
module = Module(lr=0.5, extra=object())
try:
    trainer.fit(module, loader, test)
except ZeroDivisionError:
    print("raised")
print(callback.tracker.run_id)
print(callback.tracker.verify_blockchain_provenance()["verdict"])
assert "{other}" not in sys.modules, "the other copy was loaded"
"""


def lightning(
    repo: Path, package: str = "lightning.pytorch", *, fails: bool = False, block: str = ""
) -> Run:
    """Trains in a process of its own: the two packages are copies, and both patch torch."""
    support.need(package.partition(".")[0])
    other = "pytorch_lightning" if package == "lightning.pytorch" else "lightning.pytorch"
    code = LIGHTNING.format(package=package, fails=fails, block=block, other=other)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=repo,
        env={**os.environ, **support.environment()},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.split()
    assert said[-1] == "pass"
    assert ("raised" in said) is fails
    return parse_run((repo / "runs" / f"{said[-2]}.json").read_bytes())


def test_a_training_by_lightning_is_recorded_from_data_to_results(repo: Path) -> None:
    run = lightning(repo)
    assert types(run) == [
        *("run", "environment", "model", "data", "data", "config"),
        *("epoch", "epoch", "results", "model", "end"),
    ]
    assert run.outcome == "completed"
    data = torch.utils.data.TensorDataset(INPUTS, LABELS)
    assert run.of_type("data")[0]["root"] == str(data_of(data).root)
    assert [leaf["count"] for leaf in run.of_type("data")] == [16, 4]
    config = value(run, "config")
    assert config["hparams"] == {"extra": "builtins.object", "lr": 0.5}
    assert config["optimizers"][0]["class"] == "SGD"
    epochs = run.of_type("epoch")
    assert [leaf["epoch"] for leaf in epochs] == [0, 1]
    assert epochs[-1]["metrics"] == value(run, "results")
    assert value(run, "results").keys() == {"loss", "val_loss"}
    assert epochs[0]["metrics"] != epochs[1]["metrics"]
    before, after = (leaf["weights"] for leaf in run.of_type("model"))
    assert before != epochs[0]["weights"] != epochs[1]["weights"] == after


def test_a_training_by_lightning_that_raises_is_a_failed_run(repo: Path) -> None:
    run = lightning(repo, fails=True)
    assert run.outcome == "failed"
    assert run.of_type("end")[0]["error"] == "ZeroDivisionError"
    assert len(run.of_type("epoch")) == 1


@pytest.mark.parametrize("block", ["sys.modules['lightning'] = None", ""])
def test_lightning_under_its_other_name_will_do(repo: Path, block: str) -> None:
    run = lightning(repo, "pytorch_lightning", block=block)
    assert run.outcome == "completed"
    assert len(run.of_type("epoch")) == 2


def test_asking_for_no_callback_loads_no_framework() -> None:
    code = (
        "import sys, gitprov.tracker.callbacks\n"
        "names = {'torch', 'transformers', 'lightning', 'pytorch_lightning', 'mlflow', 'opacus'}\n"
        "print(sorted(names & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("name", ["HuggingFaceCallback", "LightningCallback"])
def test_a_framework_that_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("transformers", "lightning", "lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, module, None)
    for module in ("huggingface", "lightning"):
        monkeypatch.delitem(sys.modules, f"gitprov.tracker.callbacks_{module}", raising=False)
    with pytest.raises(UnavailableError, match=f"{name} needs"):
        getattr(callbacks, name)


def test_mlflow_is_told_the_run_its_roots_and_its_transactions(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    support.need("mlflow")
    # The store in SQLite needs packages that mlflow-skinny leaves out.
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    import mlflow

    with mlflow.start_run() as active, ProvenanceTracker() as tracker:
        tracker.store_merkle_on_blockchain_before_training({"lr": 0.1})
        early = callbacks.mlflow_tags(tracker)
        tracker.store_merkle_on_blockchain_after_training({"accuracy": 0.9})
        tags = callbacks.log_to_mlflow(tracker)
    stored = mlflow.get_run(active.info.run_id).data.tags

    assert {name: stored[name] for name in tags} == tags
    assert "gitprov.root.after" not in early
    assert tags["gitprov.run"] == tracker.run_id
    assert tags["gitprov.commit"] == git(repo, "rev-parse", "HEAD")
    assert (repo / tags["gitprov.file"]).is_file()
    stages = {stage.name: str(stage.root) for stage in tracker.run.stages}
    assert tags["gitprov.root.before"] == stages["before"]
    assert tags["gitprov.root.after"] == stages["after"]
    assert early["gitprov.tx.tlog"].endswith("#1")  # entry 0 is the commit's
    assert tags["gitprov.tx.tlog"].endswith("#2")


def private(epochs: int) -> tuple[Any, torch.nn.Module]:
    """Trains privately; returns the engine and the model."""
    support.need("opacus")
    from opacus import PrivacyEngine

    engine = PrivacyEngine()
    model = torch.nn.Linear(4, 2)
    data = torch.utils.data.TensorDataset(INPUTS, LABELS)
    wrapped, optimizer, loader = engine.make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        data_loader=torch.utils.data.DataLoader(data, batch_size=4),
        noise_multiplier=1.0,
        max_grad_norm=1.0,
    )
    for _ in range(epochs):
        for inputs, labels in loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(wrapped(inputs), labels).backward()
            optimizer.step()
    return engine, model


def test_a_private_run_says_what_of_its_budget_was_spent(repo: Path) -> None:
    tracker = ProvenanceTracker()
    tracker.store_merkle_on_blockchain_before_training({"delta": 1e-4})
    engine, model = private(epochs=2)
    tracker.track_model(model)
    tracker.store_merkle_on_blockchain_after_training({})

    [leaf] = ended(tracker).of_type("privacy")
    assert leaf == {
        "delta": 1e-4,
        "epsilon": [pytest.approx(engine.get_epsilon(1e-4))],
        "mechanism": ["prv"],
        "type": "privacy",
    }
    assert math.isfinite(engine.get_epsilon(1e-4))


def test_what_an_earlier_run_spent_is_not_this_ones(repo: Path) -> None:
    earlier = private(epochs=1)
    with ProvenanceTracker() as without:
        pass
    with ProvenanceTracker() as other:
        later = private(epochs=2)

    assert not ended(without).of_type("privacy")
    [leaf] = ended(other).of_type("privacy")
    assert {**leaf} == {**leaf, "epsilon": [pytest.approx(later[0].get_epsilon(1e-5))]}
    assert earlier[0].get_epsilon(1e-5) < later[0].get_epsilon(1e-5)


def test_a_budget_that_cannot_be_told_does_not_lose_the_run(repo: Path) -> None:
    with ProvenanceTracker() as tracker:
        engine, _ = private(epochs=1)
        engine.accountant.history = [(0.0, 0.25, 4)]  # without noise there is no privacy

    [leaf] = ended(tracker).of_type("privacy")
    assert leaf["epsilon"] == [None]


def test_recording_draws_from_no_random_generator_of_the_training(repo: Path) -> None:
    model = torch.nn.Linear(256, 256)
    with ProvenanceTracker() as tracker:
        random.seed(5)
        torch.manual_seed(5)
        expected = (random.random(), float(torch.rand(1)))
        random.seed(5)
        torch.manual_seed(5)
        tracker.track_data(Samples())
        tracker.track_model(model)
        with torch.no_grad():
            model.weight.add_(1)
        tracker.track_epoch(0, {}, model)
        assert (random.random(), float(torch.rand(1))) == expected
