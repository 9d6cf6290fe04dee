"""The elements of torch tensors and numpy arrays as bytes, copied only where it has to be.

Neither library is imported here: a value can only be theirs when the caller has imported it.
"""

import sys
from typing import Any, NamedTuple

from blake3 import blake3

from gitprov.errors import UsageError

_MANY_THREADS_FROM = 1 << 20
"""Measured on two cores: from here, waking other threads costs little when the machine is busy."""

_TORCH = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16",
    "float8_e5m2": "F8_E5M2", "float8_e4m3fn": "F8_E4M3", "float8_e8m0fnu": "F8_E8M0",
    "float8_e5m2fnuz": "F8_E5M2FNUZ", "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8",
    "bool": "BOOL", "complex64": "C64", "complex128": "C128",
}  # fmt: skip

_NUMPY = {
    name: dtype for name, dtype in _TORCH.items() if not name.startswith(("bfloat", "float8"))
}

_torch_names: dict[Any, str] = {}


class Elements(NamedTuple):
    """What an array holds. A named tuple, as one is made for every tensor and every sample.

    Attributes:
        dtype: the type of its elements, as safetensors names it.
        shape: its dimensions; none for a scalar.
        data: its elements in C order, little-endian; a view of the array's own memory where that
            is laid out so.
    """

    dtype: str
    shape: tuple[int, ...]
    data: memoryview


def a_type(value: object) -> str:
    """Returns the name of a value's type with its article, for messages: "an int"."""
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    name = module + kind.__qualname__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def hash_raw(data: memoryview | bytes) -> bytes:
    """Returns the BLAKE3 of bytes, with several threads where that is faster."""
    threads = blake3.AUTO if len(data) >= _MANY_THREADS_FROM else 1
    return blake3(data, max_threads=threads).digest()


def is_tensor(value: object) -> bool:
    """Whether a value is a torch tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_array(value: object) -> bool:
    """Whether a value is a numpy array or one of numpy's scalars."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic))


def elements(value: Any, what: str) -> Elements | None:
    """Returns the elements of a tensor or an array, None when a value is neither.

    Args:
        value: anything.
        what: names it in errors.

    Raises:
        UsageError: it has no elements that could be recorded: meta, sparse, quantized, objects.
    """
    if is_tensor(value):
        return _of_tensor(value, what)
    if is_array(value):
        return _of_array(value, what)
    return None


def dtype_of(value: Any, what: str) -> str:
    """Returns the name of the type of a tensor's or an array's elements.

    Raises:
        UsageError: it is a type that has no name.
    """
    if not is_tensor(value):
        name = _NUMPY.get(value.dtype.newbyteorder("=").name)
    else:
        name = _torch_names.get(value.dtype)
        if name is None:
            name = _TORCH.get(str(value.dtype).removeprefix("torch."))
            if name is not None:
                _torch_names[value.dtype] = name  # str() of a dtype takes longer than all the rest
    if name is None:
        raise UsageError(
            f"{what} has elements of the type {value.dtype}, which cannot be recorded",
            hint="convert it to one of " + ", ".join(_TORCH),
        )
    return name


def _of_tensor(tensor: Any, what: str) -> Elements:
    torch = sys.modules["torch"]
    _refuse_tensor(torch, tensor, what)
    dtype = dtype_of(tensor, what)
    plain = tensor.detach() if tensor.requires_grad else tensor
    # Conjugation and negation may only be marked; the bytes then are those of the unmarked values.
    if plain.is_conj():
        plain = plain.resolve_conj()
    if plain.is_neg():
        plain = plain.resolve_neg()
    if not plain.is_cpu:
        plain = plain.cpu()
    flat = plain.contiguous().view(-1)
    if flat.stride(0) != 1:  # one element counts as contiguous whatever its stride
        flat = flat.clone(memory_format=torch.contiguous_format)
    array = flat.view(torch.uint8).numpy()
    if sys.byteorder == "big":
        unit = plain.element_size() // (2 if plain.is_complex() else 1)
        array = array.reshape(-1, unit)[:, ::-1].copy().reshape(-1)
    return Elements(dtype, tuple(tensor.shape), array.data)


def _refuse_tensor(torch: Any, tensor: Any, what: str) -> None:
    reason = ""
    if tensor.is_meta:
        reason = "is on the device meta, so it has no elements"
    elif tensor.is_quantized:
        reason = "is quantized"
    elif tensor.layout is not torch.strided:
        reason = f"is not dense but {str(tensor.layout).removeprefix('torch.')}"
    elif type(tensor) not in {torch.Tensor, torch.nn.Parameter} and hasattr(
        tensor, "__tensor_flatten__"
    ):
        reason = f"is a {type(tensor).__name__}, which is made of other tensors"
    if reason:
        raise UsageError(
            f"{what} {reason}; only plain, dense tensors can be recorded",
            hint="pass a state dict of plain tensors (materialized, dequantized, gathered)",
        )


def _of_array(array: Any, what: str) -> Elements:
    numpy = sys.modules["numpy"]
    dtype = dtype_of(array, what)
    shape = tuple(array.shape)
    little = numpy.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return Elements(dtype, shape, little.reshape(-1).view(numpy.uint8).data)
