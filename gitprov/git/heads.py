"""The newest head of every log that was seen, per remote: `heads.json` beside the log's key."""

import os
from collections.abc import Mapping
from typing import NamedTuple

from gitprov.core.canonical import Fields, Json, dumps, loads
from gitprov.core.digest import Sha256Digest
from gitprov.errors import MalformedError, UnavailableError
from gitprov.git.repo import Repository
from gitprov.platform.files import atomic_write, read_bounded
from gitprov.platform.locks import file_lock

HEADS_FILE = "heads.json"
LOCK_FILE = "heads.lock"

_MAX_BYTES = 16 << 20


class Head(NamedTuple):
    """Size and root of a log."""

    size: int
    root: Sha256Digest

    def __str__(self) -> str:
        return f"size {self.size}, root {self.root}"


Heads = dict[str, dict[str, Head]]
"""Remote -> key id -> the newest head seen there."""


def read_heads(repo: Repository) -> Heads:
    """Returns all heads seen.

    Raises:
        MalformedError: the file is damaged; it is never thrown away silently, since it is what a
            rolled-back log is found by.
    """
    path = os.path.join(repo.data_dir, HEADS_FILE)
    try:
        data = read_bounded(path, _MAX_BYTES)
    except UnavailableError:
        return {}
    try:
        value = loads(data.removesuffix(b"\n"), what=path, limit=_MAX_BYTES)
        if not isinstance(value, dict):
            raise MalformedError(f"{path} is not a JSON object")
        return {remote: _parse_remote(path, logs) for remote, logs in value.items()}
    except MalformedError as exc:
        raise MalformedError(
            f"{path} is damaged: {exc}",
            hint=f"move {path} away to begin anew; what was seen before is lost then",
        ) from exc


def newest_head(repo: Repository, key_id: str) -> Head | None:
    """Returns the largest head of a log that was ever seen, wherever, or None."""
    heads = [logs[key_id] for logs in read_heads(repo).values() if key_id in logs]
    return max(heads, default=None, key=lambda head: head.size)


def note_heads(repo: Repository, remote: str, seen: Mapping[str, Head]) -> None:
    """Remembers heads of a remote's logs; a smaller one never replaces a larger one."""
    with file_lock(os.path.join(repo.data_dir, LOCK_FILE)):
        heads = read_heads(repo)
        known = heads.setdefault(remote, {})
        newer = {k: h for k, h in seen.items() if k not in known or known[k].size < h.size}
        if not newer:
            return
        known.update(newer)
        value: Json = {
            name: {k: {"root": str(h.root), "size": h.size} for k, h in logs.items()}
            for name, logs in heads.items()
        }
        atomic_write(os.path.join(repo.data_dir, HEADS_FILE), dumps(value) + b"\n", mode=0o600)


def _parse_remote(path: str, value: Json) -> dict[str, Head]:
    if not isinstance(value, dict):
        raise MalformedError(f"{path}: a remote's heads are not a JSON object")
    heads: dict[str, Head] = {}
    for key_id, item in value.items():
        fields = Fields(item, what=path)
        heads[key_id] = Head(fields.integer("size"), Sha256Digest.parse(fields.text("root")))
        fields.end()
    return heads
