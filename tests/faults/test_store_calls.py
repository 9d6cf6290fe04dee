"""Each n-th system call of a process that adds and collects fails in turn (Debian's fiu-run)."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import SOAK
from tests.faults.store_child import FAILED
from tests.faults.store_state import ROOT, assert_recovers, assert_whole, command, rounds_done

FIU_RUN = shutil.which("fiu-run")

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(FIU_RUN is None, reason="fiu-run is not installed (apt install fiu-utils)"),
]

LAST = 2
"""Three rounds: three adds and one collection."""

POINTS = (
    "posix/io/rw/write",
    "posix/io/rw/pwrite",
    "posix/io/oc/open",
    "posix/io/sync/fsync",
    "posix/io/dir/rename",
    "posix/io/dir/unlink",
    "posix/io/rw/pread",
)
SAMPLES = 5


def run(store: Path, point: str, number: int, how: str) -> subprocess.CompletedProcess[str]:
    assert FIU_RUN is not None
    fault = command(store, 0, LAST, point, str(number), how)
    # Without -f "" fiu-run leaves named pipes in /tmp.
    return subprocess.run(
        [FIU_RUN, "-x", "-f", "", *fault], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("point", POINTS)
def test_a_failing_call_is_reported_and_leaves_a_whole_store(tmp_path: Path, point: str) -> None:
    counted = run(tmp_path / "counted", point, 0, "once")
    assert counted.returncode == 0, counted.stderr
    count = int(counted.stdout.split()[-1])
    step = 1 if SOAK else max(1, count // SAMPLES)
    for number in range(1, count + 1, step):
        for how in ("once", "on") if SOAK else (("once", "on")[number // step % 2],):
            store = tmp_path / f"{number}-{how}"
            done = run(store, point, number, how)
            assert "Traceback" not in done.stderr, done.stderr
            # Some calls may fail without harm: what they do is done again, or later.
            assert done.returncode in (0, FAILED), done.stderr
            assert_whole(store, max(rounds_done(store), default=-1))
            assert_recovers(store, LAST)
