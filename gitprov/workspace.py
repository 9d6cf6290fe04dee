"""Opens configuration, git, caches and store together; it has no behaviour of its own.

Each is imported when it is first opened: a commit waits for its hooks, which pay for what they use.
"""

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, cast

from blake3 import blake3

from gitprov.errors import EnvironmentFault, MalformedError, UnavailableError, UsageError
from gitprov.git.objects import ObjectReader
from gitprov.git.repo import Repository
from gitprov.platform.files import atomic_write, read_bounded

if TYPE_CHECKING:
    import sqlite3

    from gitprov.config import Config
    from gitprov.core.canonical import Json
    from gitprov.git.tree_digest import TreeDigests
    from gitprov.store.local import LocalStore
    from gitprov.worktree.statcache import StatCache

_MAX_KEPT_BYTES = 4 << 20
_CACHE_VERSION = 3
_CACHE_SCHEMA = """
CREATE TABLE checkouts (
    worktree TEXT NOT NULL, path BLOB NOT NULL, kind TEXT NOT NULL, digest BLOB NOT NULL,
    size INTEGER NOT NULL, PRIMARY KEY (worktree, path)) WITHOUT ROWID;
CREATE TABLE stored (root BLOB PRIMARY KEY, fingerprint BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE objects (digest BLOB PRIMARY KEY, stat TEXT NOT NULL) WITHOUT ROWID
"""


@dataclass
class Workspace:
    """Everything that a verb works on. Close it, or use it in a `with`.

    Attributes:
        repo: the repository as seen from one worktree.
        cwd: where the user stands; paths on the command line are relative to it.
        waiting: is given a sentence when a lock takes long.
        tracked: the text of the tracked configuration, where it is that of another revision than
            the worktree's; None reads the worktree's.
    """

    repo: Repository
    cwd: str
    waiting: Callable[[str], None] | None = None
    tracked: bytes | None = None

    @classmethod
    def open(
        cls,
        cwd: str,
        *,
        waiting: Callable[[str], None] | None = None,
        git_dir: str | None = None,
        work_tree: str | None = None,
        offline: bool = False,
    ) -> Self:
        """Finds the repository around a folder; arguments as for `Repository.discover`."""
        repo = Repository.discover(cwd, git_dir=git_dir, work_tree=work_tree, offline=offline)
        return cls(repo, cwd, waiting)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends git's helper processes and closes the databases."""
        self.repo.close()
        for name in ("cache", "store"):
            opened = self.__dict__.pop(name, None)
            if opened is not None:
                opened.close()

    @property
    def objects(self) -> ObjectReader:
        """Reads git's objects."""
        return self.repo.objects

    @property
    def worktree(self) -> str:
        """The top of the worktree.

        Raises:
            UsageError: the repository is bare.
        """
        if self.repo.worktree is None:
            raise UsageError("this needs a worktree, and the repository is bare")
        return self.repo.worktree

    @cached_property
    def cache(self) -> "sqlite3.Connection":
        """What can be computed again: digests by git's ids, stats of files."""
        from gitprov.git.tree_digest import SCHEMA as GIT_SCHEMA
        from gitprov.platform.sqlite import open_database
        from gitprov.worktree.statcache import SCHEMA as STAT_SCHEMA

        path = os.path.join(self.repo.data_dir, "cache.db")
        schema = ";".join((GIT_SCHEMA, STAT_SCHEMA, _CACHE_SCHEMA))
        return open_database(path, schema=schema, version=_CACHE_VERSION, durable=False)

    @cached_property
    def digests(self) -> "TreeDigests":
        """The roots of git's trees."""
        from gitprov.git.tree_digest import TreeDigests

        return TreeDigests(self.objects, self.cache)

    @cached_property
    def stats(self) -> "StatCache":
        """What this worktree's artifacts looked like when they were last read."""
        from gitprov.worktree.statcache import StatCache

        return StatCache(self.cache, os.path.relpath(self.repo.git_dir, self.repo.common_dir))

    @cached_property
    def config(self) -> "Config":
        """The configuration of the worktree's tracked file and of this clone."""
        from gitprov.config import LOCAL_NAME, TRACKED_NAME, Config

        tracked = self.tracked or b""
        if self.tracked is None and self.repo.worktree is not None:
            tracked = _read_config(os.path.join(self.repo.worktree, TRACKED_NAME))
        local = _read_config(os.path.join(self.repo.data_dir, LOCAL_NAME))
        if not tracked and not local:
            return Config()
        return Config.of(*self._parsed(tracked, local))

    def config_says(self, word: bytes) -> bool:
        """Whether a word occurs in the configuration at all; parsing it costs a hook too much."""
        folders = [self.repo.data_dir, *([self.repo.worktree] if self.repo.worktree else [])]
        for folder, name in zip(folders, ("config.yaml", ".gitprov.yaml"), strict=False):
            with contextlib.suppress(MalformedError, UnavailableError):
                if word in read_bounded(os.path.join(folder, name), _MAX_KEPT_BYTES):
                    return True
        return False

    def forget_config(self) -> None:
        """Reads the configuration, and opens the store, anew at the next question."""
        self.__dict__.pop("config", None)
        store = self.__dict__.pop("store", None)
        if store is not None:
            store.close()

    def _parsed(self, tracked: bytes, local: bytes) -> "list[dict[str, Json]]":
        """The two files' mappings. PyYAML takes a third of a hook's time, so they are kept."""
        from gitprov.config import LOCAL_NAME, TRACKED_NAME, load_yaml

        path = os.path.join(self.repo.git_dir, "gitprov-config.json")
        key = blake3(len(tracked).to_bytes(8, "big") + tracked + local).hexdigest()
        kept = _kept_config(path)
        if kept.get("key") == key:
            return cast("list[dict[str, Json]]", kept["files"])
        files = [
            load_yaml(_text(tracked, TRACKED_NAME), what=TRACKED_NAME),
            load_yaml(_text(local, LOCAL_NAME), what=LOCAL_NAME),
        ]
        try:
            text = json.dumps({"key": key, "files": files})
        except TypeError:  # a date, which only the policy section lets through
            return files
        with contextlib.suppress(EnvironmentFault):  # a repository that only lets itself be read
            atomic_write(path, text.encode(), durable=False)
        return files

    @property
    def store_path(self) -> str:
        """The folder of the content store."""
        return self.config.store.path or self.repo.data_dir

    @cached_property
    def store(self) -> "LocalStore":
        """The content store."""
        from gitprov.store.local import LocalStore  # msgspec: 40 ms that post-commit never needs

        return LocalStore(self.store_path, waiting=self.waiting)


def _kept_config(path: str) -> "dict[str, Any]":
    try:
        kept = json.loads(read_bounded(path, _MAX_KEPT_BYTES))
    except (MalformedError, UnavailableError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _read_config(path: str) -> bytes:
    from gitprov.config import MAX_CONFIG_BYTES

    try:
        return read_bounded(path, MAX_CONFIG_BYTES)
    except UnavailableError:
        return b""
    except MalformedError as exc:
        raise UsageError(f"cannot use the configuration: {exc}") from exc


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{name} is not UTF-8") from None
