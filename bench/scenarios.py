"""The pieces of work that are measured, step by step, for one tool in one fresh repository."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data import DATASETS, Dataset, generate, replace_one
from bench.measure import CommandFailedError, Runner, content_size, settle, stored_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.tools import Tool

_ROOT = Path(__file__).resolve().parent.parent
_STATUS_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Setting:
    """What every scenario is given."""

    tool: Tool
    folder: Path
    """A fresh folder of this scenario alone."""
    env: Mapping[str, str]
    timeout: float
    record: Callable[[str, float], None]
    """Keeps one sample: (cell, seconds or bytes)."""

    def runner(self) -> Runner:
        """Returns a runner in the scenario's repository."""
        return Runner(self.folder / "repo", self.env, self.timeout)


def big(setting: Setting, dataset: Dataset, divisor: int) -> None:
    """Add, status, one file changed, checkout of everything: on one of the data sets."""
    tool, key = setting.tool, dataset.key
    artifact = "data.bin" if dataset.single else "data"
    run = new_repository(setting, artifact)
    path = run.folder / artifact
    generate_apart(dataset, path, divisor)
    settle()

    used = run(*tool.add(artifact))
    setting.record(f"{key} add", used.seconds)
    setting.record(f"{key} add, peak memory", used.peak_kib * 1024)
    commit(run, "data")
    settle()

    for _ in range(_STATUS_REPEATS):
        setting.record(f"{key} status", run(*tool.status).seconds)

    if not dataset.single:
        before = stored_bytes(run.folder, leave_out=path)
        replace_one(dataset, path)
        settle()
        setting.record(f"{key} add again", run(*tool.add(artifact)).seconds)
        after = stored_bytes(run.folder, leave_out=path)
        setting.record(f"{key} add again, bytes", after - before)

    expected = content_size(path)
    # Moved and not deleted: ext4 is slow for minutes after a mass delete.
    path.rename(setting.folder / "gone")
    settle()
    setting.record(f"{key} checkout", run(*tool.checkout(artifact)).seconds)
    if content_size(path) != expected:
        raise CommandFailedError(f"{key} checkout: the content did not come back whole")


def small(setting: Setting, repeats: int) -> None:
    """What is done a hundred times a day: --version, status, git commit with the tool's hooks."""
    tool = setting.tool
    run = new_repository(setting, "data")
    for _ in range(repeats):
        setting.record("--version", run(*tool.version_command).seconds)
        setting.record("status, empty", run(*tool.status).seconds)

    generate(Dataset("S0", 10, 4096, 2), run.folder / "data")
    run(*tool.add("data"))
    commit(run, "data")
    without = ("git", "-c", "core.hooksPath=/dev/null", "commit", "--quiet", "-m", "code")
    hook = run.folder / ".git" / "hooks" / "post-commit"
    for number in range(repeats):
        _change_code(run, 2 * number)
        bare = run(*without).seconds
        if hook.exists():
            # The commit above has no record yet, so the hook has its whole work to do.
            setting.record("post-commit hook", run(str(hook)).seconds)
        _change_code(run, 2 * number + 1)
        hooked = run("git", "commit", "--quiet", "-m", "code").seconds
        setting.record("commit, no hooks", bare)
        setting.record("commit", hooked)
        setting.record("commit, hooks' share", hooked - bare)


def new_repository(setting: Setting, artifact: str) -> Runner:
    """Returns a runner in a new repository with the tool set up and one commit."""
    run = setting.runner()
    run.folder.mkdir(parents=True)
    run("git", "init", "--quiet")
    (run.folder / "code.txt").write_text("start\n", "utf-8")
    setting.tool.prepare(run, artifact)
    commit(run, "start")
    return run


def commit(run: Runner, message: str) -> None:
    """Commits everything."""
    run("git", "add", "--all")
    run("git", "commit", "--quiet", "--allow-empty", "-m", message)


def _change_code(run: Runner, number: int) -> None:
    (run.folder / "code.txt").write_text(f"line {number}\n", "utf-8")
    run("git", "add", "code.txt")


def generate_apart(dataset: Dataset, target: Path, divisor: int) -> None:
    """Makes a data set in a process of its own; `bench.data` says why."""
    command = [sys.executable, "-m", "bench.data", dataset.key, str(target), str(divisor)]
    done = subprocess.run(command, cwd=_ROOT, check=False)
    if done.returncode != 0:
        raise CommandFailedError(f"generating {dataset.key} failed")


def space_needed(key: str, divisor: int) -> int:
    """Returns the bytes of disk a scenario may fill: the data, a store, and the copy moved away."""
    if key not in DATASETS:
        return 0
    dataset = DATASETS[key].scaled(divisor)
    blocks = 4096 * dataset.files
    return 3 * (dataset.files * dataset.size + blocks)
