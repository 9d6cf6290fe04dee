"""Every format written a second time, from DESIGN section 4 alone, and held against real files.

Nothing here imports gitprov: blake3, hashlib, json, yaml, cryptography and git itself read what the
command line wrote, compute it anew and compare byte for byte.
"""

import base64
import contextlib
import hashlib
import json
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.support.repos import clone, commit, git, make_repo, write

Hash = Callable[[bytes], bytes]
Entry = tuple[bytes, str, bytes, int]  # name, kind, digest, size


# ------------------------------------------------------------------ the formats, once more


def keyed(context: str) -> Hash:
    return lambda data: blake3(data, derive_key_context=context).digest()


MANIFEST, RECORD = keyed("gitprov v1 manifest"), keyed("gitprov v1 record")


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def split(n: int) -> int:
    """The largest power of two below n."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def root(h: Hash, leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return h(b"")
    if len(leaves) == 1:
        return h(b"\0" + leaves[0])
    k = split(len(leaves))
    return h(b"\1" + root(h, leaves[:k]) + root(h, leaves[k:]))


def inclusion(h: Hash, m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 9162, 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*inclusion(h, m, leaves[:k]), root(h, leaves[k:])]
    return [*inclusion(h, m - k, leaves[k:]), root(h, leaves[:k])]


def canonical(value: object) -> bytes:
    """RFC 8785 for what these formats hold: text, whole numbers, lists, objects with ASCII keys."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def text(raw: bytes) -> str:
    return f"blake3:{raw.hex()}"


def manifest_root(entries: Iterable[Entry]) -> bytes:
    leaves = [k.encode() + d + s.to_bytes(8, "big") + n for n, k, d, s in sorted(entries)]
    return root(MANIFEST, leaves)


def _number(value: int) -> bytes:
    for limit, mark, width in ((128, b"", 1), (1 << 8, b"\xcc", 1), (1 << 16, b"\xcd", 2)):
        if value < limit:
            return mark + value.to_bytes(width, "big")
    wide = value >= 1 << 32
    return (b"\xcf" if wide else b"\xce") + value.to_bytes(8 if wide else 4, "big")


def _array(count: int) -> bytes:
    if count < 16:
        return bytes([0x90 | count])
    return b"\xdc" + count.to_bytes(2, "big")


def manifest_bytes(entries: Iterable[Entry]) -> bytes:
    """The msgpack array, by hand."""
    found = sorted(entries)
    data = b"\x92\x01" + _array(len(found))
    for name, kind, digest, size in found:
        data += b"\x94\xc4" + bytes([len(name)]) + name + b"\xa1" + kind.encode()
        data += b"\xc4\x20" + digest + _number(size)
    return data


def folder_entries(folder: Path, seen: dict[bytes, bytes]) -> list[Entry]:
    """The entries of a directory on disk; every manifest below goes into `seen`."""
    entries: list[Entry] = []
    for path in folder.iterdir():
        name = os.fsencode(path.name)
        if path.is_symlink():
            data, kind = os.fsencode(path.readlink()), "l"
        elif path.is_dir():
            below = folder_entries(path, seen)
            digest = manifest_root(below)
            seen[digest] = manifest_bytes(below)
            entries.append((name, "d", digest, sum(e[3] for e in below)))
            continue
        else:
            data, kind = path.read_bytes(), "x" if path.stat().st_mode & 0o100 else "f"
        entries.append((name, kind, blake3(data).digest(), len(data)))
    return entries


def count_files(folder: Path) -> int:
    return sum(
        len(files) + sum((Path(top) / name).is_symlink() for name in folders)
        for top, folders, files in os.walk(folder)
    )


def expected_pointer(artifact: Path, kind: str, seen: dict[bytes, bytes]) -> dict[str, object]:
    if artifact.is_dir():
        entries = folder_entries(artifact, seen)
        digest = manifest_root(entries)
        seen[digest] = manifest_bytes(entries)
        size, files, form = sum(e[3] for e in entries), count_files(artifact), "dir"
    else:
        data = artifact.read_bytes()
        digest, size, files = blake3(data).digest(), len(data), 1
        form = "exec" if artifact.stat().st_mode & 0o100 else "file"
    return {
        "gitprov": 1,
        "path": artifact.name,
        "kind": kind,
        "type": form,
        "root": text(digest),
        "size": size,
        "files": files,
    }


def cat(repo: Path, rev: str) -> bytes:
    done = subprocess.run(["git", "cat-file", "--batch"], cwd=repo, input=rev.encode() + b"\n",
                          capture_output=True, check=True)  # fmt: skip
    head, _, rest = done.stdout.partition(b"\n")
    return rest[: int(head.split()[2])]


