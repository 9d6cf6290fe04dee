"""Runs gitprov's command line: in this process, which is fast, or as the process a user starts."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitprov.cli.main import run
from tests.support.repos import isolated_environment

GITPROV = str(Path(sys.executable).with_name("gitprov"))
"""The console script that is installed beside this interpreter."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on stdout."""
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Stands in another folder for a while."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def gitprov(repo: Path, *args: str | Path) -> Ended:
    """Runs a command line in this process, from a folder, and catches what it prints."""
    out, err = io.StringIO(), io.StringIO()
    with inside(repo), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(arg) for arg in args])
    ended = Ended(code, out.getvalue(), err.getvalue())
    assert "Traceback" not in ended.err, ended.err
    assert code != 70, ended.err
    return ended


def ok(repo: Path, *args: str | Path) -> Ended:
    """Runs a command line that has to succeed."""
    ended = gitprov(repo, *args)
    assert ended.code == 0, f"gitprov {args}: {ended}"
    return ended


def refused(repo: Path, *args: str | Path, code: int, says: str) -> Ended:
    """Runs a command line that has to end with that code, one sentence, and nothing on stdout."""
    ended = gitprov(repo, *args)
    assert ended.code == code, f"gitprov {args}: {ended}"
    assert says in ended.err, ended.err
    assert ended.err.startswith(("gitprov: error: ", "Usage: ")), ended.err
    if "--json" not in args:
        assert ended.out == ""
    return ended


def environment(**extra: str) -> dict[str, str]:
    """Returns what a gitprov process is given."""
    return isolated_environment(**extra)


def start(
    repo: Path, *args: str | Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Starts a real gitprov process."""
    return subprocess.Popen(
        [GITPROV, *map(str, args)],
        cwd=repo,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**(env or {})),
    )


def finish(process: subprocess.Popen[str], timeout: float = 120) -> Ended:
    """Waits for a process that was started."""
    out, err = process.communicate(timeout=timeout)
    return Ended(process.returncode, out, err)


def gitprov_process(repo: Path, *args: str | Path, env: Mapping[str, str] | None = None) -> Ended:
    """Runs a real gitprov process to its end."""
    return finish(start(repo, *args, env=env))


def kill_on_the_way(
    command: Sequence[str], folder: Path, env: Mapping[str, str], *, spare: Path
) -> Iterator[bool]:
    """Starts a command three times and kills it after a part of the time that it needs.

    Args:
        command: what is started.
        folder: where.
        env: its environment.
        spare: a folder that is not there yet; how long the command takes is found out in a copy of
            `folder` there, with a cache of its own.

    Yields:
        After each, whether it was killed: it may have been faster this time.
    """
    shutil.copytree(folder, spare / "folder", symlinks=True)
    alone = {**env, "XDG_CACHE_HOME": str(spare / "cache")}
    began = time.monotonic()
    subprocess.run(command, cwd=spare / "folder", env=alone, check=True, capture_output=True)
    whole = time.monotonic() - began
    for part in (0.4, 0.6, 0.8):
        process = subprocess.Popen(
            command, cwd=folder, env=env, start_new_session=True, stderr=subprocess.DEVNULL
        )
        time.sleep(part * whole)
        os.killpg(process.pid, signal.SIGKILL)
        yield process.wait() == -signal.SIGKILL
