"""The tree of a listing: the manifests of the same files on disk, and names that no file has."""

from collections.abc import Iterator

import pytest
from blake3 import blake3
from hypothesis import given

from gitprov.core.paths import RepoPath
from gitprov.errors import MalformedError
from gitprov.model.entry import Entry, manifest_root
from gitprov.ops.far_tree import FarTree
from gitprov.store.source import Item, batches
from tests.support.trees import File, Link, Node, naive_root, trees

DATA = RepoPath.parse(b"data")


def items(*names: str, size: int = 1) -> list[Item]:
    return [Item(name, size, "", 0) for name in names]


def plain(node: Node) -> Node:
    """A tree as an object store can hold it: files only, no folder without any."""
    if isinstance(node, File):
        return File(node.data)
    assert not isinstance(node, Link)
    kept = {
        name: plain(inner) for name, inner in node.items() if not isinstance(inner, Link) and inner
    }
    return {name: inner for name, inner in kept.items() if inner != {}}


def objects(node: Node, above: str = "") -> Iterator[tuple[str, bytes]]:
    assert not isinstance(node, File | Link)
    for name, inner in node.items():
        path = above + name.decode()
        if isinstance(inner, File):
            yield path, inner.data
        else:
            yield from objects(inner, path + "/")


@given(trees)
def test_a_listing_has_the_root_of_the_same_tree_on_disk(node: Node) -> None:
    if isinstance(node, File | Link):
        return
    node = plain(node)
    found = dict(objects(node))
    tree = FarTree(DATA, [Item(name, len(data), "", 0) for name, data in found.items()])
    kept: dict[bytes, tuple[Entry, ...]] = {}
    digests = {name: blake3(data).digest() for name, data in found.items()}
    top, files = tree.build(digests, kept.__setitem__)
    assert top.digest == naive_root(node)
    assert files == len(found)
    assert top.size == sum(map(len, found.values()))
    assert all(manifest_root(entries) == root for root, entries in kept.items())


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a", "a/b"], "a file and a folder of one name"),
        (["a/../b"], "refused"),
        (["a//b"], "refused"),
        (["a\\b"], "refused"),
        (["x/.GIT/config"], "spelling of '.git'"),
        (["a/B", "a/b"], "collide"),
        (["B/x", "b/x"], "collide"),
        (["a" * 256], "longer than 255"),
        (["/".join("a" * 500)], "too long or too deep"),
        (["/".join(["a" * 250] * 20)], "too long or too deep"),
    ],
)
def test_names_that_no_folder_can_hold_are_refused(names: list[str], says: str) -> None:
    with pytest.raises(MalformedError, match=says):
        FarTree(DATA, items(*names))


def test_an_empty_object_that_marks_a_folder_is_no_file() -> None:
    tree = FarTree(DATA, [*items("a", size=0), *items("a/b"), *items("empty", size=0)])
    assert sorted(item.name for item in tree.items()) == ["a/b", "empty"]
    one = bytes(32)
    top, files = tree.build({"a/b": one, "empty": b""}, lambda *_: None)
    below = Entry(b"a", "d", manifest_root([Entry(b"b", "f", one, 1)]), 1)
    assert (top.digest, files) == (manifest_root([below]), 1)


def test_batches_are_bounded_by_number_and_by_size_and_keep_the_order() -> None:
    some = items("a", "b", "c", size=4) + items("big", size=100) + items("d", size=4)
    cut = [[item.name for item in batch] for batch in batches(some, count=2, size=10)]
    assert cut == [["a", "b"], ["c"], ["big"], ["d"]]
