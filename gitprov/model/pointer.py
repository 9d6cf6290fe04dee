"""The pointer: the small YAML file in git that stands for an artifact (docs/formats.md).

The format is a fixed sequence of `key: value` lines, so it is read and written line by line; PyYAML
is asked only about names that YAML would have to quote.
"""

import re
from dataclasses import dataclass
from typing import Literal, Self, cast

from gitprov.core.digest import Digest
from gitprov.core.paths import check_name, show
from gitprov.errors import MalformedError

SUFFIX = ".prov"
MAX_POINTER_BYTES = 4096
MAX_COUNT = (1 << 53) - 1
"""The largest size and file count: the largest integer that canonical JSON can carry."""

MODEL_ENDINGS = frozenset(
    (".pt", ".pth", ".ckpt", ".safetensors", ".onnx", ".gguf", ".h5", ".keras", ".pkl", ".joblib")
)
"""File name endings that make an artifact a model unless the user says otherwise."""

NO_WEIGHTS = "only a model in one file has weights"

ArtifactKind = Literal["data", "model"]
EntryType = Literal["dir", "file", "exec"]

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:[.-][A-Za-z0-9_]+)*", re.ASCII)
# What YAML 1.1 reads as something else than a string although it looks like a name.
_YAML_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))
_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Pointer:
    """One artifact as git sees it. `parse(p.to_bytes()) == p`, and back.

    Attributes:
        path: the artifact's name, one component, beside the pointer.
        kind: data or model.
        type: directory, file, or executable file.
        root: the manifest's root, or the file's digest.
        size: bytes.
        files: regular files and symlinks below it; 1 for a file.
        weights: the root over a model's tensors, when they could be read.
    """

    path: str
    kind: ArtifactKind
    type: EntryType
    root: Digest
    size: int
    files: int
    weights: Digest | None = None

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parses a pointer file; only the one canonical spelling passes.

        Raises:
            MalformedError: it says which line is wrong.
        """
        if len(data) > MAX_POINTER_BYTES:
            raise MalformedError(f"a pointer is larger than {MAX_POINTER_BYTES} bytes")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise MalformedError("a pointer is not UTF-8") from None
        lines = text.split("\n")
        if lines.pop() or len(lines) not in {7, 8}:
            raise MalformedError(
                "a pointer has seven or eight lines",
                hint="do not edit pointers by hand: `gitprov add` writes them",
            )
        keys = ("gitprov", "path", "kind", "type", "root", "size", "files", "weights")
        numbered = enumerate(zip(lines, keys[: len(lines)], strict=True), start=1)
        values = [_value(line, key, number) for number, (line, key) in numbered]
        _one_of(values[0], ("1",), 1)
        pointer = cls(
            path=_read_name(values[1]),
            kind=cast("ArtifactKind", _one_of(values[2], ("data", "model"), 3)),
            type=cast("EntryType", _one_of(values[3], ("dir", "file", "exec"), 4)),
            root=Digest.parse(values[4]),
            size=_count(values[5], 6),
            files=_count(values[6], 7),
            weights=Digest.parse(values[7]) if len(values) == len(keys) else None,
        )
        if pointer.type != "dir" and pointer.files != 1:
            raise MalformedError("line 7 of a pointer to a file must be 'files: 1'")
        if pointer.weights is not None and not may_have_weights(pointer.kind, pointer.type):
            raise MalformedError(f"line 8 of a pointer must not be there: {NO_WEIGHTS}")
        if pointer.to_bytes() != data:
            raise MalformedError("a pointer is not in its canonical spelling")
        return pointer

    def to_bytes(self) -> bytes:
        """Returns the file's bytes."""
        lines = [
            "gitprov: 1",
            f"path: {_written_name(self.path)}",
            f"kind: {self.kind}",
            f"type: {self.type}",
            f"root: {self.root}",
            f"size: {self.size}",
            f"files: {self.files}",
        ]
        if self.weights is not None:
            lines.append(f"weights: {self.weights}")
        return ("\n".join(lines) + "\n").encode()


def may_have_weights(kind: ArtifactKind, entry: EntryType) -> bool:
    """Whether an artifact is what may have a weights root; whether it has, the bytes decide."""
    return kind == "model" and entry != "dir"


def is_pointer_name(path: bytes) -> bool:
    """Whether a regular file of this path is a pointer: `<name>.prov` with a name."""
    name = path.rpartition(b"/")[2]
    return name.endswith(SUFFIX.encode()) and len(name) > len(SUFFIX)


def kind_for(name: str) -> ArtifactKind:
    """Returns `model` for the endings that models have, else `data`."""
    dot = name.rfind(".")
    return "model" if dot > 0 and name[dot:].lower() in MODEL_ENDINGS else "data"


def _value(line: str, key: str, number: int) -> str:
    found, colon, value = line.partition(": ")
    if found != key or not colon:
        raise MalformedError(f"line {number} of a pointer must be '{key}: …', not {line[:80]!r}")
    return value


def _one_of(value: str, allowed: tuple[str, ...], number: int) -> str:
    if value not in allowed:
        raise MalformedError(
            f"line {number} of a pointer must say {' or '.join(allowed)}, not {value[:80]!r}"
        )
    return value


def _count(value: str, number: int) -> int:
    if not _NUMBER.fullmatch(value) or int(value) > MAX_COUNT:
        raise MalformedError(f"line {number} of a pointer is not a number: {value[:80]!r}")
    return int(value)


def _is_plain(name: str) -> bool:
    return bool(_PLAIN_NAME.fullmatch(name)) and name.lower() not in _YAML_WORDS


def _written_name(name: str) -> str:
    if _is_plain(name):
        return name
    from gitprov.model.yaml_scalar import write_scalar  # PyYAML costs 16 ms to import

    return write_scalar(name)


def _read_name(text: str) -> str:
    name = text
    if not _is_plain(text):
        from gitprov.model.yaml_scalar import read_scalar  # PyYAML costs 16 ms to import

        name = read_scalar(text)
    try:
        check_name(name.encode())
    except UnicodeEncodeError:
        raise MalformedError(f"line 2 of a pointer has the path {name!r}") from None
    except MalformedError as exc:
        shown = show(name.encode())
        raise MalformedError(f"line 2 of a pointer has the path '{shown}': {exc}") from None
    return name
