"""Carries out plans: removes, makes folders, writes files from the store, fills the stat cache."""

import errno
import os
import time
from collections.abc import Sequence
from functools import partial
from threading import local

from gitprov.core.paths import show
from gitprov.errors import EnvironmentFault, UnavailableError
from gitprov.worktree.folders import Folders, fault, join
from gitprov.worktree.place import LinkMode, Placer, Source, changed_meanwhile, unchanged
from gitprov.worktree.plan import Plan, Removal, Write, refuse_conflicts
from gitprov.worktree.pool import Pool
from gitprov.worktree.reading import LARGE
from gitprov.worktree.scan import Progress, Scanner, Silence
from gitprov.worktree.statcache import StatCache
from gitprov.worktree.tree import Tree
from gitprov.worktree.walk import StoreLink

_BATCH_FILES = 256
_BEHIND_NS = 20_000_000

_Written = dict[bytes, dict[bytes, tuple[int, int, bytes]]]
_Done = tuple[Write, tuple[int, int] | None]


class Materializer:
    """Writes artifacts into one worktree. The caller holds the worktree's lock meanwhile.

    What is killed in the middle has written some files whole and left a temporary one at most;
    planning and applying again does the rest.
    """

    def __init__(
        self,
        root: str,
        cache: StatCache,
        source: Source,
        *,
        link: LinkMode = "auto",
        store_link: StoreLink | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Takes the worktree, where bytes come from, and how; see `Scanner` for the rest."""
        self._root = root
        self._source = source
        self._link: LinkMode = link
        self._scanner = Scanner(root, cache, store_link=store_link)
        self._progress: Progress = progress if progress is not None else Silence()

    def apply(self, plans: Sequence[Plan]) -> list[Tree | None]:
        """Carries out plans and returns what is there then, None for nothing.

        Raises:
            UsageError: a plan has conflicts; nothing was written.
            MalformedError: a symlink is on the way, or a manifest lies.
            UnavailableError: the store lacks a blob.
            VerificationError: the store's bytes are damaged.
            EnvironmentFault: the file system refuses, or something changed since the plan.
        """
        refuse_conflicts(plans)
        for plan in plans:
            self._progress.found(len(plan.writes), sum(w.entry.size for w in plan.writes))
        return [self._apply(plan) for plan in plans]

    def _apply(self, plan: Plan) -> Tree | None:
        mtime = time.time_ns() - _BEHIND_NS
        with Folders(self._root) as folders:
            _remove(plan, folders)
            for path in plan.make_folders:
                _make_folder(path, folders)
        written: _Written = {}
        if plan.writes:
            placer = Placer(self._source, self._link, plan.artifact.raw, mtime)
            writing = _Writing(self._root, placer, self._source, self._progress, mtime)
            writing.write(plan)
            written = writing.written
        try:
            return self._scanner.scan(
                plan.path, artifact=plan.artifact, lenient=True, known=written
            )
        except UnavailableError:
            return None


def _remove(plan: Plan, folders: Folders) -> None:
    for folder, name in plan.leftovers:
        _unlink(Removal(folder, name, b""), folders)
    for removal in plan.removals:
        _unlink(removal, folders)
    for path in plan.remove_folders:
        above, _, name = path.rpartition(b"/")
        try:
            os.rmdir(name, dir_fd=folders.open(above))
        except FileNotFoundError:
            continue
        except OSError as exc:
            if exc.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise fault(exc, "remove", path) from exc
    # The paths may mean other folders now.
    folders.forget()


def _unlink(removal: Removal, folders: Folders) -> None:
    folder, name, before = removal
    try:
        fd = folders.open(folder)
        if not unchanged(name, before, fd):
            raise changed_meanwhile(join(folder, name))
        os.unlink(name, dir_fd=fd)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise fault(exc, "remove", join(folder, name)) from exc


def _make_folder(path: bytes, folders: Folders) -> None:
    above, _, name = path.rpartition(b"/")
    try:
        try:
            os.mkdir(name, dir_fd=folders.open(above))
        except FileExistsError:
            folders.open(path)  # raises unless it is a folder; somebody may remove it meanwhile
    except OSError as exc:
        raise fault(exc, "make the folder", path) from exc


class _Writing:
    """One plan's writes; `written` then says what is there, for the stat cache."""

    def __init__(
        self, root: str, placer: Placer, source: Source, progress: Progress, mtime: int
    ) -> None:
        self._root = root
        self._placer = placer
        self._source = source
        self._progress = progress
        self._mtime = mtime
        self.written: _Written = {}
        self._local = local()
        self._opened: list[Folders] = []

    def write(self, plan: Plan) -> None:
        """Writes everything."""
        try:
            self._small([write for write in plan.writes if _is_small(write)])
            with Pool(self._take) as pool:
                for write in plan.writes:
                    if not _is_small(write):
                        pool.submit(partial(self._large, write))
        finally:
            for folders in self._opened:
                folders.__exit__(None, None, None)

    def _small(self, writes: Sequence[Write]) -> None:
        """Writes small files, in one thread.

        A second one makes it slower: the two wait for each other in the kernel, which creates one
        file of a folder at a time, and in the interpreter.
        """
        wanted: dict[bytes, list[Write]] = {}
        for write in writes:
            wanted.setdefault(write.entry.digest, []).append(write)
        put = self._placer.small
        files = size = 0
        for digest, data in self._source.many(list(wanted)):
            for write in wanted.pop(digest, ()):
                put(write, data, self._folder(write.folder))
                if write.entry.kind != "l":
                    self._note(write, self._mtime, len(data))
                files += 1
                size += len(data)
            if files >= _BATCH_FILES:
                self._progress.done(files, size)
                files = size = 0
        self._progress.done(files, size)
        if wanted:
            missing = next(iter(wanted.values()))[0]
            path = show(join(missing.folder, missing.entry.name))
            raise UnavailableError(f"the store does not have the bytes of {path}")

    def _folder(self, path: bytes) -> int:
        """Opens a folder for this thread alone."""
        folders: Folders | None = getattr(self._local, "folders", None)
        if folders is None:
            folders = self._local.folders = Folders(self._root)
            self._opened.append(folders)
        try:
            return folders.open(path)
        except FileNotFoundError:
            raise EnvironmentFault(f"the folder {show(path)} vanished meanwhile") from None

    def _large(self, write: Write) -> _Done:
        return write, self._placer.large(write, self._folder(write.folder))

    def _take(self, result: _Done) -> None:
        write, there = result
        if there is not None:
            self._note(write, *there)
        self._progress.done(1, write.entry.size)

    def _note(self, write: Write, mtime: int, size: int) -> None:
        folder = self.written.setdefault(write.folder, {})
        folder[write.entry.name] = (mtime, size, write.entry.digest)


def _is_small(write: Write) -> bool:
    return write.entry.size < LARGE or write.entry.kind == "l"
