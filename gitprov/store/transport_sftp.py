"""A remote that is reached over SSH: ssh://user@host/path, through SFTP."""

import contextlib
import io
import operator
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, TypeVar

from gitprov.config.remote_url import RemoteUrl
from gitprov.core.paths import printable
from gitprov.errors import EnvironmentFault, GitprovError, MalformedError, UnavailableError
from gitprov.platform.files import fault
from gitprov.store.patience import patiently
from gitprov.store.ssh_connection import SshConnection
from gitprov.store.transport import (
    Listed,
    MissingError,
    Parts,
    Patience,
    Range,
    Source,
    Transport,
    check_name,
    check_prefix,
    check_ranges,
    cut_out,
    cut_short,
    gaps_joined,
    is_name,
    too_large,
)

_T = TypeVar("_T")

_TEMPORARY = ".gitprov-tmp"
_STALE_SECONDS = 24 * 3600.0
_PART = 1 << 18
_PIECE = 1 << 20


class SftpTransport(Transport):
    """A folder on another machine. Nothing runs there but sshd."""

    def __init__(self, url: RemoteUrl, environ: Mapping[str, str], patience: Patience) -> None:
        """Connects to nobody yet.

        Raises:
            UsageError: paramiko is not installed, or ssh's configuration cannot be read.
        """
        self._connection = SshConnection(url, environ, patience)
        self._url = str(url)
        self._root = url.path
        self._patience = patience
        self._made: set[str] = set()

    @property
    def url(self) -> str:
        """The address."""
        return self._url

    @property
    def read_only(self) -> bool:
        """It takes what its permissions let it take."""
        return False

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """See `Transport`."""
        folders = [check_prefix(prefix)]
        while folders:
            folder = folders.pop()
            for entry in self._entries(folder):
                name = f"{folder}/{entry.filename}" if folder else str(entry.filename)
                if not is_name(name):
                    continue
                if stat.S_ISREG(entry.st_mode or 0):
                    yield Listed(name, int(entry.st_size or 0))
                elif stat.S_ISDIR(entry.st_mode or 0):
                    folders.append(name)

    def get(self, name: str, *, limit: int) -> bytes:
        """See `Transport`."""
        path = self._path(check_name(name))

        def whole(sftp: Any) -> bytes:
            with self._opened(sftp, path, name) as (file, size):
                if size > limit:
                    raise too_large(name, self.url, limit)
                data = _read(file, [(0, size)])[0]
            if len(data) != size:
                raise cut_short(name, self.url, (0, size))
            return data

        return self._do(whole, name)

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """See `Transport`."""
        return self.get_ranges(name, [(start, length)])[0]

    def get_ranges(self, name: str, ranges: Sequence[Range]) -> Parts:
        """See `Transport`. All of them are asked for before the first has come."""
        path = self._path(check_name(name))
        check_ranges(ranges)
        joined = gaps_joined(ranges, 0)  # paramiko mixes up ranges that overlap

        def parts(sftp: Any) -> Parts:
            with self._opened(sftp, path, name) as (file, size):
                for start, length in ranges:
                    if start + length > size:
                        raise cut_short(name, self.url, (start, length))
                return _read(file, joined)

        found = dict(zip(joined, self._do(parts, name), strict=True))
        for wanted, data in found.items():
            if len(data) != wanted[1]:
                raise cut_short(name, self.url, wanted)
        return [cut_out(found, wanted) for wanted in ranges]

    def put(self, name: str, data: Source) -> bool:
        """See `Transport`. sshd renames only where nothing is, since it links and unlinks."""
        return self._put(name, data, over=False)

    def replace(self, name: str, data: Source) -> None:
        """See `Transport`. Through an extension that OpenSSH has had since 2008."""
        self._put(name, data, over=True)

    def _put(self, name: str, data: Source, *, over: bool) -> bool:
        path = self._path(check_name(name))

        def write(sftp: Any) -> bool:
            if self._is_there(sftp, path, name) and not over:
                return False
            self._make_folder(sftp, os.path.dirname(path))
            temporary = self._temporary(sftp)
            try:
                with _source(data) as source:
                    _send(self._connection.fsync, sftp, source, temporary)
                if over:
                    sftp.posix_rename(temporary, path)
                    return True
                if self._renamed(sftp, temporary, path, name):
                    return True
            except OSError as exc:
                if not isinstance(exc, (TimeoutError, ConnectionError)):
                    _remove(sftp, temporary)
                raise
            _remove(sftp, temporary)
            return False

        try:
            return self._do(write, name, writing=True)
        except MissingError as exc:
            raise UnavailableError(
                f"the folder above that of {self.url} is not there", hint="make it on that machine"
            ) from exc

    def delete(self, names: Iterable[str]) -> None:
        """See `Transport`."""
        for name in names:
            path = self._path(check_name(name))
            with contextlib.suppress(MissingError):
                self._do(operator.methodcaller("remove", path), name, writing=True)

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _do(self, work: Callable[[Any], _T], name: str, *, writing: bool = False) -> _T:
        """Lends `work` a session; says what went wrong in our words."""

        def once() -> _T:
            try:
                with self._connection.session() as sftp:
                    try:
                        return work(sftp)
                    except FileNotFoundError as exc:
                        raise self._missing(sftp, name) from exc
            except OSError as exc:
                raise self._failed(exc, name, writing=writing) from exc

        return patiently(self._patience, once)

    def _missing(self, sftp: Any, name: str) -> UnavailableError:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISDIR(sftp.stat(self._root).st_mode or stat.S_IFDIR):
                return UnavailableError(
                    f"{self.url} is a file, and no folder",
                    hint="move it away on that machine, or add a remote of another address",
                )
        return MissingError(name, self.url)

    def _failed(self, exc: OSError, name: str, *, writing: bool) -> GitprovError:
        said = printable(str(exc.strerror or exc))[:160]
        if isinstance(exc, PermissionError):
            if writing:
                return EnvironmentFault(
                    f"{self.url} lets nobody write {name} as this user",
                    hint="let this user write there, on that machine",
                )
            return UnavailableError(f"{name or 'the folder'} of {self.url} may not be read")
        if writing:
            return EnvironmentFault(
                f"{name} cannot be written to {self.url}: sshd says {said!r}",
                hint=f"is there space left on {self._connection.host}, on a disk that is not "
                "read-only?",
            )
        return UnavailableError(f"{name or 'the folder'} of {self.url} cannot be read: {said}")

    def _entries(self, folder: str) -> Sequence[Any]:
        path = self._path(folder)
        try:
            entries: Sequence[Any] = self._do(lambda sftp: sftp.listdir_attr(path), folder)
        except MissingError:
            return ()
        return entries

    @contextlib.contextmanager
    def _opened(self, sftp: Any, path: str, name: str) -> Iterator[tuple[Any, int]]:
        with sftp.open(path, "rb") as file:
            status = file.stat()
            if not stat.S_ISREG(status.st_mode or 0):
                raise MalformedError(f"{name} of {self.url} is not a regular file")
            yield file, int(status.st_size or 0)

    def _is_there(self, sftp: Any, path: str, name: str) -> bool:
        try:
            status = sftp.lstat(path)
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(status.st_mode or 0):
            raise MalformedError(f"{name} of {self.url} is there already, and is no regular file")
        return True

    def _make_folder(self, sftp: Any, folder: str) -> None:
        if folder in self._made:
            return
        try:
            sftp.stat(folder)
        except FileNotFoundError:
            # Only the last folder of the address is made: an unmounted disk is not an empty one.
            if folder != self._root:
                self._make_folder(sftp, os.path.dirname(folder))
            self._make_one(sftp, folder)
        self._made.add(folder)

    def _make_one(self, sftp: Any, folder: str) -> None:
        try:
            sftp.mkdir(folder)
        except OSError as exc:
            with contextlib.suppress(FileNotFoundError):
                sftp.stat(folder)
                return  # somebody else has just made it
            if isinstance(exc, PermissionError) and folder == self._root:
                raise EnvironmentFault(
                    f"the folder above that of {self.url} may not be written by this user",
                    hint="make the folder on that machine, for this user",
                ) from exc
            raise

    def _temporary(self, sftp: Any) -> str:
        folder = self._path(_TEMPORARY)
        if folder not in self._made:
            self._make_folder(sftp, folder)
            for entry in sftp.listdir_attr(folder):
                if (entry.st_mtime or 0) < time.time() - _STALE_SECONDS:
                    _remove(sftp, f"{folder}/{entry.filename}")
        return f"{folder}/{os.getpid()}-{os.urandom(8).hex()}"

    def _renamed(self, sftp: Any, temporary: str, path: str, name: str) -> bool:
        try:
            sftp.rename(temporary, path)
        except OSError:
            if self._is_there(sftp, path, name):
                return False
            raise
        return True


