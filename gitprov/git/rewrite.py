"""Writes commits anew with some files changed, through `git fast-import`; the old ones stay.

Authors, dates and messages are kept. Signatures cannot be, as the bytes under them change. No ref
of the user moves here: the commits hang on a ref of our own until `move_refs` puts others in place.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from gitprov.errors import EnvironmentFault, MalformedError
from gitprov.git.command import GitError
from gitprov.git.objects import Commit, parse_commit
from gitprov.git.repo import Repository

TRAILER = b"Imported-from: "

_REF = b"refs/gitprov/importing"
_AT_ONCE = 200
_TRAILERS = re.compile(rb"(?:[A-Za-z0-9-]+: [^\n]*(?:\n[ \t][^\n]*)*\n?)+")


class OldCommit(NamedTuple):
    """A commit that is there: what we need of it, and its header lines as they are."""

    oid: str
    commit: Commit
    head: tuple[bytes, ...]

    @classmethod
    def parse(cls, oid: str, data: bytes) -> "OldCommit":
        """Reads a raw commit object.

        Raises:
            MalformedError: it names no tree, or nobody who made it.
        """
        lines = data.partition(b"\n\n")[0].split(b"\n")
        head = tuple(
            line for line in lines if line.startswith((b"author ", b"committer ", b"encoding "))
        )
        if not any(line.startswith(b"committer ") for line in head):
            raise MalformedError(f"the commit {oid} has no committer")
        return cls(oid, parse_commit(data), head)


Files = Mapping[bytes, bytes | None]
"""Contents by path; None takes the file, or the folder, away."""


def with_trailer(message: bytes, oid: str) -> bytes:
    """Returns a message that says from which commit this one was made."""
    line = TRAILER + oid.encode() + b"\n"
    body = message.rstrip(b"\n")
    subject, _, last = body.rpartition(b"\n\n")
    joined = b"\n" if subject and _TRAILERS.fullmatch(last) else b"\n\n"
    return body + joined + line if body else line


def imported_from(message: bytes) -> str | None:
    """Returns the id in the trailer, None where there is none."""
    found = re.findall(rb"^Imported-from: ([0-9a-f]{40,64})$", message, re.MULTILINE)
    return found[-1].decode() if found else None


def rewrite(
    repo: Repository,
    commits: Sequence[OldCommit],
    changes: Callable[[OldCommit], Files],
    done: Callable[[int], None] | None = None,
) -> dict[str, str]:
    """Writes commits with changed files; returns the new id of each old one.

    Args:
        repo: the repository.
        commits: parents before their children. A parent that is not among them stays a parent.
        changes: what differs from the tree of the old commit.
        done: is told how many more are written.

    Raises:
        EnvironmentFault: git refuses; nothing points to what was written then.
    """
    new: dict[str, str] = {}
    for start in range(0, len(commits), _AT_ONCE):
        some = commits[start : start + _AT_ONCE]
        marks = {old.oid: number for number, old in enumerate(some, start=1)}
        stream = [b"feature done\nfeature get-mark\n"]
        blobs: dict[bytes, int] = {}
        for old in some:
            stream += _commit(old, changes(old), marks, new, blobs)
        stream.append(b"done\n")
        out = _fast_import(repo, b"".join(stream))
        if len(out) != len(some):
            raise EnvironmentFault("git fast-import ended early")
        new.update((old.oid, oid) for old, oid in zip(some, out, strict=True))
        if done is not None:
            done(len(some))
    return new


def _fast_import(repo: Repository, stream: bytes) -> list[str]:
    options = ("--quiet", "--force", "--done", "--date-format=raw-permissive")
    ended = repo.git.call("fast-import", *options, input=stream)
    if ended.returncode:
        raise GitError("fast-import", ended.returncode, ended.stderr)
    return ended.stdout.decode("ascii").split()


def _commit(
    old: OldCommit,
    files: Files,
    marks: Mapping[str, int],
    new: Mapping[str, str],
    blobs: dict[bytes, int],
) -> list[bytes]:
    lines: list[bytes] = []
    for data in files.values():
        if data is not None and data not in blobs:
            # Marks of blobs begin above those of the commits.
            blobs[data] = _AT_ONCE + 1 + len(blobs)
            lines.append(b"blob\nmark :%d\ndata %d\n%s\n" % (blobs[data], len(data), data))
    if not old.commit.parents:
        lines.append(b"reset %s\n" % _REF)  # else the commit before would be its parent
    mark = marks[old.oid]
    message = with_trailer(old.commit.message, old.oid)
    lines.append(b"commit %s\nmark :%d\n" % (_REF, mark))
    lines += [line + b"\n" for line in old.head]
    lines.append(b"data %d\n%s\n" % (len(message), message))
    for number, parent in enumerate(old.commit.parents):
        verb = b"merge" if number else b"from"
        name = b":%d" % marks[parent] if parent in marks else new.get(parent, parent).encode()
        lines.append(b"%s %s\n" % (verb, name))
    lines.append(b'M 040000 %s ""\n' % old.commit.tree.encode())
    lines += [b"D %s\n" % _quoted(path) for path, data in files.items() if data is None]
    for path, data in files.items():
        if data is not None:
            lines.append(b"M 100644 :%d %s\n" % (blobs[data], _quoted(path)))
    lines.append(b"\nget-mark :%d\n" % mark)
    return lines


def _quoted(path: bytes) -> bytes:
    path = path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return b'"' + path + b'"'


def move_refs(repo: Repository, moves: Iterable[tuple[str, str, str | None]]) -> None:
    """Moves refs in one transaction, all or none; our own ref goes.

    Args:
        repo: the repository.
        moves: ref, new commit, and what it points to now (None: it is not there).

    Raises:
        EnvironmentFault: one has moved meanwhile, or cannot be made.
    """
    zero = "0" * (2 * repo.hash_len)
    lines = [f"update {ref} {new} {old or zero}\n" for ref, new, old in moves]
    ended = repo.git.call("update-ref", "--stdin", input="".join(lines).encode())
    if ended.returncode:
        raise GitError("update-ref", ended.returncode, ended.stderr)


def let_go(repo: Repository) -> None:
    """Removes our own ref; commits that nothing else points to are garbage then."""
    repo.git.call("update-ref", "-d", _REF.decode())
