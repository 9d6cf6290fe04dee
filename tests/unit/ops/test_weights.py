import json
import struct
from pathlib import Path

import pytest

from gitprov.core.digest import Digest
from gitprov.errors import EnvironmentFault, MalformedError
from gitprov.model.safetensors import header_length, parse_header
from gitprov.ops.weights import weights_of
from tests.support.cli import ok
from tests.support.repos import git, make_repo

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "vectors.json").read_text(encoding="utf-8")
)["weights"]


def safetensors(tensors: list[dict[str, object]], *, metadata: bool = False) -> bytes:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}} if metadata else {}
    body = b""
    for tensor in tensors:
        data = bytes.fromhex(str(tensor["bytes_hex"]))
        offsets = [len(body), len(body) + len(data)]
        header[str(tensor["name"])] = {
            "dtype": tensor["dtype"],
            "shape": tensor["shape"],
            "data_offsets": offsets,
        }
        body += data
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def root_of(folder: Path, data: bytes, name: str = "m.safetensors") -> Digest | None:
    path = folder / name
    path.write_bytes(data)
    return weights_of(bytes(path), name.encode(), Digest.of(data), len(data))


def test_the_weights_root_is_that_of_the_vectors(tmp_path: Path) -> None:
    assert str(root_of(tmp_path, safetensors(VECTORS["tensors"]))) == VECTORS["root"]


def test_order_in_the_file_and_metadata_do_not_matter(tmp_path: Path) -> None:
    turned = safetensors(VECTORS["tensors"][::-1], metadata=True)
    assert str(root_of(tmp_path, turned)) == VECTORS["root"]


def test_one_changed_bit_of_a_tensor_changes_the_root(tmp_path: Path) -> None:
    data = bytearray(safetensors(VECTORS["tensors"]))
    data[-1] ^= 1
    assert str(root_of(tmp_path, bytes(data))) != VECTORS["root"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        struct.pack("<Q", 1 << 63) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 2) + b"{}" + b"left over",
        struct.pack("<Q", 12) + b'{"a":1,"a":1}',
    ],
)
def test_a_file_that_only_has_the_ending_has_no_weights_root(tmp_path: Path, data: bytes) -> None:
    assert root_of(tmp_path, data) is None


def test_a_file_with_another_ending_is_not_looked_into(tmp_path: Path) -> None:
    assert root_of(tmp_path, safetensors(VECTORS["tensors"]), "m.bin") is None


def test_a_file_that_changed_since_it_was_stored_is_an_error_naming_it(tmp_path: Path) -> None:
    data = safetensors(VECTORS["tensors"])
    path = tmp_path / "m.safetensors"
    path.write_bytes(data)
    with pytest.raises(EnvironmentFault, match=r"m\.safetensors changed"):
        weights_of(bytes(path), b"m.safetensors", Digest.of(b"before"), len(data))


@pytest.mark.parametrize(
    "header",
    [
        '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}',
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
        '{"a":{"dtype":"X1","shape":[1],"data_offsets":[0,4]}}',
        '{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}',
        '{"a":{"dtype":"F32","shape":[true],"data_offsets":[0,4]}}',
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1}}',
        '{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},'  # noqa: ISC004 - one header
        '"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
        '{"a":{"dtype":"F32","shape":[99999999999,99999999999],"data_offsets":[0,4]}}',
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_a_header_that_lies_is_refused(header: str) -> None:
    with pytest.raises(MalformedError):
        parse_header(header.encode(), 4)


def test_a_header_cannot_be_longer_than_its_file() -> None:
    with pytest.raises(MalformedError, match="no possible length"):
        header_length(struct.pack("<Q", 100), 50)


def test_add_writes_the_weights_root_and_the_record_binds_it(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    (repo / "m.safetensors").write_bytes(safetensors(VECTORS["tensors"]))
    (repo / "same.bin").write_bytes(safetensors(VECTORS["tensors"]))
    ok(repo, "add", "m.safetensors", "same.bin")
    assert f"weights: {VECTORS['root']}\n" in (repo / "m.safetensors.prov").read_text()
    assert "weights" not in (repo / "same.bin.prov").read_text()
    git(repo, "commit", "-qm", "model")
    ok(repo, "record")
    assert f'"weights":"{VECTORS["root"]}"' in git(repo, "notes", "--ref=gitprov", "show", "HEAD")
    ok(repo, "add", "--kind", "data", "m.safetensors")
    assert "weights" not in (repo / "m.safetensors.prov").read_text()
