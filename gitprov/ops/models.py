"""Models to compare: a file, or a revision's artifact in the store, tensor by tensor."""

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, BinaryIO, Self

from gitprov.errors import EnvironmentFault, UsageError
from gitprov.model.safetensors import LENGTH_BYTES, Tensor, header_length, parse_header
from gitprov.model.weights import ModelWeights
from gitprov.ops.compare import ls
from gitprov.ops.elements import elements
from gitprov.ops.state_weights import weights_of_state
from gitprov.ops.weights import safetensors_weights
from gitprov.ops.weights_files import is_safetensors, load_state
from gitprov.platform.files import fault
from gitprov.workspace import Workspace

PIECE = 16 << 20
"""So many bytes of a tensor are looked at once; a multiple of the size of every element."""

Find = Callable[[], Workspace]
"""Opens the workspace around the current folder."""


@dataclass(frozen=True, slots=True)
class _Content:
    """A model file: what it is called, and where its bytes are."""

    name: str
    place: str | bytes


class OpenModel:
    """A model whose weights are known and whose tensors can be read. Close it after use."""

    def __init__(self, weights: ModelWeights, read: Callable[[str], Iterator[bytes]]) -> None:
        """Takes the weights, and what yields a tensor's bytes piece by piece."""
        self.weights = weights
        self.read = read
        self._stack = ExitStack()

    @classmethod
    def open(cls, word: str, find: Find) -> Self:
        """Opens what the user names.

        Args:
            word: the path of a file, or `REV:PATH` for a file of an artifact in the store.
            find: opens the workspace; called for `REV:PATH` only.

        Raises:
            UsageError: there is no such file, or it is no model that can be read.
            MalformedError: it is not in the format that its ending says.
            UnavailableError: the store lacks it.
            EnvironmentFault: it cannot be read.
        """
        content = _content(word, find)
        if is_safetensors(content.name):
            return cls._safetensors(content)
        place = None if content.place == content.name else content.place
        state = load_state(content.name, place)
        return cls(weights_of_state(state), lambda name: _from_state(state, name))

    @classmethod
    def _safetensors(cls, content: _Content) -> Self:
        file = _file(content)
        try:
            weights = safetensors_weights(file, content.name)
            base, tensors = _header(file)
        except OSError as exc:
            file.close()
            raise fault(exc, "read", content.name) from exc
        except BaseException:
            file.close()
            raise
        model = cls(weights, lambda name: _from_file(file, base, tensors[name], content.name))
        model._stack.callback(file.close)
        return model

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _content(word: str, find: Find) -> _Content:
    if os.path.isfile(word):
        return _Content(word, word)
    rev, colon, path = word.partition(":")
    if not colon or not rev or not path:
        raise UsageError(
            f"there is no model file {word}",
            hint="name two files, or REV:PATH for a file that an artifact has at a revision",
        )
    with find() as ws:
        [*files] = ls(ws, rev, path)
        if len(files) != 1 or files[0].kind == "l":
            raise UsageError(
                f"{word} is not one file", hint=f"gitprov ls {word} lists the files in it"
            )
        digest = files[0].digest.raw
        name = str(files[0].path)
        return _Content(name, ws.store.path_of(digest) or ws.store.read(digest))


def _file(content: _Content) -> BinaryIO:
    if isinstance(content.place, bytes):
        return io.BytesIO(content.place)
    try:
        return open(content.place, "rb")
    except OSError as exc:
        raise fault(exc, "read", content.name) from exc


def _header(file: BinaryIO) -> tuple[int, dict[str, Tensor]]:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    length = header_length(file.read(LENGTH_BYTES), size)
    base = LENGTH_BYTES + length
    return base, {item.name: item for item in parse_header(file.read(length), size - base)}


def _from_file(file: BinaryIO, base: int, tensor: Tensor, shown: str) -> Iterator[bytes]:
    for start in range(tensor.start, tensor.end, PIECE):
        count = min(PIECE, tensor.end - start)
        try:
            file.seek(base + start)
            data = file.read(count)
        except OSError as exc:
            raise fault(exc, "read", shown) from exc
        if len(data) != count:
            raise EnvironmentFault(f"{shown} changed while it was read")
        yield data


def _from_state(state: Mapping[str, Any], name: str) -> Iterator[bytes]:
    found = elements(state[name], f"the tensor {name!r}")
    assert found is not None  # noqa: S101  # its digest was told
    for start in range(0, len(found.data), PIECE):
        yield bytes(found.data[start : start + PIECE])
