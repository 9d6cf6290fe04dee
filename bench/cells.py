"""The rows of the table: what each one means, its unit, and the target we set ourselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bench.tools import Mode

Unit = Literal["time", "bytes"]
_KB = 1000
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Cell:
    """One row."""

    key: str
    title: str
    unit: Unit = "time"
    targets: dict[Mode, float] = field(default_factory=dict)
    """The most it may be, in seconds or bytes, on a machine like that of docs/benchmarks.md."""


def _both(limit: float) -> dict[Mode, float]:
    return {"copy": limit, "link": limit}


CELLS: tuple[Cell, ...] = (
    Cell("S1 add", "S1 add, cold store", targets=_both(2.0)),
    Cell("S1 status", "S1 status, nothing changed", targets=_both(0.5)),
    Cell("S1 add again", "S1 add after 1 file changed", targets=_both(0.7)),
    Cell("S1 checkout", "S1 checkout of everything", targets=_both(3.5)),
    Cell("S1 add, peak memory", "S1 add, peak memory", "bytes", _both(150 * _MIB)),
    Cell("S1 add again, bytes", "S1, bytes stored after 1 file changed", "bytes", _both(100 * _KB)),
    Cell("S2 add", "S2 add, cold store", targets={"copy": 3.2, "link": 0.9}),
    Cell("S2 status", "S2 status, nothing changed"),
    Cell("S2 checkout", "S2 checkout", targets={"copy": 3.2}),
    Cell("S2 add, peak memory", "S2 add, peak memory", "bytes"),
    Cell("S3 add", "S3 add, cold store", targets={"copy": 2.8, "link": 0.8}),
    Cell("S3 status", "S3 status, nothing changed"),
    Cell("S3 add again", "S3 add after 1 file changed"),
    Cell("S3 checkout", "S3 checkout of everything", targets={"copy": 2.0}),
    Cell("S4 add", "S4 add, cold store", targets={"copy": 3.0, "link": 0.9}),
    Cell("S4 status", "S4 status, nothing changed", targets=_both(0.2)),
    Cell("S4 add again", "S4 add after 1 file changed"),
    Cell("S4 checkout", "S4 checkout of everything"),
    Cell("--version", "`--version`", targets=_both(0.045)),
    Cell("status, empty", "status in an empty repository", targets=_both(0.080)),
    Cell("commit, no hooks", "`git commit`, hooks switched off"),
    Cell("commit", "`git commit` with the tool's hooks"),
    Cell("commit, hooks' share", "… of which the hooks"),
    Cell("post-commit hook", "post-commit hook alone", targets=_both(0.060)),
)


def show(value: float, unit: Unit) -> str:
    """Returns a value as people read it."""
    if unit == "time":
        return f"{value * 1000:.0f} ms" if abs(value) < 0.1 else f"{value:.2f} s"
    if value >= _MIB:
        return f"{value / _MIB:.1f} MiB"
    return f"{value / _KB:.0f} kB"
