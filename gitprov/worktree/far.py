"""Lets an executor's workers hash the files of a scan, on a file system that they share with us.

This machine walks the folders; the workers open the files, under the same path, without following
a symlink, and give digests of files with the size and time that were seen here.
"""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from blake3 import blake3

from gitprov import __version__
from gitprov.core.paths import show
from gitprov.errors import EnvironmentFault, GitprovError, MalformedError
from gitprov.platform.dask_executor import watch_of
from gitprov.platform.tasks import Failure, attempt, digests_of, spread
from gitprov.worktree.folders import Folders, join
from gitprov.worktree.reading import NullSink, Reader, Sink
from gitprov.worktree.statcache import STAT
from gitprov.worktree.work import Work

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from gitprov.worktree.scan import Progress

Asked = list[tuple[bytes, list[bytes], list[bytes]]]
"""Folders with names of files in them and their `STAT`s."""

_TASK_FILES, _TASK_BYTES = 256, 64 << 20


def read_far(
    executor: "Executor", root: str, works: Sequence[Work], sink: Sink, progress: "Progress"
) -> None:
    """Finds the digests of all that is unread.

    Args:
        executor: whose workers read.
        root: the worktree, which they find at the same path.
        works: the folders of a scan.
        sink: is given the targets of symlinks; files it is not given.
        progress: is told how it goes.

    Raises:
        EnvironmentFault: a worker finds another file, or none.
        UnavailableError: the workers are gone.
    """

    def take(chunk: list[tuple[Work, int]], outcome: object) -> None:
        digests = digests_of(outcome, len(chunk))
        if not all(digests):
            raise MalformedError("a worker left a file out")
        for (work, index), digest in zip(chunk, digests, strict=True):
            work.set(index, digest)
        progress.done(len(chunk), sum(work.size(index) for work, index in chunk))

    jobs = (
        (chunk, partial(hash_files, os.fsencode(root), _asked(chunk), __version__))
        for chunk in _chunks(works, sink, progress)
    )
    spread(executor, jobs, take, look=watch_of(executor))


def _chunks(
    works: Sequence[Work], sink: Sink, progress: "Progress"
) -> Iterator[list[tuple[Work, int]]]:
    """Cuts what is unread into tasks, across folders; what needs no reading is done with here."""
    chunk: list[tuple[Work, int]] = []
    held = 0
    for work in works:
        files, total = work.folder.files, work.folder.size
        for index in work.unread:
            target = work.folder.targets.get(index)
            if target is not None:
                digest = blake3(target).digest()
                work.set(index, digest)
                sink.small(digest, target)
                continue
            size = work.size(index)
            if chunk and (len(chunk) >= _TASK_FILES or held + size > _TASK_BYTES):
                yield chunk
                chunk, held = [], 0
            chunk.append((work, index))
            held += size
            files -= 1
            total -= size
        progress.done(files, total)
    if chunk:
        yield chunk


def _asked(chunk: Sequence[tuple[Work, int]]) -> Asked:
    asked: Asked = []
    names: list[bytes] = []
    last: Work | None = None
    for work, index in chunk:
        if work is not last:
            last = work
            names = work.folder.names.split(b"\0")
            asked.append((work.folder.path, [], []))
        asked[-1][1].append(names[index])
        asked[-1][2].append(work.stat(index))
    return asked


def hash_files(root: bytes, asked: Asked, version: str) -> list[bytes] | Failure:
    """Returns the digests of files, in their order; this is what a worker runs.

    Args:
        root: the worktree.
        asked: what was seen by who asks; a file that is another by now is an error.
        version: the gitprov that asks.
    """
    return attempt(version, lambda: _digests(root, asked))


def _digests(root: bytes, asked: Asked) -> list[bytes]:
    found: list[bytes] = []
    reader = Reader(root, NullSink())
    with _seen(root) as folders:
        for folder, names, stats in asked:
            for name, before in zip(names, stats, strict=True):
                try:
                    fd = folders.open(folder)
                except FileNotFoundError:
                    raise _differs(root, folder) from None
                read = reader.large(name, reader.open(name, fd, folder), fd, folder)
                # Size and time; number and kind of the file may differ from mount to mount.
                if STAT.unpack(read.stat)[1:3] != STAT.unpack(before)[1:3]:
                    raise _differs(root, join(folder, name))
                found.append(read.digest)
    return found


def _seen(root: bytes) -> Folders:
    try:
        return Folders(os.fsdecode(root))
    except EnvironmentFault:
        raise _differs(root, b"") from None


def _differs(root: bytes, path: bytes) -> GitprovError:
    return EnvironmentFault(
        f"{show(join(root, path) if path else root)} is not the same for a worker as here, or it "
        "changed meanwhile",
        hint="the workers must see the files under the same path; then run the command again",
    )
