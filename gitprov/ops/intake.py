"""Brings files that another tool keeps by digest into the store, checked by that digest on the way.

Each is read once, however many commits name it. Nothing of the other tool is linked or changed:
the store gets a copy (a reflink, where the file system has them).
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from blake3 import blake3

from gitprov.core.digest import Digest
from gitprov.core.paths import show
from gitprov.errors import MalformedError, UnavailableError, VerificationError
from gitprov.model.entry import Entry
from gitprov.model.manifest import Manifest
from gitprov.ops.weights import ENDING, weights_in
from gitprov.platform.files import expect_sequential, fault
from gitprov.store.base import LARGE, LinkMode, StoreWriter, changed
from gitprov.workspace import Workspace
from gitprov.worktree.scan import Progress

_PIECE = 1 << 20  # DVC 2 looks for carriage returns in pieces of this size
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_TEXT_BLOCK = 512
_TEXT_CHARS = bytes(range(32, 127)) + b"\n\r\t\f\b"
_MOST_BINARY = 0.3
_TOOLS = {
    "md5": ("MD5", "dvc fetch"),
    "md5-dos2unix": ("MD5", "dvc fetch"),
    "sha256": ("SHA-256", "git lfs fetch"),
}
"""By algorithm, how it is spelled and what brings a file of that name."""


class OldName(NamedTuple):
    """How the other tool names a file.

    Attributes:
        algorithm: `md5`, `sha256`, or `md5-dos2unix`: DVC 2's, blind to the carriage returns of
            texts.
        hex: the digest.
        size: bytes, where the tool says.
    """

    algorithm: str
    hex: str
    size: int | None = None


class Taken(NamedTuple):
    """A file in the store: 32 raw bytes of BLAKE3, its size, and where it was found."""

    digest: bytes
    size: int
    path: str


Locate = Callable[[OldName], list[str]]
"""Returns the places where a file of that name may lie."""


@dataclass
class Intake:
    """What one command brings in. Without a writer it only looks (`--dry-run`).

    Attributes:
        writer: the store's, or None.
        link: whether large files may be cloned, or have to be copied.
        progress: is told how it goes.
        files: how many distinct files were taken.
        size: their bytes.
    """

    writer: StoreWriter | None
    link: LinkMode = "auto"
    progress: Progress | None = None
    files: int = 0
    size: int = 0
    _taken: dict[OldName, Taken | UnavailableError | VerificationError] = field(
        default_factory=dict
    )
    _seen: set[OldName] = field(default_factory=set)
    _weights: dict[bytes, Digest | None] = field(default_factory=dict)

    def take(self, name: OldName, locate: Locate) -> Taken:
        """Returns a file that is in the store now.

        Raises:
            UnavailableError: it lies in none of the places.
            VerificationError: what lies there is something else; the message names the file.
            EnvironmentFault: it cannot be read.
        """
        known = self._taken.get(name)
        if known is None:
            try:
                known = self._take(name, locate(name))
            except (UnavailableError, VerificationError) as exc:
                known = exc
            self._taken[name] = known
        if isinstance(known, Taken):
            return known
        raise known.with_traceback(None)  # else each time makes it longer, and keeps more alive

    def look(self, name: OldName, locate: Locate) -> None:
        """Finds out, without reading it, whether a file is there in its size; errors as `take`."""
        if name not in self._taken and name not in self._seen:
            with _opened(name, locate(name)):
                self._seen.add(name)

    def _take(self, name: OldName, paths: list[str]) -> Taken:
        with _opened(name, paths) as (path, fd):
            try:
                taken = self._read(name, path, fd)
            except OSError as exc:
                raise fault(exc, "read", path) from exc
        self.files += 1
        self.size += taken.size
        if self.progress is not None:
            self.progress.done(1, taken.size)
        return taken

    def _read(self, name: OldName, path: str, fd: int) -> Taken:
        before = os.fstat(fd)
        if self.progress is not None:
            self.progress.found(1, before.st_size)
        if self.writer is None:
            stand_in = blake3(name.hex.encode()).digest()
            return Taken(stand_in, before.st_size, path)
        if before.st_size < LARGE:
            data = os.read(fd, LARGE)
            self._check(name, path, _Hasher(name.algorithm).update(data).hex)
            digest = blake3(data).digest()
            self.writer.add_known(digest, data)
            return Taken(digest, len(data), path)
        expect_sequential(fd)
        hasher = _Hasher(name.algorithm)
        while data := os.read(fd, _PIECE):
            hasher.update(data)
        self._check(name, path, hasher.hex)
        os.lseek(fd, 0, os.SEEK_SET)
        digest = self.writer.add_file(path, fd=fd, size=before.st_size, link=self.link)
        after = os.fstat(fd)
        if (after.st_mtime_ns, after.st_size) != (before.st_mtime_ns, before.st_size):
            raise changed(path)
        return Taken(digest, before.st_size, path)

    def check(self, name: OldName, path: str, data: bytes) -> None:
        """Checks bytes that are used and not kept.

        Raises:
            VerificationError: they do not have that name; the message names the file.
        """
        self._check(name, path, _Hasher(name.algorithm).update(data).hex)

    @staticmethod
    def _check(name: OldName, path: str, found: str) -> None:
        if found != name.hex:
            spelled, _ = _TOOLS[name.algorithm]
            raise _damaged(name, f"{_shown(path)} is damaged: its {spelled} is {found}")

    def keep(self, data: bytes) -> Taken:
        """Keeps bytes that come from elsewhere: the target of a symlink, or none at all."""
        digest = blake3(data).digest()
        if self.writer is not None:
            self.writer.add_known(digest, data)
        return Taken(digest, len(data), os.devnull)

    def folder(self, entries: Mapping[bytes, Entry]) -> Entry:
        """Keeps the manifest of a folder, whose entries are kept already.

        Raises:
            MalformedError: a name is refused, or two collide.
        """
        manifest = Manifest.of(entries.values())
        if self.writer is not None:
            self.writer.add_manifest(manifest.root.raw, manifest.to_bytes())
        return Entry(b"", "d", manifest.root.raw, manifest.size)

    def weights(self, taken: Taken, name: bytes) -> Digest | None:
        """Returns the weights root of a model file, None when its tensors cannot be read."""
        if self.writer is None or not name.lower().endswith(ENDING):
            return None
        if taken.digest not in self._weights:
            try:
                self._weights[taken.digest] = weights_in(taken.path).root
            except MalformedError:
                self._weights[taken.digest] = None
        return self._weights[taken.digest]


@contextlib.contextmanager
def _opened(name: OldName, paths: list[str]) -> Iterator[tuple[str, int]]:
    """Opens the first of the places where a file is, and checks its size where that is known."""
    for path in paths:
        try:
            fd = os.open(path, _FLAGS)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as exc:
            raise fault(exc, "read", path) from exc
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise VerificationError(f"{_shown(path)} is no regular file")
            if name.size is not None and status.st_size != name.size:
                raise _damaged(
                    name,
                    f"{_shown(path)} has {status.st_size:,} bytes, and should have {name.size:,}",
                )
            yield path, fd
        finally:
            os.close(fd)
        return
    raise UnavailableError(f"{_TOOLS[name.algorithm][0]} {name.hex} is not here")


def _damaged(name: OldName, why: str) -> VerificationError:
    _, fetch = _TOOLS[name.algorithm]
    # They bring only what is not there, however it looks.
    return VerificationError(why, hint=f"delete the damaged file, then {fetch} brings it anew")


class _Hasher:
    """The digests of other tools, as they compute them."""

    def __init__(self, algorithm: str) -> None:
        self._old = algorithm == "md5-dos2unix"
        name = algorithm.partition("-")[0]
        self._hash = hashlib.new(name, usedforsecurity=False)

    def update(self, data: bytes) -> "_Hasher":
        if self._old and _is_text(data[:_TEXT_BLOCK]):
            data = data.replace(b"\r\n", b"\n")
        self._hash.update(data)
        return self

    @property
    def hex(self) -> str:
        return self._hash.hexdigest()


def _is_text(block: bytes) -> bool:
    """What DVC takes for a text: dvc_data's `istextblock`, of version 3.18."""
    if b"\0" in block:
        return False
    odd = block.translate(None, _TEXT_CHARS)
    return not block or len(odd) / len(block) <= _MOST_BINARY


def _shown(path: str) -> str:
    return show(os.fsencode(path))


def link_of(ws: Workspace) -> LinkMode:
    """How a large file of another tool gets in: never by a link, which would change it."""
    return "copy" if ws.config.store.link == "copy" else "auto"


Node: TypeAlias = "dict[bytes, Entry | Node]"


def grow(intake: Intake, rows: Mapping[bytes, Entry]) -> Entry:
    """Keeps the folder that holds files at these paths; returns its entry, without a name.

    Raises:
        MalformedError: a name is refused, two collide, or a file is a folder as well.
    """
    top: Node = {}
    for path, entry in rows.items():
        *folders, name = path.split(b"/")
        at = top
        for folder in folders:
            below = at.setdefault(folder, {})
            if isinstance(below, Entry):
                raise MalformedError(f"the file '{show(path)}' lies in a file")
            at = below
        if name in at:
            raise MalformedError(f"the file '{show(path)}' is a folder as well")
        at[name] = entry
    return _grow(intake, top)


def _grow(intake: Intake, node: Node) -> Entry:
    return intake.folder(
        {
            name: (item if isinstance(item, Entry) else _grow(intake, item))._replace(name=name)
            for name, item in node.items()
        }
    )
