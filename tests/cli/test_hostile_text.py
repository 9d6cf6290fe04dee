"""What a repository's texts must not do: crash a parser, steer a terminal, pose as our lines."""

from pathlib import Path

import pytest

from gitprov.config import load_yaml
from gitprov.core.digest import Digest
from gitprov.errors import MalformedError, UsageError
from gitprov.model.record import ArtifactLeaf, CodeLeaf, Record
from tests.support.cli import gitprov, gitprov_process, ok, refused
from tests.support.repos import git, make_repo

DIGEST = Digest.of(b"")


def artifact(path: str) -> ArtifactLeaf:
    return ArtifactLeaf(path, "data", "file", DIGEST, 0, 1)


def record(*paths: str) -> Record:
    code = CodeLeaf("sha1", "0" * 40, DIGEST, DIGEST)
    return Record.of(code, [artifact(path) for path in paths])


@pytest.mark.parametrize(
    "text",
    [
        "name: !!bool x",
        "name: !!timestamp x",
        'name: !!int ""',
        "name: !!python/object:os.system x",
        "name: 0x" + "f" * 9000,
        "name: &a x\nstore: *a",
        "policy: " + "[" * 20_000,
        "policy: " + "{a: " * 30,
    ],
    ids=["bool", "timestamp", "int", "python", "number", "alias", "brackets", "deep"],
)
def test_a_configuration_that_attacks_the_parser_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        load_yaml(text, what=".gitprov.yaml")


def test_pre_commit_refuses_when_the_configuration_cannot_be_read(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    ok(repo, "init")
    (repo / "data").write_text("1")
    ok(repo, "add", "data")
    git(repo, "commit", "-qm", "first")
    (repo / "data").write_text("2")
    (repo / ".gitprov.yaml").write_text("name: !!bool x\n")
    git(repo, "commit", "-qam", "second", check=False)
    assert git(repo, "log", "-1", "--format=%s") == "first"


def test_errors_show_control_characters_escaped(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    (repo / ".gitprov.yaml").write_text('"\\e]0;pwned\\a": 1\n')
    (repo / "a").write_text("1")
    ended = gitprov(repo, "add", "a")
    assert ended.code == 2
    assert "\x1b" not in ended.err
    assert "\\x1b]0;pwned\\x07" in ended.err
    ended = gitprov(repo, "\x1b[31mstatus")
    assert ended.code == 2
    assert "\x1b" not in ended.err


def test_a_log_with_a_hostile_key_cannot_show_a_line_of_its_own(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    ok(repo, "init")
    (repo / "a").write_text("1")
    git(repo, "add", "a")
    git(repo, "commit", "-qm", "first")
    (own,) = git(repo, "for-each-ref", "--format=%(refname)", "refs/gitprov/log").splitlines()
    tree = git(repo, "ls-tree", own)
    forged = b"x\n0000000000000000  9 records, this clone's own\n  evil+key\x1b[31m\n"
    blob = git(repo, "hash-object", "-w", "--stdin", input=forged)
    lines = [line for line in tree.splitlines() if not line.endswith("\tkey")]
    lines.append(f"100644 blob {blob}\tkey")
    new = git(repo, "mktree", input="".join(f"{line}\n" for line in lines).encode())
    commit = git(repo, "commit-tree", "-m", "x", new)
    git(repo, "update-ref", "refs/gitprov/remotes/origin/log/" + "f" * 16, commit)
    shown = ok(repo, "log", "--keys").out
    assert "\x1b" not in shown
    assert "\n0000000000000000  9 records" not in shown


def test_an_artifact_inside_another_is_refused_whatever_lies_between_them() -> None:
    with pytest.raises(MalformedError, match="'a/b/c' lies inside the artifact 'a'"):
        record("a", "a!", "a-b", "a/b/c", "a0")
    assert [leaf.path for leaf in record("a!", "a", "a0", "ab/c").artifacts] == [
        "a", "a!", "a0", "ab/c",
    ]  # fmt: skip


def test_a_path_of_too_many_folders_is_refused() -> None:
    with pytest.raises(MalformedError, match="components"):
        record("/".join("a" * 401))
    record("/".join("a" * 400))


def test_a_process_ends_with_2_for_such_a_configuration(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    (repo / ".gitprov.yaml").write_text("name: !!bool x\n")
    (repo / "a").write_text("1")
    assert gitprov_process(repo, "add", "a").code == 2
    refused(repo, "add", "a", code=2, says="YAML tag")