def code_entries(repo: Path, tree: str, pointers: dict[str, bytes], at: str = "") -> list[Entry]:
    """The entries of a git tree; what ends in .prov goes into `pointers` by the artifact's path."""
    entries: list[Entry] = []
    listed = subprocess.run(
        ["git", "ls-tree", "-z", tree], cwd=repo, capture_output=True, check=True
    )
    for line in listed.stdout.split(b"\0")[:-1]:
        meta, _, name = line.partition(b"\t")
        mode, _, oid = meta.decode().split()
        path = at + name.decode()
        if mode == "040000":
            below = code_entries(repo, oid, pointers, path + "/")
            entries.append((name, "d", manifest_root(below), sum(e[3] for e in below)))
        elif mode == "160000":
            entries.append((name, "m", blake3(oid.encode()).digest(), 0))
        else:
            data = cat(repo, oid)
            kind = {"100644": "f", "100755": "x", "120000": "l"}[mode]
            entries.append((name, kind, blake3(data).digest(), len(data)))
            if kind != "l" and path.endswith(".prov") and name != b".prov":
                pointers[path.removesuffix(".prov")] = data
    return entries


def record_leaves(repo: Path, oid: str, object_format: str) -> list[bytes]:
    pointers: dict[str, bytes] = {}
    tree = manifest_root(code_entries(repo, git(repo, "rev-parse", f"{oid}^{{tree}}"), pointers))
    code = {
        "commit": oid,
        "commit_blake3": text(blake3(cat(repo, oid)).digest()),
        "object_format": object_format,
        "tree_blake3": text(tree),
        "type": "code",
    }
    leaves = [canonical(code)]
    for path in sorted(pointers, key=str.encode):
        pointer = yaml.safe_load(pointers[path])
        leaf = {key: pointer[key] for key in ("files", "kind", "root", "size")}
        leaf |= {"entry": pointer["type"], "path": path, "type": "artifact"}
        if "weights" in pointer:
            leaf["weights"] = pointer["weights"]
        leaves.append(canonical(leaf))
    return leaves


# ------------------------------------------------------------------ what the command line wrote


