"""Every section of tests/vectors/vectors.json, the vectors of docs/formats.md."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from gitprov.core.canonical import dumps
from gitprov.core.digest import Digest, Sha256Digest
from gitprov.core.merkle import (
    LOG,
    RECORD,
    WEIGHTS,
    consistency_proof,
    inclusion_proof,
    root,
    subtree_of,
    verify_consistency,
    verify_inclusion,
)
from gitprov.model.entry import Entry, leaf
from gitprov.model.manifest import Manifest
from gitprov.model.record import Record

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "vectors.json").read_text(encoding="utf-8")
)
LOG_VECTORS = VECTORS["log"]
HASHES = [LOG.leaf(bytes.fromhex(entry)) for entry in LOG_VECTORS["entries_hex"]]
ROOTS = [Sha256Digest.parse(text).raw for text in LOG_VECTORS["roots"]]


def entry_of(vector: dict[str, Any]) -> Entry:
    return Entry(
        bytes.fromhex(vector["name_hex"]),
        vector["kind"],
        Digest.parse(vector["digest"]).raw,
        vector["size"],
    )


def test_every_section_of_the_vectors_is_read_here() -> None:
    assert set(VECTORS) == {
        "about",
        "files",
        "manifests",
        "record",
        "weights",
        "log",
        "bitcoin_op_return_hex",
    }


@pytest.mark.parametrize("vector", VECTORS["files"], ids=lambda v: f"{len(v['bytes_hex']) // 2}")
def test_a_file_has_its_digest(vector: dict[str, Any]) -> None:
    assert str(Digest.of(bytes.fromhex(vector["bytes_hex"]))) == vector["digest"]


@pytest.mark.parametrize("vector", VECTORS["files"], ids=lambda v: f"{len(v['bytes_hex']) // 2}")
def test_a_files_cid_carries_its_digest(vector: dict[str, Any]) -> None:
    # CIDv1, raw, BLAKE3 of 32 bytes, in base32: the bytes 01 55 1e 20 and the digest.
    cid = vector["cid"].removeprefix("b").upper()
    raw = base64.b32decode(cid + "=" * (-len(cid) % 8))
    assert raw == b"\x01\x55\x1e\x20" + Digest.parse(vector["digest"]).raw


@pytest.mark.parametrize("name", VECTORS["manifests"])
def test_a_manifest_has_its_leaves_and_its_root(name: str) -> None:
    vector = VECTORS["manifests"][name]
    entries = [entry_of(item) for item in vector["entries"]]
    assert [leaf(entry).hex() for entry in entries] == vector["leaves_hex"]
    manifest = Manifest.of(reversed(entries))
    assert str(manifest.root) == vector["root"]
    assert Manifest.parse(manifest.to_bytes()) == manifest


def test_a_directorys_entry_carries_the_root_and_the_size_of_its_manifest() -> None:
    top = Manifest.of(entry_of(item) for item in VECTORS["manifests"]["top"]["entries"])
    for name, vector in (("sub", "sub"), ("void", "empty")):
        below = Manifest.of(entry_of(item) for item in VECTORS["manifests"][vector]["entries"])
        entry = top.get(name.encode())
        assert entry is not None
        assert (entry.kind, entry.digest, entry.size) == ("d", below.root.raw, below.size)


def test_a_record_has_its_leaves_and_its_root() -> None:
    vector = VECTORS["record"]
    record = Record.from_json(vector["leaves"])
    assert [dumps(item.to_json()).decode() for item in record.leaves] == vector["canonical"]
    assert record.leaf_hashes == [RECORD.leaf(text.encode()) for text in vector["canonical"]]
    assert str(record.root) == vector["root"]


def test_weights_have_their_root() -> None:
    leaves = []
    for tensor in VECTORS["weights"]["tensors"]:
        assert str(Digest.of(bytes.fromhex(tensor["bytes_hex"]))) == tensor["digest"]
        leaves.append(dumps({k: tensor[k] for k in ("name", "dtype", "shape", "digest")}))
    hashes = [WEIGHTS.leaf(data) for data in leaves]
    assert str(Digest(root(WEIGHTS, hashes))) == VECTORS["weights"]["root"]


def test_the_log_has_its_roots() -> None:
    assert [root(LOG, HASHES[:n]) for n in range(len(HASHES) + 1)] == ROOTS


@pytest.mark.parametrize(
    "vector", LOG_VECTORS["inclusion"], ids=lambda v: f"{v['index']} in {v['size']}"
)
def test_an_inclusion_proof_of_the_log_is_made_and_verifies(vector: dict[str, Any]) -> None:
    index, size = vector["index"], vector["size"]
    path = [bytes.fromhex(node) for node in vector["path"]]
    assert inclusion_proof(subtree_of(LOG, HASHES), index, size) == path
    verify_inclusion(LOG, HASHES[index], index, size, path, ROOTS[size])


@pytest.mark.parametrize(
    "vector", LOG_VECTORS["consistency"], ids=lambda v: f"{v['from']} to {v['to']}"
)
def test_a_consistency_proof_of_the_log_is_made_and_verifies(vector: dict[str, Any]) -> None:
    old, new = vector["from"], vector["to"]
    proof = [bytes.fromhex(node) for node in vector["proof"]]
    assert consistency_proof(subtree_of(LOG, HASHES), old, new) == proof
    verify_consistency(LOG, old, new, ROOTS[old], ROOTS[new], proof)


def test_the_bitcoin_output_carries_a_root_of_the_log() -> None:
    payload = bytes.fromhex(VECTORS["bitcoin_op_return_hex"])
    assert payload == b"GPRV\x01" + ROOTS[7]
