"""What the tests of notes and the log share."""

from collections.abc import Sequence

from gitprov.core.digest import Digest
from gitprov.core.merkle import LOG
from gitprov.git.keys import ensure_log_key
from gitprov.git.log import LogKey, LogReader
from gitprov.git.repo import Repository
from gitprov.git.writer import write
from gitprov.model.note import UnknownLine


def line(text: str) -> UnknownLine:
    """A line of a type that nobody knows: the smallest that a note may hold."""
    return UnknownLine(b'{"type":"%s"}' % text.encode())


def roots(count: int, *, start: int = 0) -> list[Digest]:
    return [Digest.of(b"%d" % n) for n in range(start, start + count)]


def leaves(digests: Sequence[Digest]) -> list[bytes]:
    return [LOG.leaf(digest.raw) for digest in digests]


def appended(repo: Repository, digests: Sequence[Digest]) -> LogReader:
    """Appends to this clone's log, making its key when it has none, and opens it."""
    key = log_key(repo)
    write(repo, roots=digests, key=key)
    return LogReader.open(repo, key.ref)


def log_key(repo: Repository) -> LogKey:
    return ensure_log_key(repo, "test")
