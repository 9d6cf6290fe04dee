"""Starts `gitprov anchor` beside the commit, which waits for nothing and hears nothing of it."""

import os
import subprocess
import sys

from gitprov.errors import EnvironmentFault
from gitprov.platform.files import fault
from gitprov.workspace import Workspace

LOG_NAME = "anchor.log"

_MAX_LOG_BYTES = 1 << 20
_SECONDS = "120"


def anchor_in_background(ws: Workspace) -> None:
    """Starts it where the configuration asks for that; what it says goes to `anchor.log`.

    Raises:
        EnvironmentFault: it cannot be started.
    """
    if ws.config.hooks.post_commit != "anchor" or not ws.config.networks:
        return
    path = os.path.join(ws.repo.data_dir, LOG_NAME)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        log = os.open(path, flags, 0o600)
    except OSError as exc:
        raise fault(exc, "write", path) from exc
    try:
        if os.fstat(log).st_size > _MAX_LOG_BYTES:
            os.ftruncate(log, 0)
        subprocess.Popen(  # it is its own process from now on: nobody waits for it
            [
                *(sys.executable, "-m", "gitprov", "anchor"),
                *("--background", "--quiet", "--timeout", _SECONDS),
            ],
            cwd=ws.repo.worktree or ws.repo.git_dir,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    except OSError as exc:
        raise EnvironmentFault(f"cannot start gitprov anchor: {exc.strerror}") from exc
    finally:
        os.close(log)


def _environment() -> dict[str, str]:
    # git names the repository in these for the hook; the index there is one that git is writing.
    return {name: value for name, value in os.environ.items() if name != "GIT_INDEX_FILE"}
