"""Open folders of the worktree, reached one component at a time so that no symlink is followed."""

import errno
import os
import re
import stat
from types import TracebackType
from typing import Self

from gitprov.core.paths import show
from gitprov.errors import EnvironmentFault, MalformedError

TEMPORARY = b".gitprov-tmp-"
"""How the name of a file begins that is being written; such a file is nobody's data."""

LEFTOVER = re.compile(rb"\.gitprov-tmp-[0-9]+-[0-9a-f]{8}(?:-[0-9]+)?")
"""The whole names that our writers make; anything else that only begins so is somebody's data."""

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_OPEN = 64


def fault(exc: OSError, doing: str, path: bytes) -> EnvironmentFault:
    """Returns our error for a failed system call on a path relative to the repository."""
    return EnvironmentFault(f"cannot {doing} {show(path)}: {exc.strerror or exc}")


def join(folder: bytes, name: bytes) -> bytes:
    """Returns the path of something in a folder; the repository's root is empty."""
    return folder + b"/" + name if folder else name


def is_symlink(name: bytes, folder_fd: int) -> bool:
    """Whether a name is a symlink; False when it is not there."""
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mode)
    except OSError:
        return False


class Folders:
    """File descriptors of folders below a worktree's root, by their path in the repository.

    A descriptor stays the same folder whatever happens to its name, so what is read or written
    through it is inside the worktree even while somebody swaps folders for symlinks.
    """

    def __init__(self, root: str) -> None:
        """Opens the root; the worktree's own path may lead through symlinks.

        Raises:
            EnvironmentFault: it cannot be opened.
        """
        try:
            self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as exc:
            raise EnvironmentFault(f"cannot open the folder {root}: {exc.strerror}") from exc
        self._open: dict[bytes, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.forget()
        os.close(self._root)

    def forget(self) -> None:
        """Closes every folder but the root."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    def open(self, path: bytes) -> int:
        """Returns the descriptor of a folder, which is good until the next call.

        Raises:
            FileNotFoundError: it, or a folder above it, is not there.
            MalformedError: it, or a folder above it, is a symlink.
            EnvironmentFault: it cannot be opened, or is no folder.
        """
        if not path:
            return self._root
        fd = self._open.pop(path, -1)
        if fd >= 0:
            self._open[path] = fd
            return fd
        known = path
        while known and known not in self._open:
            known = known.rpartition(b"/")[0]
        fd = self._open[known] if known else self._root
        rest = path[len(known) + 1 :] if known else path
        for name in rest.split(b"/"):
            known = join(known, name)
            fd = self._enter(known, name, fd)
        return fd

    def _enter(self, path: bytes, name: bytes, above: int) -> int:
        try:
            fd = os.open(name, _FLAGS, dir_fd=above)
        except FileNotFoundError:
            raise
        except OSError as exc:
            if exc.errno in {errno.ELOOP, errno.ENOTDIR} and is_symlink(name, above):
                raise MalformedError(
                    f"{show(path)} is a symbolic link, which is not followed",
                    hint="replace it by a folder",
                ) from None
            raise fault(exc, "open the folder", path) from exc
        self._open[path] = fd
        if len(self._open) > _MAX_OPEN:
            os.close(self._open.pop(next(iter(self._open))))
        return fd
