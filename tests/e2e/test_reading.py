"""Data is read without a checkout: any revision, from store or remote, every byte verified."""

import io
import os
import pickle
import random
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest
from blake3 import blake3

import gitprov
from gitprov import MalformedError, UnavailableError, UsageError, VerificationError
from gitprov.fs.session import close_sessions, session_of
from gitprov.model.remote_index import recipe_blocks
from gitprov.store.local import LocalStore
from gitprov.store.remote_marker import write_marker
from gitprov.store.remote_pack import PackBuilder, index_name, pack_name
from gitprov.store.transport import Listed, write_list
from gitprov.store.transport_folder import FolderTransport
from tests.support.cli import gitprov as cli
from tests.support.cli import inside, ok
from tests.support.repos import clone, git, isolated_environment, make_repo, write
from tests.support.servers import Server, web_server

MIB = 1 << 20


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


SMALL = {f"data/{number % 5}/{number}.bin": noise(3000, number) for number in range(100)}
MIDDLE = noise(2 * MIB, 1)
BIG = noise(12 * MIB, 2)


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of two commits whose data lies in a remote too; tests leave it as it is."""
    repo = make_repo(tmp_path_factory.mktemp("reading") / "owner")
    write(repo, {**SMALL, "data/middle.bin": MIDDLE, "big.bin": BIG, "run.sh": "#!/bin/sh\n"})
    (repo / "data/link").symlink_to("3/8.bin")
    (repo / "data/1/beside").symlink_to("../2")
    for name, target in (("code", "data/3"), ("away", "../secret"), ("circle", "circle")):
        (repo / name).symlink_to(target)
    ok(repo, "init")
    ok(repo, "add", "data", "big.bin")
    git(repo, "add", "run.sh", "code", "away", "circle")
    git(repo, "commit", "-q", "-m", "first")
    git(repo, "tag", "v1")
    write(repo, {"data/3/8.bin": b"changed", "run.sh": "#!/bin/bash\n"})
    ok(repo, "add", "data")
    git(repo, "commit", "-q", "-am", "second")
    ok(repo, "remote", "add", "team", str(repo.parent / "nas"))
    ok(repo, "push", "--all")
    return repo


@pytest.fixture
def colleague(owner: Path, tmp_path: Path) -> Path:
    """A clone that has none of the data yet."""
    repo = clone(owner, tmp_path / "colleague")
    ok(repo, "remote", "add", "team", str(owner.parent / "nas"))
    return repo


def objects(repo: Path) -> int:
    """How many large blobs a store has."""
    with LocalStore(str(repo / ".git/gitprov")) as store:
        return store.stats().objects


def stored(repo: Path) -> int:
    """How many blobs and manifests a store has."""
    with LocalStore(str(repo / ".git/gitprov")) as store:
        return store.stats().packed_blobs + store.stats().objects


# ---------------------------------------------------------------- which bytes are meant


def test_a_file_is_read_at_any_revision(owner: Path) -> None:
    assert gitprov.read("data/3/8.bin", repo=owner, rev="v1") == SMALL["data/3/8.bin"]
    assert gitprov.read("data/3/8.bin", repo=owner, rev="HEAD") == b"changed"
    assert gitprov.read("run.sh", repo=owner, rev="v1") == b"#!/bin/sh\n"
    with gitprov.open("run.sh", "r", repo=owner) as file:
        assert file.read() == "#!/bin/bash\n"


def test_without_a_revision_the_pointers_of_the_worktree_count(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    write(repo, {"data/x": b"one", "a.txt": b"code"})
    ok(repo, "init")
    ok(repo, "add", "data")
    assert gitprov.read("data/x", repo=repo) == b"one"  # before the first commit
    git(repo, "add", "a.txt")
    git(repo, "commit", "-q", "-m", "first")
    write(repo, {"data/x": b"two", "a.txt": b"changed", "new/folder/y": b"three"})
    ok(repo, "add", "data", "new/folder/y")
    write(repo, {"data/x": b"not added"})
    assert gitprov.read("data/x", repo=repo) == b"two"
    assert gitprov.read("data/x", repo=repo, rev="HEAD") == b"one"
    assert gitprov.read("a.txt", repo=repo) == b"code"
    assert gitprov.read("new/folder/y", repo=repo) == b"three"
    (repo / "data.prov").unlink()
    with pytest.raises(FileNotFoundError):
        gitprov.read("data/x", repo=repo)


def test_paths_begin_at_the_top_wherever_one_stands(owner: Path) -> None:
    with inside(owner / "data"):
        assert gitprov.read("run.sh") == b"#!/bin/bash\n"
        assert gitprov.read("./data/../data/1/1.bin") == SMALL["data/1/1.bin"]


def test_a_bare_repository_is_read_too(owner: Path, tmp_path: Path) -> None:
    repo = clone(owner, tmp_path / "bare.git", "--bare")
    ok(repo, "remote", "add", "team", str(owner.parent / "nas"))
    assert gitprov.read("data/3/8.bin", repo=repo) == b"changed"
    assert gitprov.read("data/3/8.bin", repo=repo, rev="v1") == SMALL["data/3/8.bin"]


def test_symlinks_lead_where_they_say_and_never_out(owner: Path) -> None:
    assert gitprov.read("data/link", repo=owner) == b"changed"
    assert gitprov.read("data/1/beside/2.bin", repo=owner) == SMALL["data/2/2.bin"]
    assert gitprov.read("code/8.bin", repo=owner) == b"changed"
    with pytest.raises(UsageError, match="leads out of the repository"):
        gitprov.read("away", repo=owner)
    with pytest.raises(UsageError, match="too many symlinks"):
        gitprov.read("circle", repo=owner)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("nothing", "there is no nothing in"),
        ("data/nothing", "there is no data/nothing in"),
        ("data/1/1.bin/x", "there is no data/1/1.bin/x in"),
        (".git/config", "is a spelling of '.git'"),
        ("data", "data is a folder"),
        ("", "is a folder"),
        ("/etc/passwd", "is not a path in the repository"),
        ("../other", "lies outside the repository"),
        ("a\0b", "control character"),
    ],
)
def test_a_wrong_path_is_told_in_a_sentence(owner: Path, path: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        gitprov.open(path, repo=owner)


def test_what_is_missing_is_what_python_calls_missing(owner: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        gitprov.open("nothing", repo=owner)
    with pytest.raises(IsADirectoryError):
        gitprov.open("data", repo=owner)
    with pytest.raises(PermissionError):
        gitprov.open("big.bin", "wb", repo=owner)  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="no commit 'v9'"):
        gitprov.open("big.bin", repo=owner, rev="v9")
    with pytest.raises(UsageError, match="not a revision"):
        gitprov.open("big.bin", repo=owner, rev="--all")
    with pytest.raises(UsageError, match="not a git repository"):
        gitprov.open("big.bin", repo=tmp_path)


def test_a_file_object_knows_what_it_is_and_seeks(owner: Path) -> None:
    for path, data in (("big.bin", BIG), ("data/1/1.bin", SMALL["data/1/1.bin"])):
        with gitprov.open(path, repo=owner) as file:
            assert (file.path, file.size) == (path, len(data))  # type: ignore[attr-defined]
            assert file.digest == gitprov.Digest.of(data)  # type: ignore[attr-defined]
            assert file.readable()
            assert file.seekable()
            assert not file.writable()
            file.seek(-10, io.SEEK_END)
            assert file.read() == data[-10:]
            assert file.read() == b""
            file.seek(1000)
            assert file.read(1000) == data[1000:2000]
            assert file.tell() == 2000
            with pytest.raises((io.UnsupportedOperation, ValueError)):
                file.write(b"x")


# ---------------------------------------------------------------- the store


def object_of(repo: Path) -> Path:
    """The file of the big blob, which may be written to now."""
    [path] = [p for p in (repo / ".git/gitprov/objects").rglob("*") if p.is_file()]
    path.chmod(0o600)
    return path


def with_big_alone(tmp_path: Path) -> Path:
    repo = make_repo(tmp_path / "r")
    write(repo, {"big.bin": BIG})
    ok(repo, "init")
    ok(repo, "add", "big.bin")
    return repo


def test_a_damaged_file_raises_at_its_last_byte_when_read_from_the_start(tmp_path: Path) -> None:
    repo = with_big_alone(tmp_path)
    path = object_of(repo)
    data = bytearray(BIG)
    data[5 * MIB] ^= 1
    path.write_bytes(data)
    with gitprov.open("big.bin", repo=repo) as file:
        for _ in range(11):
            file.read(MIB)
        with pytest.raises(VerificationError, match="is damaged in the store"):
            file.read()
    assert not path.exists()  # it was set aside


def test_a_damaged_file_gives_no_byte_from_its_middle(tmp_path: Path) -> None:
    repo = with_big_alone(tmp_path)
    with gitprov.open("big.bin", repo=repo) as file:
        file.seek(MIB)
        assert file.read(10) == BIG[MIB : MIB + 10]
    path = object_of(repo)
    data = bytearray(BIG)
    data[5 * MIB] ^= 1
    path.write_bytes(data)  # though it was verified before
    with gitprov.open("big.bin", repo=repo) as file:
        file.seek(MIB)
        with pytest.raises(VerificationError, match="is damaged in the store"):
            file.read(10)


def test_what_was_set_aside_comes_from_the_remote(colleague: Path) -> None:
    assert gitprov.open("big.bin", repo=colleague, keep=True).read() == BIG
    path = object_of(colleague)
    path.write_bytes(BIG[:-1] + b"x")
    with pytest.raises(VerificationError):
        gitprov.read("big.bin", repo=colleague)
    assert gitprov.read("big.bin", repo=colleague) == BIG


# ---------------------------------------------------------------- the remote


def test_small_files_come_from_the_remote_and_stay(colleague: Path) -> None:
    assert stored(colleague) == 0
    for path in ("data/1/1.bin", "data/2/2.bin", "data/middle.bin"):
        assert gitprov.read(path, repo=colleague)
    close_sessions()
    assert stored(colleague) == 3 + 3  # and three manifests
    (colleague / ".git/gitprov/config.yaml").unlink()
    assert gitprov.read("data/middle.bin", repo=colleague) == MIDDLE
    with pytest.raises(UnavailableError, match=r"cannot read data/2/7\.bin: .* no remote is known"):
        gitprov.read("data/2/7.bin", repo=colleague)


def test_nothing_stays_where_that_is_not_wanted(colleague: Path) -> None:
    for path, data in SMALL.items():
        if path != "data/3/8.bin":
            assert gitprov.read(path, repo=colleague, keep=False) == data
    assert gitprov.read("data/middle.bin", repo=colleague, keep=False) == MIDDLE
    close_sessions()
    assert stored(colleague) == 0


def test_a_range_of_a_large_file_costs_a_range(colleague: Path) -> None:
    session = session_of(colleague, None, None, keep=None)
    with gitprov.open("big.bin", repo=colleague) as file:
        file.seek(-1000, io.SEEK_END)
        assert file.read() == BIG[-1000:]
        file.seek(5 * MIB)
        assert file.read(100_000) == BIG[5 * MIB : 5 * MIB + 100_000]
        assert session.received < 5 * MIB
        file.seek(0)
        assert file.read() == BIG
    close_sessions()
    assert objects(colleague) == 0


def test_a_large_file_streams_in_any_pieces(colleague: Path) -> None:
    chance = random.Random(5)
    with gitprov.open("big.bin", repo=colleague) as file:
        for _ in range(40):
            start, size = chance.randrange(len(BIG)), chance.randrange(600_000)
            file.seek(start)
            assert file.read(size) == BIG[start : start + size]
        file.seek(0)
        got = io.BytesIO()
        while piece := file.read(chance.randrange(1, 700_000)):
            got.write(piece)
        assert got.getvalue() == BIG


def test_a_large_file_is_kept_whole_when_that_is_wanted(colleague: Path) -> None:
    with gitprov.open("big.bin", repo=colleague, keep=True) as file:
        file.seek(MIB)
        assert file.read(10) == BIG[MIB : MIB + 10]
    assert objects(colleague) == 1


def test_a_remote_that_was_damaged_gives_no_wrong_byte(owner: Path, tmp_path: Path) -> None:
    nas = tmp_path / "nas"
    subprocess.run(["cp", "-r", owner.parent / "nas", nas], check=True)
    for pack in (nas / "packs").iterdir():
        pack.chmod(0o600)
        data = bytearray(pack.read_bytes())
        for at in range(2000, len(data), 1000):
            data[at] ^= 255
        pack.write_bytes(data)
    repo = clone(owner, tmp_path / "colleague")
    ok(repo, "remote", "add", "team", str(nas))
    for path in ("big.bin", "data/middle.bin", "data/1/1.bin"):
        with pytest.raises(VerificationError, match=f"{nas} does not have what it says"):
            gitprov.read(path, repo=repo)
    close_sessions()
    assert "damaged" not in cli(repo, "fsck").out  # what did not come is missing


def test_a_remote_is_chosen_by_its_name(colleague: Path) -> None:
    assert gitprov.read("data/1/1.bin", repo=colleague, remote="team") == SMALL["data/1/1.bin"]
    with pytest.raises(UsageError, match="there is no remote 'nas'"):
        gitprov.open("big.bin", repo=colleague, remote="nas")


def test_another_repository_is_read_by_its_address(
    owner: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    nas = owner.parent / "nas"
    with web_server(tmp_path / "web") as web:
        subprocess.run(["cp", "-r", f"{nas}/.", web.folder], check=True)
        names = [path.relative_to(web.folder) for path in web.folder.rglob("*") if path.is_file()]
        sizes = (Listed(str(name), (web.folder / name).stat().st_size) for name in names)
        (web.folder / "list").write_bytes(write_list(sizes))
        theirs = clone(owner, tmp_path / "theirs")
        ok(theirs, "remote", "add", "web", web.url, "--shared")
        git(theirs, "commit", "-q", "-m", "where the data lies")
        url = f"file://{theirs}"
        assert gitprov.read("data/3/8.bin", repo=url) == b"changed"
        with gitprov.open("big.bin", repo=url) as file:
            file.seek(-10, io.SEEK_END)
            assert file.read() == BIG[-10:]
        assert gitprov.read("run.sh", repo=url, rev="v1") == b"#!/bin/sh\n"
        fs = fsspec.filesystem("gitprov", repo=url, rev="main")
        assert fs.commit == git(theirs, "rev-parse", "HEAD")
        again = pickle.loads(pickle.dumps(fs))  # noqa: S301  # our own, from the line above
        assert again.cat("data/1/1.bin") == SMALL["data/1/1.bin"]
        close_sessions()
    # What came is in the cache, and an address may be given where the commit names no remote.
    assert gitprov.read("data/3/8.bin", repo=url) == b"changed"
    assert (
        gitprov.read("data/3/8.bin", repo=url, rev="v1", remote=str(nas)) == SMALL["data/3/8.bin"]
    )
    with pytest.raises(UsageError, match="begins with '-'"):
        gitprov.read("x", repo="--upload-pack=touch /tmp/x")


def test_packs_that_are_collected_meanwhile_are_looked_for_again(
    owner: Path, tmp_path: Path
) -> None:
    nas = tmp_path / "nas"
    subprocess.run(["cp", "-r", owner.parent / "nas", nas], check=True)
    repo = clone(owner, tmp_path / "colleague")
    ok(repo, "remote", "add", "team", str(nas))
    with gitprov.open("big.bin", repo=repo) as file:
        assert file.read(10) == BIG[:10]
        for number, pack in enumerate([*(nas / "packs").iterdir()]):  # as a collection leaves it
            pack.rename(nas / "packs" / f"{number:064}.car")
            (nas / "index" / pack.stem).rename(nas / "index" / f"{number:064}")
        file.seek(8 * MIB)
        assert file.read() == BIG[8 * MIB :]
        assert gitprov.read("data/1/1.bin", repo=repo) == SMALL["data/1/1.bin"]


def test_a_remote_that_lies_about_the_chunks_is_found_out_at_the_end(tmp_path: Path) -> None:
    """The limit of reading a range: chunks are checked against the remote's own list of them."""
    other = noise(len(BIG), 3)
    repo = with_big_alone(tmp_path)
    object_of(repo).unlink()
    (tmp_path / "nas").mkdir()
    transport = FolderTransport(str(tmp_path / "nas"))
    write_marker(transport)
    digest = blake3(BIG).digest()
    chunks = [other[at : at + MIB] for at in range(0, len(other), MIB)]
    named = [(blake3(chunk).digest(), len(chunk)) for chunk in chunks]
    pack = PackBuilder()
    for (name, _), chunk in zip(named, chunks, strict=True):
        pack.add("c", name, chunk, name)
    [recipe] = recipe_blocks(digest, len(BIG), named)
    pack.add("B", digest, recipe, blake3(recipe).digest())
    pack_id, data, index = pack.finish()
    transport.put(pack_name(pack_id), data)
    transport.put(index_name(pack_id), index)
    ok(repo, "remote", "add", "team", str(tmp_path / "nas"))
    with gitprov.open("big.bin", repo=repo) as file:
        file.seek(5 * MIB)
        assert file.read(10) == other[5 * MIB : 5 * MIB + 10]
        file.seek(0)
        with pytest.raises(VerificationError, match="together have another digest"):
            file.read()
    with pytest.raises(VerificationError, match="together have another digest"):
        gitprov.open("big.bin", repo=repo, keep=True)
    assert objects(repo) == 0


