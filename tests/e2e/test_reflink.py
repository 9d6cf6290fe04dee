"""A whole round trip on a file system that can clone files, and on one that cannot."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import run

import pytest

from tests.support.mounts import loop_mounted, why_no_mounts
from tests.support.repos import isolated_environment, make_repo

SIZE = 64 << 20


@pytest.fixture(params=["btrfs", "xfs"])
def clonable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    if reason := why_no_mounts(request.param):
        pytest.skip(reason)
    with loop_mounted(request.param, tmp_path / "mounted") as mounted:
        yield mounted


def gitprov(repo: Path, *args: str) -> None:
    command = [sys.executable, "-m", "gitprov", *args]
    run(command, cwd=repo, env=isolated_environment(), check=True, capture_output=True)


def used(folder: Path) -> int:
    os.sync()
    status = os.statvfs(folder)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


@pytest.mark.root
def test_where_files_can_be_cloned_three_copies_take_the_space_of_one(clonable: Path) -> None:
    repo = make_repo(clonable / "repo")
    weights = repo / "weights.bin"
    weights.write_bytes(os.urandom(SIZE))
    before = used(clonable)
    gitprov(repo, "init")
    gitprov(repo, "add", "weights.bin")
    content = weights.read_bytes()
    weights.unlink()
    gitprov(repo, "checkout")
    assert weights.read_bytes() == content
    assert used(clonable) - before < SIZE // 2
    # A change of what was checked out does not reach the store.
    with weights.open("r+b") as file:
        file.write(b"changed")
    gitprov(repo, "fsck")
