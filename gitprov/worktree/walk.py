"""Walks the folders of an artifact: names, kinds and times, without opening a file."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from gitprov.core.paths import MAX_PATH_BYTES, RepoPath, check_name, check_names, show
from gitprov.errors import EnvironmentFault, GitprovError, MalformedError, UnavailableError
from gitprov.worktree.folders import LEFTOVER, TEMPORARY, Folders, fault, join
from gitprov.worktree.ignore import IGNORE_NAME, Rules, read_rules
from gitprov.worktree.reading import pack
from gitprov.worktree.statcache import FOLDER
from gitprov.worktree.tree import kind_of

StoreLink = Callable[[bytes], tuple[bytes, int] | None]
"""Given a symlink's target, the digest and size of the file in the store that it stands for."""

IGNORED = "it is ignored"
"""The reason in `Folder.odd` of a name that `.gitprovignore` takes out."""

_TEMPORARY = os.fsdecode(TEMPORARY)
_IGNORE = os.fsdecode(IGNORE_NAME)
_SPECIAL = {0o140000: "a socket", 0o010000: "a FIFO", 0o020000: "a device", 0o060000: "a device"}


@dataclass(slots=True)
class Folder:
    """One folder as the walk found it; or a single file, as a folder that holds nothing else.

    Attributes:
        path: relative to the repository.
        started: the clock in nanoseconds before anything was looked at.
        names: joined by NUL, in the order the file system gave them.
        stats: one `STAT` each; `FOLDER` for a subfolder.
        files: how many entries are no subfolders.
        size: the bytes of the regular files.
        subfolders: their indexes and names.
        targets: of the symlinks, by index.
        stored: digest and size of the symlinks that stand for a file in the store, by index.
        odd: as in `Tree`.
        leftovers: as in `Tree`.
        single: the artifact's path when it is a single file; `odd` has b"" when it cannot be kept.
    """

    path: bytes
    started: int
    names: bytes = b""
    stats: bytearray = field(default_factory=bytearray)
    files: int = 0
    size: int = 0
    subfolders: dict[int, bytes] = field(default_factory=dict)
    targets: dict[int, bytes] = field(default_factory=dict)
    stored: dict[int, tuple[bytes, int]] = field(default_factory=dict)
    odd: dict[bytes, str] = field(default_factory=dict)
    leftovers: list[bytes] = field(default_factory=list)
    single: bytes | None = None


