"""Builders of real, throw-away git repositories."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

GIT_ENV = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
"""What keeps the machine's own git configuration out of a test."""

Content = str | bytes


def isolated_environment(**extra: str) -> dict[str, str]:
    """Returns this process's environment without git's state and the user's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**kept, **GIT_ENV, **extra}


def git(
    repo: Path,
    *args: str | bytes | Path,
    input: bytes | None = None,  # noqa: A002  # the name that subprocess uses
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> str:
    """Runs git in a folder and returns what it printed, without the newline at the end."""
    done = subprocess.run(
        ["git", *args],
        cwd=repo,
        input=input,
        stdin=subprocess.DEVNULL if input is None else None,
        capture_output=True,
        env=isolated_environment(**(env or {})),
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"git {args!r} ended with {done.returncode}: {done.stderr!r}")
    return os.fsdecode(done.stdout).removesuffix("\n")


def make_repo(
    path: Path,
    *,
    object_format: str = "sha1",
    name: str = "Test Er",
    email: str = "test@example.org",
    branch: str = "main",
) -> Path:
    """Makes an empty repository with a worktree and returns its path."""
    path.mkdir(parents=True, exist_ok=True)
    git(path, "init", "--quiet", f"--object-format={object_format}", f"--initial-branch={branch}")
    configure(path, name=name, email=email)
    return path


def bare(path: Path, *, object_format: str = "sha1", branch: str = "main") -> Path:
    """Makes an empty bare repository, as a server has, and returns its path."""
    path.mkdir(parents=True, exist_ok=True)
    git(
        path,
        "init",
        "--quiet",
        "--bare",
        f"--object-format={object_format}",
        f"--initial-branch={branch}",
    )
    return path


def clone(source: Path | str, path: Path, *options: str) -> Path:
    """Clones; a `file://` URL is needed for options such as `--depth`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    git(path.parent, "clone", "--quiet", *options, str(source), str(path))
    configure(path)
    return path


def configure(path: Path, *, name: str = "Test Er", email: str = "test@example.org") -> None:
    """Gives a repository an identity, and nothing that runs in the background."""
    git(path, "config", "user.name", name)
    git(path, "config", "user.email", email)
    git(path, "config", "commit.gpgsign", "false")
    git(path, "config", "gc.auto", "0")
    git(path, "config", "maintenance.auto", "false")


def write(repo: Path, files: Mapping[str, Content]) -> None:
    """Writes files into the worktree, with the folders they need."""
    for name, content in files.items():
        target = repo / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)


def commit(
    repo: Path,
    files: Mapping[str, Content] | None = None,
    message: str = "change",
    *,
    options: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> str:
    """Writes and stages files, commits, and returns the commit's id; without files it is empty."""
    write(repo, files or {})
    if files:
        git(repo, "add", "--", *files)
    git(repo, "commit", "--quiet", "--allow-empty", "-m", message, *options, env=env)
    return git(repo, "rev-parse", "HEAD")


def many_commits(repo: Path, count: int, *, branch: str = "main") -> list[str]:
    """Makes a line of commits quickly, without touching the worktree; oldest first."""
    stream = b""
    for n in range(1, count + 1):
        stream += b"commit refs/heads/%s\nmark :%d\n" % (branch.encode(), n)
        stream += b"committer T <t@example.org> %d +0000\ndata 1\n.\n" % (1_700_000_000 + n)
        if n == 1 and git(repo, "rev-parse", "--verify", "-q", branch, check=False):
            stream += b"from refs/heads/%s^0\n" % branch.encode()
        stream += b"M 100644 inline n\ndata <<E\n%d\nE\n\n" % n
    git(repo, "fast-import", "--quiet", input=stream)
    return git(repo, "rev-list", "--reverse", f"--max-count={count}", branch).split()
