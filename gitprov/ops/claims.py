"""Whether the sizes and counts that pointers and manifests state are those of what is there.

No digest stands for them: a pointer only has them beside the root, and a folder's entry has a size
beside its manifest's root. Whoever wrote them may have written anything.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from gitprov.core.paths import show
from gitprov.errors import UnavailableError
from gitprov.model.entry import Entry
from gitprov.ops.manifests import loader, manifests_below
from gitprov.store.base import BlobStore

if TYPE_CHECKING:
    from gitprov.worktree.tree import Tree

MAX_SENTENCES = 5
"""So many entries with a wrong size are named; one is enough to be wrong."""

_ENDLESS = 1 << 63
"""Folders that are alike can stand for a number that nobody would want to print."""

_DISPUTED = -1
_size_of = itemgetter(3)


@dataclass(slots=True)
class Survey:
    """What the store has of an artifact, and what does not add up.

    Attributes:
        needed: every digest that the artifact needs.
        lost: one sentence for each manifest that the store lacks.
        wrong: one sentence for each size or count that is not what is there.
    """

    needed: set[bytes] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class _Folder(NamedTuple):
    """What one manifest adds up to; `below` has a folder as often as it is named."""

    size: int
    files: int
    below: list[Entry]


def misstated(top: Entry, files: int, tree: "Tree") -> list[str]:
    """Returns what a pointer states wrongly about the data in the worktree that has its root.

    The scan has counted already, and the root binds every size below, so this costs nothing.
    """
    return _about_pointer(top.size, files, tree.size, tree.files if tree.kind == "d" else 1)


def survey(
    store: BlobStore, top: Entry, files: int, stated: dict[bytes, int] | None = None
) -> Survey:
    """Reads the manifests of an artifact and holds the sizes of folders and its own against them.

    Args:
        store: the store; no blob is read.
        top: the artifact, with the size that its pointer states.
        files: the count that its pointer states.
        stated: gets the sizes that files are said to have, for `wrong_sizes`.

    Raises:
        VerificationError: a manifest is damaged.
        MalformedError: a manifest is none.
    """
    found = Survey({top.digest})
    if top.kind != "d":
        if stated is not None:
            stated[top.digest] = top.size
        found.wrong = wrong_sizes(store, top, {top.digest: top.size}, store.sizes([top.digest]))
        return found
    folders: dict[bytes, _Folder] = {}
    for manifest, below in manifests_below(store, [top.digest], found.lost):
        entries = manifest.entries
        found.needed.update([entry.digest for entry in entries])
        size = sum(map(_size_of, entries))
        folders[manifest.root.raw] = _Folder(size, len(entries) - len(below), below)
        if stated is not None:
            _note(stated, entries)
    if top.digest in folders:
        counted = files if found.lost else _count(folders, top.digest)
        found.wrong = _about_pointer(top.size, files, folders[top.digest].size, counted)
    odd = {
        entry.digest: folders[entry.digest].size
        for folder in folders.values()
        for entry in folder.below
        if entry.digest in folders and folders[entry.digest].size != entry.size
    }
    found.wrong += _about_entries(store, top, odd)
    return found


def wrong_sizes(
    store: BlobStore, top: Entry, stated: Mapping[bytes, int], sizes: Mapping[bytes, int]
) -> list[str]:
    """Returns a sentence for each file that does not have the size that is stated for it.

    Args:
        store: the store.
        top: the artifact, with the size that its pointer states.
        stated: what `survey` gave.
        sizes: how many bytes the files have, as far as that is known.
    """
    if top.kind != "d":
        return _about_pointer(top.size, 1, sizes.get(top.digest, top.size), 1)
    odd = {one: size for one, size in sizes.items() if stated.get(one, size) != size}
    return _about_entries(store, top, odd)


def contradictions(store: BlobStore, top: Entry, files: int) -> list[str]:
    """Returns what is wrong where every file is as listed, none is lacking, and the root differs.

    The root binds names, kinds, digests and sizes; so a size is wrong, and looking is worth it.
    """
    stated: dict[bytes, int] = {}
    found = survey(store, top, files, stated).wrong
    found += wrong_sizes(store, top, stated, store.sizes(stated))
    return found or ["every file is as listed, but a manifest states a wrong size"]


def _note(stated: dict[bytes, int], entries: Iterable[Entry]) -> None:
    for _, kind, digest, size in entries:
        # Where two entries contradict each other, one is wrong, whichever size is the true one.
        if kind != "d" and stated.setdefault(digest, size) != size:
            stated[digest] = _DISPUTED


def _about_pointer(size: int, files: int, true_size: int, true_files: int) -> list[str]:
    found = []
    if size != true_size:
        found.append(f"the pointer says size {size}, and it is {true_size}")
    if files != true_files:
        found.append(f"the pointer says files {files}, and there are {true_files}")
    return found


def _count(folders: dict[bytes, _Folder], top: bytes) -> int:
    """Files below a folder. Equal folders are counted once: a hundred can stand for a billion."""
    counted: dict[bytes, int] = {}
    waiting = [top]
    while waiting:
        root = waiting[-1]
        below = [entry.digest for entry in folders[root].below]
        unknown = [one for one in below if one not in counted]
        if unknown:
            waiting += unknown
        else:
            counted[root] = min(
                folders[root].files + sum(map(counted.__getitem__, below)), _ENDLESS
            )
            waiting.pop()
    return counted[top]


def _about_entries(store: BlobStore, top: Entry, odd: Mapping[bytes, int]) -> list[str]:
    found: list[str] = []
    for path, entry in _entries(store, top) if odd else ():
        size = odd.get(entry.digest, entry.size)
        if size != entry.size:
            if len(found) == MAX_SENTENCES:
                return [*found, "and there are more"]
            found.append(f"the manifest says size {entry.size} of {show(path)}, and it is {size}")
    return found


def _entries(store: BlobStore, top: Entry) -> Iterator[tuple[bytes, Entry]]:
    """Yields what the folders hold, with its path in the artifact; equal folders once."""
    load, done = loader(store), {top.digest}
    waiting = [(b"", top.digest)]
    while waiting:
        path, root = waiting.pop()
        try:
            entries = load(root).entries
        except UnavailableError:
            continue  # that it is lost is known already
        for entry in entries:
            yield path + entry.name, entry
            if entry.kind == "d" and entry.digest not in done:
                done.add(entry.digest)
                waiting.append((path + entry.name + b"/", entry.digest))
