"""Writes down what was measured of remotes: one table, then how it was measured."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from bench.cells import show
from bench.data import SHARED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.cells import Unit
    from bench.report import Results

PLACES = ("folder", "S3")
"""Where remotes lie."""

_STEPS: tuple[tuple[str, str, Unit], ...] = (
    ("push", "push of everything", "time"),
    ("push, bytes", "… bytes that the remote then has", "bytes"),
    ("push again", "push, nothing new", "time"),
    ("push changed", "push after {change}", "time"),
    ("push changed, bytes", "… bytes that it adds to the remote", "bytes"),
    ("pull", "pull into a fresh clone", "time"),
    ("pull again", "pull, nothing new", "time"),
)
_CHANGES = {"R1": "1 file changed", "R2": "1 byte was put in front"}

_METHOD = """\
- **R1**: 100,000 × 4 KiB in 100 folders. **R2**: one file of 2 GiB. Random bytes from a seed.
- Whole processes, wall time, medians of {runs} run(s), three samples of what does nothing new. All
  tools in one run on one machine, each in a fresh repository; what was written before is on the
  disk when a measured command starts. Differences below 30 % are noise.
- S3 is versitygw on loopback, on the same cores. git-lfs shares with a folder by `git push` to a
  bare repository, where it makes hard links, and has no S3 without a server of its own. git-annex
  uses its directory and S3 special remotes, unencrypted, in its default form; its S3 needs a server
  at port 80, so a user who may listen there. It goes by its own record of what a remote has
  (`--fast`) and does not look; DVC and gitprov list what is there.
- Bytes are what lies below the remote's folder. gitprov syncs what it writes to a folder before it
  says so; the others leave that to the system."""


def to_page(results: Results) -> str:
    """Returns the page in Markdown."""
    return "\n".join([*_head(results), *_table(results), "", *_notes(results)]) + "\n"


def _head(results: Results) -> Iterator[str]:
    yield "# Benchmarks of remotes"
    yield ""
    yield "<!-- By `make bench-remotes`; the samples are in .bench/results-remotes.json. -->"
    yield ""
    if results.divisor != 1:
        yield f"**A trial with 1/{results.divisor} of the data: it says nothing about the tools.**"
        yield ""
    facts = ", ".join(f"{name}: {value}" for name, value in results.machine.items())
    versions = ", ".join(f"{name} {text}" for name, text in results.versions.items())
    yield f"{results.started:%Y-%m-%d} · {facts}."
    yield f"Versions: {versions}."
    yield ""


def _table(results: Results) -> Iterator[str]:
    names = [tool.name for tool in results.tools]
    yield f"| work | {' | '.join(names)} | best peer ÷ ours |"
    yield "|---|" + "---:|" * (len(names) + 1)
    for key in SHARED:
        for place in PLACES:
            for step, title, unit in _STEPS:
                samples = results.samples.get(f"{key} {place} {step}", {})
                if samples:
                    what = f"{key} to {place}: {title.format(change=_CHANGES[key])}"
                    yield _row(results, what, unit, samples)


def _row(results: Results, what: str, unit: Unit, samples: dict[str, list[float]]) -> str:
    values = {name: median(taken) for name, taken in samples.items()}
    names = [tool.name for tool in results.tools]
    shown = [show(values[name], unit) if name in values else "–" for name in names]
    ours = [values[t.name] for t in results.tools if t.family == "gitprov" and t.name in values]
    peers = [values[t.name] for t in results.tools if t.family != "gitprov" and t.name in values]
    ratio = f"{min(peers) / ours[0]:.2f}×" if ours and ours[0] and peers else "–"
    return f"| {what} | {' | '.join(shown)} | {ratio} |"


def _notes(results: Results) -> Iterator[str]:
    yield _METHOD.format(runs=results.runs)
    for name, reason in results.absent.items():
        yield f"- {name} was not measured: {reason.splitlines()[0]}"
    for where, reason in results.failures.items():
        yield f"- {where} was not measured to the end: `{reason.splitlines()[0]}`"
