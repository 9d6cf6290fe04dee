"""`gitprov export --car`: record, signed head and artifacts as raw blocks for IPFS.

Small files are one block each. A larger one is cut into pieces of 1 MiB, and a block of type
`pieces` lists them. Blocks of type `index` say under which CID each manifest and each file is to
be found, since a manifest's root is not the digest of its bytes (docs/formats.md section 11).
Lists lead to every block, so that a node pins all of them by pinning one.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import IO

from gitprov.core import car, cid
from gitprov.core.canonical import Json, dumps
from gitprov.core.car import MAX_BLOCK_BYTES, Block
from gitprov.core.digest import Digest
from gitprov.git.log import LogReader, read_log_key
from gitprov.model.record import ArtifactLeaf
from gitprov.model.record_blocks import record_blocks
from gitprov.ops.manifests import loader
from gitprov.ops.record import compute_record
from gitprov.platform.files import fault, fsync_dir
from gitprov.workspace import Workspace
from gitprov.worktree.scan import Progress

_PER_INDEX = 7000
"""Objects in one index block: each takes 136 bytes."""

_PIECES = 12_000
"""Pieces in one block of type `pieces`: 12 GiB; a larger file has several such blocks."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an archive holds.

    Attributes:
        commit: the commit's id.
        root: its record root.
        roots: the CIDs that the archive names as its roots: the list of all blocks, then record,
            head and index.
        blocks: how many blocks it has.
        size: its bytes.
    """

    commit: str
    root: Digest
    roots: tuple[str, ...]
    blocks: int
    size: int


def export_car(
    ws: Workspace,
    rev: str,
    path: str,
    *,
    with_data: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Writes an archive that `ipfs dag import` takes; it appears under its name when it is whole.

    Args:
        ws: the workspace.
        rev: the commit.
        path: the file to write.
        with_data: whether the artifacts are in it, with their manifests.
        progress: told of what there is to write, and of what was.

    Raises:
        UnavailableError: the store lacks some of the data.
    """
    commit = ws.repo.resolve(rev)
    record = compute_record(ws, commit)
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "xb") as body:
            writer = _Writer(body, progress)
            if progress is not None and with_data:
                progress.found(
                    sum(leaf.files for leaf in record.artifacts),
                    sum(leaf.size for leaf in record.artifacts),
                )
            roots = [writer.add(block) for block in record_blocks(record)]
            signed = _signed_head(ws)
            if signed is not None:
                roots.append(writer.add(signed.encode()))
            if with_data:
                roots += _add_data(ws, writer, record.artifacts)
            above = writer.end()
        names = [above.name, *dict.fromkeys(cid.to_bytes(root) for root in roots)]
        _with_header(temporary, path, car.header(names))
    except OSError as exc:
        raise fault(exc, "write", path) from exc
    finally:
        for name in (temporary, temporary + ".whole"):
            with suppress(FileNotFoundError):
                os.unlink(name)
    size = os.path.getsize(path)
    return Exported(
        commit, record.root, tuple(cid.text_of(name) for name in names), writer.count, size
    )


class _Writer:
    """Writes blocks, each once."""

    def __init__(self, body: IO[bytes], progress: Progress | None) -> None:
        self._body = body
        self._progress = progress
        self._seen: dict[bytes, None] = {}
        self.count = 0

    def add(self, data: bytes) -> Digest:
        """Writes a raw block, unless it is there, and returns its digest."""
        block = Block.raw(data)
        if block.name not in self._seen:
            self._seen[block.name] = None
            self._write(block)
            if self._progress is not None:
                self._progress.done(0, len(data))
        return cid.parse_bytes(block.name)[1]

    def end(self) -> Block:
        """Writes the lists of all blocks, and returns the one that is above the others."""
        made = car.lists(list(self._seen))
        for block in made:
            self._write(block)
        return made[-1]

    def _write(self, block: Block) -> None:
        self._body.write(car.section(block))
        self.count += 1


def _add_data(ws: Workspace, writer: _Writer, artifacts: Iterable[ArtifactLeaf]) -> list[Digest]:
    """Adds manifests and files; returns the digests of the index blocks."""
    load = loader(ws.store)
    places: dict[str, Json] = {}
    waiting = [(leaf.root.raw, leaf.entry == "dir") for leaf in artifacts]
    while waiting:
        raw, is_folder = waiting.pop()
        digest = Digest(raw)
        if str(digest) in places:
            continue
        if is_folder:
            manifest = load(raw)
            stored = _add_bytes(writer, digest, [manifest.to_bytes()])
            waiting += [(entry.digest, entry.kind == "d") for entry in manifest.entries]
        else:
            with ws.store.open(raw) as file:
                stored = _add_bytes(writer, digest, iter(partial(file.read, MAX_BLOCK_BYTES), b""))
        places[str(digest)] = cid.to_text(stored)
    items = sorted(places.items())
    indexes: list[Digest] = []
    for start in range(0, len(items), _PER_INDEX):
        objects: dict[str, Json] = dict(items[start : start + _PER_INDEX])
        indexes.append(writer.add(dumps({"gitprov": 1, "objects": objects, "type": "index"})))
    return indexes


def _add_bytes(writer: _Writer, digest: Digest, parts: Iterable[bytes]) -> Digest:
    """Adds something as one block, or as pieces and the list of them."""
    pieces: list[Digest] = []
    size = 0
    for part in _cut(parts):
        size += len(part)
        pieces.append(writer.add(part))
    if len(pieces) == 1:
        return pieces[0]
    if not pieces:
        return writer.add(b"")
    lists: list[Digest] = []
    for start in range(0, len(pieces), _PIECES):
        names: list[Json] = [cid.to_text(one) for one in pieces[start : start + _PIECES]]
        value: dict[str, Json] = {
            "digest": str(digest),
            "gitprov": 1,
            "pieces": names,
            "size": size,
            "type": "pieces",
        }
        if lists:
            value["after"] = cid.to_text(lists[-1])
        lists.append(writer.add(dumps(value)))
    return lists[-1]


def _cut(parts: Iterable[bytes]) -> Iterator[bytes]:
    for part in parts:
        for start in range(0, len(part), MAX_BLOCK_BYTES):
            yield part[start : start + MAX_BLOCK_BYTES]


def _signed_head(ws: Workspace) -> str | None:
    key = read_log_key(ws.repo)
    return None if key is None else LogReader.open(ws.repo, key.ref).signed_note()


def _with_header(body: str, path: str, header: bytes) -> None:
    """Puts the header before the blocks: what the roots are is known only when all are written."""
    whole = body + ".whole"
    with open(body, "rb") as source, open(whole, "xb") as target:
        target.write(header)
        while part := source.read(MAX_BLOCK_BYTES):
            target.write(part)
        target.flush()
        os.fsync(target.fileno())
    os.rename(whole, path)
    fsync_dir(os.path.dirname(path) or ".")
