"""A real Dask cluster on loopback hashes what lies in a bucket or on a shared file system."""

import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from gitprov.core.paths import RepoPath
from gitprov.devnet.process import free_port
from gitprov.errors import UnavailableError, UsageError
from gitprov.ops.add import add as add_artifacts
from gitprov.ops.add_objects import Far, add_objects
from gitprov.ops.pointers import read_pointer
from gitprov.platform.dask_executor import DaskExecutor, executor_of
from gitprov.platform.tasks import spread
from gitprov.store.source import Address
from gitprov.workspace import Workspace
from tests.support.cli import gitprov_process, ok, refused
from tests.support.cluster import Cluster, cluster, dask_cluster, freeze
from tests.support.repos import git, make_repo, write
from tests.support.servers import Server

__all__ = ["cluster", "dask_cluster"]

# Dask leaves sockets and tasks to the garbage collector when a cluster dies under it.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Mismatched versions found"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]

NOISE = random.Random(3)
FILES = {f"{n % 5}/{n}.bin": NOISE.randbytes(900 + n) for n in range(1500)}
FILES["large.bin"] = NOISE.randbytes(17 << 20)


@pytest.fixture(scope="module")
def address(s3_server: Server) -> Address:
    """A dataset of 1,501 objects in the bucket of this module."""
    name = f"bucket{time.time_ns()}"
    for path, data in FILES.items():
        place = s3_server.folder / name / "set" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    options = (("endpoint", s3_server.endpoint), ("region", "us-east-1"))
    return Address(f"s3://{name}/set", options)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The root that the same files have on one machine."""
    repo = new_repo(tmp_path_factory.mktemp("one") / "r")
    write(repo, {f"data/{path}": data for path, data in FILES.items()})
    ok(repo, "add", "data")
    return root_of(repo)


def new_repo(path: Path) -> Path:
    repo = make_repo(path)
    ok(repo, "init", "--no-hooks", "--quiet")
    return repo


def root_of(repo: Path) -> str:
    pointer = read_pointer(str(repo), RepoPath.parse(b"data"))
    assert pointer is not None
    return str(pointer.root)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return new_repo(tmp_path / "r")


@pytest.fixture
def ws(repo: Path) -> Iterator[Workspace]:
    with Workspace.open(str(repo)) as ws:
        yield ws


class Watcher:
    """Progress that calls something once, when a part is done."""

    def __init__(self, then: Callable[[], object]) -> None:
        self._then = then
        self.files = 0

    def found(self, files: int, size: int) -> None:
        """Ignores it."""

    def done(self, files: int, size: int) -> None:
        before, self.files = self.files, self.files + files
        if not before:
            self._then()


@pytest.mark.parametrize("copy", [False, True])
def test_two_workers_find_the_root_of_one_machine(
    repo: Path, cluster: Cluster, address: Address, root: str, s3_server: Server, copy: bool
) -> None:
    options = dict(address.options)
    more = ["--copy"] if copy else []
    added = gitprov_process(
        repo,
        *("add", address.url, "--as", "data", "--executor", cluster.address, "--json", *more),
        *("--endpoint", options["endpoint"], "--region", options["region"]),
        env=s3_server.environ,
    )
    assert added.code == 0, added
    assert added.err == ""
    [value] = added.json["artifacts"]
    assert (value["root"], value["files"]) == (root, len(FILES))
    [state] = ok(repo, "status", "--json").json["artifacts"]
    assert len(state["missing"]) == (0 if copy else len(FILES))


def test_a_worker_that_dies_costs_only_time(
    ws: Workspace, repo: Path, cluster: Cluster, address: Address, root: str, s3_server: Server
) -> None:
    victim = cluster.workers[0]
    with DaskExecutor(cluster.address, patience=60) as executor:
        # It is given tasks and will end none of them: what it has under way is lost with it.
        freeze(victim)
        lost: list[int] = []

        def die() -> None:
            lost.append(cluster.under_way(victim))
            victim.kill()

        meter = Watcher(die)
        far = Far(s3_server.environ, executor)
        added = add_objects(ws, address, "data", far, progress=meter)
    victim.wait()
    assert lost[0] > 0
    assert str(added.pointer.root) == root
    assert meter.files == len(FILES)
    assert root_of(repo) == root


def test_when_all_workers_die_it_ends_with_a_sentence_and_nothing_written(
    ws: Workspace, repo: Path, cluster: Cluster, address: Address, s3_server: Server
) -> None:
    with DaskExecutor(cluster.address, patience=2) as executor:
        cluster.kill_workers()
        with pytest.raises(UnavailableError, match="has had no worker"):
            add_objects(ws, address, "data", Far(s3_server.environ, executor))
    assert not (repo / "data.prov").exists()
    assert not (repo / ".gitignore").exists()
    write(repo, {"data/x": "1"})
    args = ("add", "data", "--executor", cluster.address)
    refused(repo, *args, code=3, says="has no workers")
    # And with a worker again, it is as if nothing had been.
    cluster.mend(1)
    ok(repo, *args)


def test_a_scheduler_that_is_not_there_is_a_sentence() -> None:
    address = f"dask://127.0.0.1:{free_port()}"
    with pytest.raises(UnavailableError, match="no Dask scheduler answers"):
        DaskExecutor(address, connect=0.5)


def test_a_scheduler_that_dies_is_one_sentence_and_nothing_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own = Cluster(tmp_path, {})
    try:
        own.begin()
        own.mend(1)
        scheduler = own.scheduler
        assert scheduler is not None
        jobs = ((number, partial(time.sleep, 0.1)) for number in range(1000))

        def die(*_: object) -> None:
            if scheduler.poll() is None:
                scheduler.kill()
                scheduler.wait()

        with (
            executor_of(own.address) as executor,
            pytest.raises(UnavailableError, match=r"its scheduler is gone|had no worker"),
        ):
            spread(executor, jobs, die, look=executor.look)
    finally:
        own.end()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "address", ["dask://", "dask://h", "tcp://h:1", "dask://u@h:1", "dask://h:0"]
)
def test_what_is_no_address_of_a_scheduler_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="no address of an executor"):
        DaskExecutor(address)


@pytest.mark.parametrize(
    "address", ["dask://u:hunter2@h:1", "dask://hunter2@h", "tcp://h:1?t=hunter2", "h#hunter2"]
)
def test_a_password_in_an_address_is_not_repeated(address: str) -> None:
    with pytest.raises(UsageError, match="no address of an executor") as caught:
        DaskExecutor(address)
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


def make_shared(repo: Path) -> None:
    write(repo, {f"data/{path}": data for path, data in FILES.items()})
    write(repo, {"data/run.sh": "#!/bin/sh\n", ".gitprovignore": "*.tmp\n", "data/x.tmp": "t"})
    (repo / "data" / "run.sh").chmod(0o755)
    (repo / "data" / "link").symlink_to("large.bin")
    # Older than what the stat cache takes for racy, so that nothing has to be read again.
    for path in (repo / "data").rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000), follow_symlinks=False)


def test_workers_hash_a_folder_that_they_share_with_us(
    repo: Path, cluster: Cluster, tmp_path: Path
) -> None:
    other = new_repo(tmp_path / "other")
    for one in (repo, other):
        make_shared(one)
    ok(other, "add", "data")
    ok(repo, "add", "data", "--executor", cluster.address)
    assert (repo / "data.prov").read_text() == (other / "data.prov").read_text()
    [state] = ok(repo, "status", "--json").json["artifacts"]
    assert state["state"] == "clean"
    assert len(state["missing"]) == len(FILES) + 1  # all but the link's target
    ok(repo, "add", "data", "--executor", cluster.address, "--copy")
    [state] = ok(repo, "status", "--json").json["artifacts"]
    assert (state["state"], state["missing"]) == ("clean", [])
    assert (repo / "data.prov").read_text() == (other / "data.prov").read_text()
    git(repo, "commit", "-q", "-m", "data")
    ok(repo, "fsck")


def test_any_executor_hashes_a_folder(ws: Workspace, repo: Path, tmp_path: Path) -> None:
    other = new_repo(tmp_path / "other")
    for one in (repo, other):
        make_shared(one)
    ok(other, "add", "data")
    with ThreadPoolExecutor(2) as executor:
        [added] = add_artifacts(ws, ["data"], executor=executor, copy=False)
    assert str(added.pointer.root) == root_of(other)
