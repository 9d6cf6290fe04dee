"""Stages files that gitprov has written, while others may use the index, too."""

import time
from collections.abc import Iterable, Sequence

from gitprov.core.paths import RepoPath
from gitprov.errors import EnvironmentFault
from gitprov.git.command import Argument, GitError
from gitprov.platform.locks import PATIENCE_SECONDS
from gitprov.workspace import Workspace

_AT_ONCE = 200
_STAGE_SECONDS = 10.0
_STAGE_PAUSE = 0.05


def stage_paths(ws: Workspace, paths: Iterable[RepoPath]) -> None:
    """Stages files by their exact paths, also ignored ones and ones that are gone.

    Waits for another git's index.lock.

    Raises:
        EnvironmentFault: git refuses.
    """
    # Not through stdin: were we killed before we have written it, git would take an empty list
    # for everything that there is, ignored data too.
    names = [path.raw for path in dict.fromkeys(paths)]
    for start in range(0, len(names), _AT_ONCE):
        _stage(ws, names[start : start + _AT_ONCE])


def unstage_paths(ws: Workspace, paths: Iterable[RepoPath]) -> None:
    """Takes files out of the index; on disk they stay. Waits for another git's index.lock.

    Raises:
        EnvironmentFault: git refuses.
    """
    names = b"".join(path.raw + b"\0" for path in paths)
    if names:
        _patiently(ws, ["update-index", "--force-remove", "-z", "--stdin"], names)


def _stage(ws: Workspace, names: Sequence[bytes]) -> None:
    _patiently(ws, ["--literal-pathspecs", "add", "--all", "--force", "--", *names])


def _patiently(ws: Workspace, command: Sequence[Argument], given: bytes | None = None) -> None:
    started = time.monotonic()
    told = False
    while True:
        done = ws.repo.git.call(*command, input=given)
        if done.returncode == 0:
            return
        if b"index.lock" not in done.stderr:
            verb = next(word for word in command if not str(word).startswith("-"))
            raise GitError(str(verb), done.returncode, done.stderr)
        waited = time.monotonic() - started
        if waited > _STAGE_SECONDS:
            raise EnvironmentFault(
                "another git holds the index (index.lock)",
                hint="everything is written: stage it with `git add` when the other has ended",
            )
        if waited > PATIENCE_SECONDS and not told and ws.waiting is not None:
            ws.waiting("waiting for another git that holds index.lock")
            told = True
        time.sleep(_STAGE_PAUSE)
