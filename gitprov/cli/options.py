"""What several commands share: options, printing, sizes, colour."""

import json
import os
import sys
import unicodedata
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import click

from gitprov.core.canonical import Json
from gitprov.core.paths import show
from gitprov.render.words import human_size, plural

__all__ = [
    "emit_json",
    "examples",
    "human_size",
    "json_option",
    "kind_change",
    "note",
    "plural",
    "quiet_option",
    "say",
    "shown",
    "table",
    "waiting",
]

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print errors only.")


def examples(*lines: str) -> str:
    """Returns an epilog that shows command lines as they are typed."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def emit_json(verb: str, payload: dict[str, Json]) -> None:
    """Prints the one JSON object of a verb on stdout."""
    document: dict[str, Json] = {"schema": f"gitprov/{verb}/v1", **payload}
    sys.stdout.write(json.dumps(document, separators=(",", ":")) + "\n")


def say(text: str = "") -> None:
    """Prints a line of the result on stdout; colours are kept on a terminal that wants them."""
    # https://no-color.org: any value but the empty one counts.
    click.echo(text, color=False if os.environ.get("NO_COLOR") else None)


def note(text: str) -> None:
    """Prints a line for people on stderr."""
    click.echo(text, err=True)


def waiting(message: str) -> None:
    """Tells that a lock, or a remote, takes long."""
    note(f"gitprov: {message}")


_KIND_CHANGES = {"fx": "now executable", "xf": "no longer executable"}


def kind_change(kinds: str) -> str:
    """Says how a file differs of which only the kind does, see `worktree.compare.Change`."""
    if "l" in kinds:
        return "now a symlink" if kinds.endswith("l") else "no longer a symlink"
    return _KIND_CHANGES.get(kinds, "")


def shown(path: str | bytes) -> str:
    """Returns a path in a printable form."""
    raw = path.encode("utf-8", "surrogateescape") if isinstance(path, str) else path
    return show(raw)


def width_of(text: str) -> int:
    """Returns how many cells of a terminal a text takes; of Chinese, each letter takes two."""
    wide = sum(unicodedata.east_asian_width(letter) in {"W", "F"} for letter in text)
    # What is set over the letter before it: marks, and what joins letters.
    none = sum(unicodedata.category(letter) in {"Mn", "Me", "Cf"} for letter in text)
    return len(text) + wide - none


def table(rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> list[str]:
    """Returns lines whose columns stand under each other; numbers are best set to the right."""
    if not rows:
        return []
    widths = [max(width_of(click.unstyle(row[i])) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = []
        for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
            gap = " " * (width - width_of(click.unstyle(cell)))
            cells.append(gap + cell if column in right else cell + gap)
        lines.append("  ".join(cells).rstrip())
    return lines