def gitprov(repo: Path, *args: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gitprov", *args], cwd=repo, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module", params=["sha1", "sha256"])
def repo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with everything in it that the formats know."""
    top = tmp_path_factory.mktemp(request.param)
    made = make_repo(top / "Ünïcode repo", object_format=request.param)
    library = make_repo(top / "library", object_format=request.param)
    commit(library, {"lib.py": "pass\n"}, "A library")
    commit(made, {"src/a.py": "a\n", "src/a/b.py": "b\n", "src/a.c": "c\n"}, "Before gitprov")
    write(made, {"run.sh": "#!/bin/sh\n", "empty": b"", "ü/ñ.txt": "text\n", "z.prov.d/x": "1"})
    (made / "run.sh").chmod(0o755)
    (made / "link").symlink_to("src/a.py")
    git(made, "-c", "protocol.file.allow=always", "submodule", "add", "--quiet", str(library), "l")
    gitprov(made, "init")
    random_ = random.Random(1)
    write(made, {f"data/train/{n:03}.bin": random_.randbytes(n * 37) for n in range(40)})
    write(made, {"data/run me": "#!x\n", "data/ü/日本.txt": "j", "data/big.bin": bytes(400_000)})
    (made / "data/run me").chmod(0o755)
    (made / "data/none").mkdir()
    (made / "data/to train").symlink_to("train/001.bin")
    (made / "data/to folder").symlink_to("train")
    write(made, {"sub/deep/it's.csv": "a,b\n", "sub/yes": "1\n", "models/m.onnx": bytes(300_000)})
    write(made, {"models/tool": "#!/bin/sh\n", "models/set.ckpt/part": "p"})
    (made / "models/tool").chmod(0o755)
    (made / "sub/void").mkdir()
    gitprov(made, "add", "data", "sub/deep/it's.csv", "sub/yes", "sub/void")
    gitprov(made, "add", "models/m.onnx", "models/tool", "models/set.ckpt")
    git(made, "add", "-A")
    git(made, "commit", "--quiet", "-m", "Add everything")
    gitprov(made, "anchor")
    for n in range(5):
        commit(made, {"src/a.py": f"{n}\n"}, f"Change {n}")
    gitprov(made, "anchor")
    write(made, {"data/train/000.bin": "changed"})
    gitprov(made, "add", "data")
    (made / "dangling.prov").symlink_to("nowhere")  # no pointer, whatever its name says
    git(made, "add", "dangling.prov")
    git(made, "commit", "--quiet", "--no-verify", "-m", "Change the data")
    gitprov(made, "record", "--all")
    gitprov(made, "anchor")
    return made


def object_format(repo: Path) -> str:
    return git(repo, "rev-parse", "--show-object-format")


def note_lines(repo: Path, oid: str) -> list[bytes]:
    note = cat(repo, git(repo, "notes", "--ref=gitprov", "list", oid))
    assert note.endswith(b"\n")
    return note.split(b"\n")[:-1]


def log_ref(repo: Path) -> str:
    refs = git(repo, "for-each-ref", "--format=%(refname)", "refs/gitprov/log/").split()
    assert len(refs) == 1
    return refs[0]


def log_entries(repo: Path) -> list[bytes]:
    ref = log_ref(repo)
    names = git(repo, "ls-tree", "-r", "--name-only", ref).split()
    bundle = next(name for name in names if name.startswith("tile/entries/000"))
    data = cat(repo, f"{ref}:{bundle}")
    entries = [data[at : at + 34] for at in range(0, len(data), 34)]
    assert all(entry[:2] == b"\0\x20" and len(entry) == 34 for entry in entries)
    assert bundle == f"tile/entries/000.p/{len(entries)}"
    return [entry[2:] for entry in entries]


def test_every_pointer_is_what_the_files_on_disk_give(repo: Path) -> None:
    kinds = {"m.onnx": "model", "set.ckpt": "model"}
    pointers = [path for path in repo.rglob("*.prov") if path.is_file()]
    assert len(pointers) == 7
    for pointer in pointers:
        artifact = pointer.with_suffix("")
        value = expected_pointer(artifact, kinds.get(artifact.name, "data"), {})
        dumped = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1 << 30)
        assert pointer.read_bytes() == dumped.encode(), pointer


def test_every_manifest_in_the_store_is_the_msgpack_of_its_directory(repo: Path) -> None:
    wanted: dict[bytes, bytes] = {}
    for name in ("data", "sub/void", "models/set.ckpt"):
        expected_pointer(repo / name, "data", wanted)
    store = repo / ".git/gitprov"
    with contextlib.closing(sqlite3.connect(store / "index.db")) as index:
        rows = index.execute(
            "SELECT b.digest, p.name, b.offset, b.size FROM blobs b JOIN packs p ON p.id = b.pack"
        )
        stored = {bytes(digest): place for digest, *place in rows}
    assert len(wanted) == 5  # the empty directories are one manifest
    for digest, data in wanted.items():
        name, offset, size = stored[digest]
        record = digest + b"m" + len(data).to_bytes(8, "big") + data
        pack = (store / f"packs/{name}.pack").read_bytes()
        assert (size, pack[offset : offset + len(record)]) == (len(data), record)


def test_every_record_is_what_git_alone_gives(repo: Path) -> None:
    recorded = 0
    for oid in git(repo, "rev-list", "HEAD").split():
        leaves = record_leaves(repo, oid, object_format(repo))
        line = {
            "commit": oid,
            "gitprov": 1,
            "leaves": [json.loads(leaf) for leaf in leaves],
            "root": text(root(RECORD, leaves)),
            "type": "record",
        }
        lines = note_lines(repo, oid)
        assert canonical(line) in lines
        assert lines == sorted(set(lines))
        recorded += 1
    assert recorded == 8


def test_the_log_holds_every_record_root_and_its_tiles_are_the_hashes(repo: Path) -> None:
    roots = {
        root(RECORD, record_leaves(repo, oid, object_format(repo)))
        for oid in git(repo, "rev-list", "HEAD").split()
    }
    entries = log_entries(repo)
    assert set(entries) == roots
    hashes = b"".join(sha256(b"\0" + entry) for entry in entries)
    assert cat(repo, f"{log_ref(repo)}:tile/0/000.p/{len(entries)}") == hashes


def test_every_anchor_line_is_an_inclusion_proof_under_a_head_that_its_key_signed(
    repo: Path,
) -> None:
    entries = log_entries(repo)
    vkey = cat(repo, f"{log_ref(repo)}:key").decode().removesuffix("\n")
    sizes = set()
    for oid in git(repo, "rev-list", "HEAD").split():
        anchors = [line for line in note_lines(repo, oid) if json.loads(line)["type"] == "anchor"]
        assert len(anchors) == 1
        found = json.loads(anchors[0])
        size = found["size"]
        sizes.add(size)
        record_root = root(RECORD, record_leaves(repo, oid, object_format(repo)))
        index = entries.index(record_root)
        head = root(sha256, entries[:size])
        line: dict[str, Any] = {
            "commit": oid,
            "digest": f"sha256:{head.hex()}",
            "gitprov": 1,
            "index": index,
            "network": "tlog",
            "path": [node.hex() for node in inclusion(sha256, index, entries[:size])],
            "receipt": {
                "checkpoint": signed_note(found["receipt"]["checkpoint"], vkey, size, head)
            },
            "root": text(record_root),
            "size": size,
            "status": "final",
            "type": "anchor",
        }
        assert canonical(line) == anchors[0]
    assert sizes == {1, 6, 8}


def test_the_log_ends_in_a_signed_head_over_all_of_it(repo: Path) -> None:
    entries = log_entries(repo)
    vkey = cat(repo, f"{log_ref(repo)}:key").decode().removesuffix("\n")
    checkpoint = cat(repo, f"{log_ref(repo)}:checkpoint").decode()
    assert signed_note(checkpoint, vkey, len(entries), root(sha256, entries)) == checkpoint


def signed_note(note: str, vkey: str, size: int, head: bytes) -> str:
    """Checks the signature with C2SP's rules, and returns the note as it must be written."""
    name, _, rest = vkey.partition("+")
    key_hash, _, encoded = rest.partition("+")
    public = base64.b64decode(encoded)
    assert public[:1] == b"\1"
    assert key_hash == sha256(name.encode() + b"\n" + public)[:4].hex()
    signed = f"{name}\n{size}\n{base64.b64encode(head).decode()}\n"
    raw = base64.b64decode(note.splitlines()[-1].rpartition(" ")[2])
    assert raw[:4].hex() == key_hash
    Ed25519PublicKey.from_public_bytes(public[1:]).verify(raw[4:], signed.encode())
    return f"{signed}\n\u2014 {name} {base64.b64encode(raw).decode()}\n"


