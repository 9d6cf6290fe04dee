"""Opens configuration, git, caches and store together; it has no behaviour of its own."""

import json
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

from blake3 import blake3

from gitprov.config import (
    LOCAL_NAME,
    MAX_CONFIG_BYTES,
    TRACKED_NAME,
    Config,
    load_yaml,
)
from gitprov.errors import MalformedError, UnavailableError, UsageError
from gitprov.git.objects import ObjectReader
from gitprov.git.repo import Repository
from gitprov.git.tree_digest import SCHEMA as GIT_SCHEMA
from gitprov.git.tree_digest import TreeDigests
from gitprov.platform.files import read_bounded
from gitprov.platform.sqlite import open_database
from gitprov.worktree.statcache import SCHEMA as STAT_SCHEMA
from gitprov.worktree.statcache import StatCache

if TYPE_CHECKING:
    from gitprov.store.local import LocalStore

_CACHE_VERSION = 2
_CACHE_SCHEMA = f"""
{GIT_SCHEMA};
{STAT_SCHEMA};
CREATE TABLE configs (digest BLOB PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE checkouts (
    worktree TEXT NOT NULL, path BLOB NOT NULL, kind TEXT NOT NULL, digest BLOB NOT NULL,
    size INTEGER NOT NULL, PRIMARY KEY (worktree, path)) WITHOUT ROWID;
CREATE TABLE stored (root BLOB PRIMARY KEY, fingerprint BLOB NOT NULL) WITHOUT ROWID
"""


@dataclass
class Workspace:
    """Everything that a verb works on. Close it, or use it in a `with`.

    Attributes:
        repo: the repository as seen from one worktree.
        cwd: where the user stands; paths on the command line are relative to it.
        waiting: is given a sentence when a lock takes long.
    """

    repo: Repository
    cwd: str
    waiting: Callable[[str], None] | None = None

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
    def cache(self) -> sqlite3.Connection:
        """What can be computed again: digests by git's ids, stats of files, configurations."""
        path = os.path.join(self.repo.data_dir, "cache.db")
        return open_database(path, schema=_CACHE_SCHEMA, version=_CACHE_VERSION, durable=False)

    @cached_property
    def digests(self) -> TreeDigests:
        """The roots of git's trees."""
        return TreeDigests(self.objects, self.cache)

    @cached_property
    def stats(self) -> StatCache:
        """What this worktree's artifacts looked like when they were last read."""
        return StatCache(self.cache, os.path.relpath(self.repo.git_dir, self.repo.common_dir))

    @cached_property
    def config(self) -> Config:
        """The configuration of the worktree's tracked file and of this clone."""
        tracked = b""
        if self.repo.worktree is not None:
            tracked = _read_config(os.path.join(self.repo.worktree, TRACKED_NAME))
        local = _read_config(os.path.join(self.repo.data_dir, LOCAL_NAME))
        if not tracked and not local:
            return Config()
        return self._parsed(tracked, local)

    def forget_config(self) -> None:
        """Reads the configuration, and opens the store, anew at the next question."""
        self.__dict__.pop("config", None)
        store = self.__dict__.pop("store", None)
        if store is not None:
            store.close()

    def _parsed(self, tracked: bytes, local: bytes) -> Config:
        # Importing PyYAML and parsing takes a third of a hook's time; the text is the key.
        key = blake3(len(tracked).to_bytes(8, "big") + tracked + local).digest()
        row = self.cache.execute("SELECT document FROM configs WHERE digest = ?", (key,)).fetchone()
        if row is not None:
            return Config.of(*json.loads(row[0]))
        first = load_yaml(_text(tracked, TRACKED_NAME), what=TRACKED_NAME)
        second = load_yaml(_text(local, LOCAL_NAME), what=LOCAL_NAME)
        config = Config.of(first, second)
        try:
            document = json.dumps([first, second])
        except TypeError:  # a date, which only the policy section lets through
            return config
        self.cache.execute("INSERT OR REPLACE INTO configs VALUES (?, ?)", (key, document))
        return config

    @property
    def store_path(self) -> str:
        """The folder of the content store."""
        return self.config.store.path or self.repo.data_dir

    @cached_property
    def store(self) -> "LocalStore":
        """The content store."""
        from gitprov.store.local import LocalStore  # msgspec: 40 ms that post-commit never needs

        return LocalStore(self.store_path, waiting=self.waiting)


def _read_config(path: str) -> bytes:
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
