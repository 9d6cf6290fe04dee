"""The weights of a state dict in memory: torch tensors or numpy arrays by name."""

import os
from collections.abc import Mapping
from typing import Any, Protocol

from blake3 import blake3

from gitprov.core.digest import Digest
from gitprov.errors import MalformedError, UsageError
from gitprov.model.weights import ModelWeights, TensorDigest, model_weights
from gitprov.ops.elements import a_type, dtype_of, elements, hash_raw, is_array, is_tensor

_LARGE = 1 << 20
_HUGE = 256 << 20
"""From here several threads for one tensor keep all cores busy."""

_FEW = 4

_HINT = "pass a model's state_dict(), tensors by name; an optimizer's state is not weights"


class Memory(Protocol):
    """Remembers digests of tensors from one call to the next."""

    def find(self, tensor: Any) -> bytes | None:
        """Returns the digest of a tensor's elements, if it is known."""
        ...

    def keep(self, tensor: Any, digest: bytes) -> None:
        """Is told a digest."""
        ...


def weights_of_state(state: Mapping[str, Any], cache: Memory | None = None) -> ModelWeights:
    """Returns the weights of a state dict.

    One tensor at a time is copied, and only if it is on another device or not laid out in C order.

    Args:
        state: torch tensors or numpy arrays by name.
        cache: what remembers digests; without it every element is read.

    Raises:
        UsageError: something in it is no tensor, or a tensor that has no elements to record.
    """
    if not isinstance(state, Mapping):
        raise UsageError(f"{a_type(state)} is not a state dict", hint=_HINT)
    kept: dict[tuple[object, ...], str] = {}
    tied: dict[str, str] = {}
    pending: list[tuple[str, Any, str]] = []
    for name in _names(state):
        value = state[name]
        what = f"the tensor {name!r}"
        if is_tensor(value):
            key = _identity(value)
            if key is not None and kept.setdefault(key, name) != name:
                tied[name] = kept[key]
                continue
        elif not is_array(value):
            raise UsageError(
                f"{name!r} in the state dict is {a_type(value)}, not a tensor", hint=_HINT
            )
        pending.append((name, value, what))
    ahead = _hash_ahead(pending) if cache is None else {}
    tensors = [_digest(*one, cache, ahead.get(one[0])) for one in pending]
    try:
        return model_weights(tensors, tied)
    except MalformedError as exc:
        raise UsageError(f"the name of a tensor is not Unicode text: {exc}") from None


def _names(state: Mapping[str, Any]) -> list[str]:
    for name in state:
        if not isinstance(name, str):
            raise UsageError(f"{name!r} in the state dict is {a_type(name)}, no name", hint=_HINT)
    return sorted(state)  # code points sort as their UTF-8 bytes do


def _hash_ahead(pending: list[tuple[str, Any, str]]) -> dict[str, bytes]:
    """Hashes large tensors that need no copy side by side.

    One after the other, each with several threads, costs a start and a wait for every tensor.
    """
    large = [one for one in pending if _is_large(one[1])]
    if len(large) < _FEW:
        return {}
    from concurrent.futures import ThreadPoolExecutor

    found = [elements(value, what) for _, value, what in large]
    data = [one.data for one in found if one is not None]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        digests = list(pool.map(_hash_alone, data))
    return {name: digest for (name, _, _), digest in zip(large, digests, strict=True)}


def _is_large(value: Any) -> bool:
    """Whether it is a tensor of a size that pays, whose bytes lie there as they are hashed."""
    return bool(
        is_tensor(value)
        and value.is_cpu
        and not value.is_quantized
        and value.layout is _strided()
        and _LARGE <= value.numel() * value.element_size() < _HUGE
        and value.is_contiguous()
        and not value.is_conj()
        and not value.is_neg()
    )


def _hash_alone(data: memoryview) -> bytes:
    return blake3(data).digest()


def _digest(
    name: str, value: Any, what: str, cache: Memory | None, ahead: bytes | None
) -> TensorDigest:
    if ahead is not None:
        return TensorDigest(name, dtype_of(value, what), tuple(value.shape), Digest(ahead))
    if cache is not None and is_tensor(value):
        known = cache.find(value)
        if known is not None:
            return TensorDigest(name, dtype_of(value, what), tuple(value.shape), Digest(known))
    found = elements(value, what)
    assert found is not None  # noqa: S101  # the caller has looked
    dtype, shape, data = found
    raw = hash_raw(data)
    if cache is not None and is_tensor(value):
        cache.keep(value, raw)
    return TensorDigest(name, dtype, shape, Digest(raw))


def _identity(tensor: Any) -> tuple[object, ...] | None:
    """What two tensors that are one have in common; None for those that cannot be told."""
    if tensor.is_meta or tensor.layout is not _strided() or not tensor.numel():
        return None  # empty tensors have no place in memory, and all of them the same one
    return (
        tensor.device,
        tensor.data_ptr(),  # where its storage begins, plus its offset
        tensor.shape,
        tensor.stride(),
        tensor.dtype,
        tensor.is_conj(),
        tensor.is_neg(),
    )


def _strided() -> object:
    import torch

    return torch.strided
