"""A real Dask cluster on loopback: a scheduler and workers, each a process of its own."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.repos import isolated_environment
from tests.support.servers import Server

_START_SECONDS = 90.0


@dataclass
class Cluster:
    """A scheduler and its workers.

    Attributes:
        folder: where they write.
        environ: what the workers' environment holds beside ours.
        address: `dask://HOST:PORT`.
        workers: their processes.
        names: what the scheduler calls them, by process.
        started: how many processes were started.
    """

    folder: Path
    environ: Mapping[str, str]
    address: str = ""
    scheduler: subprocess.Popen[bytes] | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    started: int = 0

    def begin(self) -> None:
        """Starts the scheduler."""
        args = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show")
        self.scheduler, log = self._start("scheduler", *args)
        found = _awaited(log, r"Scheduler at: +tcp://(127\.0\.0\.1:\d+)")
        self.address = f"dask://{found}"

    def mend(self, count: int) -> None:
        """Sees to it that so many workers run, with one thread each, and have registered."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        scheduler = self.address.replace("dask://", "tcp://")
        args = ("--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard")
        place = ("--local-directory", str(self.folder), "--death-timeout", "60")
        logs = []
        while len(self.workers) < count:
            name = f"worker-{self.started}"
            process, log = self._start("worker", scheduler, *args, *place, "--name", name)
            self.names[process.pid] = name
            self.workers.append(process)
            logs.append(log)
        for log in logs:
            _awaited(log, r"(Registered to)")

    def under_way(self, worker: subprocess.Popen[bytes]) -> int:
        """How many tasks a worker has been given and has not ended."""
        import distributed

        client_of: Any = distributed.Client
        with client_of(self.address.replace("dask://", "tcp://"), set_as_default=False) as client:
            known = client.scheduler_info(n_workers=-1)["workers"]
            [where] = [at for at, one in known.items() if one["name"] == self.names[worker.pid]]
            return len(client.processing()[where])

    def kill_workers(self) -> None:
        """Ends all workers at once."""
        for worker in self.workers:
            worker.kill()
        for worker in self.workers:
            worker.wait()

    def end(self) -> None:
        """Ends all that is left."""
        for process in [*self.workers, *([self.scheduler] if self.scheduler else [])]:
            process.kill()
            process.wait()

    def _start(self, what: str, *args: str) -> tuple[subprocess.Popen[bytes], Path]:
        log = self.folder / f"{what}-{self.started}.log"
        self.started += 1
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{what}", *args],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=isolated_environment(**self.environ),
            )
        return process, log


def _awaited(log: Path, pattern: str) -> str:
    ends = time.monotonic() + _START_SECONDS
    while time.monotonic() < ends:
        found = re.search(pattern, log.read_text(errors="replace"))
        if found:
            return found[1]
        time.sleep(0.05)
    raise AssertionError(f"it did not start:\n{log.read_text(errors='replace')[-2000:]}")


def freeze(process: subprocess.Popen[bytes]) -> None:
    """Stops a process where it is."""
    os.kill(process.pid, signal.SIGSTOP)


@pytest.fixture(scope="module")
def dask_cluster(s3_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler; its workers know the keys of the tests' S3 server."""
    pytest.importorskip("distributed", reason="distributed is not installed: gitprov[dask]")
    started = Cluster(tmp_path_factory.mktemp("dask"), s3_server.environ)
    try:
        started.begin()
        yield started
    finally:
        started.end()


@pytest.fixture
def cluster(dask_cluster: Cluster) -> Cluster:
    """The cluster with two workers, whatever the test before has done to them."""
    dask_cluster.mend(2)
    return dask_cluster
