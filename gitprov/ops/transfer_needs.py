"""What commits need of a store or a remote: artifacts, their manifests, the files below them."""

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from gitprov.core.paths import MAX_PATH_BYTES, RepoPath
from gitprov.errors import UsageError, VerificationError
from gitprov.model.entry import Entry
from gitprov.ops.compare import leaf_entry
from gitprov.ops.manifests import as_manifest, find, loader, top_entry
from gitprov.ops.pointers import select, tracked
from gitprov.ops.record import compute_record
from gitprov.store.base import BlobStore
from gitprov.store.remote import Wanted
from gitprov.store.remote_fetch import Fetcher
from gitprov.workspace import Workspace

_MOST_PLACES = 1000
"""So many places in one part are named; nobody reads more."""


class Part(NamedTuple):
    """A version of an artifact, and the path below it that is meant; all of it when empty.

    Attributes:
        top: the artifact.
        below: a path in it.
        path: the same path from the worktree's top on, for who reads errors.
    """

    top: Entry
    below: bytes = b""
    path: RepoPath | None = None


class Lacking(NamedTuple):
    """Something of an artifact that is not to be had.

    Attributes:
        part: the artifact, or the part of it that was asked for.
        path: where it lies, from the worktree's top on.
        digest: what it is.
    """

    part: RepoPath
    path: RepoPath
    digest: bytes


def parts_of_commits(
    ws: Workspace, commits: Iterable[str], paths: Sequence[RepoPath]
) -> list[Part]:
    """Returns the artifacts of commits, each version once, or what of them lies at some paths.

    Raises:
        UsageError: a path is no artifact in any of the commits, lies in none and holds none.
    """
    found: dict[tuple[str, bytes], Entry] = {}
    for commit in commits:
        for leaf in compute_record(ws, commit).artifacts:
            found[leaf.path, leaf.root.raw] = leaf_entry(leaf)
    ws.digests.save()
    return _chosen([(RepoPath(path.encode()), top) for (path, _), top in found.items()], paths)


def parts_of_worktree(ws: Workspace, paths: Sequence[RepoPath]) -> list[Part]:
    """Returns what the worktree's pointers name, or what of it lies at some paths.

    Raises:
        UsageError: a path is no artifact, lies in none and holds none.
    """
    items = tracked(ws.repo.git, ws.worktree)
    return _chosen([(item.path, top_entry(item.pointer)) for item in items], paths)


def _chosen(artifacts: Sequence[tuple[RepoPath, Entry]], paths: Sequence[RepoPath]) -> list[Part]:
    versions: dict[RepoPath, list[Entry]] = {}
    for path, top in artifacts:
        versions.setdefault(path, []).append(top)
    return [
        Part(top, part.below(artifact), part)
        for artifact, part in select(versions, paths)
        for top in versions[artifact]
    ]


def needed(
    store: BlobStore, parts: Iterable[Part], known: Mapping[bytes, bytes] | None = None
) -> tuple[list[Wanted], list[bytes]]:
    """Returns everything that parts of artifacts consist of, and what the store lacks of it.

    The manifests above a part are named too: whoever fetches it goes by them.

    Args:
        store: where they are.
        parts: what is needed.
        known: roots of versions that need nothing, by the artifact's path; of a whole artifact,
            what is the same in the version known is left out.

    Raises:
        UsageError: there is nothing at a path.
    """
    above: set[bytes] = set()
    # In the order of their paths, so that a folder's files come to lie side by side in packs.
    files: dict[bytes, None] = {}
    folders: dict[bytes, bytes | None] = {}
    for part, top in _tops(store, parts, above.add):
        base = known.get(part.path.raw) if known and part.path and not part.below else None
        if top.digest == base:
            continue
        if top.kind == "d":
            folders[top.digest] = base
        else:
            files[top.digest] = None
    done = set(above)
    absent = above - store.has(above)
    while folders:
        done |= folders.keys()
        absent |= folders.keys() - store.has(folders)
        below: dict[bytes, bytes | None] = {}
        for entry, base in _changed(store, folders):
            if entry.kind == "d":
                below[entry.digest] = base
            else:
                files[entry.digest] = None
        folders = {root: base for root, base in below.items() if root not in done}
    have = store.has(files)
    absent |= files.keys() - have
    wanted = [Wanted(digest, is_manifest=False) for digest in files if digest in have]
    wanted += [Wanted(digest, is_manifest=True) for digest in sorted(done - absent)]
    return wanted, sorted(absent)


