"""Scans an artifact: walks its folders, reads what changed since the last scan, gives its tree."""

import os
from functools import partial
from typing import TYPE_CHECKING, Protocol

from blake3 import blake3

from gitprov.core.paths import RepoPath, show
from gitprov.errors import EnvironmentFault, GitprovError
from gitprov.model.entry import manifest_root
from gitprov.worktree.folders import Folders, join
from gitprov.worktree.pool import Pool
from gitprov.worktree.reading import LARGE, Batch, NullSink, Reader, Sink
from gitprov.worktree.statcache import Row, StatCache
from gitprov.worktree.tree import Tree
from gitprov.worktree.walk import StoreLink, Walker
from gitprov.worktree.work import Known, Needs, Work, add_needed, compare, unchanged_roots

if TYPE_CHECKING:
    from concurrent.futures import Executor

_MIDDLE = 32 << 10
_CHUNK_FILES = 256
_CHUNK_BYTES = 4 << 20

_Result = tuple[Work, list[int], int, Batch | GitprovError]


class Progress(Protocol):
    """Is told how a scan goes; called a few hundred times, not once a file."""

    def found(self, files: int, size: int) -> None:
        """So many more files were found."""

    def done(self, files: int, size: int) -> None:
        """So many more are known: read, or found unchanged."""


class Silence:
    """Progress that nobody watches."""

    def found(self, files: int, size: int) -> None:
        """Ignores it."""

    def done(self, files: int, size: int) -> None:
        """Ignores it."""


class Scanner:
    """Scans artifacts of one worktree."""

    def __init__(
        self,
        root: str,
        cache: StatCache,
        *,
        sink: Sink | None = None,
        needs: Needs | None = None,
        progress: Progress | None = None,
        store_link: StoreLink | None = None,
        executor: "Executor | None" = None,
    ) -> None:
        """Takes the worktree and the collaborators.

        Args:
            root: the worktree.
            cache: what is remembered of earlier scans; it is brought up to date.
            sink: what gets the bytes; without one they are only hashed.
            needs: asked once for files and once for manifests that were not read because the
                cache knows them; those it returns are read and given to the sink all the same.
            progress: is told how it goes.
            store_link: given a symlink's target, returns the digest and the size of the file in
                the store that it stands for, or None when it is a link like any other.
            executor: whose workers read files in our stead; the sink is then given no file, and a
                scan that uses one is not lenient.
        """
        self._root = root
        self._cache = cache
        self._sink: Sink = sink if sink is not None else NullSink()
        self._needs = needs
        self._progress: Progress = progress if progress is not None else Silence()
        self._store_link = store_link
        self._executor = executor

    def scan(
        self,
        path: RepoPath,
        *,
        artifact: RepoPath | None = None,
        lenient: bool = False,
        ignoring: bool = True,
        known: Known | None = None,
    ) -> Tree:
        """Returns the tree of a file or folder.

        Args:
            path: what to scan.
            artifact: the artifact that it belongs to, when it is only a part of one; symlinks may
                lead anywhere inside the artifact.
            lenient: keep what no manifest can hold (sockets, refused names, links that leave the
                artifact, files that cannot be read) in `Tree.odd` instead of raising.
            ignoring: whether `.gitprovignore` counts.
            known: files that were just written with a time older than now, so that any later
                change shows.

        Raises:
            UnavailableError: there is nothing at the path.
            MalformedError: a name, a link or the kind of a file is refused; or a symlink is on
                the way.
            EnvironmentFault: something cannot be read, or changes while it is.
        """
        artifact = artifact if artifact is not None else path
        with Folders(self._root) as folders:
            walker = Walker(
                folders,
                artifact.raw,
                self._progress.found,
                store_link=self._store_link,
                lenient=lenient,
                ignoring=ignoring,
            )
            rows = self._cache.load(path.raw)
            works = [compare(folder, rows, known or {}) for folder in walker.walk(path)]
            if self._executor is not None:
                from gitprov.worktree.far import read_far  # the hooks never need it

                read_far(self._executor, self._root, works, self._sink, self._progress)
            else:
                if self._needs is not None:
                    add_needed(works, self._needs)
                reading = _Reading(self._root, folders, self._sink, self._progress, lenient=lenient)
                reading.read(works)
        return self._finish(works, rows)

    def _finish(self, works: list[Work], rows: dict[bytes, Row]) -> Tree:
        unchanged = unchanged_roots(works)
        missing: set[bytes] = set()
        if self._needs is not None and unchanged:
            missing = self._needs(list(unchanged.values()))
        trees: dict[bytes, Tree] = {}
        changed: list[tuple[bytes, Row]] = []
        for work in reversed(works):
            key = work.key
            if key in unchanged and work.row is not None:
                tree = self._attach(work, trees)
                tree.root, tree.size, tree.files = work.row.root, work.row.size, work.row.files
                if tree.root in missing:
                    self._sink.manifest(tree.root, tree.entries)
            else:
                if work.broken:
                    work.drop_broken()
                tree = self._attach(work, trees)
                self._sum_up(work, tree)
                row = work.new_row(tree)
                if row != work.row and b"" not in work.folder.odd:
                    changed.append((key, row))
            trees[key] = tree
        gone = rows.keys() - trees.keys() - {work.key for work in works}
        if changed or gone:
            self._cache.store(changed, gone)
        return trees[works[0].key]

    @staticmethod
    def _attach(work: Work, trees: dict[bytes, Tree]) -> Tree:
        children = {}
        for index, name in work.folder.subfolders.items():
            child = children[name] = trees.pop(join(work.folder.path, name))
            work.set(index, child.root)
        tree = work.tree()
        tree.children = children
        return tree

    def _sum_up(self, work: Work, tree: Tree) -> None:
        if work.folder.single is not None:
            stored = work.folder.stored.get(0)
            tree.root, tree.files = work.digest(0), 1
            tree.size = stored[1] if stored is not None else work.size(0)
            return
        entries = tree.entries
        tree.root = manifest_root(entries)
        tree.size = sum(entry.size for entry in entries)
        below = sum(child.files for child in tree.children.values())
        tree.files = len(entries) - len(tree.children) + below
        self._sink.manifest(tree.root, entries)


