"""Repositories with an artifact in them, and what gitprov says of it."""

from pathlib import Path

from blake3 import blake3

from tests.support.cli import ok
from tests.support.repos import commit, git, make_repo, write

LARGE = 300 << 10
"""Large enough for a file of its own in the store."""


def make(folder: Path) -> Path:
    """Makes an empty repository with gitprov and without its hooks."""
    repo = make_repo(folder)
    ok(repo, "init", "--no-hooks")
    return repo


def with_folders(repo: Path) -> Path:
    """Commits a dataset of small files in folders."""
    write(repo, {"data/a": "1", "data/sub/b": "22", "data/sub/c": "333", "data/other/d": "4444"})
    ok(repo, "add", "data")
    commit(repo, message="data")
    return repo


def with_record(repo: Path) -> Path:
    """Commits and records a dataset that has a large file, too."""
    write(repo, {"data/a": "1", "data/sub/b": "22", "data/large": b"x" * LARGE})
    ok(repo, "add", "data")
    commit(repo, message="data")
    ok(repo, "record")
    return repo


def everything(repo: Path) -> dict[str, bytes]:
    """Every file of the worktree and git's index, as bytes."""
    found = {
        str(path.relative_to(repo)): path.read_bytes()
        for path in repo.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(repo).parts
    }
    found["index"] = git(repo, "ls-files", "-s").encode()
    return found


def states(repo: Path, *paths: str) -> dict[str, str]:
    listed = ok(repo, "status", "--json", *paths).json["artifacts"]
    return {item["path"]: item["state"] for item in listed}


def changes(repo: Path, artifact: str = "data") -> dict[str, str]:
    (found,) = ok(repo, "status", "--json", artifact).json["artifacts"]
    return {change["path"]: change["how"] for change in found["changes"]}


def files(repo: Path, where: str = "") -> dict[str, int]:
    return {item["path"]: item["size"] for item in ok(repo, "ls", "--json", where).json["files"]}


def large_object(repo: Path) -> Path:
    """The file in the store of the dataset's large file."""
    digest = blake3(b"x" * LARGE).hexdigest()
    return repo / ".git/gitprov/objects" / digest[:2] / digest[2:]
