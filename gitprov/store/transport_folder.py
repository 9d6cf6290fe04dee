"""A remote in a folder: local, or mounted from wherever.

Every step of a path is opened on its own and no symlink is followed, since whoever shares the
folder could put one there. An object is written beside the others under a name that is none, synced
and linked: the link is made only where nothing was.
"""

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NoReturn

from gitprov.core.paths import show
from gitprov.errors import EnvironmentFault, MalformedError, UnavailableError
from gitprov.platform.files import fault, write_all
from gitprov.platform.stream import Buffers, StreamWriter
from gitprov.store.transport import (
    Listed,
    MissingError,
    Parts,
    Range,
    Source,
    Transport,
    check_name,
    check_prefix,
    check_ranges,
    cut_short,
    is_name,
    too_large,
)

TEMPORARY = ".gitprov-tmp"
"""The folder at a remote's top that holds what is being written."""

STALE_SECONDS = 24 * 3600.0
"""What nobody has finished for so long is thrown away."""

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_COPY = 1 << 20
_BUFFER = 4 << 20

_Give = Callable[[int, tuple[int, str], tuple[int, str]], bool]
"""Gives an open file its name; both are a folder and a name in it."""

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_OURS = {errno.ELOOP, errno.ENOTDIR, errno.EISDIR}


