"""Walking and changing an artifact's manifests in the store."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from gitprov.core.paths import show
from gitprov.errors import MalformedError, UnavailableError
from gitprov.model.entry import Entry
from gitprov.model.manifest import Manifest
from gitprov.model.pointer import Pointer
from gitprov.store.base import BlobStore

_TOP_KINDS = {"dir": "d", "file": "f", "exec": "x"}

Load = Callable[[bytes], Manifest]
"""Given a manifest's root, returns the manifest."""


def loader(store: BlobStore) -> Load:
    """Returns a `Load` that reads from a store.

    It raises `MalformedError` for a digest that names a file: no file may pose as a manifest.
    """

    def load(root: bytes) -> Manifest:
        return as_manifest(root, store.read(root))

    return load


def as_manifest(root: bytes, data: bytes) -> Manifest:
    """Parses a manifest that is to have this root.

    Raises:
        MalformedError: it has another one, or the bytes are a file's.
    """
    manifest = Manifest.parse(data)
    if manifest.root.raw != root:
        raise MalformedError(f"blake3:{root.hex()} is the digest of a file, not of a manifest")
    return manifest


def top_entry(pointer: Pointer) -> Entry:
    """Returns an artifact as an entry, as if a folder above it named it."""
    name = pointer.path.encode()
    return Entry(name, _TOP_KINDS[pointer.type], pointer.root.raw, pointer.size)


def find(load: Load, top: Entry, parts: Sequence[bytes]) -> Entry | None:
    """Returns the entry at a path below an entry; the entry itself when the path is empty."""
    entry: Entry | None = top
    for name in parts:
        if entry is None or entry.kind != "d":
            return None
        entry = load(entry.digest).get(name)
    return entry


def count_files(load: Load, entry: Entry | None) -> int:
    """Returns how many files and symlinks an entry stands for."""
    if entry is None:
        return 0
    if entry.kind != "d":
        return 1
    return sum(count_files(load, below) for below in load(entry.digest).entries)


def splice(
    load: Load,
    top: Entry,
    parts: Sequence[bytes],
    new: Entry | None,
    keep: Callable[[bytes, tuple[Entry, ...]], None],
) -> Entry:
    """Puts an entry in the place of what is at a path, and returns the top as it is then.

    Only the manifests above the path are made anew.

    Args:
        load: reads manifests.
        top: the artifact, a folder.
        parts: the path below it, at least one name.
        new: what is there now, None when it is gone.
        keep: is given root and entries of every new manifest, the innermost first.

    Raises:
        MalformedError: the new name is refused, or collides.
        UnavailableError: a manifest is missing.
    """
    name, *rest = parts
    entries = {entry.name: entry for entry in load(top.digest).entries} if top.kind == "d" else {}
    below = entries.pop(name, None)
    if rest:
        if new is None and (below is None or below.kind != "d"):
            return top
        folder = below or Entry(name, "", b"", 0)
        entries[name] = splice(load, folder, rest, new, keep)
    elif new is not None:
        entries[name] = new._replace(name=name)
    manifest = Manifest.of(entries.values())
    keep(manifest.root.raw, manifest.entries)
    return Entry(top.name, "d", manifest.root.raw, manifest.size)


def walk(load: Load, top: Entry, path: bytes) -> Iterator[tuple[bytes, Entry]]:
    """Yields everything that is no folder below an entry, with its path; sorted by folder."""
    if top.kind != "d":
        yield path, top
        return
    waiting = [(path, top.digest)]
    while waiting:
        folder, root = waiting.pop()
        below: list[tuple[bytes, bytes]] = []
        for entry in load(root).entries:
            where = folder + b"/" + entry.name
            if entry.kind == "d":
                below.append((where, entry.digest))
            else:
                yield where, entry
        waiting.extend(reversed(below))


def reachable(store: BlobStore, tops: Iterable[tuple[bytes, bool]]) -> tuple[set[bytes], list[str]]:
    """Returns every digest that artifacts need, and what could not be followed.

    Args:
        store: the store.
        tops: digests, and whether each is a folder.

    Returns:
        The digests, and one sentence for each manifest that the store lacks.
    """
    live: set[bytes] = set()
    folders: list[bytes] = []
    for digest, is_folder in tops:
        live.add(digest)
        if is_folder:
            folders.append(digest)
    missing: list[str] = []
    for manifest, _ in manifests_below(store, folders, missing):
        live.update([entry.digest for entry in manifest.entries])
    return live, missing


def manifests_below(
    store: BlobStore, roots: Iterable[bytes], missing: list[str]
) -> Iterator[tuple[Manifest, list[Entry]]]:
    """Yields the manifests of folders and of all folders below them, each once, with its folders.

    Args:
        store: the store.
        roots: the roots of the folders.
        missing: gets one sentence for each manifest that the store lacks.
    """
    done: set[bytes] = set()
    folders = set(roots)
    while folders:
        done |= folders
        below: set[bytes] = set()
        here = store.has(folders)
        missing += [
            f"the manifest blake3:{root.hex()} is not in the store" for root in folders - here
        ]
        for root, data in store.read_many(here):
            manifest = as_manifest(root, data)
            inner = [entry for entry in manifest.entries if entry.kind == "d"]
            below.update([entry.digest for entry in inner])
            yield manifest, inner
        folders = below - done


def need(load: Load, top: Entry, parts: Sequence[bytes], shown: bytes) -> Entry:
    """Returns what `find` does.

    Raises:
        UnavailableError: there is nothing at the path.
    """
    entry = find(load, top, parts)
    if entry is None:
        raise UnavailableError(f"there is no {show(shown)} in the artifact")
    return entry
