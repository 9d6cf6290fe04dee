"""The root over a model file's tensors, when they can be read without running anything."""

import os
from collections.abc import Callable
from typing import BinaryIO

from blake3 import blake3

from gitprov.core.digest import Digest
from gitprov.core.paths import show
from gitprov.errors import EnvironmentFault, MalformedError
from gitprov.model.safetensors import LENGTH_BYTES, Tensor, header_length, parse_header
from gitprov.model.weights import ModelWeights, TensorDigest, model_weights
from gitprov.platform.files import fault

ENDING = b".safetensors"

_PIECE = 4 << 20
_MANY_THREADS_FROM = 32 << 20


def weights_of(path: bytes, shown: bytes, expected: Digest, size: int) -> Digest | None:
    """Returns the weights root of a model file, None when its tensors cannot be read.

    Only safetensors files have one: what a record says must not depend on whether torch, which
    reads the others, is installed where it is made.

    Args:
        path: the file.
        shown: its path in the repository, for messages.
        expected: the digest under which it was just stored; what is read here must be the same.
        size: its bytes.

    Raises:
        EnvironmentFault: it cannot be read, or has changed since it was stored.
    """
    if not path.lower().endswith(ENDING):
        return None
    return weights_if_any(path, shown, expected, size)


def weights_if_any(path: bytes, shown: bytes, expected: Digest, size: int) -> Digest | None:
    """Returns the same, whatever the file is called."""
    try:
        with open(path, "rb") as file:
            whole = blake3(max_threads=blake3.AUTO if size >= _MANY_THREADS_FROM else 1)
            reading = _Reading(file.read, size, whole)
            tensors = reading.tensors()
    except MalformedError:
        return None  # no safetensors file, whatever it is called: bytes like any others
    except OSError as exc:
        raise fault(exc, "read", path) from exc
    if whole.digest() != expected.raw:
        raise _changed(show(shown))
    return model_weights(tensors).root


def weights_read(read: Callable[[int], bytes], size: int) -> Digest | None:
    """Returns the weights root of what is read from its start; None when it is no safetensors file.

    What follows the place where that showed is left unread.

    Args:
        read: reads the next bytes.
        size: how many there are.
    """
    try:
        return model_weights(_Reading(read, size, None).tensors()).root
    except MalformedError:
        return None


def safetensors_weights(file: BinaryIO, shown: str) -> ModelWeights:
    """Returns the weights in a safetensors file, which is read once and never as a whole.

    Args:
        file: the file.
        shown: its path, for messages.

    Raises:
        OSError: it cannot be read.
        MalformedError: it is no safetensors file.
        EnvironmentFault: it gets shorter meanwhile.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    reading = _Reading(file.read, size, None)
    try:
        tensors = reading.tensors()
    except MalformedError as exc:
        raise MalformedError(f"{shown}: {exc}") from None
    if reading.is_short:
        raise _changed(shown)
    return model_weights(tensors)


def weights_in(path: str | bytes) -> ModelWeights:
    """Returns the weights in the safetensors file at a path.

    Raises:
        MalformedError: it is no safetensors file.
        EnvironmentFault: it cannot be read, or gets shorter meanwhile.
    """
    try:
        with open(path, "rb") as file:
            return safetensors_weights(file, show(os.fsencode(path)))
    except OSError as exc:
        raise fault(exc, "read", path) from exc


class _Reading:
    """Reads a file once, from start to end, for the digest of the whole and of each tensor."""

    def __init__(self, read: Callable[[int], bytes], size: int, whole: blake3 | None) -> None:
        self._read = read
        self._size = size
        self._whole = whole
        self.is_short = False

    def tensors(self) -> list[TensorDigest]:
        length = header_length(self._take(min(LENGTH_BYTES, self._size)), self._size)
        found = parse_header(self._take(length), self._size - LENGTH_BYTES - length)
        return [self._tensor(tensor) for tensor in found]

    def _take(self, count: int) -> bytes:
        data = self._read(count)
        if self._whole is not None:
            self._whole.update(data)
        return data

    def _tensor(self, tensor: Tensor) -> TensorDigest:
        count = tensor.end - tensor.start
        hasher = blake3(max_threads=blake3.AUTO if count >= _MANY_THREADS_FROM else 1)
        while count:
            data = self._take(min(count, _PIECE))
            if not data:
                self.is_short = True  # shorter than before; the digest of the whole tells, too
                break
            hasher.update(data)
            count -= len(data)
        return TensorDigest(tensor.name, tensor.dtype, tensor.shape, Digest(hasher.digest()))


def _changed(shown: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"{shown} changed while it was read",
        hint="stop the program that writes to it, then run this again",
    )