def test_what_is_pushed_later_is_found_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = make_repo(tmp_path / "owner")
    write(owner, {"data/a": b"a"})
    ok(owner, "init")
    ok(owner, "add", "data")
    git(owner, "commit", "-q", "-m", "first")
    ok(owner, "remote", "add", "team", str(tmp_path / "nas"))
    ok(owner, "push")
    write(owner, {"data/b": b"b"})
    ok(owner, "add", "data")
    git(owner, "commit", "-q", "-m", "second")
    repo = clone(owner, tmp_path / "colleague")
    assert gitprov.read("data/a", repo=owner) == b"a"
    with pytest.raises(UnavailableError, match="no remote is known"):
        gitprov.read("data/b", repo=repo)
    ok(repo, "remote", "add", "team", str(tmp_path / "nas"))
    with pytest.raises(UnavailableError, match="neither the store nor"):
        gitprov.read("data/b", repo=repo)
    ok(owner, "push")
    monkeypatch.setattr("gitprov.ops.remote_reading._ASK_AGAIN_SECONDS", 0.0)
    assert gitprov.read("data/b", repo=repo) == b"b"


def test_asking_again_and_again_for_what_is_missing_keeps_nothing_open(
    colleague: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    write_marker(FolderTransport(str(tmp_path / "other")))
    monkeypatch.setattr("gitprov.ops.remote_reading._ASK_AGAIN_SECONDS", 0.0)
    open_files = []
    for _ in range(4):
        with pytest.raises(UnavailableError, match="neither the store nor"):
            gitprov.read("big.bin", repo=colleague, remote=str(tmp_path / "other"))
        open_files.append(len([*Path("/dev/fd").iterdir()]))
    assert open_files[1:] == open_files[:1] * 3


# ---------------------------------------------------------------- threads and processes


def test_of_many_repositories_those_at_work_are_not_closed(
    owner: Path, colleague: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitprov.fs.session._MOST_SESSIONS", 1)
    close_sessions()
    busy = session_of(colleague, None, None, keep=None)
    with busy._used() as live:
        session_of(owner, None, None, keep=None)
        assert not busy.close_idle()
        assert live.ws.repo.head()
        assert session_of(colleague, None, None, keep=None) is busy
    session_of(owner, None, None, keep=False)
    assert session_of(colleague, None, None, keep=None) is not busy
    assert busy.pin("v1") == git(owner, "rev-parse", "v1^{commit}")
    busy.close()


def test_many_threads_read_through_one_repository(colleague: Path) -> None:
    def one(path: str) -> bool:
        return gitprov.read(path, repo=colleague, rev="v1") == SMALL[path]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, [*SMALL] * 3))