class _Reading:
    """The part of a scan that opens files."""

    def __init__(
        self, root: str, folders: Folders, sink: Sink, progress: Progress, *, lenient: bool
    ) -> None:
        self._reader = Reader(os.fsencode(root), sink)
        self._folders = folders
        self._sink = sink
        self._forgets = isinstance(sink, NullSink)
        self._progress = progress
        self._lenient = lenient

    def read(self, works: list[Work]) -> None:
        """Reads what is unread."""
        with Pool(self._take) as pool:
            for work in works:
                found = work.folder
                if work.unread:
                    self._folder(work, pool)
                else:
                    self._progress.done(found.files, found.size)

    def _folder(self, work: Work, pool: Pool[_Result]) -> None:
        folder = work.folder
        names = folder.names.split(b"\0")
        sizes = work.sizes()
        files, total = folder.files, folder.size
        chunk: list[int] = []
        held = 0
        for index in work.unread:
            size = sizes[index]
            if index in folder.targets:
                self._link(work, index)
                files -= 1
            elif size >= LARGE:
                self._submit(work, [index], [names[index]], size, pool)
                files -= 1
                total -= size
            else:
                chunk.append(index)
                held += size
                if held >= _CHUNK_BYTES or len(chunk) == _CHUNK_FILES:
                    self._submit(work, chunk, [names[i] for i in chunk], held, pool)
                    files -= len(chunk)
                    total -= held
                    chunk, held = [], 0
        if chunk:
            self._submit(work, chunk, [names[i] for i in chunk], held, pool)
            files -= len(chunk)
            total -= held
        self._progress.done(files, total)

    def _link(self, work: Work, index: int) -> None:
        target = work.folder.targets[index]
        digest = blake3(target).digest()
        work.set(index, digest)
        self._sink.small(digest, target)
        self._progress.done(1, len(target))

    def _submit(
        self, work: Work, chunk: list[int], names: list[bytes], size: int, pool: Pool[_Result]
    ) -> None:
        """Reads small files or one large one, in the pool when that is worth it."""
        folder = work.folder
        try:
            fd = self._folders.open(folder.path)
        except FileNotFoundError:
            raise EnvironmentFault(f"{show(folder.path)} vanished while it was scanned") from None
        large = size >= LARGE and len(chunk) == 1
        if self._sink.parallel if large else size >= _MIDDLE * len(chunk):
            # The job owns a descriptor of its own: the folder may be closed before its turn.
            own = os.dup(fd)
            pool.submit(partial(self._job, work, chunk, names, size, own, close=True))
        else:
            self._take(self._job(work, chunk, names, size, fd))

    def _job(
        self,
        work: Work,
        chunk: list[int],
        names: list[bytes],
        size: int,
        fd: int,
        *,
        close: bool = False,
    ) -> _Result:
        path = work.folder.path
        try:
            if size >= LARGE and len(chunk) == 1:
                file = self._reader.open(names[0], fd, path)
                read = self._reader.large(names[0], file, fd, path)
                return work, chunk, size, Batch([read.digest], [read.data], {0: read.stat})
            stats = [work.stat(index) for index in chunk]
            return work, chunk, size, self._reader.small(names, stats, fd, path)
        except GitprovError as exc:
            if not self._lenient:
                raise
            return work, chunk, size, exc
        finally:
            if close:
                os.close(fd)

    def _take(self, result: _Result) -> None:
        work, chunk, size, batch = result
        if isinstance(batch, GitprovError):
            self._one_by_one(work, chunk, batch)
            return
        known = work.digests
        for index, digest in zip(chunk, batch.digests, strict=True):
            known[index * 32 : index * 32 + 32] = digest
        if not self._forgets:
            put = self._sink.small
            for digest, data in zip(batch.digests, batch.datas, strict=True):
                if data is not None:
                    put(digest, data)
        for position, stat in batch.moved.items():
            work.set_stat(chunk[position], stat)
        self._progress.done(len(chunk), size)

    def _one_by_one(self, work: Work, chunk: list[int], exc: GitprovError) -> None:
        if len(chunk) == 1:
            work.broken[chunk[0]] = str(exc)
            return
        names = work.folder.names.split(b"\0")
        fd = self._folders.open(work.folder.path)
        for index in chunk:
            self._take(self._job(work, [index], [names[index]], work.size(index), fd))
