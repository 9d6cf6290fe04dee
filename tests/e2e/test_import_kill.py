"""An import of every revision is killed at random moments; run again it gives the same."""

import hashlib
import json
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import SOAK
from tests.support.cli import finish, ok, start
from tests.support.migration import folder_digest
from tests.support.repos import commit, git, make_repo, write

KILLS = 50 if SOAK else 4
COMMITS = 25

pytestmark = [pytest.mark.fault, *([pytest.mark.soak] if SOAK else [])]


def keep(repo: Path, data: bytes, ending: str = "") -> str:
    """Puts data into DVC's cache; returns its name there."""
    name = hashlib.md5(data).hexdigest() + ending  # noqa: S324
    write(repo, {f".dvc/cache/files/md5/{name[:2]}/{name[2:]}": data})
    return name


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A history in which DVC kept a folder and a file, both other ones in each commit."""
    repo = make_repo(tmp_path / "repo")
    ok(repo, "init", "--no-hooks", "--quiet")
    commit(repo, {".dvc/config": "", ".dvc/.gitignore": "/cache\n"}, "start")
    for number in range(COMMITS):
        rows = [
            {"md5": keep(repo, b"%d" % n), "relpath": f"f/{n}"} for n in range(number, number + 30)
        ]
        listed = keep(repo, json.dumps(rows).encode(), ".dir")
        large = keep(repo, bytes([number]) * (300 << 10))
        files = {
            f"{path}.dvc": f"outs:\n- md5: {md5}\n  hash: md5\n  path: {path}\n"
            for path, md5 in (("data", listed), ("large", large))
        }
        commit(repo, files, f"number {number}")
    git(repo, "tag", "v1", "HEAD~3")
    return repo


def is_gits(name: str) -> bool:
    return name == ".git" or name.startswith(".git/")


def test_an_import_of_every_revision_is_killed_and_run_again(repo: Path, tmp_path: Path) -> None:
    command = ("import-dvc", "--all-revisions", "--json")
    whole = tmp_path / "whole"
    shutil.copytree(repo, whole, symlinks=True)
    started = time.monotonic()
    expected = ok(whole, *command).json
    most = time.monotonic() - started
    refs = git(repo, "show-ref")
    files = folder_digest(repo, is_gits)
    killed = 0
    for number in range(3 * KILLS):
        victim = tmp_path / str(number)
        shutil.copytree(repo, victim, symlinks=True)
        process = start(victim, *command)
        time.sleep(random.uniform(0.2, most))  # the moment is not what is tested
        process.send_signal(signal.SIGKILL)
        killed += finish(process).code == -signal.SIGKILL
        for lock in (victim / ".git").rglob("*.lock"):
            if "gitprov" not in lock.parts and "gitprov" not in lock.name:
                lock.unlink()  # what a killed git leaves behind
        assert set(refs.splitlines()) <= set(git(victim, "show-ref").splitlines())
        again = ok(victim, *command).json
        assert again["branches"] == expected["branches"]
        assert again["left"] == expected["left"]
        assert git(victim, "for-each-ref", "refs/gitprov/importing") == ""
        assert ok(victim, "verify", "--deep", "v1..imported/main", "--json").json["verdict"] == (
            "pass"
        )
        ok(victim, "fsck", "--quiet")
        assert folder_digest(victim, is_gits).keys() == files.keys()
        assert git(victim, "status", "--porcelain") == git(repo, "status", "--porcelain")
        shutil.rmtree(victim)
        if killed == KILLS:
            break
    assert killed > 0
