"""Large blobs: one read-only file each, `objects/ab/<62 more hex digits>`."""

import contextlib
import io
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from blake3 import blake3

from gitprov.platform.files import expect_sequential, fault, fsync_dir
from gitprov.store.base import missing
from gitprov.store.layout import Layout, object_digest, object_prefix

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_LIST_FROM = 8
"""From so many questions about one folder on, listing it is cheaper than asking."""

_STREAM_BUFFER = 1 << 20


class Objects:
    """The files in `objects`."""

    def __init__(self, layout: Layout) -> None:
        """Reads below that layout's root; nothing is made."""
        self._layout = layout

    def present(self, digests: Iterable[bytes]) -> set[bytes]:
        """Returns those that have a file."""
        wanted: dict[str, list[bytes]] = {}
        prefixes = set(self._prefixes())
        for digest in digests:
            if (prefix := digest[:1].hex()) in prefixes:
                wanted.setdefault(prefix, []).append(digest)
        found: set[bytes] = set()
        for prefix, asked in wanted.items():
            if len(asked) < _LIST_FROM:
                found.update(d for d in asked if os.path.exists(self._layout.object(d)))
            else:
                found.update(self._in(prefix).intersection(asked))
        return found

    def path(self, digest: bytes) -> str | None:
        """Returns the file's path, or None when there is none."""
        path = self._layout.object(digest)
        return path if os.path.exists(path) else None

    def status(self, digest: bytes) -> os.stat_result | None:
        """Returns the file's status, or None when there is none."""
        path = self._layout.object(digest)
        try:
            status = os.stat(path, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise fault(exc, "read", path) from exc
        return status if stat.S_ISREG(status.st_mode) else None

    def open(self, digest: bytes) -> int:
        """Opens the file; the caller closes it.

        Raises:
            UnavailableError: there is none.
        """
        path = self._layout.object(digest)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise missing(digest) from None
        except OSError as exc:
            raise fault(exc, "read", path) from exc
        expect_sequential(fd)
        return fd

    def digests(self) -> Iterator[bytes]:
        """Yields what the names of the files say, sorted."""
        for prefix in sorted(self._prefixes()):
            yield from sorted(self._in(prefix))

    def strangers(self) -> Iterator[str]:
        """Yields the paths of files that gitprov does not put there."""
        root = self._layout.objects
        for name in sorted(_listdir(root)):
            folder = os.path.join(root, name)
            if not object_prefix(name) or not os.path.isdir(folder):
                yield folder
                continue
            for rest in sorted(_listdir(folder)):
                path = os.path.join(folder, rest)
                if object_digest(name, rest) is None or not _is_file(path):
                    yield path

    def publish(self, staged: list[tuple[str, bytes]]) -> None:
        """Renames synced files to their names and makes the names durable."""
        folders: set[str] = set()
        new_prefix = False
        for temporary, digest in staged:
            path = self._layout.object(digest)
            folder = os.path.dirname(path)
            if folder not in folders:
                folders.add(folder)
                with contextlib.suppress(FileExistsError):
                    os.mkdir(folder)
                    new_prefix = True
            os.rename(temporary, path)
        for folder in sorted(folders):
            fsync_dir(folder)
        if new_prefix:
            fsync_dir(self._layout.objects)

    def remove(self, digest: bytes) -> None:
        """Removes a file that is no longer needed."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._layout.object(digest))

    def _prefixes(self) -> list[str]:
        return [name for name in _listdir(self._layout.objects) if object_prefix(name)]

    def _in(self, prefix: str) -> set[bytes]:
        names = _listdir(os.path.join(self._layout.objects, prefix))
        return {digest for name in names if (digest := object_digest(prefix, name)) is not None}


def _listdir(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as exc:
        raise fault(exc, "read", path) from exc


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return True  # collected a moment ago


class VerifiedStream(io.RawIOBase):
    """Reads an object's file once from its start, and raises instead of ending wrongly."""

    def __init__(self, fd: int, path: str, digest: bytes, damaged: Callable[[], Exception]) -> None:
        """Owns the descriptor from now on.

        Args:
            fd: the file.
            path: for messages.
            digest: what its bytes must hash to.
            damaged: sets the file aside and returns the error to raise.
        """
        super().__init__()
        self._fd, self._path, self._digest, self._damaged = fd, path, digest, damaged
        self._hasher = blake3()
        self._left = os.fstat(fd).st_size
        self._judged = False

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Reads the next bytes; see `BlobStore.open`."""
        if self._judged:
            return 0
        view = memoryview(buffer).cast("B")
        try:
            count = os.readv(self._fd, [view]) if len(view) else 0
        except OSError as exc:
            raise fault(exc, "read", self._path) from exc
        self._hasher.update(view[:count])
        self._left -= count
        if (self._left <= 0 or not count) and len(view):
            if self._left or self._hasher.digest() != self._digest:
                raise self._damaged()
            self._judged = True
        return count

    def close(self) -> None:
        """Lets go of the file."""
        if not self.closed:
            os.close(self._fd)
        super().close()


def buffered(stream: VerifiedStream) -> io.BufferedReader:
    """Returns the stream with a buffer that suits big files."""
    return io.BufferedReader(stream, _STREAM_BUFFER)
