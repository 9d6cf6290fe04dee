"""Blobs and stores that the store's tests share."""

from pathlib import Path

from blake3 import blake3

from gitprov.model.entry import Entry
from gitprov.model.manifest import Manifest
from gitprov.store.base import LARGE
from gitprov.store.local import LocalStore

BLOBS = [b"", b"one", b"two" * 50, bytes(range(256))]
LARGE_BLOB = bytes(range(251)) * (LARGE // 251 + 2)


def digest_of(blob: bytes) -> bytes:
    return blake3(blob).digest()


def listing() -> Manifest:
    return Manifest.of(
        Entry(str(at).encode(), "f", digest_of(blob), len(blob)) for at, blob in enumerate(BLOBS)
    )


def fill(store: LocalStore, *, large: bool = True) -> dict[bytes, bytes]:
    """Adds the blobs and their manifest; returns them by digest."""
    content = {digest_of(blob): blob for blob in [*BLOBS, *([LARGE_BLOB] if large else [])]}
    with store.writer() as writer:
        for blob in content.values():
            writer.add(blob)
        writer.add_manifest(listing().root.raw, listing().to_bytes())
    return {**content, listing().root.raw: listing().to_bytes()}


def put(store: LocalStore, *blobs: bytes) -> list[bytes]:
    with store.writer() as writer:
        return [writer.add(blob) for blob in blobs]


def add_file(store: LocalStore, path: Path, link: str = "auto") -> bytes:
    with path.open("rb") as file, store.writer() as writer:
        size = path.stat().st_size
        return writer.add_file(str(path), fd=file.fileno(), size=size, link=link)  # type: ignore[arg-type]


def packs(store: LocalStore) -> list[Path]:
    return sorted(Path(store.root, "packs").glob("*.pack"))


def objects(store: LocalStore) -> list[Path]:
    return sorted(Path(store.root, "objects").glob("*/*"))


def flip(path: Path, at: int, mask: int = 1) -> None:
    """Flips bits of one byte, whatever the permissions say."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes((byte ^ mask,)))
