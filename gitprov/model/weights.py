"""What is recorded of a model's weights: a digest per tensor, and one root over all of them.

docs/formats.md, section 6. The root does not depend on the container, the device or the strides.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gitprov.core.canonical import dumps
from gitprov.core.digest import Digest
from gitprov.core.merkle import WEIGHTS, root

_PLAIN = re.compile(r"[ !#-\[\]-~]*")
"""Names that are their own JSON: printable ASCII without quotes and backslashes."""


@dataclass(frozen=True, slots=True)
class TensorDigest:
    """One tensor.

    Attributes:
        name: its name in the state dict.
        dtype: as safetensors names it, `F32`, `BF16`, …; `C128`, which safetensors lacks.
        shape: its dimensions; none for a scalar.
        digest: BLAKE3 of its elements in C order, little-endian.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    digest: Digest


@dataclass(frozen=True, slots=True)
class ModelWeights:
    """All weights of a model.

    Attributes:
        root: the weights root.
        tensors: each tensor once, sorted by the bytes of the names.
        tied: names that stand for a tensor recorded under another name, with that name.
        parameters: how many numbers the tensors hold, buffers included and tied ones once.
    """

    root: Digest
    tensors: tuple[TensorDigest, ...]
    tied: Mapping[str, str] = field(default_factory=dict)
    parameters: int = 0


def weights_leaf(name: str, dtype: str, shape: Iterable[int], digest_hex: str) -> bytes:
    """Returns the canonical JSON that stands for one tensor.

    It is put together by hand, as a model may have thousands of tensors in every epoch; a test
    holds it against `dumps`.

    Raises:
        MalformedError: the name is not Unicode text.
    """
    quoted = f'"{name}"' if _PLAIN.fullmatch(name) else dumps(name).decode()
    sizes = ",".join(map(str, shape))
    return (
        f'{{"digest":"blake3:{digest_hex}","dtype":"{dtype}","name":{quoted},"shape":[{sizes}]}}'
    ).encode()


def model_weights(
    tensors: Iterable[TensorDigest], tied: Mapping[str, str] | None = None
) -> ModelWeights:
    """Returns the weights that tensors in any order make up.

    Args:
        tensors: each tensor once.
        tied: dropped names, with the name that was kept.

    Raises:
        MalformedError: a name is not Unicode text.
    """
    # Code points sort as their UTF-8 bytes do.
    ordered = tuple(sorted(tensors, key=lambda tensor: tensor.name))
    leaves = [
        WEIGHTS.leaf(weights_leaf(item.name, item.dtype, item.shape, item.digest.hex))
        for item in ordered
    ]
    parameters = 0
    for tensor in ordered:
        count = 1
        for dimension in tensor.shape:
            count *= dimension
        parameters += count
    return ModelWeights(Digest(root(WEIGHTS, leaves)), ordered, dict(tied or {}), parameters)
