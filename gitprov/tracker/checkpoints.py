"""Epoch checkpoints: a model's weights as a safetensors file, and the file's digest."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blake3 import blake3

from gitprov.core.digest import Digest
from gitprov.errors import EnvironmentFault, UnavailableError


def save_weights(model: Any, path: Path) -> Digest:
    """Writes a module or a state dict of torch tensors; tied tensors are written once.

    Raises:
        UnavailableError: safetensors is not installed.
        EnvironmentFault: the file cannot be written.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.torch import save_file, save_model
    except ImportError:
        raise UnavailableError(
            "epoch checkpoints need safetensors", hint="pip install 'gitprov[torch]'"
        ) from None
    from gitprov.tracker.torch_state import unwrapped

    model = unwrapped(model)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(model, Mapping):
            save_file({name: tensor.contiguous() for name, tensor in model.items()}, str(path))
        else:
            save_model(model, str(path))
        return Digest(blake3(max_threads=blake3.AUTO).update_mmap(path).digest())
    except OSError as exc:
        raise EnvironmentFault(f"cannot write {path}: {exc.strerror or exc}") from exc
    except SafetensorError as exc:  # a full disk, in its words
        raise EnvironmentFault(f"cannot write {path}: {exc}") from exc
