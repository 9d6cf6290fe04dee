"""What `gitprov diff --model` prints."""

import click

from gitprov.cli.context import workspace
from gitprov.cli.options import emit_json, say, shown, table
from gitprov.core.canonical import Json
from gitprov.errors import UsageError
from gitprov.model.weights import TensorDigest
from gitprov.ops.compare_models import ModelDiff, TensorChange, diff_models

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}
_COLOURS = {"added": "green", "removed": "red", "changed": "yellow"}


def show_models(words: tuple[str, ...], *, as_json: bool) -> None:
    """Compares two models and prints how they differ.

    Raises:
        UsageError: there are not two words.
    """
    if len(words) != 2:
        raise UsageError(
            f"diff --model compares two models, not {len(words)}",
            hint="gitprov diff --model old.safetensors new.safetensors, or REV:PATH for either",
        )
    found = diff_models(*words, workspace)
    if as_json:
        emit_json("diff-model", _json(found))
        return
    say(f"{found.old_root.hex[:12]} → {found.new_root.hex[:12]}")
    for line in table([_row(item) for item in found.changes]):
        say(line)
    verb = "is" if found.same == 1 else "are"
    say(f"{found.same:,} tensor{'s' * (found.same != 1)} {verb} the same")


def _row(item: TensorChange) -> list[str]:
    sign = click.style(_SIGNS[item.how], fg=_COLOURS[item.how])
    norms = item.problem
    if item.norm is not None:
        norms = f"‖w‖ {item.norm:.6g}"
        if item.change_norm is not None:
            norms = f"‖Δ‖ {item.change_norm:.6g}  {norms}"
        elif item.problem:
            norms += f"  ({item.problem})"
    return [f"  {sign} {shown(item.name.encode())}", _types(item), norms]


def _types(item: TensorChange) -> str:
    old, new = _type(item.old), _type(item.new)
    return f"{old} → {new}" if old and new and old != new else new or old


def _type(tensor: TensorDigest | None) -> str:
    if tensor is None:
        return ""
    return f"{tensor.dtype} {'×'.join(map(str, tensor.shape)) or 'scalar'}"


def _json(found: ModelDiff) -> dict[str, Json]:
    return {
        "old_root": str(found.old_root),
        "new_root": str(found.new_root),
        "same": found.same,
        "tensors": [
            {
                "name": item.name,
                "how": item.how,
                "old": _tensor_json(item.old),
                "new": _tensor_json(item.new),
                "norm": item.norm,
                "change_norm": item.change_norm,
                "problem": item.problem or None,
            }
            for item in found.changes
        ],
    }


def _tensor_json(tensor: TensorDigest | None) -> Json:
    if tensor is None:
        return None
    return {
        "dtype": tensor.dtype,
        "shape": [*tensor.shape],
        "digest": str(tensor.digest),
    }