def _read(file: Any, ranges: Sequence[Range]) -> Parts:
    """Asks for all of them, then takes what comes.

    Piece by piece: with each answer paramiko copies again what it has read of a piece so far.
    """
    pieces = [
        (at, min(_PIECE, start + length - at))
        for start, length in ranges
        for at in range(start, start + length, _PIECE)
    ]
    found = iter(file.readv(pieces) if pieces else ())
    return [
        b"".join(bytes(next(found)) for _ in range(start, start + length, _PIECE))
        for start, length in ranges
    ]


def _source(data: Source) -> BinaryIO:
    if not isinstance(data, str):
        return io.BytesIO(data)
    try:
        return open(data, "rb")
    except OSError as exc:
        raise fault(exc, "read", data) from exc


def _send(fsync: Callable[[Any, Any], None], sftp: Any, source: BinaryIO, temporary: str) -> None:
    with sftp.open(temporary, "wx") as file:
        file.set_pipelined(True)
        part = source.read(_PART)
        while part:
            following = source.read(_PART)
            # Only who waits for answers hears of errors, also of those before.
            file.set_pipelined(bool(following))
            file.write(part)
            part = following
        fsync(sftp, file)


def _remove(sftp: Any, path: str) -> None:
    with contextlib.suppress(OSError):
        sftp.remove(path)
