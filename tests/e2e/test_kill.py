"""gitprov is killed at random moments; then the store is whole and the same command finishes."""

import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from gitprov.model.pointer import Pointer
from tests.conftest import SOAK
from tests.support.cli import finish, gitprov_process, ok, start
from tests.support.repos import commit, git, make_repo, write

ROUNDS = 50 if SOAK else 7
"""Kills of each of the four commands."""

# With GITPROV_SOAK=1 the same tests go deeper, and `make soak` picks them by this mark.
pytestmark = [pytest.mark.fault, *([pytest.mark.soak] if SOAK else [])]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    repo = make_repo(tmp_path / "repo")
    ok(repo, "init", "--no-hooks")
    write(repo, {f"data/{name}": data for name, data in some_files(0).items()})
    ok(repo, "add", "data")
    commit(repo, message="first")
    return repo


def some_files(seed: int) -> dict[str, bytes]:
    """Files that follow from the seed: small ones in folders, and two large ones."""
    random = Random(seed)
    files = {f"{n % 5}/{n}": random.randbytes(random.randrange(4000)) for n in range(300)}
    return {**files, "large": random.randbytes(3 << 20), "0/large": random.randbytes(300 << 10)}


def replace(repo: Path, seed: int) -> None:
    shutil.rmtree(repo / "data", ignore_errors=True)
    write(repo, {f"data/{name}": data for name, data in some_files(seed).items()})


def seconds(repo: Path, *args: str) -> float:
    """How long a command takes here."""
    started = time.monotonic()
    assert gitprov_process(repo, *args).code == 0
    return time.monotonic() - started


def kill(repo: Path, *args: str, within: float) -> bool:
    """Kills a command at a random moment; returns whether it was still running."""
    process = start(repo, *args)
    time.sleep(random.uniform(0.05, within))  # the moment is not what is tested
    process.send_signal(signal.SIGKILL)
    return finish(process).code == -signal.SIGKILL


def assert_whole(repo: Path) -> None:
    """No pointer is half written, the store is intact, git is not locked for ever."""
    Pointer.parse((repo / "data.prov").read_bytes())
    (repo / ".git/index.lock").unlink(missing_ok=True)  # what a killed git leaves behind
    ok(repo, "fsck")
    assert len(git(repo, "ls-files").splitlines()) == 3
    assert (repo / ".gitignore").read_text() == "/data\n"


def assert_holds(repo: Path, seed: int) -> None:
    """The artifact is that of the seed, on disk, in the pointer and in the store."""
    ok(repo, "status", "--exit-code")
    for name, data in some_files(seed).items():
        assert (repo / "data" / name).read_bytes() == data
    assert not [path for path in repo.rglob("*.gitprov-tmp-*") if ".git" not in path.parts]


def rounds(repo: Path, one: Callable[[int, float], bool], most: float) -> None:
    """Plays rounds until enough of them were really killed."""
    killed = 0
    for number in range(1, 3 * ROUNDS):
        killed += one(number, most)
        assert_whole(repo)
        if killed == ROUNDS:
            break
    assert killed > 0


def test_add_is_killed(repo: Path) -> None:
    def one(number: int, most: float) -> bool:
        replace(repo, number)
        before = (repo / "data.prov").read_bytes()
        killed = kill(repo, "add", "data", within=most)
        assert_whole(repo)
        if (repo / "data.prov").read_bytes() != before:
            # The pointer is the last thing that is written: what it names is there.
            shutil.rmtree(repo / "data")
            ok(repo, "checkout", "--force")
        ok(repo, "add", "data")
        assert_holds(repo, number)
        return killed

    replace(repo, 10_000)
    rounds(repo, one, seconds(repo, "add", "data"))


def test_checkout_is_killed(repo: Path) -> None:
    def one(number: int, most: float) -> bool:
        seed = number % 2
        git(repo, "checkout", "--quiet", "--force", ("main", "second")[seed])
        killed = kill(repo, "checkout", within=most)
        assert_whole(repo)
        ok(repo, "checkout")
        assert_holds(repo, seed)
        return killed

    git(repo, "checkout", "--quiet", "-b", "second")
    replace(repo, 1)
    ok(repo, "add", "data")
    commit(repo, message="second")
    git(repo, "checkout", "--quiet", "main")
    rounds(repo, one, seconds(repo, "checkout"))


def test_record_is_killed(repo: Path) -> None:
    def one(number: int, most: float) -> bool:
        for at in range(3):
            commit(repo, {"code": f"{number} {at}"}, message=f"{number} {at}")
        killed = kill(repo, "record", "--all", within=most)
        for lock in (repo / ".git").rglob("*.lock"):
            if "gitprov" not in lock.parts and "gitprov" not in lock.name:
                lock.unlink()  # what a killed git leaves behind
        ok(repo, "record", "--all")
        ok(repo, "anchor")
        ok(repo, "verify", "HEAD~2..HEAD")
        git(repo, "rm", "--quiet", "--cached", "code")
        git(repo, "commit", "--quiet", "-m", "clean up")
        return killed

    commit(repo, {"code": "begin"}, message="begin")
    most = seconds(repo, "record", "--all")
    git(repo, "rm", "--quiet", "--cached", "code")
    rounds(repo, one, most)
    ok(repo, "record", "--all")
    ok(repo, "anchor")
    ok(repo, "verify", "--all")


def test_gc_is_killed(repo: Path) -> None:
    def one(number: int, most: float) -> bool:
        for seed in (3 * number, 3 * number + 1):
            replace(repo, seed)
            ok(repo, "add", "data")
        if number % 2:
            git(repo, "checkout", "--quiet", "--", "data.prov")
        pointer = (repo / "data.prov").read_bytes()
        killed = kill(repo, "gc", "--yes", "--grace", "0", within=most)
        assert_whole(repo)
        assert (repo / "data.prov").read_bytes() == pointer
        ok(repo, "gc", "--yes", "--grace", "0")
        assert_whole(repo)
        shutil.rmtree(repo / "data")
        ok(repo, "checkout")
        git(repo, "reset", "--quiet", "--hard")
        ok(repo, "checkout", "--force")
        assert_holds(repo, 0)
        return killed

    rounds(repo, one, seconds(repo, "gc", "--yes", "--grace", "0"))
    ok(repo, "gc", "--yes", "--grace", "0")
    assert ok(repo, "gc", "--yes", "--grace", "0", "--json").json["removed"] == 0
    tmp = repo / ".git/gitprov/tmp"
    assert list(tmp.iterdir()) == []