class Walker:
    """Walks one artifact, or a part of it."""

    def __init__(
        self,
        folders: Folders,
        artifact: bytes,
        found: Callable[[int, int], None],
        *,
        store_link: StoreLink | None,
        lenient: bool,
        ignoring: bool,
    ) -> None:
        """Takes the open worktree and what `Scanner.scan` was asked for."""
        self._folders = folders
        self._artifact = artifact
        self._found = found
        self._store_link = store_link
        self._lenient = lenient
        self._ignoring = ignoring

    def walk(self, path: RepoPath) -> Iterator[Folder]:
        """Yields every folder, parents first.

        Raises:
            UnavailableError, MalformedError, EnvironmentFault: as `Scanner.scan`.
        """
        rules: Rules | None = None
        try:
            fd = self._folders.open(b"")
            for above in reversed(list(path.ancestors())):
                fd = self._folders.open(above.raw)
                if self._ignoring:
                    rules = read_rules(rules, above.raw, fd)
            status = os.stat(path.name or b".", dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            raise UnavailableError(f"{path} is not in the worktree") from None
        except OSError as exc:
            raise fault(exc, "look at", path.raw) from exc
        if kind_of(status.st_mode) == "d":
            yield from self._below(path.raw, rules)
        else:
            yield self._single(path, status)

    def _below(self, top: bytes, rules: Rules | None) -> Iterator[Folder]:
        waiting = [(top, rules)]
        while waiting:
            path, above = waiting.pop()
            folder = Folder(path, time.time_ns())
            inside = above
            try:
                if len(path) > MAX_PATH_BYTES:
                    raise MalformedError(f"the path {show(path)} is too long")
                inside = self._look(folder, above)
            except FileNotFoundError:
                raise EnvironmentFault(f"{show(path)} vanished while it was scanned") from None
            except GitprovError as exc:
                if not self._lenient:
                    raise
                folder = Folder(path, folder.started, odd={b"": str(exc)})
            yield folder
            below = [(join(path, name), inside) for name in folder.subfolders.values()]
            waiting.extend(reversed(below))

    def _look(self, folder: Folder, above: Rules | None) -> Rules | None:
        """Fills a folder; returns the ignore rules that hold inside it."""
        fd = self._folders.open(folder.path)
        rules = above
        try:
            with os.scandir(fd) as listing:
                entries = list(listing)
        except OSError as exc:
            raise fault(exc, "read the folder", folder.path) from exc
        texts = [entry.name for entry in entries]
        if self._ignoring and _IGNORE in texts:
            rules = read_rules(above, folder.path, fd)
        if rules is not None or "\0" + _TEMPORARY in "\0" + "\0".join(texts):
            entries = [entry for entry in entries if self._wanted(folder, entry, rules)]
            texts = [entry.name for entry in entries]
        names = os.fsencode("\0".join(texts)).split(b"\0") if texts else []
        try:
            check_names(names)
        except MalformedError as exc:
            refused = self._refused(folder, names, exc)
            entries = [e for e, name in zip(entries, names, strict=True) if name not in refused]
            names = [name for name in names if name not in refused]
        self._stat(folder, entries, names)
        return rules

    def _wanted(self, folder: Folder, entry: os.DirEntry[str], rules: Rules | None) -> bool:
        name = os.fsencode(entry.name)
        if LEFTOVER.fullmatch(name) and not entry.is_dir(follow_symlinks=False):
            folder.leftovers.append(name)
            return False
        # Rules that hide themselves would hide whatever they like.
        if rules is None or name == IGNORE_NAME:
            return True
        is_folder = entry.is_dir(follow_symlinks=False)
        if rules.ignores(join(folder.path, name), is_folder=is_folder):
            if self._lenient:
                folder.odd[name] = IGNORED
            return False
        return True

    def _refused(self, folder: Folder, names: list[bytes], exc: MalformedError) -> set[bytes]:
        """Raises for the folder, or when lenient returns the names that are refused alone."""
        if not self._lenient:
            raise MalformedError(
                f"in {show(folder.path) or 'the repository'}: {exc}", hint=exc.hint
            ) from None
        refused = set()
        for name in names:
            try:
                check_name(name)
            except MalformedError as why:
                refused.add(name)
                folder.odd[name] = str(why)
        return refused

    def _stat(self, folder: Folder, entries: list[os.DirEntry[str]], names: list[bytes]) -> None:
        packed: list[bytes] = []
        left_out: set[int] = set()
        total = 0
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                left_out.add(len(packed))  # it was removed since it was listed
                packed.append(b"")
                continue
            except OSError as exc:
                path = join(folder.path, names[len(packed)])
                raise fault(exc, "look at", path) from exc
            if status.st_mode & 0o170000 == 0o100000:
                total += status.st_size
                packed.append(pack(status))
            else:
                at = len(packed) - len(left_out)
                stat = self._special(folder, at, names[len(packed)], status)
                if not stat:
                    left_out.add(len(packed))
                packed.append(stat)
        if left_out:
            names = [name for i, name in enumerate(names) if i not in left_out]
        folder.names = b"\0".join(names)
        folder.stats = bytearray(b"".join(packed))
        folder.files = len(names) - len(folder.subfolders)
        folder.size = total
        self._found(folder.files, total)

    def _special(self, folder: Folder, at: int, name: bytes, status: os.stat_result) -> bytes:
        """Notes what is no regular file; returns its `STAT`, b"" when it is to be left out."""
        kind = kind_of(status.st_mode)
        if kind == "d":
            folder.subfolders[at] = name
            return FOLDER
        try:
            if kind != "l":
                what = _SPECIAL.get(status.st_mode & 0o170000, "no regular file")
                raise MalformedError(
                    f"{show(join(folder.path, name))} is {what}, which cannot be kept",
                    hint="remove it, or exclude it with a line in .gitprovignore",
                )
            self._link(folder, at, name)
        except FileNotFoundError:
            return b""
        except GitprovError as exc:
            if not self._lenient:
                raise
            folder.odd[name] = str(exc)
            return b""
        return pack(status)

    def _link(self, folder: Folder, at: int, name: bytes) -> None:
        fd = self._folders.open(folder.path)
        path = join(folder.path, name)
        try:
            target = os.readlink(name, dir_fd=fd)
        except FileNotFoundError:
            raise
        except OSError as exc:
            raise fault(exc, "read", path) from exc
        stored = self._store_link(target) if self._store_link is not None else None
        if stored is not None:
            folder.stored[at] = stored
        else:
            inside = folder.path[len(self._artifact) :].strip(b"/")
            if leaves(target, inside):
                raise MalformedError(
                    f"the symbolic link {show(path)} -> {show(target)} leaves the artifact",
                    hint="replace it by what it points to, or exclude it in .gitprovignore",
                )
        folder.targets[at] = target

    def _single(self, path: RepoPath, status: os.stat_result) -> Folder:
        folder = Folder(path.parent.raw, time.time_ns(), single=path.raw, names=path.name)
        if kind_of(status.st_mode) not in {"f", "x"}:
            if path.raw == self._artifact and self._store_link is None and not self._lenient:
                raise MalformedError(
                    f"{path} is a symbolic link or no regular file",
                    hint="an artifact is a file or a folder; add what the link points to",
                )
            if not self._special(folder, 0, path.name, status):
                if not folder.odd:
                    raise UnavailableError(f"{path} vanished while it was scanned")
                folder.odd = {b"": folder.odd[path.name]}
        folder.stats = bytearray(pack(status))
        folder.files, folder.size = 1, status.st_size
        self._found(1, status.st_size)
        return folder


def leaves(target: bytes, folder: bytes) -> bool:
    """Whether a link's target lies outside the artifact, or may.

    A `..` behind a name is taken for leaving: the name may be a link itself, and then only the
    file system knows what is above it.

    Args:
        target: the link's text.
        folder: where the link is, relative to the artifact; empty for the artifact itself.
    """
    if target.startswith(b"/"):
        return True
    depth = len(folder.split(b"/")) if folder else 0
    named = False
    for part in target.split(b"/"):
        if part == b"..":
            depth -= 1
            if named or depth < 0:
                return True
        elif part not in {b"", b"."}:
            named = True
    return False
