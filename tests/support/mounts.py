"""Small file systems for tests that need one of a certain kind: made and undone as root."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

IMAGE_BYTES = 512 << 20
"""xfs refuses to be smaller than 300 MB; the image is sparse."""

_MKFS = {
    "btrfs": ["mkfs.btrfs", "-q"],
    "xfs": ["mkfs.xfs", "-q"],
}


def why_no_mounts(kind: str) -> str | None:
    """Returns why a file system of that kind cannot be mounted here, or None when it can."""
    if os.geteuid() != 0:
        return "mounting needs root"
    path = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin:/sbin"
    for tool in ("mount", "umount", *_MKFS.get(kind, [])[:1]):
        if shutil.which(tool, path=path) is None:
            return f"{tool} is not installed"
    if kind in _MKFS and not Path("/dev/loop-control").exists():
        return "there are no loop devices"
    return None


@contextlib.contextmanager
def tmpfs(folder: Path, size: int) -> Iterator[Path]:
    """Mounts a file system in memory that is full after `size` bytes."""
    with _mounted(["-t", "tmpfs", "-o", f"size={size}", "tmpfs"], folder) as mounted:
        yield mounted


@contextlib.contextmanager
def loop_mounted(kind: str, folder: Path) -> Iterator[Path]:
    """Mounts a fresh btrfs or xfs; mount frees the loop device when it is unmounted."""
    image = folder.with_name(folder.name + ".img")
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    try:
        _run([*_MKFS[kind], str(image)])
        with _mounted(["-o", "loop", str(image)], folder) as mounted:
            yield mounted
    finally:
        image.unlink()


@contextlib.contextmanager
def _mounted(arguments: list[str], folder: Path) -> Iterator[Path]:
    folder.mkdir()
    _run(["mount", *arguments, str(folder)])
    try:
        yield folder
    finally:
        # Lazily, so that a descriptor which a failed test left open does not keep the mount.
        _run(["umount", "-l", str(folder)])


def _run(command: list[str]) -> None:
    env = {**os.environ, "PATH": os.environ.get("PATH", "") + os.pathsep + "/usr/sbin:/sbin"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
