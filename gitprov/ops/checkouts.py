"""What was checked out or added last at a path: what may be written over without loss.

A row for an artifact says that all of it is here. Rows for parts, without one for the artifact, say
that only these parts are; beside one for the artifact they are newer than it, and may say that
nothing is at a path any more.

It is kept in the cache. Losing it is safe: then `gitprov checkout` asks for --force where it cannot
tell whether a file was changed, and `gitprov add` where it cannot tell deleted from never here.
"""

import contextlib
import os
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from gitprov.core.paths import RepoPath
from gitprov.errors import EnvironmentFault, UnavailableError
from gitprov.model.entry import Entry, manifest_root
from gitprov.model.manifest import Manifest
from gitprov.ops.manifests import Load, splice
from gitprov.workspace import Workspace


@dataclass(frozen=True, slots=True)
class CheckedOut:
    """What is known to be here of one artifact.

    Attributes:
        artifact: its path.
        whole: what all of it was, None when that was never here.
        parts: what parts of it were; these count where they lie.
    """

    artifact: RepoPath
    whole: Entry | None
    parts: dict[RepoPath, Entry]

    @property
    def is_known(self) -> bool:
        """Whether anything is known at all."""
        return self.whole is not None or bool(self.parts)

    @property
    def is_partial(self) -> bool:
        """Whether only parts of it are here."""
        return self.whole is None and bool(self.parts)

    def covers(self, path: RepoPath) -> bool:
        """Whether a path of a partial checkout was ever here."""
        return self.whole is not None or any(part.contains(path) for part in self.parts)

    def expected(self, load: Load) -> tuple[Entry | None, Load]:
        """Returns what should be here as one entry, and what loads its manifests.

        None stands for "not known", which is the safe side.
        """
        made: dict[bytes, Manifest] = {}

        def load_made(root: bytes) -> Manifest:
            return made[root] if root in made else load(root)

        def keep(root: bytes, entries: tuple[Entry, ...]) -> None:
            made[root] = Manifest.of(entries)

        if not self.parts:
            return self.whole, load
        keep(manifest_root(()), ())
        top = self.whole or Entry(self.artifact.name, "d", manifest_root(()), 0)
        for path, entry in sorted(self.parts.items()):
            new = entry if entry.kind else None
            try:
                top = splice(load_made, top, path.below(self.artifact).split(b"/"), new, keep)
            except UnavailableError:
                return None, load
        return top, load_made


def nothing(name: bytes) -> Entry:
    """Returns what is noted for a part that was taken out of its artifact."""
    return Entry(name, "", b"", 0)


def checked_out(ws: Workspace, artifact: RepoPath) -> CheckedOut:
    """Returns what is known to be here of an artifact."""
    rows = _rows(
        ws,
        "SELECT path, kind, digest, size FROM checkouts "
        "WHERE worktree = ?1 AND (path = ?2 OR (path >= ?3 AND path < ?4))",
        (_worktree(ws), artifact.raw, *_below(artifact)),
    )
    entries = {
        RepoPath(path): Entry(RepoPath(path).name, kind, digest, size)
        for path, kind, digest, size in rows
    }
    return CheckedOut(artifact, entries.pop(artifact, None), entries)


def artifacts_here(ws: Workspace) -> set[RepoPath]:
    """Returns every path of this worktree for which something is known."""
    rows = _rows(ws, "SELECT path FROM checkouts WHERE worktree = ?", (_worktree(ws),))
    return {RepoPath(path) for (path,) in rows}


def _rows(ws: Workspace, query: str, values: Sequence[object]) -> list[Any]:
    """Asks the cache; one that is damaged knows nothing, a disk that fails is another matter."""
    for _ in range(2):  # SQLite calls it damage, too, when reading has failed once
        try:
            return ws.cache.execute(query, values).fetchall()
        except sqlite3.OperationalError as exc:
            raise EnvironmentFault(f"cannot read the cache of {ws.repo.data_dir}: {exc}") from exc
        except sqlite3.DatabaseError:
            continue
    return []


def remember(ws: Workspace, path: RepoPath, entry: Entry) -> None:
    """Notes what an artifact, or a part of one, is now; what was known of its parts goes."""
    _transaction(ws, [path], [(path, entry)])


def update(
    ws: Workspace, gone: Collection[RepoPath], here: Collection[tuple[RepoPath, Entry]]
) -> None:
    """Forgets some paths with all below them, then notes others."""
    _transaction(ws, [*gone, *(path for path, _ in here)], here)


def forget(ws: Workspace, path: RepoPath) -> None:
    """Notes that nothing of the artifact, or of that part, is here any more."""
    _transaction(ws, [path], ())


def _transaction(
    ws: Workspace, gone: Collection[RepoPath], new: Collection[tuple[RepoPath, Entry]]
) -> None:
    worktree = _worktree(ws)
    # What cannot be noted is not known, which is safe.
    with contextlib.suppress(sqlite3.DatabaseError):
        ws.cache.execute("BEGIN IMMEDIATE")
        try:
            ws.cache.executemany(
                "DELETE FROM checkouts WHERE worktree = ?1 "
                "AND (path = ?2 OR (path >= ?3 AND path < ?4))",
                [(worktree, path.raw, *_below(path)) for path in gone],
            )
            ws.cache.executemany(
                "INSERT OR REPLACE INTO checkouts VALUES (?, ?, ?, ?, ?)",
                [(worktree, path.raw, e.kind, e.digest, e.size) for path, e in new],
            )
        except BaseException:
            ws.cache.execute("ROLLBACK")
            raise
        ws.cache.execute("COMMIT")


def _below(path: RepoPath) -> tuple[bytes, bytes]:
    # "0" is the byte after "/", so this is the range of all that begins with `path/`.
    return path.raw + b"/", path.raw + b"0"


def _worktree(ws: Workspace) -> str:
    return os.path.relpath(ws.repo.git_dir, ws.repo.common_dir)