def test_a_child_reads_on_after_a_fork(colleague: Path) -> None:
    assert gitprov.read("data/1/1.bin", repo=colleague) == SMALL["data/1/1.bin"]
    file = gitprov.open("big.bin", repo=colleague)
    assert file.read(MIB) == BIG[:MIB]
    children = []
    for number in range(3):
        pid = os.fork()
        if not pid:
            code = 1
            try:
                path = f"data/{number}/{number}.bin"
                good = gitprov.read(path, repo=colleague) == SMALL[path]
                good = good and file.read(2 * MIB) == BIG[MIB : 3 * MIB]
                code = 0 if good else 2
            finally:
                os._exit(code)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0, 0, 0]
    assert file.read() == BIG[MIB:]
    file.close()
    assert gitprov.read("data/4/4.bin", repo=colleague) == SMALL["data/4/4.bin"]


AFTER_A_FORK = """
import os, sys, threading, gitprov

def say(line):
    os.write(1, line.encode() + b"\\n")  # in one piece, whoever else writes

def read(number):
    with gitprov.open("big.bin", keep=False) as file:
        file.seek(number << 20)
        return file.read(8).hex()

say(read(1))  # the parent has used the remote
pids = []
for number in (2, 3):
    pid = os.fork()
    if not pid:
        code = 1
        try:
            some = [threading.Thread(target=lambda: say(read(number))) for _ in "ab"]
            [one.start() for one in some]
            [one.join() for one in some]
            try:
                gitprov.open("data/none.bin")
            except gitprov.UsageError:
                code = 0
        finally:
            os._exit(code)
    pids.append(pid)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
say(f"{read(4)} {codes}")
"""


