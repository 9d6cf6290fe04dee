"""What a push looks at when it knows what the last one left: never too little."""

from typing import TYPE_CHECKING, TypeAlias

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from gitprov.core.paths import RepoPath
from gitprov.model.entry import Entry
from gitprov.model.manifest import Manifest
from gitprov.ops.transfer_needs import Part, lacking, needed
from gitprov.store.base import StoreWriter
from gitprov.store.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Mapping

Tree: TypeAlias = "bytes | Mapping[bytes, Tree]"

NAMES = st.sampled_from([b"a", b"b", b"c"])
BLOBS = st.sampled_from([b"", b"one", b"two", b"three"])
FOLDERS: st.SearchStrategy[Tree] = st.dictionaries(
    NAMES,
    st.recursive(BLOBS, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=12),
    max_size=3,
)
PATH = RepoPath(b"data")


def put(writer: StoreWriter, name: bytes, tree: Tree) -> Entry:
    if isinstance(tree, bytes):
        return Entry(name, "f", writer.add(tree), len(tree))
    manifest = Manifest.of([put(writer, below, inner) for below, inner in tree.items()])
    writer.add_manifest(manifest.root.raw, manifest.to_bytes())
    return Entry(name, "d", manifest.root.raw, sum(entry.size for entry in manifest.entries))


def stored(*trees: Tree) -> tuple[MemoryStore, list[Part]]:
    store = MemoryStore()
    with store.writer() as writer:
        return store, [Part(put(writer, b"data", tree), b"", PATH) for tree in trees]


@given(FOLDERS, FOLDERS)
def test_with_what_is_known_it_is_all_that_is_needed(old: Tree, new: Tree) -> None:
    store, [before, after] = stored(old, new)
    had, _ = needed(store, [before])
    whole, _ = needed(store, [after])
    changed, absent = needed(store, [after], {PATH.raw: before.top.digest})
    assert absent == []
    assert set(changed) <= set(whole)
    assert set(whole) <= {*had, *changed}
    assert len(changed) == len(set(changed))


@given(FOLDERS)
def test_nothing_is_needed_where_nothing_changed(tree: Tree) -> None:
    store, [part] = stored(tree)
    assert needed(store, [part], {PATH.raw: part.top.digest}) == ([], [])


def test_only_what_changed_is_read() -> None:
    same: Tree = {b"x": b"1", b"deep": {b"y": b"2"}}
    store, [before, after] = stored(
        {b"same": same, b"other": {b"z": b"3"}}, {b"same": same, b"other": {b"z": b"4"}}
    )
    known = {PATH.raw: before.top.digest}
    changed, _ = needed(store, [after], known)
    assert len(changed) == 3  # two manifests and a file
    for digest in store.blobs.keys() - {one.digest for one in changed} - {before.top.digest}:
        del store.blobs[digest]
    assert needed(store, [after], known)[0] == changed


def test_a_base_that_is_damaged_or_gone_is_done_without() -> None:
    store, [before, after] = stored({b"a": b"1", b"b": b"2"}, {b"a": b"1", b"b": b"3"})
    root = before.top.digest
    kind, _ = store.blobs[root]
    store.blobs[root] = (kind, b"damaged")
    for _ in range(2):
        assert needed(store, [after], {PATH.raw: root}) == needed(store, [after])
    assert root not in store.blobs


def test_a_part_below_an_artifact_is_looked_at_whole() -> None:
    store, [part] = stored({b"a": {b"b": b"1"}})
    below = Part(part.top, b"a", PATH)
    known = {PATH.raw: part.top.digest, b"data/a": blake3(b"1").digest()}
    assert needed(store, [below], known) == needed(store, [below])


def test_what_is_lacking_is_found_in_every_folder() -> None:
    store, [part] = stored({b"a": {b"x": b"1", b"y": b"2"}, b"b": b"1", b"c": {b"x": b"1"}})
    one = blake3(b"1").digest()
    assert [str(found.path) for found in lacking(store, [part], {one})] == [
        "data/a/x",
        "data/b",
        "data/c/x",
    ]
    assert lacking(store, [part], ()) == []
    below = Part(part.top, b"c", RepoPath(b"data/c"))
    [found] = lacking(store, [below], {one})
    assert (found.part, str(found.path)) == (RepoPath(b"data/c"), "data/c/x")


def test_folders_that_hold_each_other_many_times_are_gone_into_once() -> None:
    store = MemoryStore()
    with store.writer() as writer:
        entry = Entry(b"", "f", writer.add(b"1"), 1)
        for _ in range(60):
            manifest = Manifest.of([entry._replace(name=name) for name in (b"a", b"b")])
            writer.add_manifest(manifest.root.raw, manifest.to_bytes())
            entry = Entry(b"", "d", manifest.root.raw, 0)
    found = lacking(store, [Part(entry, b"", PATH)], {blake3(b"1").digest()})
    assert [one.path.name for one in found] == [b"a", b"b"]
