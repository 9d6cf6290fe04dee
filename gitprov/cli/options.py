"""What several commands share: options, printing, sizes, colour."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from gitprov.core.canonical import Json
from gitprov.core.paths import show

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print errors only.")


def examples(*lines: str) -> str:
    """Returns an epilog that shows command lines as they are typed."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def emit_json(verb: str, payload: dict[str, Json]) -> None:
    """Prints the one JSON object of a verb on stdout."""
    document: dict[str, Json] = {"schema": f"gitprov/{verb}/v1", **payload}
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")


def say(text: str = "") -> None:
    """Prints a line of the result on stdout; colours are kept on a terminal only."""
    click.echo(text)


def note(text: str) -> None:
    """Prints a line for people on stderr."""
    click.echo(text, err=True)


def waiting(message: str) -> None:
    """Tells that a lock takes long."""
    note(f"gitprov: {message}")


def human_size(size: int) -> str:
    """Returns bytes in the unit that keeps the number short."""
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024:
            break
        value, unit = value / 1024, larger
    if unit == "B":
        return f"{size} B"
    return f"{value:.1f} {unit}" if abs(value) < 100 else f"{value:.0f} {unit}"


def plural(count: int, noun: str) -> str:
    """Returns "1 file" or "2,000 files"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def shown(path: str | bytes) -> str:
    """Returns a path in a printable form."""
    raw = path.encode("utf-8", "surrogateescape") if isinstance(path, str) else path
    return show(raw)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns lines whose columns stand under each other."""
    if not rows:
        return []
    widths = [max(len(click.unstyle(row[i])) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell + " " * (width - len(click.unstyle(cell)))
            for cell, width in zip(row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
