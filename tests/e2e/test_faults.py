"""Each n-th write, fsync or rename of a whole command fails; and a disk that is full."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gitprov.model.pointer import Pointer
from tests.conftest import SOAK
from tests.support.cli import Ended, environment, gitprov, ok
from tests.support.mounts import tmpfs, why_no_mounts
from tests.support.repos import commit, git, make_repo, write

FIU_RUN = shutil.which("fiu-run")
ROOT = Path(__file__).parents[2]
SAMPLES = 6
"""So many of the calls of each kind fail in turn; all of them with GITPROV_SOAK=1."""

POINTS = (
    "posix/io/rw/write",
    "posix/io/rw/pwrite",
    "posix/io/sync/fsync",
    "posix/io/dir/rename",
    "posix/io/dir/unlink",
    "posix/io/rw/pread",
)

with_fiu = pytest.mark.skipif(
    FIU_RUN is None, reason="fiu-run is not installed (apt install fiu-utils)"
)
# With GITPROV_SOAK=1 the same tests go deeper, and `make soak` picks them by this mark.
pytestmark = [pytest.mark.fault, *([pytest.mark.soak] if SOAK else [])]

OLD = {"a": b"old", "sub/b": b"old, too", "large": b"o" * (300 << 10), "gone": b"old"}
NEW = {"a": b"new", "sub/b": b"old, too", "large": b"n" * (300 << 10), "sub/c": b"new"}


def make(folder: Path) -> Path:
    """A repository in which the old files are committed and the new ones lie on disk."""
    repo = make_repo(folder)
    ok(repo, "init", "--no-hooks")
    put(repo, OLD)
    ok(repo, "add", "data")
    commit(repo, message="old")
    put(repo, NEW)
    return repo


def put(repo: Path, files: dict[str, bytes]) -> None:
    shutil.rmtree(repo / "data", ignore_errors=True)
    write(repo, {f"data/{name}": data for name, data in files.items()})


def on_disk(repo: Path) -> dict[str, bytes]:
    data = repo / "data"
    return {
        str(path.relative_to(data)): path.read_bytes()
        for path in data.rglob("*")
        if path.is_file() and not path.name.startswith(".gitprov-tmp-")
    }


def faulty(repo: Path, point: str, number: int, how: str, *args: str) -> Ended:
    assert FIU_RUN is not None
    # Without -f "" fiu-run leaves named pipes in /tmp.
    command = [FIU_RUN, "-x", "-f", "", sys.executable, "-m", "tests.e2e.faulty", point]
    done = subprocess.run(
        [*command, str(number), how, "-C", str(repo), *args],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def failures(repo: Path, point: str, *args: str) -> list[tuple[int, str]]:
    """Which calls are to fail: some of those that the command makes when none does."""
    counted = faulty(repo, point, 0, "once", *args)
    assert counted.code == 0, counted
    count = int(counted.err.split()[-1])
    step = 1 if SOAK else max(1, count // SAMPLES)
    chosen = []
    for index, number in enumerate(range(1, count + 1, step)):
        hows = ("once", "on") if SOAK else (("once", "on")[index % 2],)
        chosen += [(number, how) for how in hows]
    return chosen


def assert_clear(ended: Ended, *, mute: bool) -> None:
    """The command ended well, or with the code for the environment and one sentence."""
    assert ended.code in (0, 4), ended
    assert "Traceback" not in ended.err
    if ended.code and not mute:
        (first, *_) = ended.err.splitlines()
        assert first.startswith("gitprov: error: "), ended
        assert "a bug in gitprov" not in first


def recover(repo: Path) -> None:
    """Nothing is damaged, and whatever a failed git has left is cleared."""
    (repo / ".git/index.lock").unlink(missing_ok=True)
    Pointer.parse((repo / "data.prov").read_bytes())
    ok(repo, "fsck")


@with_fiu
@pytest.mark.parametrize("point", POINTS)
def test_an_add_whose_calls_fail_loses_nothing(tmp_path: Path, point: str) -> None:
    for number, how in failures(make(tmp_path / "counted"), point, "add", "data"):
        repo = make(tmp_path / f"{number}-{how}")
        ended = faulty(repo, point, number, how, "add", "data")
        assert_clear(ended, mute=how == "on" and point.endswith("/write"))
        assert on_disk(repo) == NEW
        recover(repo)
        ok(repo, "add", "data")
        ok(repo, "status", "--exit-code")
        shutil.rmtree(repo / "data")
        ok(repo, "checkout")
        assert on_disk(repo) == NEW
        git(repo, "reset", "--quiet", "--hard")
        ok(repo, "checkout", "--force")
        assert on_disk(repo) == OLD
        shutil.rmtree(repo)


@with_fiu
@pytest.mark.parametrize("point", POINTS)
def test_a_checkout_whose_calls_fail_loses_nothing(tmp_path: Path, point: str) -> None:
    def prepared(folder: Path) -> Path:
        repo = make(folder)
        ok(repo, "add", "data")
        git(repo, "checkout", "--quiet", "--force", "HEAD", "--", "data.prov")
        return repo

    for number, how in failures(prepared(tmp_path / "counted"), point, "checkout"):
        repo = prepared(tmp_path / f"{number}-{how}")
        ended = faulty(repo, point, number, how, "checkout")
        assert_clear(ended, mute=how == "on" and point.endswith("/write"))
        # Every file is whole: the old one or the new one.
        for name, data in on_disk(repo).items():
            assert data in (OLD.get(name), NEW.get(name))
        recover(repo)
        ok(repo, "checkout")
        assert on_disk(repo) == OLD
        assert not list((repo / "data").rglob(".gitprov-tmp-*"))
        ok(repo, "status", "--exit-code")
        shutil.rmtree(repo)


# ---------------------------------------------------------------- a full disk

needs_tmpfs = pytest.mark.skipif(
    why_no_mounts("tmpfs") is not None, reason=str(why_no_mounts("tmpfs"))
)


def fill(disk: Path, leave: int) -> Path:
    """Takes the free space of a disk but for some bytes."""
    filler = disk / "filler"
    free = shutil.disk_usage(disk).free
    filler.write_bytes(bytes(max(0, free - leave)))
    return filler


@pytest.mark.root
@needs_tmpfs
@pytest.mark.parametrize("room", [0, 8 << 10, 100 << 10, 400 << 10])
def test_adding_on_a_full_disk_says_so_and_works_once_there_is_room(
    tmp_path: Path, room: int
) -> None:
    with tmpfs(tmp_path / "disk", 12 << 20) as disk:
        repo = make(disk / "repo")
        filler = fill(disk, room)
        ended = gitprov(repo, "add", "data")
        assert ended.code in (0, 4), ended
        if ended.code:
            assert "No space left on device" in ended.err or "full" in ended.err, ended
        assert on_disk(repo) == NEW
        filler.unlink()
        recover(repo)
        ok(repo, "add", "data")
        ok(repo, "status", "--exit-code")
        git(repo, "reset", "--quiet", "--hard")
        ok(repo, "checkout", "--force")
        assert on_disk(repo) == OLD


@pytest.mark.root
@needs_tmpfs
@pytest.mark.parametrize("room", [0, 8 << 10, 200 << 10])
def test_a_checkout_on_a_full_disk_says_so_and_works_once_there_is_room(
    tmp_path: Path, room: int
) -> None:
    with tmpfs(tmp_path / "disk", 12 << 20) as disk:
        repo = make(disk / "repo")
        ok(repo, "add", "data")
        git(repo, "checkout", "--quiet", "--force", "HEAD", "--", "data.prov")
        filler = fill(disk, room)
        ended = gitprov(repo, "checkout")
        assert ended.code == 4, ended
        assert "No space left on device" in ended.err or "full" in ended.err, ended
        filler.unlink()
        recover(repo)
        ok(repo, "checkout")
        assert on_disk(repo) == OLD


@pytest.mark.root
@needs_tmpfs
@pytest.mark.parametrize("verb", ["status", "ls", "diff", "fsck", "gc --yes", "record"])
def test_every_verb_on_a_full_disk_says_so_or_works(tmp_path: Path, verb: str) -> None:
    with tmpfs(tmp_path / "disk", 12 << 20) as disk:
        repo = make(disk / "repo")
        filler = fill(disk, 0)
        assert_clear(gitprov(repo, *verb.split()), mute=False)
        filler.unlink()
        assert on_disk(repo) == NEW
        ok(repo, *verb.split())
