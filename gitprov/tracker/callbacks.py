"""Runs recorded by the training frameworks themselves, and told to MLflow.

Each framework is imported only when its class is asked for:

    from gitprov.tracker.callbacks import HuggingFaceCallback   # needs transformers
    from gitprov.tracker.callbacks import LightningCallback     # needs lightning
"""

from typing import TYPE_CHECKING

from gitprov.errors import UnavailableError
from gitprov.model.run import run_path
from gitprov.tracker.tracker import ProvenanceTracker

if TYPE_CHECKING:
    from gitprov.tracker.callbacks_huggingface import HuggingFaceCallback
    from gitprov.tracker.callbacks_lightning import LightningCallback

__all__ = ["HuggingFaceCallback", "LightningCallback", "log_to_mlflow", "mlflow_tags"]

_LAZY = {
    "HuggingFaceCallback": ("huggingface", "transformers"),
    "LightningCallback": ("lightning", "lightning"),
}
"""By class: the end of its module's name, and what to install."""


def mlflow_tags(tracker: ProvenanceTracker) -> dict[str, str]:
    """Returns the tags by which a run of MLflow names a run of gitprov.

    They are `gitprov.run`, `gitprov.file` and `gitprov.commit`; `gitprov.root.before` and
    `gitprov.root.after` as far as the run is; and `gitprov.tx.<network>`, the transaction that
    witnesses the newest of the two.
    """
    status = tracker.get_blockchain_status()
    tags = {
        "gitprov.run": tracker.run_id,
        "gitprov.file": run_path(tracker.run_id),
        "gitprov.commit": tracker.commit,
    }
    for stage, root in status["stored_hashes"].items():
        tags[f"gitprov.root.{stage}"] = root
    for stage in ("before", "after"):
        for network, transaction in status["transactions"].get(stage, {}).items():
            tags[f"gitprov.tx.{network}"] = transaction
    return tags


def log_to_mlflow(tracker: ProvenanceTracker) -> dict[str, str]:
    """Sets these tags on MLflow's active run, and returns them.

    Example:
        >>> with mlflow.start_run(), ProvenanceTracker() as tracker:
        ...     train(tracker)
        ...     tracker.store_merkle_on_blockchain_after_training({"accuracy": 0.97})
        ...     log_to_mlflow(tracker)

    Raises:
        UnavailableError: mlflow is not installed.
    """
    try:
        import mlflow
    except ImportError:
        raise UnavailableError("mlflow is not installed", hint="pip install mlflow") from None
    tags = mlflow_tags(tracker)
    mlflow.set_tags(tags)
    return tags


def __getattr__(name: str) -> object:
    """Imports a framework when its callback is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    module, package = _LAZY[name]
    try:
        found = importlib.import_module(f"gitprov.tracker.callbacks_{module}")
    except ImportError as exc:
        raise UnavailableError(
            f"{name} needs {package}: {exc}", hint=f"pip install {package}"
        ) from exc
    return getattr(found, name)
