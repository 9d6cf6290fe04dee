"""Where everything in a store's folder lies, and the making of that folder."""

import os
import re
from dataclasses import dataclass

from gitprov.platform.files import fault, fsync_dir
from gitprov.store.base import check_digest

PACK_NAME = re.compile(r"[0-9a-f]{32}", re.ASCII)
"""The name of a pack, without its ending."""

_PREFIX = re.compile(r"[0-9a-f]{2}", re.ASCII)
_REST = re.compile(r"[0-9a-f]{62}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths below a store's root. Names come from digests and patterns only, never as given."""

    root: str

    @property
    def objects(self) -> str:
        """One file per large blob."""
        return os.path.join(self.root, "objects")

    @property
    def packs(self) -> str:
        """Small blobs and manifests, one pack per command that added some."""
        return os.path.join(self.root, "packs")

    @property
    def tmp(self) -> str:
        """One folder per running writer."""
        return os.path.join(self.root, "tmp")

    @property
    def quarantine(self) -> str:
        """Blobs that did not match their name."""
        return os.path.join(self.root, "quarantine")

    @property
    def index(self) -> str:
        """The database that finds blobs in packs."""
        return os.path.join(self.root, "index.db")

    @property
    def use_lock(self) -> str:
        """Held shared by every writer for its whole life, exclusive by what removes."""
        return os.path.join(self.root, "store.lock")

    @property
    def publish_lock(self) -> str:
        """Held for the moment in which new names appear or damaged ones go."""
        return os.path.join(self.root, "publish.lock")

    def object(self, digest: bytes) -> str:
        """Returns the path of a large blob."""
        name = check_digest(digest).hex()
        return os.path.join(self.objects, name[:2], name[2:])

    def pack(self, name: str) -> str:
        """Returns the path of a pack."""
        if not PACK_NAME.fullmatch(name):
            raise ValueError("the name of a pack has 32 hex digits")
        return os.path.join(self.packs, name + ".pack")

    def pack_names(self) -> list[str]:
        """Returns the names of the packs that are there, sorted; anything else is not listed."""
        try:
            found = os.listdir(self.packs)
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise fault(exc, "read", self.packs) from exc
        return sorted(
            name[:-5] for name in found if name.endswith(".pack") and PACK_NAME.fullmatch(name[:-5])
        )

    def create(self) -> None:
        """Makes the folders that are not there, durably."""
        folders = (self.objects, self.packs, self.tmp, self.quarantine)
        if all(map(os.path.isdir, folders)):
            return
        try:
            os.makedirs(self.root, exist_ok=True)
            for folder in folders:
                os.makedirs(folder, exist_ok=True)
            fsync_dir(self.root)
            fsync_dir(os.path.dirname(os.path.abspath(self.root)))
        except OSError as exc:
            raise fault(exc, "make the store", self.root) from exc


def object_prefix(name: str) -> bool:
    """Whether a name in `objects` is one of ours."""
    return _PREFIX.fullmatch(name) is not None


def object_digest(prefix: str, name: str) -> bytes | None:
    """Returns the digest that a file in `objects` claims, or None when the name is not ours."""
    return bytes.fromhex(prefix + name) if _REST.fullmatch(name) else None
