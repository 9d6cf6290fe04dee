"""The benchmark's command line and its loop: runs × data sets × tools."""

from __future__ import annotations

import argparse
import functools
import shutil
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data import DATASETS
from bench.measure import CommandFailedError
from bench.peers import FAMILIES, environment, line_up
from bench.report import Results, machine, to_markdown
from bench.scenarios import Setting, big, small, space_needed

if TYPE_CHECKING:
    from bench.tools import Tool

_ROOT = Path(__file__).resolve().parent.parent
_BASE = _ROOT / ".bench"
_SMALL = "small"
_QUICK_DIVISOR = 20
_RESERVE = 4 << 30
"""So much of the disk stays free."""
_MANY_FILES = 1000
"""A folder with more files than this is deleted at the end only, if the disk allows."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    quick: bool
    cells: list[str]
    tools: list[str]
    runs: int
    dir: Path
    out: Path
    timeout: float
    patience: float

    @property
    def divisor(self) -> int:
        """How much smaller than full size the data is."""
        return _QUICK_DIVISOR if self.quick else 1


def main() -> int:
    """Runs the benchmark; exit code 1 if some tool failed at something."""
    options = _options()
    lineup = line_up(options.tools, _BASE)
    for name, reason in lineup.absent.items():
        print(f"bench: {name} cannot be had: {reason}", file=sys.stderr)
    options.dir.mkdir(parents=True, exist_ok=True)
    results = Results(
        started=datetime.now(UTC),
        divisor=options.divisor,
        runs=options.runs,
        machine=machine(options.dir),
        tools=lineup.tools,
        versions=lineup.versions,
        absent=lineup.absent,
    )
    work = options.dir / f"run-{results.started:%Y%m%dT%H%M%S}"
    try:
        _measure_all(options, results, work)
    finally:
        print("bench: deleting what was made")
        shutil.rmtree(work, ignore_errors=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    page = to_markdown(results)
    options.out.write_text(page, "utf-8")
    print(page)
    return 1 if results.failures else 0


def _measure_all(options: Options, results: Results, work: Path) -> None:
    """Runs every scenario; tools take turns within a data set, and begin with another each time."""
    finished: list[Path] = []
    slow: set[tuple[str, str]] = set()
    for turn in range(options.runs):
        for key in options.cells:
            shift = turn % max(1, len(results.tools))
            for tool in results.tools[shift:] + results.tools[:shift]:
                if (key, tool.name) in slow:
                    continue
                folder = work / f"{turn}-{key}-{tool.name}".translate(_PLAIN)
                finished = _make_room(folder, finished, space_needed(key, options.divisor))
                seconds = _measure(options, results, key, tool, folder)
                (_BASE / "results.json").write_text(results.to_json(), "utf-8")
                if seconds > options.patience or f"{key} with {tool.name}" in results.failures:
                    slow.add((key, tool.name))
                if key in DATASETS and DATASETS[key].files < _MANY_FILES:
                    shutil.rmtree(folder, ignore_errors=True)
                else:
                    finished.append(folder)


_PLAIN = str.maketrans({" ": "-", "(": None, ")": None})


def _measure(options: Options, results: Results, key: str, tool: Tool, folder: Path) -> float:
    """Runs one scenario and returns how long all of it took."""
    setting = Setting(
        tool=tool,
        folder=folder,
        env=environment(tool, folder / "home"),
        timeout=options.timeout,
        record=functools.partial(_record, results, tool),
    )
    started = time.perf_counter()
    try:
        if key == _SMALL:
            small(setting, repeats=5 if options.quick else 15)
        else:
            big(setting, DATASETS[key].scaled(options.divisor), options.divisor)
    except (CommandFailedError, OSError) as exc:
        results.failures[f"{key} with {tool.name}"] = str(exc)
        print(f"bench: {key} with {tool.name} failed: {exc}", file=sys.stderr)
    seconds = time.perf_counter() - started
    print(f"bench: {key} with {tool.name}: {seconds:.1f} s in all", flush=True)
    return seconds


def _record(results: Results, tool: Tool, cell: str, value: float) -> None:
    results.add(cell, tool.name, value)


def _make_room(folder: Path, finished: list[Path], needed: int) -> list[Path]:
    """Deletes finished folders, the oldest first, until the disk has room; returns the rest."""
    folder.mkdir(parents=True)
    rest = list(finished)
    while rest and shutil.disk_usage(folder).free < needed + _RESERVE:
        print(f"bench: the disk is getting full, deleting {rest[0].name}")
        shutil.rmtree(rest.pop(0), ignore_errors=True)
    return rest


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="bench/run.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a trial with 1/20 of the data")
    parser.add_argument("--cells", type=_Names(*DATASETS, _SMALL), default=[*DATASETS, _SMALL])
    parser.add_argument("--tools", type=_Names(*FAMILIES), default=list(FAMILIES))
    parser.add_argument("--runs", type=int, help="how often (3; 1 with --quick)")
    parser.add_argument(
        "--dir", type=Path, default=_BASE / "work", help="where to work; needs 30 GB"
    )
    parser.add_argument("--out", type=Path, help="the page to write (docs/benchmarks.md)")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds for one command")
    parser.add_argument("--patience", type=float, default=240, help="a longer scenario runs once")
    given = parser.parse_args()
    # A trial must not replace the real figures.
    page = _BASE / "benchmarks.md" if given.quick else _ROOT / "docs" / "benchmarks.md"
    return Options(
        quick=given.quick,
        cells=given.cells,
        tools=given.tools,
        runs=given.runs or (1 if given.quick else 3),
        dir=given.dir.resolve(),
        out=given.out or page,
        timeout=given.timeout,
        patience=given.patience,
    )


class _Names:
    """A comma-separated choice of known names."""

    def __init__(self, *known: str) -> None:
        self.known = known

    def __call__(self, text: str) -> list[str]:
        chosen = text.split(",")
        for name in chosen:
            if name not in self.known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(self.known)}")
        return chosen
