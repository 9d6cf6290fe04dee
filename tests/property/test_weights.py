"""The weights root against a second, naive reading of docs/formats.md, for any tensors."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from gitprov.core.canonical import Json, dumps
from gitprov.core.digest import Digest
from gitprov.model.weights import TensorDigest, model_weights, weights_leaf
from gitprov.ops.state_weights import weights_of_state
from gitprov.ops.weights_files import load_weights_file
from tests.support.torch import need

DTYPES = {
    "F64": "f8", "F32": "f4", "F16": "f2", "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1",
    "U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1", "BOOL": "?", "C64": "c8",
}  # fmt: skip

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@st.composite
def arrays(draw: st.DrawFn) -> tuple[str, Any]:
    """A type's name and an array of any bits, of up to three dimensions, some of them empty."""
    dtype = draw(st.sampled_from(sorted(DTYPES)))
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    count = int(np.prod(shape, dtype=int))
    kind = np.dtype(DTYPES[dtype])
    data = draw(st.binary(min_size=count * kind.itemsize, max_size=count * kind.itemsize))
    if dtype == "BOOL":
        data = bytes(byte & 1 for byte in data)
    return dtype, np.frombuffer(data, kind.newbyteorder("<")).reshape(shape)


states = st.dictionaries(names, arrays(), max_size=5)


def naive_root(state: dict[str, tuple[str, Any]]) -> bytes:
    """The tree of RFC 9162 by its recursive definition, over leaves written by json."""

    def hashed(data: bytes) -> bytes:
        return blake3(data, derive_key_context="gitprov v1 weights").digest()

    def tree(leaves: list[bytes]) -> bytes:
        if len(leaves) < 2:
            return hashed(b"\x00" + leaves[0]) if leaves else hashed(b"")
        split = 1
        while split * 2 < len(leaves):
            split *= 2
        return hashed(b"\x01" + tree(leaves[:split]) + tree(leaves[split:]))

    leaves = []
    for name, (dtype, array) in sorted(state.items(), key=lambda item: item[0].encode()):
        digest = str(Digest.of(array.tobytes()))
        leaf = {"digest": digest, "dtype": dtype, "name": name, "shape": [*array.shape]}
        leaves.append(json.dumps(leaf, ensure_ascii=False, separators=(",", ":")).encode())
    return tree(leaves)


def safetensors(state: dict[str, tuple[str, Any]]) -> bytes:
    header: dict[str, Any] = {}
    body = b""
    for name, (dtype, array) in state.items():
        data = array.tobytes()
        offsets = [len(body), len(body) + len(data)]
        header[name] = {"dtype": dtype, "shape": [*array.shape], "data_offsets": offsets}
        body += data
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


@given(names, st.sampled_from(sorted(DTYPES)), st.lists(st.integers(0, 2**50), max_size=4))
def test_a_leaf_is_canonical_json(name: str, dtype: str, shape: list[int]) -> None:
    digest = Digest.of(name.encode())
    value: dict[str, Json] = {
        "digest": str(digest),
        "dtype": dtype,
        "name": name,
        "shape": [*shape],
    }
    assert weights_leaf(name, dtype, shape, digest.hex) == dumps(value)


@given(states)
def test_the_root_is_the_naive_one(state: dict[str, tuple[str, Any]]) -> None:
    found = weights_of_state({name: array for name, (_, array) in state.items()})
    assert found.root.raw == naive_root(state)
    assert found.parameters == sum(array.size for _, array in state.values())
    assert [tensor.name.encode() for tensor in found.tensors] == sorted(
        name.encode() for name in state
    )


@given(states.filter(lambda state: "__metadata__" not in state))
def test_a_file_has_the_root_of_the_tensors_in_it(
    tmp_path_factory: pytest.TempPathFactory, state: dict[str, tuple[str, Any]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "property.safetensors"
    path.write_bytes(safetensors(state))
    assert load_weights_file(str(path)).root.raw == naive_root(state)


@given(states, st.data())
def test_one_flipped_bit_changes_the_root(
    state: dict[str, tuple[str, Any]], data: st.DataObject
) -> None:
    full = sorted(name for name, (dtype, array) in state.items() if array.size and dtype != "BOOL")
    if not full:
        return
    name = data.draw(st.sampled_from(full))
    flipped = bytearray(state[name][1].tobytes())
    place = data.draw(st.integers(0, len(flipped) * 8 - 1))
    flipped[place // 8] ^= 1 << place % 8
    array = np.frombuffer(bytes(flipped), state[name][1].dtype).reshape(state[name][1].shape)
    before = {key: array for key, (_, array) in state.items()}
    assert weights_of_state(before).root != weights_of_state({**before, name: array}).root


@given(st.permutations(list("abcdeé𝄞")))
def test_the_order_of_tensors_does_not_matter(order: list[str]) -> None:
    tensors = [TensorDigest(name, "U8", (1,), Digest.of(name.encode())) for name in order]
    assert model_weights(tensors) == model_weights(sorted(tensors, key=lambda item: item.name))


@given(states.map(lambda state: {key: item for key, item in state.items() if item[0][0] != "U"}))
def test_torch_and_numpy_agree(state: dict[str, tuple[str, Any]]) -> None:
    need()
    import torch

    tensors = {
        name: torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))
        for name, (_, array) in state.items()
    }
    assert weights_of_state(tensors).root.raw == naive_root(state)
    turned = {
        name: tensor.mT.contiguous().mT if tensor.dim() > 1 else tensor
        for name, tensor in tensors.items()
    }
    assert weights_of_state(turned).root.raw == naive_root(state)


def test_the_example_of_the_formats_is_read_by_every_way(tmp_path: Path) -> None:
    vectors = json.loads(
        (Path(__file__).parents[1] / "vectors" / "vectors.json").read_text(encoding="utf-8")
    )["weights"]
    state = {
        item["name"]: (
            item["dtype"],
            np.frombuffer(bytes.fromhex(item["bytes_hex"]), "<f4").reshape(item["shape"]),
        )
        for item in vectors["tensors"]
    }
    (tmp_path / "m.safetensors").write_bytes(safetensors(state))
    found = weights_of_state({name: array for name, (_, array) in state.items()})
    assert str(found.root) == vectors["root"]
    assert load_weights_file(str(tmp_path / "m.safetensors")) == found
