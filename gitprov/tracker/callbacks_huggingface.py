"""`HuggingFaceCallback`: the Trainer of transformers records its runs."""

import math
from typing import Any

from transformers import TrainerCallback

from gitprov.tracker.tracker import ProvenanceTracker

_A_STEP = 1e-6
"""Less than any step is of an epoch, more than the rounding of a float."""


class HuggingFaceCallback(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Records a training by transformers' `Trainer`: data, model, arguments, epochs, results.

    Example:
        >>> from gitprov.tracker.callbacks import HuggingFaceCallback
        >>> trainer = Trainer(model, args, train_dataset=data, callbacks=[HuggingFaceCallback()])
        >>> trainer.train()

    The Trainer tells its callbacks nothing of an exception: such a run stays open, and is seen as
    interrupted once the process has ended. Around a tracker of one's own it is recorded as failed:

        >>> with ProvenanceTracker() as tracker:
        ...     Trainer(model, args, callbacks=[HuggingFaceCallback(tracker)]).train()

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
        self.tracker = tracker
        self._own = tracker is None
        self._kwargs = tracker_kwargs
        self._seen: list[Any] = []
        self._ended: tuple[int, str | None, str | None] | None = None
        self._logs: dict[str, Any] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Records data, model and arguments, and logs the stage before training."""
        del control
        if not state.is_world_process_zero:
            return
        if self._own or self.tracker is None:
            if self.tracker is not None and self.tracker.run.outcome == "running":
                self.tracker.fail("restarted")  # the Trainer begins anew after an error it caught
            self.tracker = ProvenanceTracker(**self._kwargs)
        self._seen, self._ended, self._logs = [], None, {}
        run = self.tracker.run
        if not any(run.of_type("data")):
            self._add_data("train", kwargs.get("train_dataloader"))
            self._add_data("test", kwargs.get("eval_dataloader"))
        if not any(run.of_type("model")):
            self.tracker.track_model(kwargs["model"])
        if run.stage("before") is None:
            self.tracker.store_merkle_on_blockchain_before_training(args.to_sanitized_dict())

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Records the epoch before: its last logs came after its end."""
        del args, state, control, kwargs
        self._add_epoch()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Digests the weights: with `load_best_model_at_end` they are others later."""
        del args, control
        if self.tracker is not None and state.is_world_process_zero:
            # 1.0 after the first; 2.5 when the steps ran out in the middle of the third.
            epoch = max(0, math.ceil(state.epoch - _A_STEP) - 1)
            self._ended = (epoch, *self.tracker.digest_epoch(epoch, kwargs["model"]))

    def on_log(
        self,
        args: Any,
        state: Any,
        control: Any,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Keeps what is logged until the epoch is recorded; of several values the last."""
        del args, state, control, kwargs
        self._logs.update(logs or {})

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Records what is evaluated on, once: it is not known before."""
        del args, control
        if state.is_world_process_zero and self._goes_on():
            self._add_data("test", kwargs.get("eval_dataloader"))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Records the last epoch, the trained model and the last value of every metric."""
        del args, control, kwargs
        if self.tracker is None or not state.is_world_process_zero:
            return
        self._add_epoch()
        results: dict[str, Any] = {}
        for logged in state.log_history:
            results.update(logged)
        self.tracker.store_merkle_on_blockchain_after_training(results)

    def _goes_on(self) -> bool:
        return self.tracker is not None and self.tracker.open

    def _add_data(self, name: str, loader: Any) -> None:
        """Records a loader's data set under the name, or the name with a number; each once."""
        dataset = getattr(loader, "dataset", None)
        if dataset is None or self.tracker is None or any(dataset is one for one in self._seen):
            return
        taken = {leaf["name"] for leaf in self.tracker.run.of_type("data")}
        if name == "test" and name in taken and not self._seen:
            return  # whoever gave the tracker has recorded it
        self._seen.append(dataset)
        number = 1 + sum(one == name or str(one).startswith(f"{name}.") for one in taken)
        self.tracker.add_data(name if number == 1 else f"{name}.{number}", dataset)

    def _add_epoch(self) -> None:
        if self.tracker is None or self._ended is None:
            return
        epoch, weights, checkpoint = self._ended
        self.tracker.add_epoch(epoch, self._logs, weights, checkpoint)
        self._ended, self._logs = None, {}
