"""The tree of a dataset elsewhere: the manifests that `gitprov add` would make of the same files.

An object store has names, no folders: a folder is what stands before a slash. All objects are files
of kind `f`, since nothing there says that one may be run.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from gitprov.core.paths import MAX_DEPTH, MAX_PATH_BYTES, RepoPath, check_names, show
from gitprov.errors import MalformedError
from gitprov.model.entry import Entry
from gitprov.model.manifest import Manifest
from gitprov.store.source import Item
from gitprov.worktree.folders import LEFTOVER, join
from gitprov.worktree.ignore import IGNORE_NAME, MAX_IGNORE_BYTES, Rules

Keep = Callable[[bytes, tuple[Entry, ...]], None]
"""Is given root and entries of every manifest."""


@dataclass(slots=True)
class _Folder:
    path: bytes
    files: dict[bytes, Item] = field(default_factory=dict)
    folders: "dict[bytes, _Folder]" = field(default_factory=dict)


class FarTree:
    """The folders and files that a listing stands for."""

    def __init__(self, artifact: RepoPath, items: Iterable[Item]) -> None:
        """Sorts objects into folders and checks every name, before anything is read.

        Raises:
            MalformedError: a name that no file can have, two that collide, a path that is too long,
                or a file where a folder is.
        """
        self._top = _Folder(artifact.raw)
        for item in items:
            *above, name = item.name.encode().split(b"/")
            path = artifact.raw + b"/" + item.name.encode()
            if len(path) > MAX_PATH_BYTES or path.count(b"/") >= MAX_DEPTH:
                raise MalformedError(f"the path {show(path)[:200]} is too long or too deep")
            folder = self._top
            for part in above:
                if part not in folder.folders:
                    folder.folders[part] = _Folder(join(folder.path, part))
                folder = folder.folders[part]
            folder.files[name] = item
        for folder in self._folders():
            _check(folder)

    def leave_out(self, rules: Rules | None, read: Callable[[Item], bytes]) -> None:
        """Takes out what `.gitprovignore` files and leftovers of ours would take out of a folder.

        Args:
            rules: those that hold at the artifact.
            read: returns the bytes of an object that is an ignore file.

        Raises:
            MalformedError: an ignore file is too large.
        """
        waiting = [(self._top, rules)]
        while waiting:
            folder, above = waiting.pop()
            inside = above
            file = folder.files.get(IGNORE_NAME)
            if file is not None:
                if file.size > MAX_IGNORE_BYTES:
                    where = show(join(folder.path, IGNORE_NAME))
                    raise MalformedError(f"{where} is larger than {MAX_IGNORE_BYTES} bytes")
                inside = Rules.parse(above, folder.path, read(file))
            for name in [*folder.files]:
                if LEFTOVER.fullmatch(name) or _ignored(inside, folder, name, is_folder=False):
                    del folder.files[name]
            for name in [*folder.folders]:
                if _ignored(inside, folder, name, is_folder=True):
                    del folder.folders[name]
            waiting += [(below, inside) for below in folder.folders.values()]

    def items(self) -> Iterator[Item]:
        """Yields what is to be read."""
        for folder in self._folders():
            yield from folder.files.values()

    def build(self, digests: Mapping[str, bytes], keep: Keep) -> tuple[Entry, int]:
        """Returns the whole as one entry, and how many files it has.

        Args:
            digests: by the objects' names; b"" for one that is no file after all.
            keep: is given every manifest, those below first.
        """
        done: dict[bytes, tuple[Entry, int]] = {}
        for folder in reversed([*self._folders()]):
            entries = [
                Entry(name, "f", digests[item.name], item.size)
                for name, item in folder.files.items()
                if digests[item.name]
            ]
            count = len(entries)
            for name in folder.folders:
                entry, files = done.pop(join(folder.path, name))
                entries.append(entry)
                count += files
            manifest = Manifest.of(entries)
            keep(manifest.root.raw, manifest.entries)
            name = folder.path.rpartition(b"/")[2]
            entry = Entry(name, "d", manifest.root.raw, manifest.size)
            done[folder.path] = entry, count
        return done[self._top.path]

    def _folders(self) -> Iterator[_Folder]:
        """Every folder, parents first."""
        waiting = [self._top]
        while waiting:
            folder = waiting.pop()
            yield folder
            waiting += folder.folders.values()


def _check(folder: _Folder) -> None:
    for name in folder.folders.keys() & folder.files.keys():
        # An empty object is how some tools mark a folder: `name/`, which is listed as `name`.
        if folder.files[name].size:
            raise MalformedError(
                f"{show(join(folder.path, name))} is an object, and there are others below it: no "
                "folder can hold a file and a folder of one name",
                hint="rename one of them",
            )
        del folder.files[name]
    try:
        check_names([*folder.files, *folder.folders])
    except MalformedError as exc:
        raise MalformedError(f"in {show(folder.path)}: {exc}", hint="rename the object") from None


def _ignored(rules: Rules | None, folder: _Folder, name: bytes, *, is_folder: bool) -> bool:
    # Rules that hide themselves would hide whatever they like.
    if rules is None or name == IGNORE_NAME:
        return False
    return rules.ignores(join(folder.path, name), is_folder=is_folder)
