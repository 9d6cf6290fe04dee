"""Reads git's objects through one `git cat-file --batch` process."""

import contextlib
import subprocess
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Self

from gitprov.core.paths import show
from gitprov.errors import EnvironmentFault, MalformedError, UnavailableError, UsageError
from gitprov.git.command import Git

TREE_MODE = 0o040000
LINK_MODE = 0o120000
SUBMODULE_MODE = 0o160000
EXECUTABLE_MODE = 0o100755

_AHEAD = 256
"""Requests in flight: few enough that they fit into a pipe while git waits for us to read."""

_CHUNK = 1 << 20


class GitObject(NamedTuple):
    """One object of git: its full id, its type and its bytes."""

    oid: str
    type: str
    data: bytes


class Header(NamedTuple):
    """What git says of an object before its bytes."""

    oid: str
    type: str
    size: int


class TreeEntry(NamedTuple):
    """One line of a tree."""

    mode: int
    name: bytes
    oid: bytes

    @property
    def is_tree(self) -> bool:
        """Whether the entry is a folder."""
        return self.mode == TREE_MODE


class Commit(NamedTuple):
    """What we need of a commit object."""

    tree: str
    parents: tuple[str, ...]
    message: bytes

    @property
    def subject(self) -> str:
        """The first line of the message, printable."""
        return show(self.message.lstrip(b"\n").split(b"\n", 1)[0])


