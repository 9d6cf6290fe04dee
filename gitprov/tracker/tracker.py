"""`ProvenanceTracker`: a training run records its own provenance, stage by stage.

The names are those of the ML provenance system that gitprov generalises (docs/migrating.md), so
that training code written for it runs after changing its import line.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from gitprov.errors import EnvironmentFault, UsageError
from gitprov.model.report import Report, Verdict
from gitprov.model.run import Run, run_path
from gitprov.ops.networks import network_states
from gitprov.ops.verify_runs import verify_run
from gitprov.tracker.privacy import PrivacyWatch
from gitprov.tracker.report import report_json, report_markdown, verdict_json
from gitprov.tracker.session import FAULTS, LOG, Config, Session, locators, warn
from gitprov.tracker.steady import Ending, SteadyRun

if TYPE_CHECKING:
    from gitprov.core.canonical import Json
    from gitprov.model.weights import ModelWeights
    from gitprov.tracker.torch_state import TensorCache


class ProvenanceTracker:
    """Records one training run.

    Its record is `runs/<id>.json` at the top of the repository: commit it with the code. The roots
    of the stages before and after training go into the log, and to the networks.

    Example:
        >>> with ProvenanceTracker(config={"networks": ["opentimestamps"]}) as tracker:
        ...     tracker.track_data(train, test)
        ...     tracker.track_model(model)
        ...     tracker.store_merkle_on_blockchain_before_training({"lr": 0.1, "epochs": 5})
        ...     for epoch in range(5):
        ...         tracker.track_epoch(epoch, {"loss": train_one(model)}, model)
        ...     tracker.store_merkle_on_blockchain_after_training({"accuracy": 0.97})
    """

    def __init__(
        self, base_dir: str | os.PathLike[str] = "artifacts", config: Config = None
    ) -> None:
        """Begins a run in the repository around the current folder.

        Args:
            base_dir: where reports and epoch checkpoints are written.
            config: the earlier system's configuration (docs/migrating.md), as a dict or a file;
                None uses this clone's own.

        Raises:
            UsageError: the configuration cannot be used, or there is no repository here.
            UnavailableError: the repository has no commit yet.
        """
        # Training code may change folders: everything of a run is written to one place.
        self.base_dir = Path(os.path.abspath(base_dir))
        self._session = Session.begin(config)
        self._model: Any = None
        self._cache: TensorCache | None = None
        self._privacy = PrivacyWatch()
        self._steady = SteadyRun(self._session)
        self._recording = self._steady.recording

    @property
    def run_id(self) -> str:
        """The run's id: `gitprov runs show ID`."""
        return self._recording.run.id

    @property
    def commit(self) -> str:
        """The commit that was checked out when the run began."""
        return self._recording.commit

    @property
    def run(self) -> Run:
        """The run as it is now: its leaves, its stages, and how it ended."""
        return self._recording.run

    @property
    def open(self) -> bool:
        """Whether more can be recorded: this process began the run, and it has not ended."""
        return self._steady.open

    def track_data(self, train_data: Any, test_data: Any = None) -> dict[str, str]:
        """Records what is trained and tested on, by digest; nothing is copied.

        Args:
            train_data: a torch Dataset, DataLoader or Tensor, a numpy array, a pandas or Arrow
                table, a path, or an iterable of bytes or arrays. A generator is used up by this.
            test_data: the same; None for none.

        Returns:
            The roots, by `train` and `test`.

        Raises:
            UsageError: it is of a type that has no digest.
        """
        pairs = {"train": train_data, "test": test_data}
        return {name: self.add_data(name, data) for name, data in pairs.items() if data is not None}

    def add_data(self, name: str, data: Any) -> str:
        """Records data under a name of its own, where there is more than training and test data.

        Returns:
            Its root.
        """
        from gitprov.tracker.samples import data_of

        self._steady.check()
        if self._recording.run.stage("before") is not None:
            LOG.warning(
                "the data %r came after the stage before training, whose root does not bind it; "
                "the one after does",
                name,
            )
        found = data_of(data)
        leaf: dict[str, Json] = {
            "count": found.count,
            "form": found.form,
            "name": name,
            "root": str(found.root),
        }
        self._steady.add("data", leaf)
        LOG.debug("data %r: %s, %s of form %s", name, found.root, found.count, found.form)
        return str(found.root)

    def track_model(self, model: Any) -> str:
        """Records a model's architecture and its parameters, tensor by tensor.

        Args:
            model: a torch module, or a state dict of tensors or arrays. After training it is
                digested once more.

        Returns:
            The weights root.
        """
        self._steady.check()
        root = str(self._add_model(model).root)
        self._model = model
        LOG.debug("model: %s", root)
        return root

    def store_merkle_on_blockchain_before_training(
        self, training_config: Mapping[str, Any] | None = None
    ) -> dict[str, str]:
        """Logs and anchors the root over data, model and configuration.

        Returns:
            Network -> transaction id; `tlog` is the log, with the entry's number. A network that is
            down is left out: its work stays in the outbox.
        """
        return self._steady.begin(training_config or {})

    def track_epoch(
        self, epoch: int, metrics: Mapping[str, Any] | None = None, model: Any = None
    ) -> None:
        """Records one epoch: its metrics and, given the model, the root of its weights.

        Tensors that did not change since the last call, by identity and version counter, are not
        hashed again. A write through `.data` or a numpy view does not count the version up: it is
        seen by `track_model` and after training, which trust no counter.

        Raises:
            UsageError: a metric or a tensor cannot be recorded, or the run has ended. What a disk
                refuses is logged as a warning, and stops no training.
        """
        self.add_epoch(epoch, metrics, *self.digest_epoch(epoch, model))

    def digest_epoch(self, epoch: int, model: Any) -> tuple[str | None, str | None]:
        """Returns a model's weights root and its checkpoint's digest, without recording them yet.

        The callbacks of frameworks use it, which tell an epoch's metrics only after its end.
        """
        self._steady.check()
        if model is None:
            return None, None
        weights = str(self._weights(model, cached=True).root)
        keep = self._session.config.checkpoints
        return weights, self._keep_checkpoint(epoch, model) if keep else None

    def add_epoch(
        self,
        epoch: int,
        metrics: Mapping[str, Any] | None,
        weights: str | None,
        checkpoint: str | None,
    ) -> None:
        """Records one epoch with what `digest_epoch` gave at its end."""
        self._steady.check()
        leaf: dict[str, Json] = {
            "checkpoint": checkpoint,
            "epoch": self._steady.recorded(epoch, "epoch"),
            "metrics": self._steady.recorded(metrics or {}, "metrics"),
            "weights": weights,
        }
        self._steady.add("epoch", leaf, durable=False)
        LOG.debug("epoch %s: weights %s, checkpoint %s", epoch, weights, checkpoint)

    def store_merkle_on_blockchain_after_training(
        self, training_results: Mapping[str, Any] | None = None
    ) -> dict[str, str]:
        """Adds the results and the trained model, ends the run, logs and anchors its root.

        The training is over, so nothing that can be recorded is lost for what cannot: that is
        named in a warning, and `{"$unrecorded": "<type>"}` stands in its place.

        Returns:
            As for the stage before.
        """
        return self._end(Ending("completed", {} if training_results is None else training_results))

    def verify_blockchain_provenance(self) -> dict[str, Any]:
        """Judges this run by its file, the notes, the logs, and what the networks say now.

        Returns:
            `chain_integrity` (whether everything that was checked holds), `verdict`, `run`, and
            `stages`: by stage and network, `verdict` and `detail`; `findings` has all of them.
        """
        self._steady.check_ours()
        report = self._judged()
        return {
            "chain_integrity": report.verdict is Verdict.PASS,
            "run": self.run_id,
            **verdict_json(report),
        }

    def get_blockchain_status(self) -> dict[str, Any]:
        """Returns how far everything is, as far as this clone knows: no network is asked.

        Returns:
            `blockchain_enabled`, `stored_hashes` (stage -> root), `transactions` (stage -> network
            -> transaction id), and `networks`: per network its state and what is still to be sent.
        """
        run = self._recording.run
        with self._session.workspace() as ws:
            networks: dict[str, Any] = {"tlog": {"state": "final", "problem": ""}}
            states = {one.network: one for one in network_states(ws)}
            for name in self._session.networks(ws):
                newest = states[name].newest if name in states else None
                networks[name] = {
                    "state": newest.state if newest else "waiting",
                    "transaction": newest.locator if newest else None,
                    "detail": newest.detail if newest else "nothing was sent yet",
                }
        return {
            "blockchain_enabled": self._session.config.enabled,
            "run": run.id,
            "outcome": run.outcome,
            "stored_hashes": {stage.name: str(stage.root) for stage in run.stages},
            "transactions": {
                name: locators(found) for name, found in self._steady.witnessed.items()
            },
            "networks": networks,
        }

    def save_blockchain_report(self, output_path: str | os.PathLike[str] | None = None) -> Path:
        """Writes a report as JSON, and beside it the same as Markdown.

        Args:
            output_path: the JSON file; `<base_dir>/blockchain_report_<id>.json` by default.

        Returns:
            The JSON file's path.
        """
        self._steady.check_ours()
        path = Path(output_path or self.base_dir / f"blockchain_report_{self.run_id}.json")
        report = self._judged()
        status = self.get_blockchain_status()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(report_json(self._recording.run, status, report), encoding="utf-8")
            text = report_markdown(self._recording.run, status, report)
            path.with_suffix(".md").write_text(text, encoding="utf-8")
        except OSError as exc:
            raise EnvironmentFault(f"cannot write {path}: {exc.strerror}") from exc
        return path

    def save(self) -> Path:
        """Writes the run's file, which every other call has done already; returns its path.

        Raises:
            EnvironmentFault: it cannot be written.
        """
        from gitprov.ops.runs import save_run

        self._steady.check_ours()
        return Path(save_run(self._recording.worktree, self._recording.run))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        """Ends the run if nothing has: as failed, with the error's type, after an exception.

        A program that leaves by `sys.exit()` or `sys.exit(0)` is done, and not failed. A forked
        child, which has only a copy of the run, ends nothing.
        """
        del trace
        if not self._recording.is_ours or not self._recording.open:
            return False
        if kind is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            self._end(Ending("completed"))
        else:
            self.fail(kind.__name__)
        return False

    def fail(self, error: str) -> None:
        """Ends the run as failed; never raises, because the training's own error is what counts.

        Args:
            error: what kind of error ended it.
        """
        try:
            self._end(Ending("failed", error=error))
        except Exception as exc:  # noqa: BLE001  # whatever it is, it must not hide the first error
            warn(exc, f"the failed run {self.run_id} could not be recorded")

    def _end(self, ending: Ending) -> dict[str, str]:
        last = {
            "digest the trained model": self._add_trained,
            "tell the privacy budget": self._add_budget,
        }
        return self._steady.end(ending, last)

    def _add_trained(self) -> None:
        if self._model is not None:
            self._add_model(self._model)

    def _add_budget(self) -> None:
        budget = self._privacy.budget(self._recording.run)
        if budget is not None:
            self._steady.add("privacy", budget)

    def _add_model(self, model: Any) -> "ModelWeights":
        from gitprov.tracker.torch_state import architecture_of, unwrapped

        inner = unwrapped(model)
        weights = self._weights(inner, cached=False)
        is_module = hasattr(inner, "named_modules")
        leaf: dict[str, Json] = {
            "architecture": str(architecture_of(inner)) if is_module else None,
            "class": f"{type(inner).__module__}.{type(inner).__qualname__}",
            "parameters": weights.parameters,
            "tensors": len(weights.tensors),
            "tied": dict(weights.tied),
            "weights": str(weights.root),
        }
        self._steady.add("model", leaf)
        return weights

    def _weights(self, model: Any, *, cached: bool) -> "ModelWeights":
        from gitprov.tracker.torch_state import TensorCache, unwrapped, weights_of_state

        model = unwrapped(model)
        if hasattr(model, "state_dict"):
            state = model.state_dict()
        elif isinstance(model, Mapping):
            state = model
        else:
            raise UsageError(
                f"a model of the type {type(model).__name__} has no digest",
                hint="give a torch module, or its state dict: a mapping of names to tensors",
            )
        if not cached:
            return weights_of_state(state)
        if self._cache is None:
            self._cache = TensorCache()
        return weights_of_state(state, self._cache)

    def _keep_checkpoint(self, epoch: int, model: Any) -> str | None:
        """Writes an epoch's weights below `base_dir`; returns the file's digest, None for none."""
        from gitprov.tracker.checkpoints import save_weights

        path = self.base_dir / self.run_id / f"epoch-{int(epoch):04d}.safetensors"
        try:
            return str(save_weights(model, path))
        except UsageError:
            raise
        except FAULTS as exc:
            warn(exc, f"epoch {epoch} is recorded without its checkpoint")
            return None

    def _judged(self) -> Report:
        with self._session.workspace() as ws:
            self._session.refresh(ws)
            return verify_run(
                ws, self._recording.run, means=self._session.means(ws), now=int(time.time())
            )

    def __repr__(self) -> str:
        """Names the run and its file."""
        return f"ProvenanceTracker({run_path(self.run_id)}, {self._recording.run.outcome})"
