"""SQLite databases that wait for each other and never say "locked"."""

import contextlib
import os
import sqlite3

from gitprov.errors import EnvironmentFault
from gitprov.platform.files import fault, fsync_dir
from gitprov.platform.locks import file_lock

_WAIT_SECONDS = 3600.0
_BESIDE = ("-wal", "-shm", "-journal")


def open_database(path: str, *, schema: str, version: int, durable: bool) -> sqlite3.Connection:
    """Opens a database, making it when it is not there.

    Readers never wait (write-ahead log); writers wait for each other. Transactions are explicit:
    the connection is in autocommit mode, so say `BEGIN IMMEDIATE`.

    Args:
        path: the file; `<path>.lock` lies beside it.
        schema: the statements that make it, run once; no ";" inside a statement.
        version: kept in `user_version`, from 1.
        durable: whether a commit waits for the disk. A database that is not durable is a cache:
            when it is damaged or of another version, it is thrown away and made anew, and in a
            folder that only lets itself be read it is kept in memory.

    Raises:
        EnvironmentFault: it cannot be opened, is damaged, or is of another version.
    """
    try:
        return _open_or_make(path, schema, version, durable)
    except EnvironmentFault:
        if durable or not _is_read_only(os.path.dirname(path) or "."):
            raise
        # A repository that only lets itself be read: what the cache would save is computed again.
        connection = _connect(":memory:")
        _fill(connection, schema, version)
        return connection


def _open_or_make(path: str, schema: str, version: int, durable: bool) -> sqlite3.Connection:
    connection = _open(path, version, durable)
    if connection is None:
        with file_lock(path + ".lock"):
            connection = _open(path, version, durable)  # another process may have made it
            if connection is None:
                _make(path, schema, version, durable)
                connection = _open(path, version, durable)
    if connection is None:
        raise EnvironmentFault(f"the database {path} went away while it was opened")
    return connection


def _open(path: str, version: int, durable: bool) -> sqlite3.Connection | None:
    """Returns a connection, or None when the file is to be made (anew)."""
    try:
        if os.stat(path).st_size == 0:
            return None
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise fault(exc, "open the database", path) from exc
    connection = None
    try:
        connection, found = _connected(path, durable=durable)
        if found == version:
            connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'OFF'}")
            return connection
    except sqlite3.DatabaseError as exc:
        if connection is not None:
            connection.close()
        # An OperationalError speaks of the file's surroundings, not of what it holds.
        if durable or isinstance(exc, sqlite3.OperationalError):
            raise EnvironmentFault(f"cannot open the database {path}: {exc}") from exc
        return None
    connection.close()
    if durable:
        raise EnvironmentFault(
            f"the database {path} has version {found}; this gitprov uses {version}",
            hint="use the gitprov that wrote it, or a newer one",
        )
    return None


def _make(path: str, schema: str, version: int, durable: bool) -> None:
    """Makes the database beside its place, then moves it there; the caller holds the lock.

    Switching a file that others have open to the write-ahead log is the one moment at which
    SQLite says "locked" without waiting.
    """
    new = path + ".new"
    try:
        _remove(new, *(new + ending for ending in _BESIDE))
        with contextlib.closing(_connect(new)) as connection:
            connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'OFF'}")
            connection.execute("PRAGMA journal_mode=WAL")
            _fill(connection, schema, version)
            # Closing does this as well, but keeps silent when it fails; and without the log's
            # pages the file that is moved into place would be an empty database.
            if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                raise EnvironmentFault(f"cannot make the database {path}: it is in use")
        _remove(*(path + ending for ending in _BESIDE))
        os.rename(new, path)
        if durable:
            fsync_dir(os.path.dirname(path) or ".")
    except OSError as exc:
        raise fault(exc, "make the database", path) from exc
    except sqlite3.DatabaseError as exc:
        raise EnvironmentFault(f"cannot make the database {path}: {exc}") from exc


def _is_read_only(folder: str) -> bool:
    return os.path.isdir(folder) and not os.access(folder, os.W_OK)


def _fill(connection: sqlite3.Connection, schema: str, version: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in schema.split(";"):
        if statement.strip():
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version={version}")
    connection.execute("COMMIT")


def _connected(path: str, *, durable: bool) -> tuple[sqlite3.Connection, int]:
    """Returns a connection and the database's version."""
    question = "PRAGMA user_version"
    connection = _connect(path)
    try:
        return connection, int(connection.execute(question).fetchone()[0])
    except sqlite3.OperationalError:
        connection.close()
        # Reading needs files beside the database. Where they cannot be made nobody writes, as
        # long as there is no log; and every blob that a store's index leads to is checked.
        is_read_only = _is_read_only(os.path.dirname(path) or ".")
        if not (durable and is_read_only) or os.path.exists(path + "-wal"):
            raise
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    connection = _connect(f"file:{quoted}?immutable=1", uri=True)
    try:
        return connection, int(connection.execute(question).fetchone()[0])
    except BaseException:
        connection.close()
        raise


def _connect(path: str, *, uri: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(
        path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False, uri=uri
    )


def _remove(*paths: str) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
