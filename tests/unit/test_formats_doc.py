"""docs/formats.md cannot drift: every vector in it is taken out and held against the code."""

import base64
import hashlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from blake3 import blake3

from gitprov.config.git_url import GitUrl
from gitprov.core import canonical, car, merkle
from gitprov.core.chunking import ENGINES, GEAR, Chunker
from gitprov.core.digest import Digest, Sha256Digest
from gitprov.core.paths import check_name, check_names
from gitprov.errors import MalformedError
from gitprov.git.tiles import Tile, encode_number, format_entries, parse_entries
from gitprov.model.bundle import Bundle
from gitprov.model.entry import Entry, leaf
from gitprov.model.manifest import Manifest
from gitprov.model.note import AnchorLine, RecordLine, StatementLine, format_note, parse_note
from gitprov.model.origin import Origin
from gitprov.model.pointer import Pointer
from gitprov.model.record import Record
from gitprov.model.remote_index import format_index, parse_index, parse_recipe
from gitprov.model.report import Verdict
from gitprov.model.run import check_run, format_run, parse_run
from gitprov.model.signed_note import VerifierKey, open_note
from gitprov.store.packs import MAGIC, PackFile
from gitprov.store.packs import Record as PackRecord
from gitprov.tracker.samples import data_of
from gitprov.verify.proof import check_bundle

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
_BLOCK = re.compile(
    r"^<!-- vector: (?P<name>[a-z-]+) -->\n```[a-z]+\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
BLOCKS = {match["name"]: match["body"] for match in _BLOCK.finditer(TEXT)}
CHECKS: dict[str, Callable[[str], None]] = {}


def check(name: str) -> Callable[[Callable[[str], None]], Callable[[str], None]]:
    """Registers the check of one vector."""

    def register(function: Callable[[str], None]) -> Callable[[str], None]:
        CHECKS[name] = function
        return function

    return register


def record() -> Record:
    return Record.from_json([json.loads(line) for line in BLOCKS["record"].splitlines()])


def vkey() -> VerifierKey:
    return VerifierKey.parse(BLOCKS["key"].removesuffix("\n"))


def refuses(parse: Callable[[], object]) -> bool:
    try:
        parse()
    except MalformedError:
        return True
    return False


def test_every_vector_of_the_document_has_a_check_and_the_other_way_round() -> None:
    assert set(BLOCKS) == set(CHECKS)
    assert len(BLOCKS) == TEXT.count("\n<!-- vector: ")


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_a_vector_of_the_document_holds(name: str) -> None:
    CHECKS[name](BLOCKS[name])


@check("digest")
def _digest(body: str) -> None:
    for vector in json.loads(body):
        assert str(Digest.of(bytes.fromhex(vector["bytes_hex"]))) == vector["digest"]


@check("trees")
def _trees(body: str) -> None:
    vector = json.loads(body)
    leaves = [bytes.fromhex(text) for text in vector["leaves_hex"]]
    trees = (merkle.MANIFEST, merkle.RECORD, merkle.WEIGHTS, merkle.RUN, merkle.LOG)
    assert set(vector["roots"]) == {tree.name for tree in trees}
    for tree in trees:
        hashes = [tree.leaf(data) for data in leaves]
        roots = [merkle.root(tree, hashes[:n]).hex() for n in range(len(leaves) + 1)]
        assert vector["roots"][tree.name] == roots


@check("proofs")
def _proofs(body: str) -> None:
    vector = json.loads(body)
    hashes = [merkle.LOG.leaf(bytes.fromhex(text)) for text in vector["entries_hex"]]
    subtree = merkle.subtree_of(merkle.LOG, hashes)
    assert subtree(0, len(hashes)) == Sha256Digest.parse(vector["root"]).raw
    for proof in vector["inclusion"]:
        made = merkle.inclusion_proof(subtree, proof["index"], proof["size"])
        assert [node.hex() for node in made] == proof["path"]
    for proof in vector["consistency"]:
        made = merkle.consistency_proof(subtree, proof["from"], proof["to"])
        assert [node.hex() for node in made] == proof["proof"]


@check("canonical")
def _canonical(body: str) -> None:
    vector = json.loads(body)
    for text in vector["accepted"]:
        assert canonical.dumps(canonical.loads(text.encode(), what="it")) == text.encode()
    for text in vector["refused"]:
        assert refuses(lambda text=text: canonical.loads(text.encode(), what="it"))  # type: ignore[misc]


@check("names")
def _names(body: str) -> None:
    vector = json.loads(body)
    for name in vector["accepted"]:
        check_name(name.encode())
    for name in vector["refused"]:
        assert refuses(lambda name=name: check_name(name.encode()))  # type: ignore[misc]
    for names in vector["colliding"]:
        assert refuses(lambda names=names: check_names([n.encode() for n in names]))  # type: ignore[misc]


@check("manifest")
def _manifest(body: str) -> None:
    vector = json.loads(body)
    entries = [
        Entry(bytes.fromhex(e["name_hex"]), e["kind"], Digest.parse(e["digest"]).raw, e["size"])
        for e in vector["entries"]
    ]
    manifest = Manifest.of(entries)
    assert [leaf(entry).hex() for entry in manifest.entries] == vector["leaves_hex"]
    assert str(manifest.root) == vector["root"]
    for expected, made in ((vector, manifest), (vector["empty"], Manifest.of([]))):
        assert made.to_bytes().hex() == expected["bytes_hex"]
        assert str(Manifest.parse(bytes.fromhex(expected["bytes_hex"])).root) == expected["root"]


@check("pointer")
@check("pointer-of-a-model")
def _pointer(body: str) -> None:
    pointer = Pointer.parse(body.encode())
    assert pointer.to_bytes().decode() == body
    dumped = yaml.safe_dump(
        yaml.safe_load(body), sort_keys=False, allow_unicode=True, width=1 << 20
    )
    assert dumped == body
    assert (pointer.weights is not None) == (pointer.kind == "model")


@check("origin")
def _origin(body: str) -> None:
    origin = Origin.parse(body.encode())
    assert origin.to_bytes().decode() == body
    GitUrl.parse(origin.url)


@check("spelling")
def _spelling(body: str) -> None:
    zero = Digest(bytes(32))
    for name, spelled in json.loads(body).items():
        data = Pointer(name, "data", "dir", zero, 0, 0).to_bytes()
        assert data.split(b"\n")[1] == b"path: " + spelled.encode()


@check("record")
def _record(body: str) -> None:
    assert [canonical.dumps(item.to_json()).decode() for item in record().leaves] == (
        body.splitlines()
    )


@check("record-root")
def _record_root(body: str) -> None:
    assert f"{record().root}\n" == body


@check("weights")
def _weights(body: str) -> None:
    vector: dict[str, Any] = json.loads(body)
    hashes = []
    for tensor in vector["tensors"]:
        assert str(Digest.of(bytes.fromhex(tensor.pop("bytes_hex")))) == tensor["digest"]
        hashes.append(merkle.WEIGHTS.leaf(canonical.dumps(tensor)))
    assert str(Digest(merkle.root(merkle.WEIGHTS, hashes))) == vector["root"]


@check("note")
def _note(body: str) -> None:
    lines = parse_note(body.encode())
    assert format_note(lines) == body.encode()
    (anchor,) = (line for line in lines if isinstance(line, AnchorLine))
    (recorded,) = (line for line in lines if isinstance(line, RecordLine))
    assert recorded.record == record()
    assert anchor.root == recorded.root == record().root
    leaf_hash, head = merkle.LOG.leaf(anchor.root.raw), anchor.digest.raw
    merkle.verify_inclusion(merkle.LOG, leaf_hash, anchor.index, anchor.size, anchor.path, head)
    assert anchor.receipt == {"checkpoint": BLOCKS["checkpoint"]}


@check("key")
def _key(body: str) -> None:
    name, middle, encoded = body.removesuffix("\n").split("+", 2)
    raw = base64.b64decode(encoded)
    assert middle == hashlib.sha256(name.encode() + b"\n" + raw).hexdigest()[:8]
    assert name.rpartition("/")[2] == hashlib.sha256(raw[1:]).hexdigest()[:16] == vkey().key_id
    assert f"{vkey()}\n" == body


@check("checkpoint")
def _checkpoint(body: str) -> None:
    head = open_note(body, [vkey()])
    assert head.origin == vkey().name
    (anchor,) = (x for x in parse_note(BLOCKS["note"].encode()) if isinstance(x, AnchorLine))
    assert (head.size, head.root) == (anchor.size, anchor.digest)


@check("tiles")
def _tiles(body: str) -> None:
    vector = json.loads(body)
    for number, written in vector["numbers"].items():
        assert encode_number(int(number)) == written
    entries = [bytes.fromhex(text) for text in vector["entries_hex"]]
    hashes = b"".join(map(merkle.LOG.leaf, entries))
    made = {"tile/entries/000.p/3": format_entries(entries), "tile/0/000.p/3": hashes}
    assert {path: data.hex() for path, data in made.items()} == vector["files"]
    assert [Tile.parse(path.encode()).path.decode() for path in made] == [*made]
    assert parse_entries(made["tile/entries/000.p/3"]) == entries
    assert entries[-1] == record().root.raw


@check("pack")
def _pack(body: str) -> None:
    vector = {key: bytes.fromhex(value) for key, value in json.loads(body).items()}
    blob, manifest = vector["blob_hex"], vector["manifest_hex"]
    parts = [
        (Digest.of(blob).raw, b"b", blob),
        (Manifest.parse(manifest).root.raw, b"m", manifest),
    ]
    pack = b"gitprov-pack\x00\x00\x00\x01" + b"".join(
        digest + kind + len(data).to_bytes(8, "big") + data for digest, kind, data in parts
    )
    assert pack == vector["pack_hex"]
    assert pack.startswith(MAGIC)


@check("run")
def _run(body: str) -> None:
    run = parse_run(body.encode())
    assert format_run(run) == body.encode()
    check_run(run)
    # By hand, from the text of the document alone.
    lines = [line.removesuffix(",") for line in body.splitlines()[1:-1]]
    hashes = [merkle.RUN.leaf(line.encode()) for line in lines]
    for stage in json.loads(body)["stages"]:
        assert Digest.parse(stage["root"]).raw == merkle.root(merkle.RUN, hashes[: stage["size"]])


@check("statement")
def _statement(body: str) -> None:
    [line] = parse_note(body.encode())
    assert isinstance(line, StatementLine)
    assert format_note([line]) == body.encode()
    stage = json.loads(BLOCKS["run"])["stages"][0]
    assert str(line.root) == stage["root"]
    assert line.name == f"run/{json.loads(BLOCKS['run'])['id']}/{stage['stage']}"


@check("samples")
def _samples(body: str) -> None:
    vector = json.loads(body)
    for leaf_text in vector["leaves"]:
        assert (
            canonical.dumps(canonical.loads(leaf_text.encode(), what="a leaf")).decode()
            == leaf_text
        )
    hashes = [merkle.SAMPLES.leaf(text.encode()) for text in vector["leaves"]]
    assert Digest(merkle.root(merkle.SAMPLES, hashes)) == Digest.parse(vector["root"])
    samples = [[1, 2.5, "a"], {"x": None, "y": True}, b"abc", "text", 2**70, float("nan")]
    assert str(data_of(samples).root) == vector["root"]


@check("remote")
def _remote(body: str) -> None:
    vector = json.loads(body)
    blocks = [bytes.fromhex(one) for one in vector["blocks_hex"]]
    archive = bytes.fromhex(vector["pack_hex"])
    assert Digest.of(archive).hex == vector["pack_id"]
    roots, found = car.read(io.BytesIO(archive))
    assert len(roots) == 1
    assert [block.data for block in found if block.is_raw] == blocks
    entries = parse_index(bytes.fromhex(vector["index_hex"]), what="the vector")
    assert format_index(entries).hex() == vector["index_hex"]
    places = {(one.kind, one.digest): archive[one.offset :][: one.size] for one in entries}
    assert set(places.values()) == set(blocks)
    recipe = parse_recipe(blocks[-1], what="the vector")
    whole = b"".join(places["c", digest] for digest, _ in recipe.chunks)
    assert Digest.of(whole).raw == recipe.digest
    assert (len(whole), places["B", recipe.digest]) == (recipe.size, blocks[-1])


def test_the_documented_pack_is_read_by_the_store(tmp_path: Path) -> None:
    path = tmp_path / "0.pack"
    path.write_bytes(bytes.fromhex(json.loads(BLOCKS["pack"])["pack_hex"]))
    pack = PackFile(str(path))
    found = [*pack.scan()]
    pack.close()
    assert all(isinstance(item, PackRecord) and item.good for item in found)
    assert len(found) == 2


@check("proof")
def _proof(body: str) -> None:
    data = body.removesuffix("\n").encode()
    bundle = Bundle.parse(data)
    assert bundle.to_bytes() == data
    report = check_bundle(bundle, bundle.file.digest, bundle.file.size, [str(vkey())])
    assert report.verdict is Verdict.PASS
    assert bundle.root == record().root


def test_the_document_repeats_the_shared_vectors() -> None:
    shared = json.loads((ROOT / "tests/vectors/vectors.json").read_text(encoding="utf-8"))
    assert BLOCKS["record"].splitlines() == shared["record"]["canonical"]
    assert BLOCKS["record-root"] == shared["record"]["root"] + "\n"
    assert json.loads(BLOCKS["weights"]) == shared["weights"]
    assert json.loads(BLOCKS["manifest"])["root"] == shared["manifests"]["sub"]["root"]
    assert json.loads(BLOCKS["proofs"])["root"] == shared["log"]["roots"][7]


@check("car")
def _car(body: str) -> None:
    vector = json.loads(body)
    blocks = [bytes.fromhex(text) for text in vector["blocks_hex"]]
    archive = bytes.fromhex(vector["archive_hex"])
    assert car.write(blocks, roots=vector["roots"]) == archive
    roots, found = car.read(io.BytesIO(archive))
    assert len(roots) == 1 + vector["roots"]
    assert [block.data for block in found if block.is_raw] == blocks


@check("chunks")
def _chunks(body: str) -> None:
    vector = json.loads(body)
    assert {byte: f"{GEAR[int(byte)]:016x}" for byte in vector["gear"]} == vector["gear"]
    for chunker in map(Chunker, ENGINES):
        for size, ends in vector["cuts"].items():
            data = blake3(vector["seed"].encode()).digest(length=int(size))
            assert chunker.cuts(data) == ends
        assert chunker.cuts(bytes(2_097_153)) == vector["zeros"]
