"""The header of a safetensors file: where each tensor's bytes are. Nothing is loaded or run.

Format: https://github.com/huggingface/safetensors, "Format". Eight bytes of little-endian length, a
JSON object of that length, then the tensors' bytes, little-endian and contiguous, without holes.
"""

import json
from dataclasses import dataclass

from gitprov.core.canonical import Fields, Json
from gitprov.core.digest import Digest
from gitprov.errors import MalformedError
from gitprov.model.weights import TensorDigest, model_weights

LENGTH_BYTES = 8
MAX_HEADER_BYTES = 100_000_000
"""The reference implementation's own limit."""

MAX_TENSORS = 1_000_000

_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a file.

    Attributes:
        name: its name.
        dtype: as safetensors names it, `F32`, `BF16`, …
        shape: its dimensions; none for a scalar.
        start: where its bytes begin, counted from the end of the header.
        end: where they end.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def header_length(first: bytes, size: int) -> int:
    """Returns the length of the header that a file's first eight bytes announce.

    Raises:
        MalformedError: it cannot be that long in a file of `size` bytes.
    """
    length = int.from_bytes(first, "little")
    if len(first) != LENGTH_BYTES or not 2 <= length <= min(MAX_HEADER_BYTES, size - LENGTH_BYTES):
        raise MalformedError("not a safetensors file: its header has no possible length")
    return length


def parse_header(data: bytes, room: int) -> list[Tensor]:
    """Returns the tensors of a header, in the order of their bytes.

    Args:
        data: the header's JSON.
        room: how many bytes follow the header.

    Raises:
        MalformedError: it is no header, or its tensors do not fill the room exactly.
    """
    try:
        value: Json = json.loads(data, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as exc:
        raise MalformedError(f"not a safetensors header: {exc}") from None
    if not isinstance(value, dict) or len(value) > MAX_TENSORS:
        raise MalformedError("not a safetensors header: no JSON object, or too many tensors")
    tensors = [_tensor(name, item) for name, item in value.items() if name != "__metadata__"]
    tensors.sort(key=lambda tensor: (tensor.start, tensor.end))
    end = 0
    for tensor in tensors:
        if tensor.start != end:
            raise MalformedError(f"the tensor {tensor.name!r} does not follow the one before")
        end = tensor.end
    if end != room:
        raise MalformedError("the tensors of a safetensors file do not fill it")
    return tensors


def weights_root(tensors: dict[Tensor, Digest]) -> Digest:
    """Returns the weights root over tensors and the digests of their bytes (docs/formats.md)."""
    return model_weights(
        TensorDigest(tensor.name, tensor.dtype, tensor.shape, digest)
        for tensor, digest in tensors.items()
    ).root


def _tensor(name: str, value: Json) -> Tensor:
    what = f"the tensor {name[:100]!r}"
    fields = Fields(value, what=what)
    dtype = fields.text("dtype", one_of=tuple(_BITS))
    shape = _numbers(fields.array("shape"), what)
    offsets = _numbers(fields.array("data_offsets"), what)
    fields.end()
    count = 1
    for dimension in shape:
        count *= dimension
        if count > 1 << 62:
            raise MalformedError(f"{what} is too large")
    if len(offsets) != 2 or offsets[1] - offsets[0] != count * _BITS[dtype] // 8:
        raise MalformedError(f"{what} does not have the bytes that its shape needs")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise MalformedError(f"{what} has a name that is not UTF-8") from None
    return Tensor(name, dtype, shape, offsets[0], offsets[1])


def _numbers(values: list[Json], what: str) -> tuple[int, ...]:
    numbers = tuple(v for v in values if isinstance(v, int) and not isinstance(v, bool) and v >= 0)
    if len(numbers) != len(values) or max(numbers, default=0) > 1 << 62:
        raise MalformedError(f"{what} has a shape or offset that is no number")
    return numbers


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise MalformedError("not a safetensors header: a key occurs twice")
    return value
