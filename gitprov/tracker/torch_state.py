"""What a torch model is made of: its weights and architecture; a memory for unchanged tensors."""

import random
import sys
import weakref
from dataclasses import dataclass
from typing import Any

from gitprov.core.digest import Digest
from gitprov.errors import UsageError
from gitprov.ops.elements import a_type
from gitprov.ops.state_weights import weights_of_state
from gitprov.ops.weights_files import load_weights_file

__all__ = [
    "TensorCache",
    "architecture_of",
    "load_weights_file",
    "unwrapped",
    "weights_of_state",
]

_WORTH_IT = 64 << 10
"""Fewer bytes are hashed about as quickly as they are looked up."""

_SAMPLES = 64

_ANY = random.Random()  # noqa: S311  # no secret: any place will do
"""Not Python's own: recording must not change what a training draws from that."""


@dataclass(frozen=True, slots=True)
class _Known:
    storage: "weakref.ref[Any]"
    version: int
    step: int
    start: int
    sample: bytes
    digest: bytes


class TensorCache:
    """Remembers digests of tensors that did not change since the last call. For epochs only.

    torch has no sure sign that a tensor changed. Its own (`_version`, which autograd goes by) is
    not touched by fused optimizers, by `.data`, by numpy views, nor by the running means of batch
    normalization; and a tensor made by `.data` counts for itself, from 0. So a digest is taken
    over only if all of these say that nothing changed:

    - the storage is the same object. A freed and reused address is another object, which the weak
      reference shows: torch keeps one Python object per storage as long as the storage lives. If
      some version did not, the reference would be dead, and the tensor hashed;
    - `_version` is the same, and not 0;
    - no optimizer whose parameters lie in that storage has made a step;
    - a sample of the elements is the same;
    - it has at least 64 KiB and lies in C order. All else is hashed every time.

    What is left is a large tensor, of which a part was written through `.data` or numpy outside an
    optimizer. So what has to be right, the weights at the end of a run, is told without a cache.
    """

    def __init__(self) -> None:
        """Watches the steps of all optimizers of this process as long as the cache lives.

        Raises:
            UsageError: torch is not installed.
        """
        try:
            from torch.optim.optimizer import register_optimizer_step_post_hook
        except ImportError:
            raise UsageError(
                "torch is not installed", hint="pip install 'gitprov[torch]'"
            ) from None
        self._known: dict[tuple[object, ...], _Known] = {}
        self._steps = [0]
        self._stepped: dict[int, int] = {}
        steps, stepped = self._steps, self._stepped  # the hook must not keep the cache alive

        def note(optimizer: Any, _args: object, _kwargs: object) -> None:
            steps[0] += 1
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    stepped[_place(parameter)] = steps[0]

        handle = register_optimizer_step_post_hook(note)
        weakref.finalize(self, handle.remove)

    def find(self, tensor: Any) -> bytes | None:
        """Returns the digest of a tensor's elements, None if it may have changed."""
        if not _is_worth_it(tensor):
            return None
        known = self._known.get(_key(tensor))
        if known is None:
            return None
        storage = tensor.untyped_storage()
        stepped = self._stepped.get(storage.data_ptr(), 0)
        same = (
            known.storage() is storage
            and known.version == tensor._version
            and stepped <= known.step
            and known.sample == _sample(tensor, known.start)
        )
        return known.digest if same else None

    def keep(self, tensor: Any, digest: bytes) -> None:
        """Remembers the digest that a tensor's elements have now."""
        if not _is_worth_it(tensor):
            return
        storage = tensor.untyped_storage()
        key = _key(tensor)
        known = self._known
        start = _ANY.randrange(tensor.numel())
        reference = weakref.ref(storage, lambda dead: _forget(known, key, dead))
        known[key] = _Known(
            reference, tensor._version, self._steps[0], start, _sample(tensor, start), digest
        )


def _forget(
    known: dict[tuple[object, ...], _Known], key: tuple[object, ...], dead: "weakref.ref[Any]"
) -> None:
    if key in known and known[key].storage is dead:
        del known[key]


def _place(tensor: Any) -> int:
    try:
        return int(tensor.untyped_storage().data_ptr())
    except (RuntimeError, NotImplementedError):
        return 0  # made of other tensors, so its weights are refused anyway


def _key(tensor: Any) -> tuple[object, ...]:
    return (
        tensor.device,
        tensor.data_ptr(),
        tensor.shape,
        tensor.stride(),
        tensor.dtype,
        tensor.is_conj(),
        tensor.is_neg(),
    )


def _is_worth_it(tensor: Any) -> bool:
    return bool(
        tensor.layout is sys.modules["torch"].strided
        and not tensor.is_meta
        and not tensor.is_quantized
        and tensor.numel() * tensor.element_size() >= _WORTH_IT
        and tensor.is_contiguous()
        and not tensor.is_inference()  # these have no version
        and tensor._version > 0
    )


def _sample(tensor: Any, start: int) -> bytes:
    torch = sys.modules["torch"]
    flat = tensor.detach().reshape(-1)
    step = max(1, flat.numel() // _SAMPLES)
    picked = flat[start % step :: step].resolve_conj().resolve_neg().cpu().contiguous()
    return bytes(picked.view(torch.uint8).numpy().data)


_WRAPPERS = {
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "GradSampleModule": "_module",
    "OptimizedModule": "_orig_mod",
}
"""What torch's, its compiler's and Opacus' wrappers call the model inside."""


def unwrapped(model: Any) -> Any:
    """Returns the model inside wrappers: its tensors have the names that a saved file has."""
    while type(model).__name__ in _WRAPPERS:
        inner = getattr(model, _WRAPPERS[type(model).__name__], None)
        if inner is None:
            break
        model = inner
    return model


def architecture_of(model: Any) -> Digest:
    """Returns a digest of how a model is built, in which its parameters' values play no role.

    It is over UTF-8 text with one line per module, in the order of `named_modules()`: the name, the
    class with the module that defines it, and `extra_repr()`, parted by tabs; line breaks and tabs
    inside become spaces.

    Raises:
        UsageError: it is no torch module.
    """
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(model, torch.nn.Module):
        raise UsageError(f"{a_type(model)} is not a torch.nn.Module", hint="pass the model itself")
    lines = []
    for name, module in model.named_modules():
        kind = type(module)
        fields = (name, f"{kind.__module__}.{kind.__qualname__}", module.extra_repr())
        lines.append("\t".join(" ".join(field.split()) for field in fields) + "\n")
    return Digest.of("".join(lines).encode("utf-8", "surrogatepass"))
