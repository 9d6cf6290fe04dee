"""What an append makes of a log: pure, from the log as it is to the files to write."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gitprov.core.digest import Digest, Sha256Digest
from gitprov.errors import MalformedError
from gitprov.git.log import CHECKPOINT, KEY, LogKey, LogReader
from gitprov.git.tiles import (
    ENTRIES,
    HASH_BYTES,
    Overlay,
    Tile,
    format_entries,
    grow,
    parse_entries,
    subtree,
    tiles_of,
)

_SIZE = re.compile(rb"0|[1-9][0-9]{0,17}")


def cut_tile(tile: Tile, data: bytes) -> bytes:
    """Returns the first `width` things of a wider tile."""
    if tile.level == ENTRIES:
        return format_entries(parse_entries(data)[: tile.width])
    return data[: tile.width * HASH_BYTES]


class LogChange(NamedTuple):
    """What an append makes of a log.

    Attributes:
        files: new contents by path; None takes a file away.
        indices: where each given root stands, old or new.
        size: the new size.
        root: the new root.
    """

    files: Mapping[bytes, bytes | None]
    indices: Mapping[Digest, int]
    size: int
    root: Sha256Digest


def append(
    log: LogReader, roots: Iterable[Digest], *, key: LogKey, signed_note: str | None = None
) -> LogChange:
    """Returns what to write so that the log has these roots; one that is there is not added again.

    Args:
        log: the log as it is.
        roots: record roots.
        key: the log's key, stored beside the tiles.
        signed_note: a newly signed tree head of this log.
    """
    indices, fresh = _sort_out(log, roots)
    made = grow(log, log.size, [digest.raw for digest in fresh])
    size = log.size + len(fresh)
    files: dict[bytes, bytes | None] = {tile.path: data for tile, data in made.items()}
    overlay = Overlay(made, log)
    signed = log.signed_size()
    newer = signed_note is not None and _size_in(signed_note, size) >= signed
    if signed_note is not None and newer:
        signed = _size_in(signed_note, size)
    wanted = {*tiles_of(size), *tiles_of(signed)}
    for tile in wanted:
        if tile.path not in files and not log.has(tile.path):
            files[tile.path] = cut_tile(tile, overlay.tile(*tile))
    for tile in log.partial_tiles():
        if tile not in wanted:
            files[tile.path] = None
    if log.vkey() != key.vkey:
        files[KEY] = key.vkey.encode() + b"\n"
    if signed_note is not None and newer and log.signed_note() != signed_note:
        files[CHECKPOINT] = signed_note.encode()
    return LogChange(files, indices, size, Sha256Digest(subtree(overlay, size, 0, size)))


def _sort_out(log: LogReader, roots: Iterable[Digest]) -> tuple[dict[Digest, int], list[Digest]]:
    """Where each root stands or will stand, and those that are new."""
    indices: dict[Digest, int] = {}
    fresh: list[Digest] = []
    for digest in roots:
        if digest in indices:
            continue
        known = log.find(digest)
        if known is None:
            known = log.size + len(fresh)
            fresh.append(digest)
        indices[digest] = known
    return indices, fresh


def _size_in(signed_note: str, size: int) -> int:
    lines = signed_note.encode().split(b"\n", 2)
    if len(lines) < 3 or not _SIZE.fullmatch(lines[1]) or int(lines[1]) > size:
        raise MalformedError("the signed tree head is not one of this log")
    return int(lines[1])
