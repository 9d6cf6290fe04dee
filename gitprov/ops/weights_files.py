"""Model files of either kind: safetensors, and what torch saves. Nothing in a file is ever run.

torch's files are pickles. They are only read with `weights_only=True`, which refuses everything
but tensors and plain containers.
"""

import io
import os
from collections.abc import Mapping
from pickle import UnpicklingError  # the error alone
from typing import Any

from gitprov.core.paths import show
from gitprov.errors import MalformedError, UsageError
from gitprov.model.weights import ModelWeights
from gitprov.ops.elements import is_array, is_tensor
from gitprov.ops.state_weights import weights_of_state
from gitprov.ops.weights import weights_in
from gitprov.platform.files import fault

INSIDE = ("state_dict", "model_state_dict", "model")
"""Where checkpoints keep the state dict that is looked at: Lightning, torch's tutorials, others."""

TORCH_ENDINGS = (".pt", ".pth", ".bin", ".ckpt")

_ZIP = b"PK\x03\x04"


def load_weights_file(path: str) -> ModelWeights:
    """Returns the weights in a model file.

    A safetensors file is read by its header, tensor by tensor. Of the files that torch saves
    (`.pt`, `.pth`, `.bin`, `.ckpt`) a state dict is read, or a checkpoint that has one under
    `state_dict`, `model_state_dict` or `model`; tied tensors count once, as in memory.

    Raises:
        UsageError: neither ending; torch is missing; more than tensors would have to be run.
        MalformedError: it is not in the format that its ending says.
        EnvironmentFault: it cannot be read.
    """
    if is_safetensors(path):
        return weights_in(path)
    return weights_of_state(load_state(path))


def is_safetensors(path: str) -> bool:
    """Whether a file is called as safetensors files are."""
    return path.lower().endswith(".safetensors")


def load_state(path: str, content: str | bytes | None = None) -> Mapping[str, Any]:
    """Returns the state dict in a file that torch saved; its tensors stay on disk where possible.

    Args:
        path: the file.
        content: where its content is, when that is elsewhere: another path, or the bytes.

    Raises:
        UsageError: another ending; torch is missing; more than tensors would have to be run; or
            there is no state dict in it.
        MalformedError: torch cannot read it.
        EnvironmentFault: it cannot be opened.
    """
    shown = show(os.fsencode(path))
    if not path.lower().endswith(TORCH_ENDINGS):
        raise UsageError(
            f"{shown} is no model file that can be read",
            hint="these can: .safetensors, " + ", ".join(TORCH_ENDINGS),
        )
    source = path if content is None else content
    is_zip = not isinstance(source, bytes) and _begins_with(source, _ZIP)
    try:
        import torch
    except ImportError:
        raise UsageError(
            f"reading {shown} needs torch, which is not installed",
            hint="pip install 'gitprov[torch]', or save the model as .safetensors",
        ) from None
    try:
        # Only the zip format can stay on disk; torch wrote another one before 1.6.
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        value = torch.load(file, map_location="cpu", weights_only=True, mmap=is_zip)
    except UnpicklingError as exc:
        if not _is_refusal(exc):
            raise MalformedError(f"{shown} is not a file that torch saved") from None
        raise UsageError(
            f"{shown} holds more than tensors ({_reason(exc)}), and it is not run to find out what",
            hint="save model.state_dict() instead of the model, or use safetensors",
        ) from None
    except OSError as exc:
        raise fault(exc, "read", path) from exc
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError) as exc:
        # torch checks little of what it reads, so a damaged file ends in any of these.
        raise MalformedError(f"{shown} is not a file that torch saved: {_first(exc)}") from None
    return _state(value, shown)


def _begins_with(path: str, start: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(start)) == start
    except OSError as exc:
        raise fault(exc, "read", path) from exc


def _state(value: object, shown: str) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        for key in INSIDE:
            inner = value.get(key)
            if isinstance(inner, Mapping) and _has_tensors(inner):
                return inner
        if _has_tensors(value):
            return value
    raise UsageError(
        f"{shown} holds no state dict",
        hint=f"save model.state_dict(), alone or under one of {', '.join(INSIDE)}",
    )


def _has_tensors(value: Mapping[Any, Any]) -> bool:
    return any(is_tensor(item) or is_array(item) for item in value.values())


def _is_refusal(exc: Exception) -> bool:
    return "weights_only" in str(exc).lower() and "GLOBAL" in str(exc)


def _reason(exc: Exception) -> str:
    """The name of what torch refused, out of a page of advice."""
    words = str(exc).split("GLOBAL ", 1)[-1].split()
    return words[0].rstrip(".,") if words else "something unknown"


def _first(exc: Exception) -> str:
    lines = str(exc).strip().splitlines()
    return lines[0][:200] if lines else type(exc).__name__