class FolderTransport(Transport):
    """A folder that is there already: an unmounted disk must not be taken for an empty one."""

    def __init__(self, path: str) -> None:
        """Opens the folder.

        Raises:
            UnavailableError: there is none, or it may not be read.
        """
        self._path = path
        self._swept = False
        self._buffers = Buffers(_BUFFER)
        try:
            # The folder itself may be reached through symlinks: the user named it.
            self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as exc:
            if os.path.exists(path):
                raise UnavailableError(
                    f"{self.url} is a file, and no folder",
                    hint="move it away and make the folder, or add a remote of another one",
                ) from exc
            raise UnavailableError(
                f"the remote's folder {self.url} is not there",
                hint=f"mount it, or make it: mkdir {self.url}",
            ) from exc
        except OSError as exc:
            raise UnavailableError(
                f"the remote's folder {self.url} cannot be opened: {exc.strerror}"
            ) from exc

    @property
    def url(self) -> str:
        """The folder, as it is shown."""
        return show(os.fsencode(self._path))

    @property
    def read_only(self) -> bool:
        """A folder takes what its permissions let it take."""
        return False

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """See `Transport`."""
        prefix = check_prefix(prefix)
        try:
            folder = self._folder(prefix.split("/")) if prefix else os.dup(self._root)
        except FileNotFoundError:
            return
        except OSError as exc:
            self._not_read(exc, prefix)
        try:
            yield from self._below(folder, f"{prefix}/" if prefix else "")
        finally:
            os.close(folder)

    def get(self, name: str, *, limit: int) -> bytes:
        """See `Transport`."""
        with self._opened(name) as (file, size):
            if size > limit:
                raise too_large(name, self.url, limit)
            return self._read(file, name, (0, size))

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """See `Transport`."""
        return self.get_ranges(name, [(start, length)])[0]

    def get_ranges(self, name: str, ranges: Sequence[Range]) -> Parts:
        """See `Transport`."""
        check_ranges(ranges)
        with self._opened(name) as (file, size):
            for start, length in ranges:
                if start + length > size:
                    raise cut_short(name, self.url, (start, length))
            return [self._read(file, name, one) for one in ranges]

    def put(self, name: str, data: Source) -> bool:
        """See `Transport`."""
        return self._put(name, data, _link)

    def replace(self, name: str, data: Source) -> None:
        """See `Transport`."""
        self._put(name, data, None)

    def delete(self, names: Iterable[str]) -> None:
        """See `Transport`."""
        for name in names:
            *folders, last = check_name(name).split("/")
            try:
                folder = self._folder(folders)
                try:
                    os.unlink(last, dir_fd=folder)
                finally:
                    os.close(folder)
            except FileNotFoundError:
                continue
            except OSError as exc:
                raise EnvironmentFault(
                    f"{name} of {self.url} cannot be deleted: {exc.strerror}"
                ) from exc

    def close(self) -> None:
        """Closes the folder."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def _put(self, name: str, data: Source, give: _Give | None) -> bool:
        """Writes an object aside and gives it its name, which may be taken when `give` is None."""
        *folders, last = check_name(name).split("/")
        try:
            folder = self._folder(folders, make=True)
            try:
                if _is_there(folder, last, name) and give is not None:
                    return False
                return self._write(folder, last, data, give or _rename)
            finally:
                os.close(folder)
        except OSError as exc:
            self._not_written(exc, name)

    def _folder(self, parts: Sequence[str], *, make: bool = False) -> int:
        """Opens a folder step by step."""
        here = os.dup(self._root)
        try:
            for part in parts:
                try:
                    below = os.open(part, _OPEN_FOLDER, dir_fd=here)
                except FileNotFoundError:
                    if not make:
                        raise
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, dir_fd=here)
                        os.fsync(here)
                    below = os.open(part, _OPEN_FOLDER, dir_fd=here)
                os.close(here)
                here = below
        except BaseException:
            os.close(here)
            raise
        return here

    @contextlib.contextmanager
    def _opened(self, name: str) -> Iterator[tuple[int, int]]:
        *folders, last = check_name(name).split("/")
        try:
            folder = self._folder(folders)
            try:
                file = os.open(last, _OPEN_FILE, dir_fd=folder)
            finally:
                os.close(folder)
        except FileNotFoundError as exc:
            raise MissingError(name, self.url) from exc
        except OSError as exc:
            self._not_read(exc, name)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise MalformedError(f"{name} of {self.url} is not a regular file")
            yield file, status.st_size
        finally:
            os.close(file)

    def _read(self, file: int, name: str, wanted: Range) -> bytes:
        start, length = wanted
        parts: list[bytes] = []
        try:
            while length and (part := os.pread(file, length, start)):
                parts.append(part)
                start, length = start + len(part), length - len(part)
        except OSError as exc:
            self._not_read(exc, name)
        if length:
            raise cut_short(name, self.url, wanted)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _below(self, folder: int, before: str) -> Iterator[Listed]:
        try:
            with os.scandir(folder) as entries:
                found = [(one.name, one.stat(follow_symlinks=False)) for one in entries]
        except OSError as exc:
            self._not_read(exc, before)
        for entry, status in found:
            name = before + entry
            if not is_name(name):
                continue
            if stat.S_ISREG(status.st_mode):
                yield Listed(name, status.st_size)
            elif stat.S_ISDIR(status.st_mode):
                try:
                    below = os.open(entry, _OPEN_FOLDER, dir_fd=folder)
                except OSError as exc:
                    self._not_read(exc, name)
                try:
                    yield from self._below(below, name + "/")
                finally:
                    os.close(below)

    def _write(self, folder: int, last: str, data: Source, give: _Give) -> bool:
        aside = self._folder([TEMPORARY], make=True)
        temporary = f"{os.getpid()}-{os.urandom(8).hex()}"
        try:
            self._sweep(aside)
            file = os.open(temporary, _NEW_FILE, 0o666, dir_fd=aside)
            try:
                self._fill(file, data)
                os.fsync(file)
                made = give(file, (aside, temporary), (folder, last))
            finally:
                os.close(file)
                with contextlib.suppress(OSError):  # it may have been renamed
                    os.unlink(temporary, dir_fd=aside)
            os.fsync(folder)
            return made
        finally:
            os.close(aside)

    def _fill(self, file: int, data: Source) -> None:
        """Writes what is large past the page cache, where it would only be in the way."""
        if not isinstance(data, str) and len(data) < 2 * _BUFFER:
            write_all(file, data)
            return
        stream = StreamWriter(file, self._buffers)
        try:
            for part in (data,) if not isinstance(data, str) else _parts(data):
                stream.write(part)
            stream.end()
        finally:
            stream.stop()

    def _sweep(self, aside: int) -> None:
        """Throws away, once, what others left when they were killed."""
        if self._swept:
            return
        self._swept = True
        with contextlib.suppress(OSError), os.scandir(aside) as entries:
            for one in entries:
                if one.stat(follow_symlinks=False).st_mtime < time.time() - STALE_SECONDS:
                    os.unlink(one.name, dir_fd=aside)

    def _not_read(self, exc: OSError, name: str) -> NoReturn:
        what = f"{name or 'the folder'} of {self.url}"
        if exc.errno in _NOT_OURS:
            raise MalformedError(f"{what} is, or lies behind, a symlink or a wrong file") from exc
        raise UnavailableError(f"{what} cannot be read: {exc.strerror or exc}") from exc

    def _not_written(self, exc: OSError, name: str) -> NoReturn:
        if exc.errno in _NOT_OURS:
            self._not_read(exc, name)
        if exc.errno in _NO_SPACE:
            raise EnvironmentFault(
                f"there is no space left in {self.url}",
                hint="gitprov gc --remote frees what nothing refers to",
            ) from exc
        raise EnvironmentFault(
            f"{name} cannot be written to {self.url}: {exc.strerror or exc}"
        ) from exc


def _is_there(folder: int, last: str, name: str) -> bool:
    try:
        status = os.stat(last, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(status.st_mode):
        raise MalformedError(f"{name} is there already, and is not a regular file")
    return True


def _parts(path: str) -> Iterator[bytes]:
    try:
        source = open(path, "rb", buffering=0)  # noqa: SIM115 - closed below
    except OSError as exc:
        raise fault(exc, "read", path) from exc
    with source:
        while part := source.read(_COPY):
            yield part


def _rename(_: int, source: tuple[int, str], target: tuple[int, str]) -> bool:
    os.rename(source[1], target[1], src_dir_fd=source[0], dst_dir_fd=target[0])
    return True


def _link(file: int, source: tuple[int, str], target: tuple[int, str]) -> bool:
    """Gives a file its name, if nothing has it."""
    try:
        os.link(
            source[1],
            target[1],
            src_dir_fd=source[0],
            dst_dir_fd=target[0],
            follow_symlinks=False,
        )
    except FileExistsError:
        # An answer of NFS may be lost and the link asked for twice: the file itself knows better.
        return os.fstat(file).st_nlink > 1
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        # A file system without hard links. Two that come this far at once both rename; what they
        # replace is the same bytes under the same name.
        with contextlib.suppress(FileNotFoundError):
            os.stat(target[1], dir_fd=target[0], follow_symlinks=False)
            return False
        os.rename(source[1], target[1], src_dir_fd=source[0], dst_dir_fd=target[0])
    return True
