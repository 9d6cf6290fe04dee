"""Databases: made once by whoever comes first, waited for, caches made anew when broken."""

import contextlib
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from gitprov.errors import EnvironmentFault
from gitprov.platform.sqlite import open_database

SCHEMA = "CREATE TABLE rows (a INTEGER); CREATE INDEX by_a ON rows (a)"

WRITER = """
import sys
from gitprov.platform.sqlite import open_database
print("ready", flush=True)
sys.stdin.readline()
path, how, rows, schema = sys.argv[1:]
connection = open_database(path, schema=schema, version=3, durable=how == "durable")
for n in range(int(rows)):
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO rows VALUES (?)", (n,))
    connection.execute("INSERT INTO rows VALUES (?)", (-n,))
    connection.execute("COMMIT")
    print(n, flush=True)
connection.close()
"""


def opened(path: Path, *, version: int = 3, durable: bool = True) -> sqlite3.Connection:
    return open_database(str(path), schema=SCHEMA, version=version, durable=durable)


def count(path: Path) -> int:
    with contextlib.closing(opened(path)) as connection:
        found: int = connection.execute("SELECT count(*) FROM rows").fetchone()[0]
        return found


def writers(path: Path, how: str, number: int, rows: int) -> list["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", WRITER, str(path), how, str(rows), SCHEMA]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(number)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:  # all at one moment
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    return children


def finish(children: list["subprocess.Popen[str]"]) -> list[int]:
    for child in children:
        child.communicate(timeout=120)
    return [child.returncode for child in children]


@pytest.mark.parametrize("durable", [True, False])
def test_a_database_is_made_and_found_again(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "db"
    for _ in range(2):
        with contextlib.closing(opened(path, durable=durable)) as connection:
            connection.execute("INSERT INTO rows VALUES (1)")
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            wanted = 2 if durable else 0
            assert connection.execute("PRAGMA synchronous").fetchone() == (wanted,)
            assert connection.execute("PRAGMA user_version").fetchone() == (3,)
    assert count(path) == 2
    assert not (tmp_path / "db.new").exists()


def test_statements_are_committed_as_they_are_said(tmp_path: Path) -> None:
    with contextlib.closing(opened(tmp_path / "db")) as connection:
        connection.execute("INSERT INTO rows VALUES (1)")
        assert not connection.in_transaction


@pytest.mark.parametrize("how", ["durable", "cache"])
def test_eight_processes_make_and_fill_one_database(tmp_path: Path, how: str) -> None:
    path = tmp_path / "db"
    assert finish(writers(path, how, 8, 10)) == [0] * 8
    assert count(path) == 160


def test_eight_processes_replace_one_damaged_cache(tmp_path: Path) -> None:
    path = tmp_path / "db"
    path.write_bytes(b"not a database" * 1000)
    assert finish(writers(path, "cache", 8, 10)) == [0] * 8
    assert count(path) == 160


@pytest.mark.fault
def test_a_killed_writer_leaves_whole_transactions(tmp_path: Path) -> None:
    path = tmp_path / "db"
    for _ in range(5):
        before = count(path)
        (child,) = writers(path, "durable", 1, 100_000)
        assert child.stdout is not None
        for _ in range(3):
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        child.communicate()
        with contextlib.closing(opened(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        after = count(path)
        assert after % 2 == 0
        assert after >= before + 6


def test_a_reader_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with contextlib.closing(opened(path)) as writer, contextlib.closing(opened(path)) as reader:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO rows VALUES (1)")
        assert reader.execute("SELECT count(*) FROM rows").fetchone() == (0,)
        writer.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM rows").fetchone() == (1,)


@pytest.mark.parametrize("damage", [b"garbage" * 999, b"SQLite format 3\x00" + b"\xff" * 4000])
def test_a_damaged_cache_is_made_anew_and_a_damaged_database_is_a_fault(
    tmp_path: Path, damage: bytes
) -> None:
    path = tmp_path / "db"
    path.write_bytes(damage)
    with pytest.raises(EnvironmentFault, match="cannot open the database"):
        opened(path)
    assert path.read_bytes() == damage
    opened(path, durable=False).close()
    assert count(path) == 0


def test_a_cache_of_another_version_is_made_anew_and_a_database_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with contextlib.closing(opened(path)) as connection:
        connection.execute("INSERT INTO rows VALUES (1)")
    with pytest.raises(EnvironmentFault, match="has version 3; this gitprov uses 4") as caught:
        opened(path, version=4)
    assert caught.value.hint is not None
    assert count(path) == 1
    with contextlib.closing(opened(path, version=4, durable=False)) as connection:
        assert connection.execute("SELECT count(*) FROM rows").fetchone() == (0,)


def test_a_database_of_somebody_else_is_not_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with contextlib.closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE precious (a)")
    with pytest.raises(EnvironmentFault, match="has version 0"):
        opened(path)


def test_what_an_interrupted_maker_left_is_replaced(tmp_path: Path) -> None:
    for name in ("db", "db-wal", "db.new-wal"):
        (tmp_path / name).touch()
    (tmp_path / "db.new").write_bytes(b"half a database")
    assert count(tmp_path / "db") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["db", "db.lock"]


def test_a_schema_that_does_not_work_leaves_no_database(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="cannot make the database"):
        open_database(str(tmp_path / "db"), schema="CREATE NONSENSE", version=1, durable=True)
    assert not (tmp_path / "db").exists()


def test_a_place_where_nothing_can_be_made_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for place in ("folder", "missing/db", "file/db"):
        for durable in (True, False):
            with pytest.raises(EnvironmentFault):
                opened(tmp_path / place, durable=durable)
    assert (tmp_path / "folder").is_dir()
