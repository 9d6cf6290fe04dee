"""Real repositories with gitprov's hooks, and what must hold after git has run them."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.repos import configure, git, isolated_environment, make_repo, write

DATA = "data/a.txt"
"""A file inside the one artifact, `data`."""


class Ran(NamedTuple):
    """What one command left behind."""

    code: int
    out: str
    err: str


def run(
    folder: Path,
    *args: str | Path,
    env: Mapping[str, str] | None = None,
    input: bytes | None = None,  # noqa: A002  # the name that subprocess uses
    code: int | None = 0,
) -> Ran:
    """Runs a command as a user would; its exit code must be `code`, or anything for None."""
    done = subprocess.run(
        [str(arg) for arg in args],
        cwd=folder,
        input=input,
        stdin=subprocess.DEVNULL if input is None else None,
        capture_output=True,
        env=isolated_environment(**(env or {})),
        check=False,
        timeout=120,
    )
    ran = Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in ran.err, ran.err
    assert "a bug in" not in ran.err, ran.err
    assert code is None or ran.code == code, (args, ran)
    return ran


def gitprov(
    folder: Path, *args: str | Path, env: Mapping[str, str] | None = None, code: int | None = 0
) -> Ran:
    """Runs the command line."""
    return run(folder, sys.executable, "-P", "-m", "gitprov", *args, env=env, code=code)


def make(path: Path, *, object_format: str = "sha1") -> Path:
    """Makes a repository with the hooks and two commits: of code, and of the artifact `data`."""
    make_repo(path, object_format=object_format)
    set_up(path)
    return path


def set_up(path: Path) -> None:
    """Gives a repository gitprov, and its first two commits."""
    gitprov(path, "init")
    write(path, {"code.py": "one\n"})
    git(path, "add", "code.py")
    git(path, "commit", "-q", "-m", "code")
    change_data(path, "one")


def copy(source: Path, path: Path) -> Path:
    """Copies a repository with its worktree."""
    shutil.copytree(source, path, symlinks=True)
    return path


def clone(source: Path, path: Path, *options: str) -> Path:
    """Clones, and sets gitprov up there; both have one store, as on one machine they may."""
    run(path.parent, "git", "clone", "-q", *options, source, path)
    configure(path)
    gitprov(path, "init", "--store", source / ".git/gitprov")
    return path


def change_data(repo: Path, text: str, message: str | None = None) -> str:
    """Commits the artifact with another content; returns the commit."""
    write(repo, {DATA: text, "data/same.txt": "same"})
    gitprov(repo, "add", "data")
    git(repo, "commit", "-q", "-m", message or f"data {text}")
    return head(repo)


def change_code(repo: Path, text: str, *, path: str = "code.py") -> str:
    """Commits a change of code; returns the commit."""
    write(repo, {path: text})
    git(repo, "add", "--", path)
    git(repo, "commit", "-q", "-m", f"code {text.strip()}")
    return head(repo)


def head(repo: Path, rev: str = "HEAD") -> str:
    """Returns a commit's full id."""
    return git(repo, "rev-parse", rev)


def data(repo: Path) -> str | None:
    """What the artifact's file holds, None when it is not there."""
    path = repo / DATA
    return path.read_text() if path.exists() else None


def roots(repo: Path, *revs: str) -> dict[str, str | None]:
    """The recorded roots by commit, as `gitprov log` shows them."""
    shown = json.loads(gitprov(repo, "log", "-n", "1000", "--json", *revs).out)
    return {one["commit"]: one["root"] for one in shown["commits"]}


def judged(repo: Path, *revs: str, code: int | None = 0) -> list[dict[str, Any]]:
    """What `gitprov verify` says, commit by commit."""
    ran = gitprov(repo, "verify", "--json", *revs, code=code)
    judged: list[dict[str, Any]] = json.loads(ran.out)["commits"]
    return judged


def holds(repo: Path, *revs: str) -> None:
    """Every commit of these revisions, HEAD by default, has a record, and the record holds."""
    wanted = revs or ("HEAD",)
    verdicts = judged(repo, *wanted)
    assert verdicts
    for one in verdicts:
        passed = {f["check"] for f in one["findings"] if f["verdict"] == "pass"}
        assert {"record-present", "record-matches", "log"} <= passed, one
    logged = roots(repo, *wanted)
    assert all(one["root"] and logged[one["commit"]] == one["root"] for one in verdicts)


def everything_holds(repo: Path) -> None:
    """Every commit from the first to HEAD has a record that holds."""
    commits = git(repo, "rev-list", "HEAD").split()
    holds(repo, *commits)


def is_recorded(repo: Path, rev: str = "HEAD") -> bool:
    """Whether `gitprov log` shows a root for the commit."""
    return roots(repo, rev)[head(repo, rev)] is not None


def log_commits(repo: Path) -> int:
    """How often this clone's log was written: a batch is one commit on its ref."""
    [ref] = git(repo, "for-each-ref", "--format=%(refname)", "refs/gitprov/log").split()
    return int(git(repo, "rev-list", "--count", ref))


def hook_file(path: Path, text: str) -> Path:
    """Writes an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path
