"""SQLite databases that wait for each other and never say "locked"."""

import contextlib
import os
import sqlite3

from gitprov.errors import EnvironmentFault

_WAIT_SECONDS = 3600.0


def open_database(path: str, *, schema: str, version: int, durable: bool) -> sqlite3.Connection:
    """Opens a database, making it when it is not there.

    Readers never wait (write-ahead log); writers wait for each other. Transactions are explicit:
    the connection is in autocommit mode, so say `BEGIN IMMEDIATE`.

    Args:
        path: the file.
        schema: the statements that make it, run once.
        version: kept in `user_version`.
        durable: whether a commit waits for the disk. A database that is not durable is a cache:
            when it is damaged or of another version, it is thrown away and made anew.

    Raises:
        EnvironmentFault: it cannot be opened, is damaged, or is of another version.
    """
    try:
        return _open(path, schema, version, durable)
    except (sqlite3.DatabaseError, EnvironmentFault) as exc:
        if durable or isinstance(exc, sqlite3.OperationalError):
            if isinstance(exc, EnvironmentFault):
                raise
            raise EnvironmentFault(f"cannot open the database {path}: {exc}") from exc
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + suffix)
    try:
        return _open(path, schema, version, durable)
    except sqlite3.DatabaseError as exc:
        raise EnvironmentFault(f"cannot open the database {path}: {exc}") from exc


def _open(path: str, schema: str, version: int, durable: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'OFF'}")
        if found == 0:
            connection.execute("PRAGMA journal_mode=WAL")
            _create(connection, schema, version)
        elif found != version:
            raise EnvironmentFault(
                f"the database {path} has version {found}; this gitprov uses {version}",
                hint="use the gitprov that wrote it, or a newer one",
            )
    except BaseException:
        connection.close()
        raise
    return connection


def _create(connection: sqlite3.Connection, schema: str, version: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    # Another process may have made it while this one waited.
    if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
        for statement in schema.split(";"):
            if statement.strip():
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version={version}")
    connection.execute("COMMIT")