def _changed(
    store: BlobStore, folders: Mapping[bytes, bytes | None]
) -> Iterator[tuple[Entry, bytes | None]]:
    """What manifests list and their bases do not; of a folder, also the base of its manifest.

    A manifest whose base the store lacks, or that has none, is listed whole.
    """
    bases = {base for base in folders.values() if base is not None}
    before: dict[bytes, dict[bytes, Entry]] = {}
    with contextlib.suppress(VerificationError):  # a damaged base is set aside, and does without
        for root, data in store.read_many(store.has(bases)):
            before[root] = {entry.name: entry for entry in as_manifest(root, data).entries}
    for root, data in store.read_many(store.has(folders)):
        old = before.get(folders[root] or b"", {})
        for entry in as_manifest(root, data).entries:
            was = old.get(entry.name)
            if was is None:
                yield entry, None
            elif (was.kind, was.digest) != (entry.kind, entry.digest):
                yield entry, was.digest if was.kind == "d" else None


def follow(store: BlobStore, fetcher: Fetcher, parts: Iterable[Part]) -> dict[bytes, int]:
    """Brings the manifests of artifacts, and returns the files below them with their sizes.

    They are brought in a dry run too: they are small, and say what would travel.

    Raises:
        UsageError: there is nothing at a path.
    """
    files: dict[bytes, int] = {}
    folders: set[bytes] = set()

    def bring(roots: set[bytes]) -> None:
        lacking = roots - store.has(roots)
        if lacking:
            fetcher.fetch(Wanted(root, is_manifest=True) for root in sorted(lacking))

    for _, top in _tops(store, parts, lambda root: bring({root})):
        if top.kind == "d":
            folders.add(top.digest)
        else:
            files[top.digest] = top.size
    done: set[bytes] = set()
    while folders:
        bring(folders)
        done |= folders
        below: set[bytes] = set()
        for entry in _entries(store, folders):
            if entry.kind == "d":
                below.add(entry.digest)
            else:
                files[entry.digest] = entry.size
        folders = below - done
    return files


def lacking(store: BlobStore, parts: Iterable[Part], absent: Collection[bytes]) -> list[Lacking]:
    """Returns where in parts of artifacts the digests lie that are not to be had.

    A folder that is in a part more than once is gone into once: a few that hold each other can
    stand for more places than anybody could name. Of each part some are named, at most.
    """
    places: list[Lacking] = []
    for part in parts if absent else ():
        names = part.below.split(b"/") if part.below else []
        shown = part.path or RepoPath(part.top.name)
        artifact = RepoPath(shown.raw[: -len(part.below) - 1]) if names and part.path else shown
        found = _lacking_below(store, artifact, part.top, names, absent)
        places += [Lacking(shown, *one) for one in islice(found, _MOST_PLACES)]
    return places


def _lacking_below(
    store: BlobStore,
    artifact: RepoPath,
    top: Entry,
    names: Sequence[bytes],
    absent: Collection[bytes],
) -> Iterator[tuple[RepoPath, bytes]]:
    seen: set[bytes] = set()
    waiting = [(artifact, top, names)]
    while waiting:
        path, entry, names = waiting.pop()
        if entry.digest in absent:
            yield path, entry.digest
        elif (
            entry.kind == "d"
            and entry.digest not in seen
            and len(path.raw) <= MAX_PATH_BYTES
            and store.has((entry.digest,))
        ):
            if not names:
                seen.add(entry.digest)
            manifest = as_manifest(entry.digest, store.read(entry.digest))
            waiting += [
                (path / child.name, child, names[1:])
                for child in reversed(manifest.entries)
                if not names or child.name == names[0]
            ]


def _entries(store: BlobStore, roots: set[bytes]) -> Iterator[Entry]:
    """The entries of those manifests that the store has."""
    for root, data in store.read_many(store.has(roots)):
        yield from as_manifest(root, data).entries


def _tops(
    store: BlobStore, parts: Iterable[Part], passing: Callable[[bytes], None]
) -> Iterator[tuple[Part, Entry]]:
    """Parts and the entries at which they begin; `passing` is given each root above one, unread.

    Where a manifest above a part cannot be had, the part is left out.
    """
    met: dict[RepoPath, bool] = {}
    for part in parts:
        entry: Entry | None = part.top
        known = True
        for name in part.below.split(b"/") if part.below else ():
            if entry is None or entry.kind != "d":
                entry = None
                break
            passing(entry.digest)
            if not store.has((entry.digest,)):
                entry, known = None, False
                break
            entry = find(loader(store), entry, [name])
        if entry is not None:
            yield part, entry
        shown = part.path or RepoPath(part.below)
        met[shown] = met.get(shown, False) or entry is not None or not known
    for path, is_there in met.items():
        if not is_there:
            raise UsageError(
                f"there is no {path} in the artifact", hint="gitprov ls ARTIFACT lists its files"
            )
