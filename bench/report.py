"""Writes down what was measured: Markdown for people, JSON with every sample."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench.cells import CELLS, Cell, show
from bench.data import DATASETS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from bench.tools import Mode, Tool


_METHOD = """\
- Whole processes, wall time, medians; everything {runs} times (three samples of status in each;
  once only where a tool needs longer than `--patience` for a data set). All tools in one run on
  one machine, in turns, each in a fresh repository in a fresh folder; warm page cache; what was
  written before is on the disk (`sync`) when a measured command starts. Differences below 30 % are
  noise.
- For a checkout the worktree's copy is moved away and not deleted, and folders with many files are
  deleted at the end: ext4 creates files slowly for minutes after a mass delete. What came back is
  counted.
- Peak memory is that of the largest process, by `wait4`; less than {floor:.0f} MiB cannot be seen.
- Bytes stored: the growth of everything in the repository's folder without the artifact itself.
- Ratios compare like with like: the copying tools (gitprov copy, DVC copy, git-lfs) and the linking
  ones (gitprov hardlink, DVC hardlink, git-annex, which moves a file and leaves a symlink).
- status is `git status` for git-lfs and git-annex. gitprov syncs what it stores before it says so;
  DVC and git-lfs leave that to the system."""


@dataclass(slots=True)
class Results:
    """All samples of one run of the benchmark."""

    started: datetime
    divisor: int
    runs: int
    machine: dict[str, str]
    tools: list[Tool]
    versions: dict[str, str]
    absent: dict[str, str]
    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, cell: str, tool: str, value: float) -> None:
        """Keeps one sample."""
        self.samples.setdefault(cell, {}).setdefault(tool, []).append(value)

    def median(self, cell: str, tool: Tool) -> float | None:
        """Returns the median of a cell for a tool, or None if it was not measured."""
        values = self.samples.get(cell, {}).get(tool.name)
        return median(values) if values else None

    def to_json(self) -> str:
        """Returns everything, samples in the order they were taken (seconds, bytes)."""
        return json.dumps(
            {
                "schema": "gitprov/bench/v1",
                "started": self.started.isoformat(timespec="seconds"),
                "size_divisor": self.divisor,
                "runs": self.runs,
                "machine": self.machine,
                "versions": self.versions,
                "absent": self.absent,
                "failures": self.failures,
                "samples": self.samples,
            },
            indent=1,
            ensure_ascii=False,
        )


def machine(folder: Path) -> dict[str, str]:
    """Returns what there is to know about this machine, without its name or any path."""
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=False)
    disk = subprocess.run(
        ["df", "--output=fstype", str(folder)], capture_output=True, text=True, check=False
    )
    return {
        "processor": _field(Path("/proc/cpuinfo"), "model name") or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "file system": (disk.stdout.split() or ["", "unknown"])[-1],
        "load before": f"{os.getloadavg()[0]:.2f}",
        "Python": platform.python_version(),
        "git": git.stdout.strip().removeprefix("git version "),
    }


def to_markdown(results: Results) -> str:
    """Returns the page: the table, then how it was measured."""
    return "\n".join([*_head(results), *_table(results), "", *_notes(results)]) + "\n"


def _head(results: Results) -> Iterator[str]:
    yield "# Benchmarks"
    yield ""
    yield "<!-- Written by `make bench`; the samples are in .bench/results.json. -->"
    yield ""
    if results.divisor != 1:
        yield f"**A trial with 1/{results.divisor} of the data: it says nothing about the tools.**"
        yield ""
    facts = ", ".join(f"{name}: {value}" for name, value in results.machine.items())
    yield f"{results.started:%Y-%m-%d} · {facts}."
    yield (
        "Versions: " + ", ".join(f"{name} {text}" for name, text in results.versions.items()) + "."
    )
    yield ""


def _table(results: Results) -> Iterator[str]:
    names = [tool.name for tool in results.tools]
    modes: list[Mode] = [tool.mode for tool in results.tools if tool.family == "gitprov"]
    columns = ["work", *names, *(f"best peer ÷ ours, {_like(mode)}" for mode in modes), "target"]
    yield "| " + " | ".join(columns) + " |"
    yield "|---|" + "---:|" * (len(columns) - 2) + "---|"
    for cell in CELLS:
        if cell.key not in results.samples:
            continue
        row = [cell.title]
        for tool in results.tools:
            value = results.median(cell.key, tool)
            row.append("–" if value is None else show(value, cell.unit))
        row += [_ratio(results, cell, mode) for mode in modes]
        row.append(_target(results, cell))
        yield "| " + " | ".join(row) + " |"


def _ratio(results: Results, cell: Cell, mode: Mode) -> str:
    """Compares like with like: copying tools with each other, linking tools with each other."""
    ours = peers = None
    for tool in results.tools:
        value = results.median(cell.key, tool)
        if value is None or tool.mode != mode:
            continue
        if tool.family == "gitprov":
            ours = value
        else:
            peers = value if peers is None else min(peers, value)
    if not ours or peers is None:
        return "–"
    return f"{peers / ours:.1f}×" if peers >= ours else f"{peers / ours:.2f}×"


def _target(results: Results, cell: Cell) -> str:
    parts: list[str] = []
    for tool in results.tools:
        limit = cell.targets.get(tool.mode)
        if tool.family != "gitprov" or limit is None:
            continue
        value = results.median(cell.key, tool)
        # A share of the data says nothing about a target for all of it.
        judged = value is not None and results.divisor == 1
        met = ("met" if value <= limit else "**missed**") if judged and value is not None else ""
        parts.append(f"{_like(tool.mode)} ≤ {show(limit, cell.unit)} {met}".strip())
    return "; ".join(parts)


def _like(mode: Mode) -> str:
    return {"copy": "copying", "link": "linking"}[mode]


def _notes(results: Results) -> Iterator[str]:
    yield (
        "Pages of their own: [benchmarks-remotes.md](benchmarks-remotes.md), "
        "[benchmarks-anchors.md](benchmarks-anchors.md), "
        "[benchmarks-tracker.md](benchmarks-tracker.md)."
    )
    yield ""
    yield "## How it was measured"
    yield ""
    for dataset in DATASETS.values():
        shape = dataset.scaled(results.divisor).describe()
        yield f"- **{dataset.key}**: {shape}; random bytes from a seed."
    floor = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    yield _METHOD.format(runs=results.runs, floor=floor)
    for name, reason in results.absent.items():
        yield f"- {name} was not measured: {reason.splitlines()[0]}"
    for where, reason in results.failures.items():
        yield f"- {where} failed: `{reason.splitlines()[0]}`"


def _field(path: Path, name: str) -> str:
    try:
        text = path.read_text("utf-8")
    except OSError:
        return ""
    found = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for key, _, value in found if key.strip() == name), "")
