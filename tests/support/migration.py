"""The real DVC and the real git-lfs, where they are installed, and folders as one digest."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gitprov.devnet.finding import services_folder
from tests.support.nodes import ENVIRON
from tests.support.repos import isolated_environment

_WHO = (("NAME", "Ada Lovelace"), ("EMAIL", "ada@example.org"))
_STORY = Path(__file__).with_name("dvc_story.py")


def dvc_python() -> Path:
    """Returns the Python that has DVC; skips the test where there is none."""
    path = Path(services_folder(ENVIRON)) / "dvc" / "bin" / "python"
    if not path.exists():
        pytest.skip("DVC is not installed: `make services` brings it")
    return path


def dvc_environment(home: Path) -> dict[str, str]:
    """Returns what a DVC process is given: no settings of the user's, no statistics sent."""
    who = {f"GIT_{role}_{what}": text for role in ("AUTHOR", "COMMITTER") for what, text in _WHO}
    return isolated_environment(
        HOME=str(home), DVC_NO_ANALYTICS="1", DVC_GLOBAL_CONFIG_DIR=str(home),
        DVC_SYSTEM_CONFIG_DIR=str(home), DVC_SITE_CACHE_DIR=str(home / "site"), LC_ALL="C.UTF-8",
        **who,
    )  # fmt: skip


def tell_dvc_story(folder: Path) -> None:
    """Makes `folder/repo` and `folder/expected`, see dvc_story.py."""
    home = folder / "home"
    home.mkdir(parents=True)
    done = subprocess.run(
        [str(dvc_python()), "-P", str(_STORY), str(folder)],
        capture_output=True,
        text=True,
        env=dvc_environment(home),
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr + done.stdout


def dvc(repo: Path, *args: str) -> str:
    """Runs the real DVC."""
    home = repo.parent / "home"
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [str(dvc_python()), "-m", "dvc", *args],
        cwd=repo,
        capture_output=True,
        text=True,
        env=dvc_environment(home),
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def git_lfs_path() -> str:
    """Returns a PATH on which git finds git-lfs; skips the test where there is none."""
    bin_folder = str(Path(services_folder(ENVIRON)) / "bin")
    path = f"{os.environ['PATH']}{os.pathsep}{bin_folder}"
    if shutil.which("git-lfs", path=path) is None:
        pytest.skip("git-lfs is not installed: `make services` brings it")
    return path


def folder_digest(folder: Path, skip: Callable[[str], bool] = lambda _: False) -> dict[str, str]:
    """Returns a digest of every file below a folder by path: bytes, permissions, link target."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if skip(name):
            continue
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            data = hashlib.sha256(path.read_bytes()).hexdigest()
            found[name] = f"{path.stat().st_mode:o} {path.stat().st_mtime_ns} {data}"
        else:
            found[name] = "folder"
    return found
