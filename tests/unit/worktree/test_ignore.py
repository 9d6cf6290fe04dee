import os
import time
from pathlib import Path

import pytest

from gitprov.core.paths import RepoPath
from gitprov.errors import MalformedError
from gitprov.worktree.ignore import MAX_IGNORE_BYTES, Match, Rules, explain
from tests.support.trees import Desk, File, Node, build, naive_root


def test_ignored_files_and_folders_are_no_part_of_the_artifact(desk: Desk) -> None:
    kept: dict[bytes, Node] = {
        b".gitprovignore": File(b"*.tmp\n/cache/\n"),
        b"a": File(b"1"),
        b"b": {},
    }
    build(desk.data, {**kept, b"x.tmp": File(b"2"), b"cache": {b"deep": File(b"3")}})
    build(desk.data / "b", {b"y.tmp": File(b"4")})
    tree = desk.scan()
    assert tree.root == naive_root(kept)
    assert tree.files == 2


def test_the_rules_of_the_repository_reach_into_the_artifact(desk: Desk) -> None:
    build(desk.root, {b".gitprovignore": File(b"data/sub/*.log\n")})
    build(desk.data, {b"sub": {b"a.log": File(b"1"), b"a.txt": File(b"2")}, b"b.log": File(b"3")})
    wanted: Node = {b"sub": {b"a.txt": File(b"2")}, b"b.log": File(b"3")}
    assert desk.scan().root == naive_root(wanted)


def test_the_deeper_file_wins(desk: Desk) -> None:
    build(desk.root, {b".gitprovignore": File(b"*.log\n")})
    build(
        desk.data,
        {b".gitprovignore": File(b"!keep.log\n"), b"keep.log": File(b""), b"b.log": File(b"")},
    )
    assert [e.name for e in desk.scan().entries] == [b".gitprovignore", b"keep.log"]


def test_a_file_that_is_ignored_later_leaves_the_cached_tree(desk: Desk) -> None:
    build(desk.data, {b"a": File(b"1"), b"b": File(b"2")})
    desk.scan()
    build(desk.root, {b".gitprovignore": File(b"b\n")})
    assert desk.scan().root == naive_root({b"a": File(b"1")})


def test_a_refused_name_may_stay_when_it_is_ignored(desk: Desk) -> None:
    build(desk.data, {b".git": {b"config": File(b"")}, b"a": File(b"1")})
    with pytest.raises(MalformedError, match=r"in data: .*'\.git'"):
        desk.scan()
    build(desk.root, {b".gitprovignore": File(b".git/\n")})
    assert desk.scan().root == naive_root({b"a": File(b"1")})


def test_explain_names_file_line_and_pattern(desk: Desk) -> None:
    build(desk.root, {b".gitprovignore": File(b"# old\n\n*.log\n")})
    build(desk.data, {b".gitprovignore": File(b"!*.log\ndead/\n"), b"dead": {}})
    root = str(desk.root)
    assert explain(root, RepoPath(b"x/y.log")) == Match(b".gitprovignore", 3, b"*.log", True)
    inner = Match(b"data/.gitprovignore", 1, b"!*.log", False)
    assert explain(root, RepoPath(b"data/y.log")) == inner
    pruned = explain(root, RepoPath(b"data/dead/any/thing"))
    assert pruned == Match(b"data/.gitprovignore", 2, b"dead/", True)
    assert explain(root, RepoPath(b"data/y.txt")) is None


def test_an_ignore_file_that_is_too_large_is_refused(desk: Desk) -> None:
    build(desk.data, {b".gitprovignore": File(b"#" * (MAX_IGNORE_BYTES + 1))})
    with pytest.raises(MalformedError, match=r"data/\.gitprovignore is larger than"):
        desk.scan()


def test_an_ignore_file_that_is_a_symlink_is_refused(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "rules").write_text("*")
    desk.data.mkdir()
    (desk.data / ".gitprovignore").symlink_to(tmp_path / "rules")
    with pytest.raises(MalformedError, match="is a symbolic link"):
        desk.scan()


def test_a_folder_with_the_name_of_an_ignore_file_is_a_folder(desk: Desk) -> None:
    tree: Node = {b".gitprovignore": {b"a": File(b"")}}
    build(desk.data, tree)
    assert desk.scan().root == naive_root(tree)


@pytest.mark.parametrize(
    "pattern",
    [
        b"*a" * 40 + b"b",
        b"**/a*" * 30 + b"/b",
        b"x/" + b"**\\/" * 30 + b"b",
        b"[^/]*" * 60 + b"b",
        b"/" + b"**/*a*a*a/" * 12 + b"b",
    ],
)
def test_a_hostile_pattern_takes_no_more_than_a_moment(pattern: bytes) -> None:
    rules = Rules.parse(None, b"", pattern + b"\n")
    assert rules is not None
    started = time.process_time()
    for path in (b"a" * 255, b"/".join([b"a" * 60] * 60), b"x/" + b"/".join([b"a"] * 1500)):
        assert not rules.ignores(path, is_folder=False)
    assert time.process_time() - started < 10  # without atomic groups: longer than the sun


def test_comments_and_blank_lines_ignore_nothing() -> None:
    assert Rules.parse(None, b"", b"# a\n\n   \n/\n!\n") is None


def test_a_byte_order_mark_and_carriage_returns_are_no_part_of_a_pattern() -> None:
    rules = Rules.parse(None, b"", b"\xef\xbb\xbfa\r\nb\r\n")
    assert rules is not None
    assert rules.ignores(b"a", is_folder=False)
    assert rules.ignores(b"b", is_folder=False)


def test_names_that_are_not_utf8_can_be_ignored(desk: Desk) -> None:
    build(desk.data, {b"a": File(b"1")})
    try:
        (desk.data / os.fsdecode(b"\xff.bin")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system keeps only UTF-8 names")
    with pytest.raises(MalformedError, match=r"\\xff\.bin"):
        desk.scan()
    build(desk.root, {b".gitprovignore": File(b"\xff*\n")})
    assert desk.scan().root == naive_root({b"a": File(b"1")})
