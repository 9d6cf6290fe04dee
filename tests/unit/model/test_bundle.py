"""The proof file: building, spelling, strict reading."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitprov.core.canonical import dumps
from gitprov.core.digest import Digest
from gitprov.core.merkle import MANIFEST, root
from gitprov.core.paths import RepoPath
from gitprov.errors import MalformedError, UsageError
from gitprov.model.bundle import MAX_BUNDLE_BYTES, Bundle, follow, route_to
from gitprov.model.entry import Entry
from gitprov.model.manifest import Manifest
from tests.unit.verify.bundles import LOG, MANIFESTS, RECORD, bundle, model_bundle
from tests.unit.verify.support import KEY


@given(size=st.integers(1, 70), data=st.data())
def test_every_route_leads_to_the_root(size: int, data: st.DataObject) -> None:
    hashes = [MANIFEST.leaf(bytes([number])) for number in range(size)]
    index = data.draw(st.integers(0, size - 1))
    route = route_to(MANIFEST, hashes, index)
    assert follow(MANIFEST, hashes[index], route) == root(MANIFEST, hashes)


def test_a_proof_is_read_as_it_was_written() -> None:
    for proof in (bundle(), model_bundle()):
        assert Bundle.parse(proof.to_bytes()) == proof
        assert Bundle.parse(proof.to_bytes()).to_bytes() == proof.to_bytes()


def test_a_proof_leads_to_the_record_root() -> None:
    assert bundle().root == model_bundle().root == RECORD.root


def test_a_proof_holds_one_level_for_each_directory_the_files_first() -> None:
    proof = bundle()
    assert [level.root for level in proof.manifest] == [m.root for m in reversed(MANIFESTS)]
    assert [entry.name for entry in proof.entries()] == [b"image 1.png", b"train"]
    assert model_bundle().entries() == ()


@pytest.mark.parametrize(
    ("path", "manifests"),
    [
        (b"src/main.py", ()),
        (b"data", MANIFESTS[:1]),
        (b"data/train", MANIFESTS[:1]),
        (b"data/none", MANIFESTS[:1]),
        (b"data/README/x", MANIFESTS),
        (b"data/train/image 1.png", MANIFESTS[:1]),
        (b"models/net.pt/x", ()),
    ],
)
def test_only_a_file_of_an_artifact_can_be_proven(
    path: bytes, manifests: tuple[Manifest, ...]
) -> None:
    with pytest.raises(UsageError):
        Bundle.build(RepoPath.parse(path), manifests, RECORD, [LOG.anchor(record_root=RECORD.root)])


def _bent(**fields: Any) -> bytes:
    return dumps({**json.loads(bundle().to_bytes()), **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"more": 1},
        {"schema": "gitprov/proof/v2"},
        {"path": ""},
        {"path": "data/../etc"},
        {"path": "/etc/passwd"},
        {"path": "data/.git/config"},
        {"path": "data/\x1b[2J"},
        {"file": {"digest": "blake3:" + "0" * 64, "kind": "d", "size": 1}},
        {"file": {"digest": "blake3:" + "0" * 64, "kind": "f", "size": -1}},
        {"file": {"digest": "blake3:" + "0" * 64, "kind": "f", "more": 1, "size": 1}},
        {"file": []},
        {"anchors": [{"type": "record"}]},
        {"anchors": [1]},
        {"anchors": [[]]},
        {"anchors": [{}] * 257},
        {"keys": ["nonsense"]},
        {"keys": [1]},
        {"keys": [str(KEY.verifier)] * 257},
        {"manifest": [{"root": "blake3:" + "0" * 64, "route": ["X"], "size": 1}]},
        {"manifest": [{"root": "blake3:" + "0" * 64, "route": ["L" + "0" * 64] * 65, "size": 1}]},
        {"manifest": [{"root": "blake3:" + "0" * 64, "route": [7], "size": 1}]},
        {"manifest": [{"more": 1, "root": "blake3:" + "0" * 64, "route": [], "size": 1}]},
        {"manifest": [{}] * 513},
        {"artifact": {}},
        {"code": {"leaf": {}, "route": []}},
    ],
)
def test_a_field_that_is_not_in_the_format_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        Bundle.parse(_bent(**fields))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        bundle().to_bytes() + b"\n",
        bundle().to_bytes().replace(b":", b": ", 1),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b" " * (MAX_BUNDLE_BYTES + 1),
    ],
    ids=["empty", "object", "array", "no text", "newline", "space", "deep", "deeper", "large"],
)
def test_what_is_not_a_proof_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        Bundle.parse(data)


def test_an_artifact_path_that_is_unsafe_is_refused() -> None:
    artifact = json.loads(bundle().to_bytes())["artifact"]
    for path in ("", "../data", "data/.git"):
        leaf = {**artifact["leaf"], "path": path}
        with pytest.raises(MalformedError):
            Bundle.parse(_bent(artifact={**artifact, "leaf": leaf}))


def test_every_missing_field_is_refused() -> None:
    whole = json.loads(bundle().to_bytes())
    for key in whole:
        with pytest.raises(MalformedError, match=key):
            Bundle.parse(dumps({other: whole[other] for other in whole if other != key}))


def test_a_path_outside_the_artifact_has_no_entries() -> None:
    for path in (b"models/x", b"data/x", b"data/a/b/c", b"database/train/image 1.png"):
        with pytest.raises(MalformedError, match="is not a file of"):
            replace(bundle(), path=RepoPath(path)).entries()


def test_a_proof_grows_with_the_logarithm_of_the_directory() -> None:
    names = [f"{number:06}".encode() for number in range(10_000)]
    manifest = Manifest.of(Entry(name, "f", Digest.of(name).raw, 6) for name in names)
    leaf = replace(RECORD.artifacts[0], root=manifest.root, size=manifest.size, files=10_000)
    record = replace(RECORD, artifacts=(leaf,))
    proof = Bundle.build(RepoPath.parse(b"data/004711"), [manifest], record, [])
    assert len(proof.to_bytes()) < 4000
