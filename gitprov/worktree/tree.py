"""What a scan found: a file, or a folder with what is below it."""

from collections.abc import Mapping
from operator import itemgetter

from gitprov.model.entry import Entry
from gitprov.worktree.statcache import STAT

_TYPES = {"d": "dir", "f": "file", "x": "exec", "l": "link"}


def kind_of(mode: int) -> str:
    """Returns the manifest's kind for st_mode; "" for what a manifest cannot hold."""
    form = mode & 0o170000
    if form == 0o100000:
        return "x" if mode & 0o100 else "f"
    return {0o120000: "l", 0o040000: "d"}.get(form, "")


class Tree:
    """One node of a scan.

    A folder keeps its entries packed, because a dataset has a hundred thousand of them.

    Attributes:
        kind: "d", "f", "x" or "l", as in a manifest.
        root: the manifest root, or the digest of the file or of the link's target.
        size: bytes below.
        files: regular files and symlinks below; 1 for a file.
        children: the subfolders by name.
        odd: names that are there but are no part of the tree, with the reason; b"" for the folder
            itself when it cannot be read. Filled only by a lenient scan.
        leftovers: temporary files of an interrupted checkout.
    """

    __slots__ = (
        "_digests",
        "_links",
        "_names",
        "_stats",
        "children",
        "files",
        "kind",
        "leftovers",
        "odd",
        "root",
        "size",
    )

    def __init__(
        self,
        kind: str,
        names: bytes,
        stats: bytes,
        digests: bytes,
        *,
        links: Mapping[int, int | None] | None = None,
    ) -> None:
        """Takes a folder's entries packed as in `Row`, or those of a single file.

        `links` names the symlinks by index; one that stands for a file in the store has a size.
        """
        self.kind = kind
        self._names = names
        self._stats = stats
        self._digests = digests
        self._links = links or {}
        self.children: dict[bytes, Tree] = {}
        self.odd: dict[bytes, str] = {}
        self.leftovers: list[bytes] = []
        self.root = b""
        self.size = 0
        self.files = 0

    @property
    def type(self) -> str:
        """The pointer's word for the kind: "dir", "file", "exec"; "link" has no pointer."""
        return _TYPES[self.kind]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries of a folder, sorted by name; made anew each time. None of a file."""
        if self.kind != "d" or not self._names:
            return ()
        digests = self._digests
        entries = [
            Entry(name, "x" if mode & 0o100 else "f", digests[i : i + 32], size)
            for name, i, (mode, size, _, _, _) in zip(
                self._names.split(b"\0"),
                range(0, len(digests), 32),
                STAT.iter_unpack(self._stats),
                strict=True,
            )
        ]
        # Links and folders are few; the loop above stays free of them.
        if self._links or self.children:
            self._correct(entries)
        entries.sort(key=itemgetter(0))
        return tuple(entries)

    def _correct(self, entries: list[Entry]) -> None:
        for i, entry in enumerate(entries):
            child = self.children.get(entry.name)
            if child is not None:
                entries[i] = Entry(entry.name, "d", child.root, child.size)
            elif i in self._links:
                size = self._links[i]
                if size is None:
                    entries[i] = entry._replace(kind="l")
                else:
                    entries[i] = entry._replace(kind="f", size=size)

    def names_ending(self, suffix: bytes) -> list[bytes]:
        """Returns the names of a folder's entries that end so; quick when there is none."""
        if self.kind != "d" or suffix not in self._names:
            return []
        return [name for name in self._names.split(b"\0") if name.endswith(suffix)]

    def stats(self) -> dict[bytes, bytes]:
        """Returns the packed `STAT` of each entry of a folder by name, as they were when read."""
        size = STAT.size
        names = self._names.split(b"\0") if self._names else []
        return {name: self._stats[i * size : (i + 1) * size] for i, name in enumerate(names)}

    @property
    def stat(self) -> bytes:
        """The packed `STAT` of a single file."""
        return self._stats[: STAT.size]
