"""Many gitprovs at once: all succeed, nothing is lost, and nobody says "locked"."""

import os
import subprocess
from pathlib import Path
from random import Random

import pytest

from tests.support.cli import Ended, environment, finish, ok, start
from tests.support.repos import commit, git, make_repo, write

MANY = 8


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    repo = make_repo(tmp_path / "repo")
    ok(repo, "init", "--no-hooks")
    return repo


def at_once(repo: Path, *commands: list[str]) -> list[Ended]:
    """Runs commands at the same time; all have to succeed."""
    processes = [start(repo, *command) for command in commands]
    ended = [finish(process) for process in processes]
    for command, one in zip(commands, ended, strict=True):
        assert one.code == 0, (command, one)
        assert "locked" not in one.err
        assert "Traceback" not in one.err
    return ended


def some_files(seed: int, count: int = 40) -> dict[str, bytes]:
    random = Random(seed)
    files = {f"f{number}": random.randbytes(random.randrange(3000)) for number in range(count)}
    return {**files, "large": random.randbytes(300 << 10)}


def clean(repo: Path) -> dict[str, str]:
    ok(repo, "fsck")
    listed = ok(repo, "status", "--json").json["artifacts"]
    return {item["path"]: item["state"] for item in listed}


def restored(repo: Path) -> None:
    """Everything comes back from the store alone."""
    before = {path: path.read_bytes() for path in repo.rglob("[fl]*") if path.is_file()}
    kept = {path: data for path, data in before.items() if ".git" not in path.parts}
    for path in kept:
        path.unlink()
    ok(repo, "checkout")
    assert {path: path.read_bytes() for path in kept} == kept


def test_separate_artifacts_are_added_at_once(repo: Path) -> None:
    names = [f"set{number}" for number in range(MANY)]
    for seed, name in enumerate(names):
        write(repo, {f"{name}/{path}": data for path, data in some_files(seed).items()})
    at_once(repo, *(["add", name] for name in names))
    assert clean(repo) == dict.fromkeys(names, "clean")
    assert sorted((repo / ".gitignore").read_text().split()) == [f"/{name}" for name in names]
    staged = git(repo, "diff", "--cached", "--name-only").split()
    assert {f"{name}.prov" for name in names} < set(staged)
    assert git(repo, "status", "--porcelain", "--untracked-files=all").count("??") == 0
    restored(repo)


def test_parts_of_one_artifact_are_added_at_once(repo: Path) -> None:
    write(repo, {"data/f": "1"})
    ok(repo, "add", "data")
    parts = [f"data/part{number}" for number in range(MANY)]
    for seed, part in enumerate(parts):
        write(repo, {f"{part}/{path}": data for path, data in some_files(seed).items()})
    at_once(repo, *(["add", part] for part in parts))
    assert clean(repo) == {"data": "clean"}
    assert len(ok(repo, "ls", "--json").json["files"]) == 1 + MANY * 41
    restored(repo)


def test_the_same_path_is_added_at_once(repo: Path) -> None:
    write(repo, {f"data/{path}": data for path, data in some_files(1).items()})
    at_once(repo, *(["add", "data"] for _ in range(MANY)))
    assert clean(repo) == {"data": "clean"}
    assert (repo / ".gitignore").read_text() == "/data\n"
    restored(repo)


def test_adding_races_with_collecting(repo: Path) -> None:
    names = [f"set{number}" for number in range(4)]
    for seed, name in enumerate(names):
        write(repo, {f"{name}/{path}": data for path, data in some_files(seed).items()})
    # What is dead already and comes back is what a careless gc would take away.
    ok(repo, "add", *names)
    ok(repo, "remove", *names)
    collecting = [["gc", "--yes", "--grace", "0"]] * 3
    at_once(repo, *(["add", name] for name in names), *collecting)
    assert clean(repo) == dict.fromkeys(names, "clean")
    restored(repo)


def test_adding_races_with_git_commit(repo: Path) -> None:
    ok(repo, "install")
    commit(repo, {"code": "0"}, message="begin")
    names = [f"set{number}" for number in range(4)]
    for seed, name in enumerate(names):
        write(repo, {f"{name}/{path}": data for path, data in some_files(seed).items()})
    adding = [start(repo, "add", name) for name in names]
    for number in range(6):
        # git itself gives up at once when another git holds the index: that is git's to say.
        done = subprocess.run(
            ["git", "commit", "--quiet", "--allow-empty", "-m", str(number)],
            cwd=repo,
            env={**environment(), "PATH": os.environ["PATH"]},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0 or b"index.lock" in done.stderr, done.stderr
    for process in adding:
        ended = finish(process)
        assert ended.code == 0, ended
    git(repo, "commit", "--quiet", "--allow-empty", "-m", "the rest")
    assert clean(repo) == dict.fromkeys(names, "clean")
    tracked = git(repo, "ls-tree", "--name-only", "HEAD").split()
    assert {f"{name}.prov" for name in names} < set(tracked)
    assert git(repo, "status", "--porcelain") == ""


def test_readers_go_on_while_others_write(repo: Path) -> None:
    write(repo, {f"data/{path}": data for path, data in some_files(1).items()})
    ok(repo, "add", "data")
    write(repo, {f"other/{path}": data for path, data in some_files(2).items()})
    reading = [["status"], ["ls"], ["diff"], ["fsck"], ["checkout", "data"]]
    at_once(repo, ["add", "other"], *reading, ["gc", "--yes", "--grace", "0"])
    assert clean(repo) == {"data": "clean", "other": "clean"}
