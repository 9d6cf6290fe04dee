"""A remote on whatever else fsspec knows: FTP, WebDAV, SMB, HDFS, Hugging Face, and more.

fsspec promises little, so little is asked of it: sizes, ranges, one folder's names, writing,
moving, deleting. An object is written beside the others under a name that is none, looked at, and
moved. Few of these places can move *only where nothing is*: two that write one name at the same
moment may both be told that they did, and the later one stays. Under a name that is content, that
is the same bytes. How long is waited, only some of the libraries can be told (see `_TIMEOUTS`).
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from gitprov.config.remote_url import RemoteUrl
from gitprov.errors import GitprovError, MalformedError, UnavailableError, UsageError
from gitprov.platform.files import fault
from gitprov.store.fsspec_errors import our_error
from gitprov.store.netrc_login import login
from gitprov.store.patience import patiently
from gitprov.store.transport import (
    Listed,
    MissingError,
    Parts,
    Patience,
    Range,
    Source,
    TransientError,
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
_GAP = 1 << 16
"""Bytes that are read and thrown away rather than asking twice."""

_TIMEOUTS = {"ftp": "timeout", "smb": "timeout", "webdav": "timeout"}
"""What the libraries call the seconds that they wait."""

_TIMES = ("mtime", "modify", "modified", "LastModified", "last_modified")


def open_fsspec(url: RemoteUrl, environ: Mapping[str, str], patience: Patience) -> Transport:
    """Returns the remote at an address of fsspec; asks nobody yet.

    Credentials are fsspec's: `~/.config/fsspec/*.json`, `FSSPEC_…` in the environment, and what the
    library of that kind finds by itself; for a server also `~/.netrc`.

    Raises:
        UsageError: fsspec or the library for this kind is not installed.
    """
    try:
        import fsspec
        from fsspec.config import conf
    except ImportError as exc:
        raise UsageError(
            f"{url.protocol}:// needs fsspec", hint="pip install 'gitprov[fsspec]'"
        ) from exc
    try:
        made = fsspec.get_filesystem_class(url.protocol)
    except (ImportError, ValueError) as exc:
        raise UsageError(
            f"this fsspec cannot open {url.protocol}://: {' '.join(str(exc).split()):.200}",
            hint=f"pip install the package that knows {url.protocol}://",
        ) from exc
    text = str(url)
    options: dict[str, Any] = {"skip_instance_cache": True}
    if url.protocol == "webdav":  # the one that is not told by its address
        port = f":{url.port}" if url.port is not None else ""
        options["base_url"] = f"https://{url.host}{port}"
        root = url.path
    else:
        options |= made._get_kwargs_from_urls(text)  # how fsspec itself reads an address
        root = str(made._strip_protocol(text)).rstrip("/")
    if url.names_a_server and not {"username", "password", "auth"} & {*conf.get(url.protocol, {})}:
        options |= _login(url, environ)
    if url.protocol in _TIMEOUTS:
        options[_TIMEOUTS[url.protocol]] = patience.silence
    return FsspecTransport(text, lambda: made(**options), root, patience)


def _login(url: RemoteUrl, environ: Mapping[str, str]) -> dict[str, Any]:
    found = login(url.host, url.user, environ)
    if found is None:
        return {}
    return {"auth": found} if url.protocol == "webdav" else dict(zip(_LOGIN, found, strict=True))


_LOGIN = ("username", "password")


class FsspecTransport(Transport):
    """Objects in a filesystem of fsspec.

    Few of them may be used by several threads: each that asks is lent one of its own.
    """

    def __init__(self, url: str, connect: Callable[[], Any], root: str, patience: Patience) -> None:
        """Takes the address, what makes a filesystem, and the folder in it."""
        self._url, self._connect, self._root, self._patience = url, connect, root, patience
        self._idle: list[Any] = []
        self._lock = threading.Lock()
        self._closed = False
        self._made: set[str] = set()

    @property
    def url(self) -> str:
        """The address."""
        return self._url

    @property
    def read_only(self) -> bool:
        """Who may write is known when somebody does."""
        return False

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """See `Transport`."""
        folders = [check_prefix(prefix)]
        while folders:
            folder = folders.pop()
            for name, entry in self._entries(folder):
                if entry.get("type") == "directory":
                    folders.append(name)
                elif entry.get("type") == "file":
                    yield Listed(name, self._size_of(entry, name))

    def get(self, name: str, *, limit: int) -> bytes:
        """See `Transport`."""
        path = self._path(check_name(name))

        def whole(fs: Any) -> bytes:
            size = self._size(fs, path, name)
            if size > limit:
                raise too_large(name, self.url, limit)
            data = bytes(fs.cat_file(path, start=0, end=size)) if size else b""
            if len(data) != size:
                raise cut_short(name, self.url, (0, size))
            return data

        return self._do(whole, name)

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """See `Transport`."""
        return self.get_ranges(name, [(start, length)])[0]

    def get_ranges(self, name: str, ranges: Sequence[Range]) -> Parts:
        """See `Transport`. Ranges that lie close together travel as one."""
        path = self._path(check_name(name))
        check_ranges(ranges)
        joined = gaps_joined(ranges, _GAP)

        def parts(fs: Any) -> Parts:
            size = self._size(fs, path, name)
            for start, length in ranges:
                if start + length > size:
                    raise cut_short(name, self.url, (start, length))
            ends = [start + length for start, length in joined]
            starts = [start for start, _ in joined]
            return [*fs.cat_ranges([path] * len(joined), starts, ends, on_error="raise")]

        found = dict(zip(joined, self._do(parts, name) if joined else (), strict=True))
        for wanted, data in found.items():
            if len(data) != wanted[1]:
                raise cut_short(name, self.url, wanted)
        return [cut_out(found, wanted) for wanted in ranges]

    def put(self, name: str, data: Source) -> bool:
        """See `Transport`, and the module for what cannot be promised."""
        check_name(name)
        body = _content(data)

        def write(fs: Any) -> bool:
            if self._is_there(fs, name):
                return False
            self._write(fs, name, body)
            return True

        return self._do(write, name, writing=True)

    def replace(self, name: str, data: Source) -> None:
        """See `Transport`. Where moving does not replace, there is a moment with neither."""
        check_name(name)
        body = _content(data)
        self._do(lambda fs: self._write(fs, name, body), name, writing=True)

    def delete(self, names: Iterable[str]) -> None:
        """See `Transport`."""
        for name in names:
            path = self._path(check_name(name))

            def remove(fs: Any, name: str = name, path: str = path) -> None:
                if self._is_there(fs, name):
                    fs.rm_file(path)

            self._do(remove, name, writing=True)

    def close(self) -> None:
        """Lets the filesystems go; they end their connections themselves."""
        with self._lock:
            self._closed = True
            self._idle.clear()

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name and self._root else name or self._root

    def _do(self, work: Callable[[Any], _T], name: str, *, writing: bool = False) -> _T:
        """Lends `work` a filesystem; says what went wrong in our words."""

        def once() -> _T:
            try:
                return self._lent(work)
            except GitprovError:
                raise
            except Exception as exc:  # each library has a tree of its own
                raise our_error(exc, name, self.url, writing=writing) from exc

        return patiently(self._patience, once)

    def _lent(self, work: Callable[[Any], _T]) -> _T:
        with self._lock:
            if self._closed:
                raise UnavailableError(f"the connection to {self.url} was closed")
            kept = self._idle.pop() if self._idle else None
        if kept is not None:
            try:
                return self._used(kept, work)
            except GitprovError:
                raise
            except Exception as exc:
                del kept
                # It may be the connection, which servers end when nothing is asked for a while, or
                # the filesystem's memory of what was there: what is fresh has neither.
                if isinstance(exc, PermissionError):
                    raise
        return self._used(self._connect(), work)

    def _used(self, fs: Any, work: Callable[[Any], _T]) -> _T:
        """Keeps the filesystem when it has worked."""
        try:
            result = work(fs)
        except (MissingError, MalformedError):
            self._keep(fs)
            raise
        self._keep(fs)
        return result

    def _keep(self, fs: Any) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(fs)

    def _entries(self, folder: str) -> Sequence[tuple[str, Mapping[str, Any]]]:
        path = self._path(folder)

        def listed(fs: Any) -> Sequence[Mapping[str, Any]]:
            fs.invalidate_cache()
            found: Sequence[Mapping[str, Any]] = fs.ls(path or "/", detail=True)
            return found

        try:
            entries = self._do(listed, folder)
        except MissingError:
            return ()
        found = []
        for entry in entries:
            whole = str(entry["name"]).strip("/")
            last = whole.rpartition("/")[2]
            name = f"{folder}/{last}" if folder else last
            # A folder of an object store may be listed in itself.
            if is_name(name) and whole != path.strip("/"):
                found.append((name, entry))
        return found

    def _size(self, fs: Any, path: str, name: str) -> int:
        try:
            entry = fs.info(path)
        except FileNotFoundError:
            fs.invalidate_cache()
            try:
                entry = fs.info(path)
            except FileNotFoundError as exc:
                raise MissingError(name, self.url) from exc
        if entry.get("type") != "file":
            raise MalformedError(f"{name} of {self.url} is not a regular file")
        return self._size_of(entry, name)

    def _size_of(self, entry: Mapping[str, Any], name: str) -> int:
        size = entry.get("size")
        if not isinstance(size, int) or size < 0:
            raise MalformedError(f"{self.url} does not say how large {name} is")
        return size

    def _is_there(self, fs: Any, name: str) -> bool:
        fs.invalidate_cache()
        try:
            self._size(fs, self._path(name), name)
        except MissingError:
            return False
        return True

    def _write(self, fs: Any, name: str, body: bytes) -> None:
        path = self._path(name)
        self._make_folder(fs, os.path.dirname(path))
        temporary = self._temporary(fs)
        try:
            fs.pipe_file(temporary, body)
            fs.invalidate_cache()
            # Not all of them notice when a connection ends early.
            if self._size(fs, temporary, name) != len(body):
                raise TransientError(f"{name} came to {self.url} only in part")
            fs.mv(temporary, path)
        except BaseException:
            with contextlib.suppress(Exception):
                fs.rm_file(temporary)
            raise

    def _make_folder(self, fs: Any, folder: str) -> None:
        # Not `makedirs`, which gives up when somebody else makes one of them at the same moment.
        if not folder.strip("/") or folder in self._made:
            return
        if not fs.isdir(folder):
            self._make_folder(fs, os.path.dirname(folder))
            try:
                fs.mkdir(folder, create_parents=False)
            except Exception:
                fs.invalidate_cache()
                if not fs.isdir(folder):
                    raise
        self._made.add(folder)

    def _temporary(self, fs: Any) -> str:
        """Returns where something new may be written; once, sweeps what others have left there."""
        folder = self._path(_TEMPORARY)
        if folder not in self._made:
            self._make_folder(fs, folder)
            with contextlib.suppress(FileNotFoundError):
                for entry in fs.ls(folder, detail=True):
                    if _age(entry) > _STALE_SECONDS:
                        fs.rm_file(f"{folder}/{str(entry['name']).rpartition('/')[2]}")
        return f"{folder}/{os.getpid()}-{os.urandom(8).hex()}"


def _age(entry: Mapping[str, Any]) -> float:
    """Seconds since something was written; 0 when nobody says."""
    found = next((entry[key] for key in _TIMES if key in entry), None)
    if isinstance(found, str):  # FTP: 20261126120000, in UTC
        try:
            found = datetime.strptime(found[:14] + "+0000", "%Y%m%d%H%M%S%z")
        except ValueError:
            return 0.0
    if isinstance(found, datetime):
        found = found.timestamp()
    return time.time() - found if isinstance(found, int | float) else 0.0


def _content(data: Source) -> bytes:
    if not isinstance(data, str):
        return bytes(data)
    try:
        with open(data, "rb") as file:
            return file.read()
    except OSError as exc:
        raise fault(exc, "read", data) from exc
