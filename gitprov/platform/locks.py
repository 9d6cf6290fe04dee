"""Locks between processes: they wait, say so after two seconds, and end with their holder."""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator

from gitprov.errors import UnavailableError
from gitprov.platform.files import fault

PATIENCE_SECONDS = 2.0
"""How long a lock is waited for before the user is told."""

_PAUSE_SECONDS = 0.01

Waiting = Callable[[str], None]
"""Is given one sentence when a lock takes long."""


@contextlib.contextmanager
def file_lock(
    path: str,
    *,
    shared: bool = False,
    waiting: Waiting | None = None,
    deadline: float | None = None,
) -> Iterator[None]:
    """Holds a lock on a file, which is created when it is not there and never removed.

    The kernel frees it when the process ends, however it ends.

    Args:
        path: the lock file.
        shared: whether others may hold it shared at the same time.
        waiting: called once, with a sentence, when the wait exceeds `PATIENCE_SECONDS`.
        deadline: of `time.monotonic()`; without one it waits for ever.

    Raises:
        EnvironmentFault: the lock file cannot be opened.
        UnavailableError: the deadline is over.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except OSError as exc:
        raise fault(exc, "open the lock", path) from exc
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        if deadline is None:
            _acquire(fd, path, kind, waiting)
        elif not _try(fd, path, kind, deadline):
            raise UnavailableError(f"another gitprov holds {path}", hint="try again in a while")
        yield
    finally:
        os.close(fd)


def _acquire(fd: int, path: str, kind: int, waiting: Waiting | None) -> None:
    if _try(fd, path, kind, time.monotonic() + PATIENCE_SECONDS):
        return
    if waiting is not None:
        waiting(f"waiting for another gitprov that holds {path}")
    try:
        fcntl.flock(fd, kind)
    except OSError as exc:
        raise fault(exc, "lock", path) from exc


def _try(fd: int, path: str, kind: int, deadline: float) -> bool:
    """Takes the lock at least once, and until the deadline; returns whether it is held."""
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE_SECONDS)
        except OSError as exc:
            raise fault(exc, "lock", path) from exc
        else:
            return True
