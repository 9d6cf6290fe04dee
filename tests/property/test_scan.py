"""Laws of scanning and writing back, over random trees and random ignore rules."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from gitprov.worktree.compare import compare, compare_stored
from gitprov.worktree.ignore import Rules
from gitprov.worktree.materialize import Materializer
from gitprov.worktree.plan import make_plan
from gitprov.worktree.scan import Scanner
from tests.support.repos import isolated_environment
from tests.support.trees import (
    DATA,
    Desk,
    File,
    Keeper,
    Link,
    Node,
    below,
    build,
    naive_entry,
    naive_root,
    read_back,
    settle,
    trees,
)


@contextmanager
def desk() -> Iterator[Desk]:
    with tempfile.TemporaryDirectory() as place:
        made = Desk(Path(place))
        try:
            yield made
        finally:
            made.connection.close()


def count(node: Node) -> int:
    if isinstance(node, File | Link):
        return 1
    return sum(map(count, node.values()))


def paths_of(node: Node, prefix: bytes = b"") -> Iterator[bytes]:
    if isinstance(node, File | Link):
        yield prefix
        return
    for name, inner in node.items():
        yield from paths_of(inner, prefix + b"/" + name if prefix else name)


@given(trees)
def test_a_scan_gives_the_root_of_a_plain_merkle_computation(tree: Node) -> None:
    with desk() as at:
        build(at.data, tree)
        found = at.scan()
        _, root, size, _ = naive_entry(b"", tree)
        assert (found.kind, found.root, found.size, found.files) == ("d", root, size, count(tree))


@given(trees)
@settings(max_examples=30)
def test_a_second_scan_reads_nothing_and_gives_the_same(tree: Node) -> None:
    with desk() as at:
        build(at.data, tree)
        settle()
        first, second = Keeper(), Keeper()
        assert at.scan(first).root == at.scan(second).root == naive_root(tree)
        assert first.reads == count(tree)
        assert second.reads == 0


@given(trees, st.integers(0), st.booleans())
@settings(max_examples=50)
def test_changing_any_one_file_changes_the_root(tree: Node, which: int, cached: bool) -> None:
    every = list(paths_of(tree))
    assume(every)
    with desk() as at:
        build(at.data, tree)
        if cached:
            settle()
        before = at.scan().root
        path = below(at.data, every[which % len(every)])
        if path.is_symlink():
            target = path.readlink()
            path.unlink()
            path.symlink_to(f"{target}x")
        else:
            status = path.stat()
            data = path.read_bytes()
            path.write_bytes(bytes([data[0] ^ 1]) + data[1:] if data else b"x")
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        after = at.scan().root
        assert after == naive_root(read_back(at.data)) != before


@given(trees)
@settings(max_examples=60)
def test_what_is_written_back_is_what_was_scanned(tree: Node) -> None:
    with desk() as at:
        build(at.data, tree)
        keeper = Keeper()
        entry = at.add(keeper)
        at.data.rename(at.root / "elsewhere")
        scanner = Scanner(str(at.root), at.cache)
        plan = make_plan(scanner, keeper.load, DATA, entry, expected=None)
        [made] = Materializer(str(at.root), at.cache, keeper).apply([plan])
        assert made is not None
        assert made.root == entry.digest == naive_root(tree)
        assert read_back(at.data) == tree
        counter = Keeper()
        assert at.scan(counter).root == entry.digest
        # Links are cheap to read and their times are not ours to set.
        assert counter.reads <= sum(below(at.data, path).is_symlink() for path in paths_of(tree))


@given(trees, trees)
@settings(max_examples=60)
def test_one_tree_turns_into_another_and_what_differs_is_named(old: Node, new: Node) -> None:
    with desk() as at:
        keeper = Keeper()
        build(at.data, new)
        wanted = at.add(keeper)
        at.data.rename(at.root / "elsewhere")
        build(at.data, old)
        expected = at.add(keeper)

        scanned = list(compare(wanted, at.scan(), keeper.load))
        assert scanned == list(compare_stored(wanted, expected, keeper.load))
        assert bool(scanned) == (old != new)
        gone = {c.path for c in scanned if c.how == "deleted" and not c.path.endswith(b"/")}
        assert gone == set(paths_of(new)) - set(paths_of(old))
        kept = {c.path for c in scanned if c.how in {"modified", "type"}}
        assert kept <= set(paths_of(new)) & set(paths_of(old))

        scanner = Scanner(str(at.root), at.cache)
        plan = make_plan(scanner, keeper.load, DATA, wanted, expected=expected)
        Materializer(str(at.root), at.cache, keeper).apply([plan])
        assert read_back(at.data) == new


@given(trees, trees, trees)
@settings(max_examples=60)
def test_without_force_no_byte_of_the_user_is_lost(was: Node, mine: Node, new: Node) -> None:
    with desk() as at:
        keeper = Keeper()
        build(at.data, was)
        expected = at.add(keeper)
        at.data.rename(at.root / "before")
        build(at.data, new)
        wanted = at.add(keeper)
        at.data.rename(at.root / "after")
        build(at.data, mine)
        scanner = Scanner(str(at.root), at.cache)
        plan = make_plan(scanner, keeper.load, DATA, wanted, expected=expected)
        at_all = dict(flat(mine))
        if plan.conflicts:
            assert read_back(at.data) == mine
            return
        Materializer(str(at.root), at.cache, keeper).apply([plan])
        after = dict(flat(read_back(at.data)))
        known = {*flat(was), *flat(new)}
        lost = {(path, node) for path, node in at_all.items() if after.get(path) != node}
        assert lost <= known


@given(trees, trees)
@settings(max_examples=40)
def test_with_force_anything_becomes_what_is_wanted(mine: Node, new: Node) -> None:
    with desk() as at:
        keeper = Keeper()
        build(at.data, new)
        wanted = at.add(keeper)
        at.data.rename(at.root / "elsewhere")
        build(at.data, mine)
        scanner = Scanner(str(at.root), at.cache)
        plan = make_plan(scanner, keeper.load, DATA, wanted, expected=None, force=True)
        Materializer(str(at.root), at.cache, keeper).apply([plan])
        assert read_back(at.data) == new


def flat(node: Node, prefix: bytes = b"") -> Iterator[tuple[bytes, Node]]:
    if isinstance(node, File | Link):
        yield prefix, node
        return
    for name, inner in node.items():
        yield from flat(inner, prefix + b"/" + name)


PIECES = [
    *("a", "b", "ab", "c", "*", "**", "?", "/", "/", "**/", "/**", "\\*", "\\", "\\/", "!", " "),
    *("[ab]", "[!a]", "[^b]", "[a-b]", "[[:alpha:]]", "[[:nope:]]", "[]a]", "[a", "#", ".", "-"),
]
NAMES = ["a", "b", "ab", "ba", "aab", "c", "a b", "#a", "!a", "a ", "a-b", "[a", "]"]
CANDIDATES = sorted(
    [
        *NAMES,
        *(f"{a}/{b}" for a in NAMES[:7] for b in NAMES[:7]),
        *(f"{a}/{b}/{c}" for a in NAMES[:4] for b in NAMES[:4] for c in NAMES[:5]),
    ]
)
IS_FOLDER = {p for p in CANDIDATES if any(q.startswith(p + "/") for q in CANDIDATES)}
lines = st.lists(st.lists(st.sampled_from(PIECES), max_size=7).map("".join), min_size=1, max_size=4)


@given(lines, lines)
@settings(max_examples=60)
@example(["foo**/bar", "a/**/b", "**/c"], ["!a"])
@example(["a\\ ", "*a\\", "[[:alpha:]-b]"], ["/ab"])
def test_ignore_rules_say_what_git_check_ignore_says(top: list[str], inner: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        run = {"cwd": place, "env": isolated_environment(), "check": False}
        subprocess.run(["git", "init", "-q", "."], **run)  # type: ignore[call-overload]
        for path in CANDIDATES:
            target = Path(place, path)
            if path in IS_FOLDER:
                target.mkdir(exist_ok=True)
            else:
                target.touch()
        texts = {"": "\n".join(top) + "\n", "a": "\r\n".join(inner)}
        for folder, text in texts.items():
            Path(place, folder, ".gitignore").write_bytes(text.encode())
        done = subprocess.run(  # type: ignore[call-overload]
            ["git", "check-ignore", "--no-index", "-z", "--stdin", "-v", "-n"],
            input="\0".join(CANDIDATES).encode(),
            capture_output=True,
            **run,
        )
    fields = done.stdout.decode().split("\0")
    theirs = {fields[i + 3]: (fields[i], fields[i + 1]) for i in range(0, len(fields) - 3, 4)}
    outer = Rules.parse(None, b"", texts[""].encode())
    for path in CANDIDATES:
        assert theirs[path] == ours(path, outer, texts["a"]), (texts, path)


def ours(path: str, outer: Rules | None, inner: str) -> tuple[str, str]:
    found = None
    walked = ""
    for part in path.split("/"):
        rules = outer
        if walked == "a" or walked.startswith("a/"):
            rules = Rules.parse(outer, b"a", inner.encode())
        walked = f"{walked}/{part}" if walked else part
        found = None
        if rules is not None:
            found = rules.match(walked.encode(), is_folder=walked in IS_FOLDER)
        if found is not None and found.ignored:
            break
    if found is None:
        return "", ""
    return found.source.decode().replace(".gitprovignore", ".gitignore"), str(found.line)
