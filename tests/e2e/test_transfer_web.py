"""A team reads its data from a web server: one that does what it should, and others."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import gitprov as library
from gitprov.fs.session import close_sessions, session_of
from tests.support.cli import gitprov, ok
from tests.support.repos import configure, git, make_repo, write
from tests.support.servers import WebServer, web_server

MIB = 1 << 20


@pytest.fixture
def owner(tmp_path: Path) -> Path:
    """Has pushed 8 MiB of small files and a model, of which the remote has a list."""
    repo = make_repo(tmp_path / "owner")
    chance = random.Random(1)
    files = {f"data/{number}": chance.randbytes(MIB // 50) for number in range(400)}
    write(repo, {**files, "model.bin": chance.randbytes(3 * MIB)})
    ok(repo, "init", "--no-hooks")
    ok(repo, "add", "data", "model.bin")
    git(repo, "add", ".gitprov.yaml")
    git(repo, "commit", "-q", "-m", "first")
    ok(repo, "remote", "add", "nas", str(tmp_path / "nas"))
    ok(repo, "push")
    ok(repo, "remote", "index", "nas")
    return repo


@pytest.fixture
def web(owner: Path, tmp_path: Path) -> Iterator[WebServer]:
    with web_server(tmp_path / "nas") as server:
        yield server


@pytest.fixture
def colleague(owner: Path, web: WebServer) -> Path:
    repo = owner.parent / "colleague"
    git(owner.parent, "clone", "-q", str(owner), "colleague")
    configure(repo)
    ok(repo, "init", "--no-hooks")
    ok(repo, "remote", "add", "web", web.url)
    return repo


def test_what_travels_from_a_server_without_ranges_is_each_pack_once_and_is_told(
    colleague: Path, web: WebServer
) -> None:
    web.ranged = False
    ended = gitprov(colleague, "pull", "data/7", "--json")
    assert ended.code == 0
    assert ended.err.splitlines() == [f"gitprov: {web.url} ignores ranges and sends whole packs"]
    assert ended.json["travelled"] > MIB
    assert web.sent < ended.json["travelled"] + MIB // 5
    packs = [path for path, _ in web.asked if path.startswith("/packs/")]
    assert len(packs) == len({*packs})


def test_reading_many_files_from_a_server_without_ranges_takes_no_pack_twice(
    colleague: Path, web: WebServer
) -> None:
    web.ranged = False
    for number in range(40):
        data = library.read(f"data/{number}", repo=colleague, keep=False)
        assert data == (colleague.parent / f"owner/data/{number}").read_bytes()
    packs = [path for path, _ in web.asked if path.startswith("/packs/")]
    assert len(packs) == len({*packs})
    received = session_of(colleague, None, None, keep=False).received
    assert received < web.sent < received + MIB // 5
    close_sessions()
