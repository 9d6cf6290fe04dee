"""A writer's private folder below `tmp`, and the clearing of those whose writer is dead.

A folder `tmp/<id>` belongs to whoever holds the lock on `tmp/<id>.lock`; the kernel frees the lock
when the process ends, however it ends. The lock file is made first and removed last.
"""

import contextlib
import fcntl
import os
import shutil

from gitprov.platform.files import fsync_dir
from gitprov.store.layout import Layout

_LOCK = ".lock"


class Session:
    """A private folder for files that are not part of the store yet."""

    def __init__(self, layout: Layout) -> None:
        """Makes the folder and takes its lock."""
        self._tmp = layout.tmp
        self._fd, self._name = _new_lock(layout.tmp)
        self._count = 0
        try:
            os.mkdir(self.folder, 0o700)
        except OSError:
            self.close()
            raise

    @property
    def folder(self) -> str:
        """Where the files go."""
        return os.path.join(self._tmp, self._name)

    def new_path(self) -> str:
        """Returns a path that has not been used."""
        self._count += 1
        return os.path.join(self.folder, str(self._count))

    def close(self) -> None:
        """Removes the folder with all that is in it, and gives the lock back."""
        # What cannot be removed now is what `clear_dead` is for.
        with contextlib.suppress(OSError):
            _remove(self._tmp, self._name)
        os.close(self._fd)

    def leave(self) -> None:
        """Removes the folder and leaves the sign of a dead writer, for `clear_dead` to act on."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._fd)


def _new_lock(tmp: str) -> tuple[int, str]:
    while True:
        name = f"{os.getpid()}-{os.urandom(6).hex()}"
        path = os.path.join(tmp, name + _LOCK)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            # One that clears up may have come between the two calls and removed the name.
            if os.fstat(fd).st_nlink:
                return fd, name
        except OSError:
            os.close(fd)
            raise
        os.close(fd)


def _remove(tmp: str, name: str) -> None:
    shutil.rmtree(os.path.join(tmp, name), ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(tmp, name + _LOCK))


def clear_dead(layout: Layout) -> int:
    """Removes what dead writers left, finishes what they had begun to publish, returns how many.

    A writer killed between renaming its files into `objects` and syncing the folders leaves blobs
    that are visible and not durable; the next writer would rely on them, so the sync is done here.
    """
    dead = 0
    for entry in os.listdir(layout.tmp):
        name = entry.removesuffix(_LOCK)
        try:
            fd = os.open(os.path.join(layout.tmp, name + _LOCK), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            # Without its lock file a folder is one that somebody else is removing, or was.
            shutil.rmtree(os.path.join(layout.tmp, name), ignore_errors=True)
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            if not dead:
                _sync_objects(layout)
            _remove(layout.tmp, name)
            dead += 1
        finally:
            os.close(fd)
    return dead


def _sync_objects(layout: Layout) -> None:
    with os.scandir(layout.objects) as found:
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                fsync_dir(entry.path)
    fsync_dir(layout.objects)