def test_the_name_of_the_log_is_of_its_key_and_its_repository(repo: Path) -> None:
    vkey = cat(repo, f"{log_ref(repo)}:key").decode().removesuffix("\n")
    name, _, rest = vkey.partition("+")
    public = base64.b64decode(rest.partition("+")[2])[1:]
    key_id = hashlib.sha256(public).hexdigest()[:16]
    assert log_ref(repo) == f"refs/gitprov/log/{key_id}"
    assert name == f"gitprov/Ünïcode-repo/{key_id}"


def test_another_clone_computes_the_same_records(repo: Path, tmp_path: Path) -> None:
    other = clone(repo, tmp_path / "other")
    gitprov(other, "record", "--all")
    for oid in git(repo, "rev-list", "HEAD").split():
        ours, theirs = (
            [line for line in note_lines(where, oid) if json.loads(line)["type"] == "record"]
            for where in (repo, other)
        )
        assert ours == theirs


def test_the_proof_of_a_file_leads_from_its_bytes_to_the_signed_head(
    repo: Path, tmp_path: Path
) -> None:
    proof = tmp_path / "a.proof"
    gitprov(repo, "prove", "data/train/007.bin", "-o", str(proof))
    value = json.loads(proof.read_bytes())
    assert canonical(value) + b"\n" == proof.read_bytes()
    data = (repo / "data/train/007.bin").read_bytes()
    digest, size = blake3(data).digest(), len(data)
    assert value["file"] == {"digest": text(digest), "kind": "f", "size": size}
    kind, names = "f", ["007.bin", "train"]
    for level, name in zip(value["manifest"], names, strict=True):
        at = MANIFEST(b"\0" + kind.encode() + digest + size.to_bytes(8, "big") + name.encode())
        assert follow(MANIFEST, at, level["route"]) == bytes.fromhex(level["root"][7:])
        kind, digest, size = "d", bytes.fromhex(level["root"][7:]), level["size"]
    assert value["artifact"]["leaf"]["root"] == text(digest)
    leaf = RECORD(b"\0" + canonical(value["artifact"]["leaf"]))
    record_root = follow(RECORD, leaf, value["artifact"]["route"])
    code = RECORD(b"\0" + canonical(value["code"]["leaf"]))
    assert follow(RECORD, code, value["code"]["route"]) == record_root
    oid = git(repo, "rev-parse", "HEAD")
    assert record_root == root(RECORD, record_leaves(repo, oid, object_format(repo)))
    assert canonical(value["anchors"][0]) in note_lines(repo, oid)


def follow(h: Hash, value: bytes, route: Sequence[str]) -> bytes:
    for step in route:
        sibling = bytes.fromhex(step[1:])
        value = h(b"\1" + (sibling + value if step[0] == "L" else value + sibling))
    return value
