"""One folder of a scan: what the stat cache knows of it, and what has to be read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gitprov.worktree.statcache import FILE, FOLDER, NEVER, STAT, Row
from gitprov.worktree.tree import Tree, kind_of
from gitprov.worktree.walk import Folder

Known = Mapping[bytes, Mapping[bytes, tuple[int, int, bytes]]]
"""Files that were just written: folder -> name -> (mtime in nanoseconds, size, digest)."""

Needs = Callable[[list[bytes]], set[bytes]]
"""Is given digests that the stat cache knows; returns those that the sink has to be given."""

_FINE_MARGIN = 50_000_000
_COARSE_MARGIN = 2_000_000_000
_COARSE_UNIT = 1_000_000


@dataclass(slots=True)
class Work:
    """A folder, and how far its digests are known.

    Attributes:
        folder: as it was found.
        row: what the stat cache has of it.
        digests: 32 bytes an entry.
        unread: the indexes to read; afterwards, those that were read.
        same: whether names and times are those of the row.
        broken: why an entry could not be read, by index; only in a lenient scan.
    """

    folder: Folder
    row: Row | None
    digests: bytearray
    unread: Sequence[int]
    same: bool
    broken: dict[int, str] = field(default_factory=dict)

    @property
    def key(self) -> bytes:
        """The path of its row in the stat cache."""
        return self.folder.path if self.folder.single is None else self.folder.single

    def stat(self, index: int) -> bytes:
        """Returns the `STAT` of one entry."""
        return bytes(self.folder.stats[index * STAT.size : (index + 1) * STAT.size])

    def size(self, index: int) -> int:
        """Returns the size of one entry."""
        size: int = STAT.unpack_from(self.folder.stats, index * STAT.size)[1]
        return size

    def sizes(self) -> list[int]:
        """Returns the size of each entry."""
        return [size for _, size, _, _, _ in STAT.iter_unpack(self.folder.stats)]

    def set_stat(self, index: int, stat: bytes) -> None:
        """Notes the `STAT` of an entry that moved on while it was read."""
        self.folder.stats[index * STAT.size : (index + 1) * STAT.size] = stat

    def set(self, index: int, digest: bytes) -> None:
        """Notes the digest of one entry."""
        self.digests[index * 32 : index * 32 + 32] = digest

    def digest(self, index: int) -> bytes:
        """Returns the digest of one entry."""
        return bytes(self.digests[index * 32 : index * 32 + 32])

    def new_row(self, tree: Tree) -> Row:
        """Returns what the stat cache is to remember."""
        folder = self.folder
        stats = bytearray(folder.stats)
        times = [(mtime, ctime) for _, _, mtime, ctime, _ in STAT.iter_unpack(folder.stats)]
        for index in self.unread:
            if _is_fresh(*times[index], folder.started):
                stats[index * STAT.size : (index + 1) * STAT.size] = NEVER
        names = folder.names if folder.single is None else FILE
        return Row(names, bytes(stats), bytes(self.digests), tree.root, tree.size, tree.files)

    def tree(self) -> Tree:
        """Returns the node, without its children and sums."""
        folder = self.folder
        sizes: dict[int, int | None] = dict.fromkeys(folder.targets)
        sizes.update((index, size) for index, (_, size) in folder.stored.items())
        kind = "d"
        if folder.single is not None:
            kind = "f" if folder.stored else kind_of(STAT.unpack_from(folder.stats)[0])
        tree = Tree(kind, folder.names, bytes(folder.stats), bytes(self.digests), links=sizes)
        tree.odd, tree.leftovers = folder.odd, folder.leftovers
        return tree

    def drop_broken(self) -> None:
        """Moves the entries that could not be read to the folder's `odd`."""
        folder = self.folder
        if folder.single is not None:
            folder.odd[b""] = self.broken[0]
            self.digests, self.unread = bytearray(32), ()
            return
        names = folder.names.split(b"\0")
        folder.odd.update((names[index], why) for index, why in self.broken.items())
        kept = [index for index in range(len(names)) if index not in self.broken]
        place = {old: new for new, old in enumerate(kept)}
        folder.names = b"\0".join(names[index] for index in kept)
        folder.stats, self.digests = (
            bytearray(b"".join(self.stat(index) for index in kept)),
            bytearray(b"".join(self.digest(index) for index in kept)),
        )
        folder.subfolders = {place[i]: name for i, name in folder.subfolders.items()}
        folder.targets = {place[i]: text for i, text in folder.targets.items() if i in place}
        folder.stored = {place[i]: what for i, what in folder.stored.items() if i in place}
        self.unread = [place[index] for index in self.unread if index in place]


