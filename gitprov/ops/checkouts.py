"""What was checked out or added last at an artifact's path: what may be written over without loss.

It is kept in the cache. Losing it is safe: then `gitprov checkout` asks for --force where it cannot
tell whether a file was changed.
"""

import os

from gitprov.core.paths import RepoPath
from gitprov.model.entry import Entry
from gitprov.workspace import Workspace


def checked_out(ws: Workspace, artifact: RepoPath) -> Entry | None:
    """Returns what the artifact was when it was last added or checked out here, or None."""
    row = ws.cache.execute(
        "SELECT kind, digest, size FROM checkouts WHERE worktree = ? AND path = ?",
        (_worktree(ws), artifact.raw),
    ).fetchone()
    return None if row is None else Entry(artifact.name, row[0], row[1], row[2])


def remember(ws: Workspace, artifact: RepoPath, top: Entry) -> None:
    """Notes what the artifact is now."""
    ws.cache.execute(
        "INSERT OR REPLACE INTO checkouts VALUES (?, ?, ?, ?, ?)",
        (_worktree(ws), artifact.raw, top.kind, top.digest, top.size),
    )


def forget(ws: Workspace, artifact: RepoPath) -> None:
    """Notes that nothing of the artifact is here any more."""
    ws.cache.execute(
        "DELETE FROM checkouts WHERE worktree = ? AND path = ?", (_worktree(ws), artifact.raw)
    )


def _worktree(ws: Workspace) -> str:
    return os.path.relpath(ws.repo.git_dir, ws.repo.common_dir)
