"""A store that repositories share knows them all, so that `gc` can ask each what it needs."""

import os

from gitprov.errors import UnavailableError
from gitprov.platform.files import atomic_write, read_bounded
from gitprov.platform.locks import Waiting, file_lock
from gitprov.workspace import Workspace

REPOSITORIES = "repositories"
_MAX_BYTES = 4 << 20


def register(store: str, common_dir: str, *, waiting: Waiting | None = None) -> None:
    """Writes a repository into the store's list; safe to repeat."""
    line = os.fsencode(common_dir)
    if line in _lines(store):
        return
    with file_lock(os.path.join(store, REPOSITORIES + ".lock"), waiting=waiting):
        lines = _lines(store)
        if line not in lines:
            data = b"".join(item + b"\0" for item in [*lines, line])
            atomic_write(os.path.join(store, REPOSITORIES), data)


def register_here(ws: Workspace) -> None:
    """Registers the workspace's repository when its store is a shared one.

    `gitprov init --store` has done so; a copied or hand-written configuration has not.
    """
    store = ws.config.store.path
    if store is not None and os.path.isdir(store):
        register(store, ws.repo.common_dir, waiting=ws.waiting)


def repositories(store: str) -> list[str]:
    """Returns the git folders of all repositories that use a store."""
    return [os.fsdecode(line) for line in _lines(store)]


def _lines(store: str) -> list[bytes]:
    try:
        data = read_bounded(os.path.join(store, REPOSITORIES), _MAX_BYTES)
    except UnavailableError:
        return []
    return [line for line in data.split(b"\0") if line]
