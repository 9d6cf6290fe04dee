"""`LightningCallback`: the Trainer of Lightning records its runs."""

import sys
from collections.abc import Mapping
from typing import Any

from gitprov.errors import UsageError
from gitprov.ops.redact import Redactor
from gitprov.tracker.recorded import Recorded
from gitprov.tracker.tracker import ProvenanceTracker

# The two packages are two copies of one: what the training code has imported is what it uses.
if "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:
    from pytorch_lightning import Callback
else:
    try:
        from lightning.pytorch import Callback
    except ImportError:
        from pytorch_lightning import Callback


class LightningCallback(Callback):  # type: ignore[misc]  # neither package is there for mypy
    """Records a training by Lightning's `Trainer`: data, model, parameters, epochs, results.

    Example:
        >>> from gitprov.tracker.callbacks import LightningCallback
        >>> trainer = Trainer(max_epochs=5, callbacks=[LightningCallback()])
        >>> trainer.fit(model, train_loader, val_loader)

    A training that raises is recorded as failed, with the error's type.

    Attributes:
        tracker: the run that goes on or was the last; None before the first, and in all processes
            but the main one.
    """

    def __init__(self, tracker: ProvenanceTracker | None = None, **tracker_kwargs: Any) -> None:
        """Takes a tracker whose run has begun, or what each training's own one is made with.

        Args:
            tracker: for one training. What it has recorded already, such as data by a path, is
                not recorded again.
            **tracker_kwargs: `base_dir` and `config`.
        """
        super().__init__()
        self.tracker = tracker
        self._own = tracker is None
        self._kwargs = tracker_kwargs

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Begins the run, and records the model."""
        if not trainer.is_global_zero:
            return
        if self._own or self.tracker is None:
            self.tracker = ProvenanceTracker(**self._kwargs)
        if not any(self.tracker.run.of_type("model")):
            self.tracker.track_model(pl_module)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Records data and parameters, which are known now, and logs the stage before training."""
        if self.tracker is None or not trainer.is_global_zero:
            return
        if not any(self.tracker.run.of_type("data")):
            self._add_data("train", trainer.train_dataloader)
            self._add_data("test", trainer.val_dataloaders)
        if self.tracker.run.stage("before") is None:
            config = {
                "batch_limit": trainer.limit_train_batches,
                "gradient_clip_val": trainer.gradient_clip_val,
                "hparams": {str(key): value for key, value in pl_module.hparams.items()},
                "max_epochs": trainer.max_epochs,
                "max_steps": trainer.max_steps,
                "optimizers": [_optimizer(one) for one in trainer.optimizers],
                "precision": trainer.precision,
            }
            self.tracker.store_merkle_on_blockchain_before_training(_recordable(config))

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Records the epoch, with the metrics that were logged."""
        if self.tracker is not None and trainer.is_global_zero:
            self.tracker.track_epoch(trainer.current_epoch, _metrics(trainer), pl_module)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Records the trained model and the last metrics, and ends the run."""
        del pl_module
        if self.tracker is not None and trainer.is_global_zero:
            self.tracker.store_merkle_on_blockchain_after_training(_metrics(trainer))

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Ends the run as failed."""
        del pl_module
        running = self.tracker is not None and self.tracker.run.outcome == "running"
        if self.tracker is not None and running and trainer.is_global_zero:
            self.tracker.fail(type(exception).__name__)

    def _add_data(self, name: str, loaders: Any) -> None:
        """Records one loader's data set, or those of a list or mapping, by number or key."""
        if loaders is None or self.tracker is None:
            return
        if isinstance(loaders, list | tuple) and len(loaders) == 1:
            loaders = loaders[0]
        if isinstance(loaders, list | tuple):
            loaders = dict(enumerate(loaders, 1))
        if isinstance(loaders, Mapping):
            for key, one in loaders.items():
                self._add_data(f"{name}.{key}", one)
        else:
            self.tracker.add_data(name, getattr(loaders, "dataset", loaders))


def _metrics(trainer: Any) -> dict[str, float]:
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def _optimizer(optimizer: Any) -> dict[str, Any]:
    """An optimizer's class, and its settings without the parameters."""
    groups = [
        {key: value for key, value in group.items() if key != "params"}
        for group in optimizer.param_groups
    ]
    return {"class": type(optimizer).__qualname__, "groups": groups}


def _recordable(value: Any) -> Any:
    """Puts the name of its type where something is no value: parameters may be any objects."""
    if isinstance(value, Mapping):
        return {str(key): _recordable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_recordable(one) for one in value]
    try:
        Recorded(value, "a parameter", Redactor())
    except UsageError:
        return f"{type(value).__module__}.{type(value).__qualname__}"
    return value
