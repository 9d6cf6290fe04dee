"""Which files of the store were verified since they last changed: each is hashed once."""

import contextlib
import os
import sqlite3

from gitprov.workspace import Workspace


def is_known_intact(ws: Workspace, digest: bytes, status: os.stat_result) -> bool:
    """Whether a large blob's file was verified when it looked as it does now."""
    # A cache that is damaged knows nothing.
    with contextlib.suppress(sqlite3.DatabaseError):
        row = ws.cache.execute("SELECT stat FROM objects WHERE digest = ?", (digest,)).fetchone()
        return row is not None and row[0] == _signature(status)
    return False


def remember_intact(ws: Workspace, digest: bytes, status: os.stat_result) -> None:
    """Remembers that a large blob's file matches its name as long as it looks like this."""
    with contextlib.suppress(sqlite3.DatabaseError):
        ws.cache.execute(
            "INSERT OR REPLACE INTO objects VALUES (?, ?)", (digest, _signature(status))
        )


def _signature(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