def reads_after_a_fork(repo: Path, **env: str) -> None:
    """A program in which parent and children read ranges of a file that only the remote has."""
    done = subprocess.run(
        [sys.executable, "-c", AFTER_A_FORK],
        cwd=repo,
        env=isolated_environment(**env),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.stderr == ""
    expected = [BIG[at * MIB : at * MIB + 8].hex() for at in (1, 2, 2, 3, 3)]
    first, *middle, last = done.stdout.splitlines()
    assert [first, *sorted(middle)] == [expected[0], *sorted(expected[1:])]
    assert last == f"{BIG[4 * MIB : 4 * MIB + 8].hex()} [0, 0]"


def test_children_read_on_from_a_web_server_after_a_fork(owner: Path, tmp_path: Path) -> None:
    nas = owner.parent / "nas"
    ok(owner, "remote", "index", "team")
    repo = clone(owner, tmp_path / "colleague")
    ok(repo, "init", "--no-hooks", "--quiet")
    with web_server(nas) as web:
        ok(repo, "remote", "add", "web", web.url)
        reads_after_a_fork(repo)


def test_children_read_on_from_a_bucket_after_a_fork(
    owner: Path, tmp_path: Path, s3_server: Server
) -> None:
    bucket = f"fork{time.time_ns()}"
    (s3_server.folder / bucket).mkdir()
    shutil.copytree(owner.parent / "nas", s3_server.folder / bucket / "team")
    repo = clone(owner, tmp_path / "colleague")
    ok(repo, "init", "--no-hooks", "--quiet")
    place = [f"s3://{bucket}/team", "--endpoint", s3_server.endpoint, "--region", "us-east-1"]
    ok(repo, "remote", "add", "s3", *place)
    reads_after_a_fork(repo, **{k: v for k, v in s3_server.environ.items() if k != "HOME"})


def test_a_program_that_ends_leaves_what_came_in_the_store(colleague: Path) -> None:
    code = "import gitprov; print(len(gitprov.read('data/middle.bin')))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=colleague,
        env=isolated_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (f"{len(MIDDLE)}\n", "")
    assert stored(colleague) == 2


def test_opening_a_file_loads_no_fsspec(owner: Path) -> None:
    code = (
        "import gitprov, sys; gitprov.read('data/1/1.bin')\n"
        "print(sorted({'fsspec', 'click', 'rich', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=owner, env=isolated_environment(), capture_output=True
    )
    assert done.stdout == b"[]\n", done.stderr


def test_a_manifest_that_lies_about_a_size_is_refused(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    write(repo, {"x.bin": noise(1000, 1), "y.bin": noise(MIB, 1)})
    ok(repo, "init")
    ok(repo, "add", "x.bin", "y.bin")
    for name, size in (("x", 1000), ("y", MIB)):
        pointer = repo / f"{name}.bin.prov"
        pointer.write_text(pointer.read_text().replace(f"size: {size}", "size: 999"))
        with pytest.raises(VerificationError, match=f"has {size:,} bytes, and what names it"):
            gitprov.read(f"{name}.bin", repo=repo)


def test_a_pointer_that_is_none_is_named(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    write(repo, {"x.prov": b"something"})
    git(repo, "add", "x.prov")
    git(repo, "commit", "-q", "-m", "first")
    for rev in (None, "HEAD"):
        with pytest.raises(MalformedError, match=r"the pointer x\.prov is not well formed"):
            gitprov.read("x", repo=repo, rev=rev)