def _is_fresh(mtime: int, ctime: int, started: int) -> bool:
    """Whether the file could change once more without its times showing it.

    The clock of a file system ticks every few milliseconds, on some of them every two seconds.
    """
    margin = _FINE_MARGIN if ctime % _COARSE_UNIT else _COARSE_MARGIN
    # A time far in the future, which `touch` can set, is as good as one in the past; but a ctime
    # comes from the same clock as the next change's.
    return ctime > started - margin or abs(mtime - started) < margin


def compare(folder: Folder, rows: Mapping[bytes, Row], known: Known) -> Work:
    """Returns what has to be read of a folder, given the rows of the stat cache."""
    if folder.single is not None and folder.odd:
        return Work(folder, None, bytearray(32), (), same=False)
    row = rows.get(folder.path if folder.single is None else folder.single)
    names = folder.names if folder.single is None else FILE
    if row is not None and row.names == names and row.stats == folder.stats:
        work = Work(folder, row, bytearray(row.digests), (), same=True)
    else:
        digests = bytearray(32 * (len(folder.stats) // STAT.size))
        work = Work(folder, row, digests, (), same=False)
        written = known.get(folder.path)
        if row is None and not written and not folder.subfolders:
            work.unread = range(len(folder.stats) // STAT.size)
        else:
            work.unread = _unread(work, row, written or {})
    if folder.stored:
        for index, (digest, _) in folder.stored.items():
            work.set(index, digest)
        work.unread = [index for index in work.unread if index not in folder.stored]
    return work


def _unread(
    work: Work, row: Row | None, written: Mapping[bytes, tuple[int, int, bytes]]
) -> list[int]:
    folder = work.folder
    old = _by_name(row, folder.single)
    unread = []
    for index, name in enumerate(folder.names.split(b"\0") if folder.names else ()):
        stat = work.stat(index)
        if stat == FOLDER:
            continue
        before = old.get(name)
        if before is not None and before[0] == stat:
            work.set(index, before[1])
            continue
        just = written.get(name)
        if just is not None:
            mode, size, mtime, _, _ = STAT.unpack(stat)
            if kind_of(mode) in {"f", "x"} and (mtime, size) == just[:2]:
                work.set(index, just[2])
                continue
        unread.append(index)
    return unread


def _by_name(row: Row | None, single: bytes | None) -> dict[bytes, tuple[bytes, bytes]]:
    if row is None or not row.names or (row.names == FILE) != (single is not None):
        return {}
    names = [single.rpartition(b"/")[2]] if single is not None else row.names.split(b"\0")
    size = STAT.size
    return {
        name: (row.stats[i * size : i * size + size], row.digests[i * 32 : i * 32 + 32])
        for i, name in enumerate(names)
    }


def add_needed(works: Sequence[Work], needs: Needs) -> None:
    """Marks files that the cache knows but the sink lacks to be read all the same."""
    wanted: list[bytes] = []
    for work in works:
        wanted += (work.digest(index) for index in _cached(work))
    missing = needs(wanted) if wanted else set()
    if not missing:
        return
    for work in works:
        added = [index for index in _cached(work) if work.digest(index) in missing]
        if added:
            work.unread = sorted({*work.unread, *added})


def _cached(work: Work) -> list[int]:
    skip = {*work.unread, *work.folder.subfolders, *work.folder.stored}
    return [index for index in range(len(work.folder.stats) // STAT.size) if index not in skip]


def unchanged_roots(works: Sequence[Work]) -> dict[bytes, bytes]:
    """Returns the roots of the folders in which, all the way down, nothing has to be read."""
    roots: dict[bytes, bytes] = {}
    for work in reversed(works):
        row = work.row
        if row is None or not work.same or work.unread or work.folder.single is not None:
            continue
        prefix = work.folder.path + b"/"
        if all(
            roots.get(prefix + name) == work.digest(index)
            for index, name in work.folder.subfolders.items()
        ):
            roots[work.folder.path] = row.root
    return roots
