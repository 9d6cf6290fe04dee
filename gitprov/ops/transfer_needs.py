"""What commits need of a store or a remote: artifacts, their manifests, the files below them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from gitprov.core.paths import RepoPath
from gitprov.errors import UsageError
from gitprov.model.entry import Entry
from gitprov.ops.compare import leaf_entry
from gitprov.ops.manifests import as_manifest, find, loader, top_entry
from gitprov.ops.pointers import select, tracked
from gitprov.ops.record import compute_record
from gitprov.store.base import BlobStore
from gitprov.store.remote import Wanted
from gitprov.store.remote_fetch import Fetcher
from gitprov.workspace import Workspace


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


def needed(store: BlobStore, parts: Iterable[Part]) -> tuple[list[Wanted], list[bytes]]:
    """Returns everything that parts of artifacts consist of, and what the store lacks of it.

    The manifests above a part are named too: whoever fetches it goes by them.

    Raises:
        UsageError: there is nothing at a path.
    """
    above: set[bytes] = set()
    # In the order of their paths, so that a folder's files come to lie side by side in packs.
    files: dict[bytes, None] = {}
    folders: set[bytes] = set()
    for top in _tops(store, parts, above.add):
        if top.kind == "d":
            folders.add(top.digest)
        else:
            files[top.digest] = None
    done = set(above)
    absent = above - store.has(above)
    while folders:
        done |= folders
        absent |= folders - store.has(folders)
        below: set[bytes] = set()
        for entry in _entries(store, folders):
            if entry.kind == "d":
                below.add(entry.digest)
            else:
                files[entry.digest] = None
        folders = below - done
    have = store.has(files)
    absent |= files.keys() - have
    wanted = [Wanted(digest, is_manifest=False) for digest in files if digest in have]
    wanted += [Wanted(digest, is_manifest=True) for digest in sorted(done - absent)]
    return wanted, sorted(absent)


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

    for top in _tops(store, parts, lambda root: bring({root})):
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


def _entries(store: BlobStore, roots: set[bytes]) -> Iterator[Entry]:
    """The entries of those manifests that the store has."""
    for root, data in store.read_many(store.has(roots)):
        yield from as_manifest(root, data).entries


def _tops(
    store: BlobStore, parts: Iterable[Part], passing: Callable[[bytes], None]
) -> Iterator[Entry]:
    """The entries at which parts begin; `passing` is given each root above one before it is read.

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
            yield entry
        shown = part.path or RepoPath(part.below)
        met[shown] = met.get(shown, False) or entry is not None or not known
    for path, is_there in met.items():
        if not is_there:
            raise UsageError(
                f"there is no {path} in the artifact", hint="gitprov ls ARTIFACT lists its files"
            )