class ObjectReader:
    """Gives git's objects by name; the process starts with the first question.

    Not for two threads at once. Close it, or use it in a `with`.
    """

    def __init__(self, git: Git) -> None:
        """Takes the git of the repository; starts nothing yet."""
        self._git = git
        self._batch: subprocess.Popen[bytes] | None = None
        self._check: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes; the next question would start new ones."""
        for process in (self._batch, self._check):
            if process is not None:
                _end(process)
        self._batch = self._check = None

    def start(self) -> None:
        """Starts the process ahead of the first question, to have it ready by then."""
        self._started()

    def get(self, spec: str, *, limit: int | None = None) -> GitObject | None:
        """Returns an object by anything that git understands (`HEAD`, `HEAD^{tree}`, an id).

        Args:
            spec: the name; nothing from outside without a check, as git's syntax is rich.
            limit: the most bytes to take.

        Returns:
            None when there is no such object.

        Raises:
            MalformedError: it is larger than `limit`.
            UsageError: the name cannot be asked for.
        """
        header = self._ask(spec)
        if header is None:
            return None
        if limit is not None and header.size > limit:
            self._discard(header.size)
            raise MalformedError(f"git object {header.oid} is larger than {limit} bytes")
        return GitObject(header.oid, header.type, self._take(header.size))

    def need(self, oid: str, kind: str, *, limit: int | None = None) -> bytes:
        """Returns the bytes of an object that must be there, of that type.

        Raises:
            UnavailableError: it is missing: a shallow or partial clone, or a damaged repository.
            MalformedError: it is of another type.
        """
        found = self.get(oid, limit=limit)
        if found is None:
            raise UnavailableError(f"the git {kind} {oid} is not in this clone")
        if found.type != kind:
            raise MalformedError(f"the git object {oid} is a {found.type}, not a {kind}")
        return found.data

    def get_many(
        self, oids: Iterable[str], *, limit: int | None = None, skip_larger: bool = False
    ) -> Iterator[tuple[str, GitObject | None]]:
        """Gives the objects in the order asked for, with many questions in flight.

        The iterator must be used up before the next question. Errors as for `get`; with
        `skip_larger` an object over the limit is given as None instead.
        """
        process = self._started()
        assert process.stdin is not None  # noqa: S101  # tells mypy what Popen was asked for
        waiting: list[str] = []
        rest = iter(oids)
        drained = False
        try:
            while True:
                for oid in rest:
                    waiting.append(oid)
                    if len(waiting) == _AHEAD:
                        break
                if not waiting:
                    drained = True
                    return
                self._send(process, "".join(map(_line, waiting)))
                for oid in waiting:
                    header = self._header(process)
                    if header is None:
                        yield oid, None
                        continue
                    if limit is not None and header.size > limit:
                        if not skip_larger:
                            raise MalformedError(f"git object {oid} is larger than {limit} bytes")
                        self._discard(header.size)
                        yield oid, None
                        continue
                    yield oid, GitObject(header.oid, header.type, self._take(header.size))
                waiting.clear()
        finally:
            if not drained:
                # Answers that nobody read would be taken for those to the next questions.
                self.close()

    def feed(self, spec: str, consume: Callable[[bytes], object]) -> Header | None:
        """Streams an object's bytes to `consume` in pieces: for git blobs of any size."""
        header = self._ask(spec)
        if header is None:
            return None
        process = self._started()
        assert process.stdout is not None  # noqa: S101  # as above
        left = header.size
        while left:
            piece = process.stdout.read(min(left, _CHUNK))
            if not piece:
                raise self._died()
            left -= len(piece)
            consume(piece)
        process.stdout.read(1)
        return header

    def header(self, spec: str) -> Header | None:
        """Returns id, type and size without reading the bytes."""
        if self._check is None:
            self._check = self._git.start("cat-file", "--batch-check")
        self._send(self._check, _line(spec))
        return self._header(self._check)

    def commit(self, spec: str) -> Commit | None:
        """Returns a commit by name, parsed."""
        found = self.get(spec + "^{commit}")
        return None if found is None else parse_commit(found.data)

    def tree(self, oid: str) -> list[TreeEntry]:
        """Returns the entries of a tree that must be there."""
        return parse_tree(self.need(oid, "tree"), len(oid) // 2)

    def entry_at(self, tree: str, path: bytes) -> TreeEntry | None:
        """Returns the entry of a path below a tree, whatever bytes the path has."""
        found: TreeEntry | None = None
        for part in path.split(b"/"):
            if found is not None and not found.is_tree:
                return None
            entries = self.tree(tree if found is None else found.oid.hex())
            found = next((entry for entry in entries if entry.name == part), None)
            if found is None:
                return None
        return found

    def _started(self) -> subprocess.Popen[bytes]:
        if self._batch is None:
            self._batch = self._git.start("cat-file", "--batch")
        return self._batch

    def _ask(self, spec: str) -> Header | None:
        process = self._started()
        self._send(process, _line(spec))
        return self._header(process)

    def _send(self, process: subprocess.Popen[bytes], lines: str) -> None:
        assert process.stdin is not None  # noqa: S101  # as above
        try:
            process.stdin.write(lines.encode("utf-8", "surrogateescape"))
            process.stdin.flush()
        except OSError as exc:
            raise self._died() from exc

    def _header(self, process: subprocess.Popen[bytes]) -> Header | None:
        assert process.stdout is not None  # noqa: S101  # as above
        line = process.stdout.readline()
        if not line.endswith(b"\n"):
            raise self._died()
        words = line.split(b" ")
        # Anything else is "<name> missing" or "<name> ambiguous", and the name may hold spaces.
        if len(words) == 3 and len(words[0]) in (40, 64) and words[2].strip().isdigit():
            return Header(words[0].decode(), words[1].decode(), int(words[2]))
        return None

    def _take(self, size: int) -> bytes:
        process = self._started()
        assert process.stdout is not None  # noqa: S101  # as above
        data = process.stdout.read(size + 1)
        if len(data) != size + 1:
            raise self._died()
        return data[:-1]

    def _discard(self, size: int) -> None:
        process = self._started()
        assert process.stdout is not None  # noqa: S101  # as above
        left = size + 1
        while left:
            piece = process.stdout.read(min(left, _CHUNK))
            if not piece:
                raise self._died()
            left -= len(piece)

    def _died(self) -> EnvironmentFault | UnavailableError:
        self.close()
        promisors = ("config", "--get-regexp", r"^remote\..*\.promisor$")
        if self._git.call(*promisors).returncode == 0:
            return UnavailableError(
                "an object is not in this partial clone, and could not be fetched",
                hint="fetch what is missing: git fetch --refetch --no-filter",
            )
        return EnvironmentFault(
            "git cat-file ended early", hint="run `git fsck`: an object may be damaged"
        )


def parse_tree(data: bytes, hash_len: int) -> list[TreeEntry]:
    """Parses a raw tree object; `hash_len` is 20 or 32 bytes.

    Raises:
        MalformedError: it is cut short or holds an impossible mode.
    """
    entries: list[TreeEntry] = []
    at = 0
    end = len(data)
    try:
        while at < end:
            space = data.index(b" ", at)
            nul = data.index(b"\0", space)
            after = nul + 1 + hash_len
            if after > end:
                raise ValueError("cut short")
            entries.append(
                TreeEntry(int(data[at:space], 8), data[space + 1 : nul], data[nul + 1 : after])
            )
            at = after
    except ValueError as exc:
        raise MalformedError(f"not a git tree: {exc}") from exc
    return entries


def parse_commit(data: bytes) -> Commit:
    """Parses a raw commit object.

    Raises:
        MalformedError: it names no tree.
    """
    head, _, message = data.partition(b"\n\n")
    tree = ""
    parents: list[str] = []
    for line in head.split(b"\n"):
        key, _, value = line.partition(b" ")
        if key == b"tree" and not tree:
            tree = value.decode("ascii", "replace")
        elif key == b"parent":
            parents.append(value.decode("ascii", "replace"))
        elif key == b"author":
            break
    if not tree:
        raise MalformedError("a git commit names no tree")
    return Commit(tree, tuple(parents), message)


def _line(spec: str) -> str:
    if "\n" in spec or "\0" in spec or not spec:
        raise UsageError(f"no git object can have the name {spec[:80]!r}")
    return spec + "\n"


def _end(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    process.wait()
