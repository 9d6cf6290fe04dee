"""DVC's cache: where it lies, in both of its layouts, and artifacts built from what is in it."""

import configparser
import os
from dataclasses import dataclass

from gitprov.config.dvc_files import DvcOut
from gitprov.core.paths import RepoPath, show
from gitprov.errors import MalformedError, UnavailableError, UsageError
from gitprov.git.command import split_nul
from gitprov.model.dvc_dir import MAX_DIR_BYTES, parse_dir
from gitprov.model.entry import Entry
from gitprov.ops.intake import Intake, OldName, grow
from gitprov.ops.migrated import Built, Once
from gitprov.ops.pointers import on_disk
from gitprov.platform.files import read_bounded
from gitprov.workspace import Workspace

_MAX_CONFIG = 64 << 10
_FETCH = "bring it from DVC's remote: dvc fetch (of all commits: dvc fetch --all-commits)"


@dataclass(frozen=True, slots=True)
class DvcCache:
    """The folders that may hold DVC's objects, and configured ones that are not looked into."""

    folders: tuple[str, ...]
    refused: tuple[str, ...] = ()

    def locate(self, name: OldName, ending: str = "") -> list[str]:
        """Returns where an object may lie: first as DVC 3 lays it out, then as DVC 2 does."""
        below = os.path.join(name.hex[:2], name.hex[2:] + ending)
        new = [os.path.join(folder, "files", "md5", below) for folder in self.folders]
        old = [os.path.join(folder, below) for folder in self.folders]
        return old + new if name.algorithm == "md5-dos2unix" else new + old


def find_cache(ws: Workspace, given: str | None) -> DvcCache:
    """Finds the caches of all DVC projects in the worktree.

    Args:
        ws: the workspace.
        given: a folder that the user names; it comes first.

    Raises:
        UsageError: the named folder is none.
    """
    folders: list[str] = []
    refused: list[str] = []
    if given is not None:
        path = os.path.join(ws.cwd, given)
        if not os.path.isdir(path):
            raise UsageError(f"there is no folder {show(os.fsencode(given))}")
        folders.append(path)
    listed = ws.repo.git.run("ls-files", "-z", "--", ".dvc/config", "*/.dvc/config")
    top = os.path.realpath(ws.worktree).rstrip("/")
    configs = {RepoPath(b".dvc/config"), *(RepoPath(raw) for raw in split_nul(listed))}
    for config in sorted(configs):
        home = os.fsdecode(on_disk(ws.worktree, config.parent))
        if os.path.realpath(home) != os.path.join(top, os.fsdecode(config.parent.raw)):
            continue  # behind a link: git cannot say what of it is tracked
        for name, is_ours in (("config.local", not _is_tracked(ws, config)), ("config", False)):
            chosen = _cache_dir(os.path.join(home, name))
            if chosen is None:
                continue
            path = os.path.normpath(os.path.join(home, chosen))
            if is_ours or os.path.realpath(path).startswith(top + "/"):
                folders.append(path)
            else:
                refused.append(chosen)
        tracked = _tracked_link(ws, config.parent / b"cache")
        if tracked is None:
            folders.append(os.path.join(home, "cache"))
        else:
            refused.append(tracked)
    return DvcCache(tuple(dict.fromkeys(folders)), tuple(refused))


def _is_tracked(ws: Workspace, config: RepoPath) -> bool:
    """Whether git tracks a `config.local`: then it is not this clone's own."""
    path = config.parent / b"config.local"
    return bool(ws.repo.git.run("--literal-pathspecs", "ls-files", "-z", "--", path.raw))


def _tracked_link(ws: Workspace, folder: RepoPath) -> str | None:
    """Returns where a link leads that git tracks at or below a folder, None when there is none."""
    output = ws.repo.git.run("--literal-pathspecs", "ls-files", "-z", "-s", "--", folder.raw)
    for row in split_nul(output):
        meta, _, path = row.partition(b"\t")
        if meta.startswith(b"120000 "):
            where = os.fsdecode(on_disk(ws.worktree, RepoPath(path)))
            return os.path.realpath(where)
    return None


def _cache_dir(path: str) -> str | None:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(read_bounded(path, _MAX_CONFIG).decode("utf-8"))
    except (UnavailableError, MalformedError, UnicodeDecodeError, configparser.Error):
        return None
    found = parser.get("cache", "dir", fallback=None)
    return found if found and "\0" not in found else None


class DvcBuilder:
    """Builds artifacts from DVC's cache, each once."""

    def __init__(self, cache: DvcCache, intake: Intake) -> None:
        """Takes where to look, and what brings files into the store."""
        self._cache = cache
        self._intake = intake
        self._once = Once()

    def build(self, out: DvcOut) -> Built:
        """Returns an output's content, which is in the store then.

        Raises:
            UnavailableError: some of it is not in the cache.
            VerificationError: a file of the cache is damaged, or a list is not DVC's.
            EnvironmentFault: it cannot be read.
        """
        make = self._folder if out.is_dir else self._file
        built = self._once.of((out.md5, out.is_dir, out.is_old), lambda: make(out))
        if out.is_dir:
            return built
        kind = "x" if out.is_exec else "f"
        name = _name(out.md5, is_old=out.is_old)
        weights = self._intake.weights(self._intake.take(name, self._cache.locate), out.path.name)
        return Built(built.entry._replace(kind=kind), 1, weights)

    def _file(self, out: DvcOut) -> Built:
        try:
            taken = self._intake.take(_name(out.md5, is_old=out.is_old), self._cache.locate)
        except UnavailableError:
            raise self._absent(f"its data (MD5 {out.md5}) is not in DVC's cache") from None
        return Built(Entry(b"", "f", taken.digest, taken.size), 1)

    def _folder(self, out: DvcOut) -> Built:
        listed = [(path, _name(md5, is_old=out.is_old)) for path, md5 in parse_dir(self._list(out))]
        # Before anything is read: what lacks one file of thousands is not imported.
        absent = [path for path, name in listed if not self._is_here(name)]
        if absent:
            raise self._absent(
                f"{len(absent):,} of its {len(listed):,} files are not in DVC's cache, "
                f"{show(absent[0])} for one"
            )
        rows: dict[bytes, Entry] = {}
        for path, name in listed:
            taken = self._intake.take(name, self._cache.locate)
            rows[path] = Entry(b"", "f", taken.digest, taken.size)
        return Built(grow(self._intake, rows), len(rows))

    def _is_here(self, name: OldName) -> bool:
        try:
            self._intake.look(name, self._cache.locate)
        except UnavailableError:
            return False
        return True

    def _list(self, out: DvcOut) -> bytes:
        name = OldName("md5", out.md5)
        for path in self._cache.locate(name, ".dir"):
            try:
                data = read_bounded(path, MAX_DIR_BYTES)
            except UnavailableError:
                continue
            self._intake.check(name, path, data)
            return data
        raise self._absent(f"its list of files (MD5 {out.md5}) is not in DVC's cache")

    def _absent(self, why: str) -> UnavailableError:
        hint = _FETCH
        if self._cache.refused:
            hint = (
                f"a tracked file names the cache {self._cache.refused[0]!r}, outside the "
                "repository: if you trust it, gitprov import-dvc --cache FOLDER"
            )
        return UnavailableError(why, hint=hint)


def _name(md5: str, *, is_old: bool) -> OldName:
    return OldName("md5-dos2unix" if is_old else "md5", md5)
