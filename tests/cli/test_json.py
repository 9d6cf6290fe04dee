"""`--json`: one object on one line of stdout with its schema, everything for people on stderr."""

import json
from pathlib import Path

import pytest

from gitprov.cli.main import COMMANDS
from tests.e2e.story import FILES, gitprov, ok
from tests.support.repos import commit, git, make_repo, write


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repo = make_repo(tmp_path_factory.mktemp("json") / "r")
    git(repo, "remote", "add", "origin", str(repo))
    ok(repo, "init", "--no-hooks", "--quiet")
    write(repo, {**FILES, "data/ü": "u"})
    ok(repo, "add", "data", "model.safetensors", "--quiet")
    commit(repo, {"a.py": "1\n"}, "Ünïcode")
    ok(repo, "record", "--quiet")
    ok(repo, "anchor", "--quiet")
    ok(repo, "prove", "data/train/1.png", "-o", "p", "--quiet")
    return repo


KEYS: dict[str, tuple[list[str], set[str]]] = {
    "init": ([], {"worktree", "config_written", "log", "hooks", "remotes", "warnings"}),
    "add": (["data"], {"artifacts"}),
    "status": ([], {"artifacts"}),
    "diff": ([], set()),
    "ls": (["data"], set()),
    "checkout": ([], set()),
    "record": ([], {"commit", "root", "commits"}),
    "anchor": ([], {"log", "size", "root", "commits", "networks"}),
    "export": (["--car", "x.car"], {"commit", "root", "car", "roots", "blocks", "size"}),
    "log": ([], {"commits"}),
    "runs": ([], {"runs"}),
    "trace": (["data"], {"traces", "looked_through"}),
    "verify": ([], {"verdict", "commits"}),
    "check": (["p"], {"verdict", "commits"}),
    "remote": ([], {"remotes", "default"}),
    "update": ([], {"artifacts"}),
    "gc": ([], set()),
    "fsck": ([], set()),
    "doctor": ([], {"checks"}),
    "install": ([], {"hooks"}),
    "uninstall": ([], {"removed"}),
}
WITHOUT = {
    "demo",
    "completion",
    "prove",
    "remove",
    "key",
    "devnet",
    "run",
    "push",
    "fetch",
    "pull",
    "get",
    "import",
    "import-dvc",
    "import-lfs",
}
"""Their output is a story, a script, a proof or another program's; or they need more than this."""


def test_every_command_is_looked_at() -> None:
    assert KEYS.keys() | WITHOUT == COMMANDS.keys()


@pytest.mark.parametrize("name", KEYS)
def test_one_object_with_its_schema_on_one_line(repo: Path, name: str) -> None:
    args, keys = KEYS[name]
    ran = gitprov(repo, name, "--json", *args)
    assert ran.code == 0, ran
    assert ran.out.count("\n") == 1
    assert ran.out.endswith("}\n")
    assert ran.out.isascii()
    assert ran.json["schema"] == f"gitprov/{name}/v1"
    assert not keys or ran.json.keys() == {"schema", *keys}


@pytest.mark.parametrize("name", sorted(KEYS))
def test_an_error_is_one_object_too_and_the_sentence_stands_on_stderr(
    tmp_path: Path, name: str
) -> None:
    args, _ = KEYS[name]
    ran = gitprov(tmp_path, name, "--json", *args)
    assert ran.code == (3 if name == "check" else 2)
    value = json.loads(ran.out)
    assert value.keys() == {"schema", "error", "hint", "exit_code"}
    assert value["schema"] == "gitprov/error/v1"
    assert value["exit_code"] == ran.code
    assert f"gitprov: error: {value['error']}" in ran.err


def test_wrong_usage_is_an_object_too(tmp_path: Path) -> None:
    ran = gitprov(tmp_path, "verify", "--json", "--nonsense")
    assert ran.code == 2
    assert ran.json["schema"] == "gitprov/error/v1"
