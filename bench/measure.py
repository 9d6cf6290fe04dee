"""Runs one whole process and says how long it took and how much memory it had at its peak."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_KEPT_OUTPUT = 2000
"""So many of the last characters a failed command wrote are shown."""


class CommandFailedError(Exception):
    """A measured or a preparing command did not do its work."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process, with the children it waited for, has used."""

    seconds: float
    peak_kib: int
    """The largest resident set of any one of them. Linux counts from the fork on, so this is never
    less than the benchmark's own peak, which the report names."""


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs commands in one folder with one environment."""

    folder: Path
    env: Mapping[str, str]
    timeout: float

    def __call__(self, *command: str) -> Usage:
        """Runs the command to its end, without a terminal; raises if it fails or takes too long."""
        with tempfile.TemporaryFile() as log:
            started = time.perf_counter()
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            guard = threading.Timer(self.timeout, os.killpg, (process.pid, signal.SIGKILL))
            guard.start()
            try:
                _, status, used = os.wait4(process.pid, 0)
            finally:
                guard.cancel()
            seconds = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _KEPT_OUTPUT))
                said = log.read().decode(errors="replace").strip()
                late = f" (stopped after {self.timeout:.0f} s)" if seconds >= self.timeout else ""
                raise CommandFailedError(
                    f"{' '.join(command)}: exit code {process.returncode}{late}\n{said}"
                )
        return Usage(seconds, used.ru_maxrss)


def settle() -> None:
    """Waits until all that was written is on the disk, so that nobody pays for the one before."""
    os.sync()


def stored_bytes(root: Path, *, leave_out: Path) -> int:
    """Returns the sizes of all files below `root`, added up, without the artifact itself."""
    total = 0
    folders = [os.fspath(root)]
    skipped = os.fspath(leave_out)
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.path == skipped:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def content_size(artifact: Path) -> tuple[int, int]:
    """Returns how many files an artifact has and how many bytes, through symlinks to files."""
    if not artifact.is_dir():
        return 1, artifact.stat().st_size
    files = size = 0
    folders = [os.fspath(artifact)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    files += 1
                    size += entry.stat().st_size
    return files, size
