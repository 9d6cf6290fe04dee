"""Writes docs/cli.md from the command line's own help, or checks that it is up to date."""

from __future__ import annotations

import argparse
import difflib
import importlib
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "cli.md"
PROGRAM = "gitprov"

HEADER = """\
# Command line

<!-- Made by `make docs` from the help texts in gitprov/cli; edit those, not this. -->
"""


def commands(command: click.Command, ctx: click.Context) -> Iterator[click.Context]:
    """Yields a context for the command and for every visible command below it, in name order."""
    yield ctx
    if not isinstance(command, click.Group):
        return
    for name in sorted(command.list_commands(ctx)):
        child = command.get_command(ctx, name)
        if child is None or child.hidden:
            continue
        # A context remembers its parent, from which click builds "gitprov log show".
        yield from commands(child, type(ctx)(child, info_name=name, parent=ctx))


def prose(text: str) -> str:
    r"""Turns a help text into Markdown; a paragraph marked `\b` is shown as it stands.

    `\f` ends the text, as it does in click.
    """
    paragraphs = inspect.cleandoc(text).split("\f")[0].strip().split("\n\n")
    return "\n\n".join(_paragraph(paragraph) for paragraph in paragraphs)


def _paragraph(text: str) -> str:
    if not text.startswith("\b"):
        return text
    lines = text.removeprefix("\b").strip("\n").splitlines()
    # "Examples:" over a block is a sentence; what is below it is meant to be typed.
    title = ""
    if len(lines) > 1 and lines[0].endswith(":") and not lines[0].startswith(" "):
        title = lines.pop(0) + "\n\n"
    block = inspect.cleandoc("\n" + "\n".join(lines))
    return f"{title}```text\n{block}\n```"


def options(ctx: click.Context) -> Iterator[str]:
    """Yields one row of a Markdown table for each visible option (and argument with a help)."""
    for parameter in ctx.command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is None or not record[1]:
            continue
        names, meaning = (" ".join(cell.split()).replace("|", "\\|") for cell in record)
        yield f"| `{names}` | {meaning} |"


def section(ctx: click.Context) -> str:
    """Returns the part of the page about one command."""
    command = ctx.command
    depth = 0 if ctx.parent is None else ctx.command_path.count(" ")
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    parts = [f"{'#' * (depth + 2)} {ctx.command_path}", f"```text\n{usage}\n```"]
    if command.help:
        parts.append(prose(command.help))
    if rows := list(options(ctx)):
        parts.append("\n".join(["| option | meaning |", "|---|---|", *rows]))
    if command.epilog:
        parts.append(prose(command.epilog))
    return "\n\n".join(parts) + "\n"


def page(command: click.Command) -> str:
    """Returns the whole page for a command and everything below it."""
    root = click.Context(command, info_name=PROGRAM, terminal_width=100, max_content_width=100)
    return "\n".join([HEADER, *(section(ctx) for ctx in commands(command, root))])


def main() -> int:
    """Writes the page, or with --check says whether it differs (exit code 1 and a diff)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if it differs")
    check: bool = parser.parse_args().check

    sys.path.insert(0, str(ROOT))
    command = importlib.import_module("gitprov.cli.main").cli
    wanted = page(command)
    found = TARGET.read_text("utf-8") if TARGET.exists() else ""
    name = TARGET.relative_to(ROOT)
    if not check:
        TARGET.parent.mkdir(exist_ok=True)
        TARGET.write_text(wanted, "utf-8")
        print(f"{name}: {'unchanged' if found == wanted else 'written'}")
        return 0
    if found == wanted:
        print(f"{name}: up to date")
        return 0
    lines = difflib.unified_diff(
        found.splitlines(),
        wanted.splitlines(),
        f"{name}",
        f"{name} as `make docs` writes it",
        "",
        "",
        3,
        "",
    )
    print("\n".join(lines))
    print(f"{name}: not what the command line says; run `make docs`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
