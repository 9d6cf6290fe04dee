"""The root over a model file's tensors, when they can be read without running anything."""

from collections.abc import Callable

from blake3 import blake3

from gitprov.core.digest import Digest
from gitprov.core.paths import show
from gitprov.errors import EnvironmentFault, MalformedError
from gitprov.model.safetensors import (
    LENGTH_BYTES,
    Tensor,
    header_length,
    parse_header,
    weights_root,
)
from gitprov.platform.files import fault

ENDING = b".safetensors"

_PIECE = 4 << 20
_MANY_THREADS_FROM = 32 << 20


def weights_of(path: bytes, shown: bytes, expected: Digest, size: int) -> Digest | None:
    """Returns the weights root of a model file, None when its tensors cannot be read.

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
    try:
        with open(path, "rb") as file:
            return _Reading(file.read, size).root(expected, shown)
    except OSError as exc:
        raise fault(exc, "read", path) from exc


class _Reading:
    """Reads a file once, from start to end, for the digest of the whole and of each tensor."""

    def __init__(self, read: Callable[[int], bytes], size: int) -> None:
        threads = blake3.AUTO if size >= _MANY_THREADS_FROM else 1
        self._read = read
        self._size = size
        self._threads = threads
        self._whole = blake3(max_threads=threads)

    def root(self, expected: Digest, shown: bytes) -> Digest | None:
        try:
            length = header_length(self._take(min(LENGTH_BYTES, self._size)), self._size)
            tensors = parse_header(self._take(length), self._size - LENGTH_BYTES - length)
        except MalformedError:
            return None  # no safetensors file, whatever it is called: bytes like any others
        digests: dict[Tensor, Digest] = {}
        for tensor in tensors:
            digests[tensor] = self._tensor(tensor.end - tensor.start)
        if self._whole.digest() != expected.raw:
            raise EnvironmentFault(
                f"{show(shown)} changed while it was read",
                hint="stop the program that writes to it, then run this again",
            )
        return weights_root(digests)

    def _take(self, count: int) -> bytes:
        data = self._read(count)
        self._whole.update(data)
        return data

    def _tensor(self, count: int) -> Digest:
        hasher = blake3(max_threads=self._threads)
        while count:
            data = self._take(min(count, _PIECE))
            if not data:
                break  # shorter than before: the digest of the whole will tell
            hasher.update(data)
            count -= len(data)
        return Digest(hasher.digest())
