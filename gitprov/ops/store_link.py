"""Tells a symlink into the store, as `store.link: symlink` makes them, from other symlinks."""

import os

from gitprov.core.digest import DIGEST_BYTES
from gitprov.errors import VerificationError
from gitprov.ops.intact import is_known_intact, remember_intact
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
        """Returns digest and size of the file in the store, or None for any other link.

        The target must be the store's own path to the letter, and the bytes there must still be
        those of its name: somebody may have written through the link.
        """
        if not target.startswith(self._objects):
            return None
        try:
            digest = bytes.fromhex(target[len(self._objects) :].replace(b"/", b"").decode("ascii"))
        except ValueError:
            return None
        path = self._ws.store.path_of(digest, verify=False) if len(digest) == DIGEST_BYTES else None
        if path is None or os.fsencode(path) != target or not self._intact(path, digest):
            return None
        return digest, self._ws.store.size(digest)

    def _intact(self, path: str, digest: bytes) -> bool:
        """Whether the object's bytes match; it is hashed once for each time that it changed."""
        try:
            status = os.stat(path, follow_symlinks=False)
        except OSError:
            return False
        if is_known_intact(self._ws, digest, status):
            return True
        try:
            if self._ws.store.path_of(digest) is None:
                return False
        except VerificationError:
            return False  # it has been set aside; the link leads nowhere now
        remember_intact(self._ws, digest, status)
        return True
