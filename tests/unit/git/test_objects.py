from pathlib import Path

import pytest

from gitprov.errors import MalformedError, UnavailableError, UsageError
from gitprov.git.objects import ObjectReader, parse_commit, parse_tree
from gitprov.git.repo import Repository
from tests.support.repos import commit, git


def test_objects_come_by_any_name_that_git_knows(path: Path, repo: Repository) -> None:
    oid = commit(path, {"a b": "one\n", "d/e": "two"}, "subject\n\nbody")
    found = repo.objects.get("HEAD")
    assert found is not None
    assert (found.oid, found.type) == (oid, "commit")
    assert repo.objects.get("HEAD:a b") == (git(path, "rev-parse", "HEAD:a b"), "blob", b"one\n")
    assert repo.objects.get("nothing at all") is None
    assert repo.objects.get("0" * len(oid)) is None
    parsed = repo.objects.commit("HEAD")
    assert parsed is not None
    assert (parsed.subject, parsed.parents) == ("subject", ())
    assert parsed.tree == git(path, "rev-parse", "HEAD^{tree}")


def test_a_new_commit_is_seen_by_a_reader_that_runs(path: Path, repo: Repository) -> None:
    commit(path, {"a": "1"})
    repo.head()
    newer = commit(path, {"a": "2"})
    assert repo.head() == newer


@pytest.mark.parametrize("name", ["", "a\nb", "a\0b"])
def test_a_name_that_would_break_the_dialogue_is_refused(repo: Repository, name: str) -> None:
    with pytest.raises(UsageError):
        repo.objects.get(name)


def test_a_thousand_objects_come_in_order(path: Path, repo: Repository) -> None:
    files = {f"f{n}": f"{n}\n" * (n * 7) for n in range(1000)}
    commit(path, files)
    oids = [entry.oid.hex() for entry in repo.objects.tree(git(path, "rev-parse", "HEAD^{tree}"))]
    asked = [*oids, "0" * len(oids[0])]
    answers = list(repo.objects.get_many(asked))
    assert [oid for oid, _ in answers] == asked
    assert answers[-1][1] is None
    assert {found.data for _, found in answers if found} == {t.encode() for t in files.values()}


def test_a_list_that_is_not_read_to_its_end_does_no_harm(path: Path, repo: Repository) -> None:
    commit(path, {f"f{n}": str(n) for n in range(600)})
    oids = [entry.oid.hex() for entry in repo.objects.tree(git(path, "rev-parse", "HEAD^{tree}"))]
    for _ in repo.objects.get_many(oids):
        break
    assert repo.objects.get("HEAD:f7", limit=10) is not None


def test_an_object_over_the_limit_is_refused_and_the_next_one_is_read(
    path: Path, repo: Repository
) -> None:
    commit(path, {"big": "x" * 3_000_000, "small": "y"})
    with pytest.raises(MalformedError, match="larger than 100 bytes"):
        repo.objects.get("HEAD:big", limit=100)
    assert repo.objects.get("HEAD:small", limit=100) is not None
    with pytest.raises(MalformedError, match="larger"):
        list(repo.objects.get_many([git(path, "rev-parse", "HEAD:big")], limit=100))
    assert repo.objects.get("HEAD:small") is not None


def test_a_big_object_is_streamed(path: Path, repo: Repository) -> None:
    commit(path, {"big": b"ab" * 2_000_000, "empty": b""})
    pieces: list[bytes] = []
    header = repo.objects.feed("HEAD:big", pieces.append)
    assert header is not None
    assert header.size == 4_000_000 == sum(map(len, pieces))
    assert len(pieces) > 1
    assert repo.objects.feed("HEAD:empty", pieces.append) is not None
    assert repo.objects.header("HEAD:big") == header
    assert repo.objects.header("HEAD:none") is None
    assert repo.objects.feed("HEAD:none", pieces.append) is None


def test_paths_of_any_bytes_are_found(path: Path, repo: Repository) -> None:
    commit(path, {'d i"r/new\nline': "1", "d i\"r/ü'": "2"})
    tree = git(path, "rev-parse", "HEAD^{tree}")
    entry = repo.objects.entry_at(tree, b'd i"r/new\nline')
    assert entry is not None
    assert repo.objects.need(entry.oid.hex(), "blob") == b"1"
    assert repo.objects.entry_at(tree, b'd i"r/new\nline/below') is None
    assert repo.objects.entry_at(tree, b"nothing") is None


def test_a_needed_object_must_be_there_and_of_its_kind(path: Path, repo: Repository) -> None:
    oid = commit(path, {"a": "1"})
    with pytest.raises(MalformedError, match="is a commit, not a tree"):
        repo.objects.need(oid, "tree")
    with pytest.raises(UnavailableError, match="not in this clone"):
        repo.objects.need("1" * len(oid), "blob")


def test_a_replaced_object_is_not_believed(path: Path, repo: Repository) -> None:
    commit(path, {"a": "true"})
    blob = git(path, "rev-parse", "HEAD:a")
    other = git(path, "hash-object", "-w", "--stdin", input=b"false")
    git(path, "replace", blob, other)
    assert repo.objects.need(blob, "blob") == b"true"


def test_modes_and_names_of_a_tree(path: Path, repo: Repository) -> None:
    (path / "run").write_text("#!/bin/sh\n")
    (path / "run").chmod(0o755)
    (path / "link").symlink_to("run")
    git(path, "add", "-A")
    commit(path, {"d/f": "1"})
    entries = repo.objects.tree(git(path, "rev-parse", "HEAD^{tree}"))
    assert [(oct(e.mode), e.name) for e in entries] == [
        ("0o40000", b"d"),
        ("0o120000", b"link"),
        ("0o100755", b"run"),
    ]
    assert entries[0].is_tree


@pytest.mark.parametrize("data", [b"100644 a\0short", b"100644", b"xyz a\0" + b"1" * 20])
def test_a_tree_that_is_cut_short_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_tree(data, 20)


def test_a_commit_without_a_tree_is_malformed() -> None:
    with pytest.raises(MalformedError):
        parse_commit(b"author x\n\nmessage")


def test_a_reader_that_was_closed_starts_again(path: Path, repo: Repository) -> None:
    commit(path, {"a": "1"})
    with ObjectReader(repo.git) as reader:
        assert reader.get("HEAD") is not None
        reader.close()
        assert reader.get("HEAD") is not None
