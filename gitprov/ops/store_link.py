"""Tells a symlink into the store, as `store.link: symlink` makes them, from other symlinks."""

import os

from gitprov.workspace import Workspace


def store_link(ws: Workspace) -> "StoreLink":
    """Returns what tells a symlink into the store from other symlinks."""
    return StoreLink(ws)


class StoreLink:
    """Recognises a checked-out file that is a symlink into the store (`store.link: symlink`)."""

    def __init__(self, ws: Workspace) -> None:
        """Takes the workspace whose store it is."""
        self._objects = os.fsencode(os.path.join(ws.store_path, "objects")) + b"/"
        self._ws = ws

    def __call__(self, target: bytes) -> tuple[bytes, int] | None:
        """Returns digest and size of the file in the store, or None for any other link."""
        if not target.startswith(self._objects):
            return None
        try:
            digest = bytes.fromhex(target[len(self._objects) :].replace(b"/", b"").decode("ascii"))
        except ValueError:
            return None
        if len(digest) != 32 or self._ws.store.path_of(digest, verify=False) is None:
            return None
        return digest, self._ws.store.size(digest)
