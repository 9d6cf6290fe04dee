"""`gitprov.open` and `gitprov.read`: a file of a dataset or model at any revision, verified."""

import io
import os
import posixpath
from typing import BinaryIO, Literal, TextIO, overload

from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath, show
from gitprov.errors import MalformedError, UsageError
from gitprov.fs.session import Session, session_of
from gitprov.ops.revision_tree import Node, NoSuchPathError
from gitprov.store.range_file import RangeFile

_BUFFER = 256 << 10

PathLike = str | os.PathLike[str]


class ReadOnlyError(UsageError, PermissionError):
    """Data of a commit does not change: `gitprov add` and `git commit` make a new version."""


class VerifiedFile(io.BufferedReader):
    """A file opened for reading; it can seek.

    Attributes:
        path: where it lies in the repository; a symlink has been followed.
        size: its bytes.
        digest: its BLAKE3; None for a file that git itself tracks.
    """

    def __init__(self, raw: io.RawIOBase, node: Node) -> None:
        """Puts a buffer before it."""
        super().__init__(raw, _BUFFER)
        self.path, self.size, self.digest = _facts(node)


class VerifiedBytes(io.BytesIO):
    """A small file, verified and in memory; see `VerifiedFile`."""

    def __init__(self, data: bytes, node: Node) -> None:
        """Takes what was read."""
        super().__init__(data)
        self.path, self.size, self.digest = _facts(node)

    def writable(self) -> bool:
        """It is not: what it holds was verified."""
        return False

    def write(self, data: object, /) -> int:
        """Refuses; see `writable`."""
        raise io.UnsupportedOperation("write")


@overload
def open(  # noqa: A001  # the name that people know
    path: PathLike,
    mode: Literal["rb"] = ...,
    *,
    rev: str | None = ...,
    repo: PathLike | None = ...,
    remote: str | None = ...,
    keep: bool | None = ...,
) -> BinaryIO: ...
@overload
def open(  # noqa: A001  # the name that people know
    path: PathLike,
    mode: Literal["r", "rt"],
    *,
    rev: str | None = ...,
    repo: PathLike | None = ...,
    remote: str | None = ...,
    keep: bool | None = ...,
    encoding: str | None = ...,
    errors: str | None = ...,
    newline: str | None = ...,
) -> TextIO: ...
def open(  # noqa: A001  # the name that people know
    path: PathLike,
    mode: Literal["rb", "r", "rt"] = "rb",
    *,
    rev: str | None = None,
    repo: PathLike | None = None,
    remote: str | None = None,
    keep: bool | None = None,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
) -> BinaryIO | TextIO:
    """Opens a file of the repository as a revision has it, without a checkout.

    What is read are the bytes that the revision's pointers name, whatever lies in the worktree:
    from the store, and from the remote what the store lacks. What that proves:

    - Up to 8 MiB, every byte is verified before the first one is handed out.
    - A larger file in the store is hashed along; reading anywhere else than from the start first
      has the whole verified, once for as long as the store's file does not change.
    - A larger file on the remote comes in chunks of at most 1 MiB, only those that are read, each
      checked against the list of chunks that the remote has for it. A damaged chunk is found at
      once. That the list itself is right is found by reading from start to end: the last read
      raises. So a part of it proves no more than that an honest remote has not been damaged;
      `keep=True` proves every byte first.

    Args:
        path: from the top of the repository: a file in an artifact, or one that git tracks.
        mode: "rb", or "r" for text.
        rev: a commit, tag or branch. None means the data that the worktree's pointers name, and
            the current commit for files that git itself tracks.
        repo: a folder of the repository, None for the one around the current folder; or a
            repository's address as git knows it, of which a bare clone is kept in the cache folder
            (`~/.cache/gitprov`). There None as `rev` means its HEAD, and a branch is asked for once
            in a process.
        remote: the name of the remote, or its address; None for the default one.
        keep: None puts files of up to 8 MiB that came from the remote into the store, some at a
            time, and streams larger ones; True brings a file whole into the store before anything
            is read; False writes nothing.
        encoding: of text; UTF-8 when it is None.
        errors: as for Python's `open`.
        newline: as for Python's `open`.

    Returns:
        A file object that can seek. It has `path`, `size` (bytes) and `digest` (BLAKE3; None for a
        file that git tracks). Open it in the process that reads it.

    Raises:
        FileNotFoundError: there is no such file; IsADirectoryError: it is a folder. Both are
            `UsageError`s too.
        UsageError: no such revision, repository or remote, or another mode.
        UnavailableError: neither the store nor the remote has it, or the remote cannot be reached.
        VerificationError: what they have is not what its name says; while reading, too.

    Example:
        >>> with gitprov.open("data/train.csv", "r", rev="v1.0") as file:
        ...     header = file.readline()
    """
    if mode not in {"rb", "r", "rt"}:
        raise ReadOnlyError(
            f"a file of a commit cannot be opened as {mode!r:.20}",
            hint='"rb" or "r"; write into the worktree, then gitprov add',
        )
    session = session_of(repo, remote, rev, keep=keep)
    file = open_at(session, repo_path_of(path), session.pin(rev))
    if mode == "rb":
        return file
    return io.TextIOWrapper(file, encoding=encoding or "utf-8", errors=errors, newline=newline)


def read(
    path: PathLike,
    *,
    rev: str | None = None,
    repo: PathLike | None = None,
    remote: str | None = None,
    keep: bool | None = None,
) -> bytes:
    """Returns a file's bytes, all of them verified; arguments and errors as for `gitprov.open`."""
    with open(path, rev=rev, repo=repo, remote=remote, keep=keep) as file:
        return file.read()


def open_at(session: Session, path: RepoPath, commit: str | None) -> VerifiedFile | VerifiedBytes:
    """Opens a file at a path of a commit; errors as for `open`."""
    node = session.find(path, commit)
    return wrapped(session.open(node), node)


def wrapped(raw: io.BytesIO | RangeFile, node: Node) -> VerifiedFile | VerifiedBytes:
    """Returns what the session opened as what people are given."""
    if isinstance(raw, RangeFile):
        return VerifiedFile(raw, node)
    return VerifiedBytes(raw.getvalue(), node)


def repo_path_of(path: PathLike) -> RepoPath:
    """Returns the path that a program means.

    Raises:
        UsageError: it does not begin at the top of the repository.
        NoSuchPathError: no file can have such a name.
    """
    raw = os.fsencode(path)
    if raw.startswith(b"/"):
        raise UsageError(
            f"{show(raw)} is not a path in the repository",
            hint="paths begin at the repository's top, without a slash",
        )
    whole = posixpath.normpath(raw)
    if whole == b".." or whole.startswith(b"../"):
        raise UsageError(f"{show(raw)} lies outside the repository")
    try:
        return RepoPath.parse(b"" if whole == b"." else whole)
    except MalformedError as exc:
        raise NoSuchPathError(f"there is no {show(raw):.200}: {exc}") from None


def _facts(node: Node) -> tuple[str, int, Digest | None]:
    return os.fsdecode(node.path.raw), node.size, Digest(node.digest) if node.digest else None
