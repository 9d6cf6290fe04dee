"""Several processes add while another one collects; none loses what it relies on."""

import subprocess
import sys
from pathlib import Path

import pytest

from gitprov.store.local import LocalStore
from tests.conftest import SOAK
from tests.faults import store_crowd
from tests.faults.store_state import ROOT

pytestmark = pytest.mark.fault

WRITERS = 8
COLLECTORS = 2
ROUNDS = 60 if SOAK else 6


def test_eight_writers_and_two_collectors_get_along(tmp_path: Path) -> None:
    root = tmp_path / "store"
    command = [sys.executable, "-m", "tests.faults.store_crowd", str(root), str(ROUNDS)]
    roles = [*map(str, range(WRITERS)), *["collect"] * COLLECTORS]
    children = [
        subprocess.Popen(
            [*command, role], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for role in roles
    ]
    for child in children:
        _, errors = child.communicate()
        assert child.returncode == 0, errors
        assert errors == ""
    with LocalStore(str(root)) as store:
        keep = store_crowd.live(WRITERS, ROUNDS)
        assert store.has(keep) == keep
        assert {digest for digest, _ in store.read_many(keep)} == keep
        assert list(store.verify_all()) == []
        assert store.collect(lambda: keep, dry_run=False).kept == len(keep)
        assert store.stats().packs == 1
        assert list((root / "tmp").iterdir()) == []


def test_a_writer_that_waits_long_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    holder = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.store_crowd", str(tmp_path / "store"), "0", "hold"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "held\n"

    def let_go(message: str) -> None:
        said.append(message)
        assert holder.stdin is not None
        holder.stdin.close()

    with LocalStore(str(tmp_path / "store"), waiting=let_go) as store, store.writer() as writer:
        writer.add(b"at last")
    assert len(said) == 1
    assert holder.wait() == 0
    holder.stdout.close()
