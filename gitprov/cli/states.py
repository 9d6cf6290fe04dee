"""The command that shows how artifacts stand: status. People ask it often, so it imports little."""

import click

from gitprov.cli.context import workspace
from gitprov.cli.options import (
    emit_json,
    examples,
    human_size,
    json_option,
    kind_change,
    note,
    plural,
    say,
    shown,
    table,
)
from gitprov.cli.progress import progress
from gitprov.core.canonical import Json
from gitprov.ops.status import Status
from gitprov.ops.status import status as artifact_states

_MAX_LINES = 20
_WORDS = {"type": "modified"}
_COLOURS = {"added": "green", "modified": "yellow", "deleted": "red"}


@click.command(
    short_help="Show what differs between artifacts, pointers and store.",
    epilog=examples(
        "gitprov status",
        "gitprov status data --json",
        "gitprov status --exit-code && echo nothing changed",
    ),
)
@click.argument("paths", nargs=-1, type=click.Path())
@click.option("--exit-code", is_flag=True, help="Exit with 1 when anything differs.")
@click.option("-a", "--all", "everything", is_flag=True, help="Name every file, however many.")
@json_option
def status(paths: tuple[str, ...], exit_code: bool, everything: bool, as_json: bool) -> None:
    """Show for each artifact what was added, modified, deleted, or is missing in the store."""
    with workspace() as ws, progress("reading", quiet=as_json) as meter:
        found = artifact_states(ws, paths, progress=meter)
    if as_json:
        emit_json("status", {"artifacts": [_status_json(item) for item in found]})
    else:
        heads = table([_status_row(item) for item in found])
        for head, item in zip(heads, found, strict=True):
            say(head)
            _show_status(item, None if everything else _MAX_LINES)
        if not all(item.is_fetched for item in found):
            note("gitprov: hint: gitprov pull fetches them and checks them out")
        if not found:
            note("no artifacts yet: gitprov add data")
    if exit_code and not all(item.is_clean for item in found):
        raise click.exceptions.Exit(1)


def _status_row(item: Status) -> list[str]:
    words = {
        "absent": "not checked out",
        "partial": "partly checked out",
        "broken": "broken pointer",
    }
    colour = "green" if item.is_clean else "yellow"
    state = words.get(item.state, item.state) if item.is_fetched else "not fetched"
    word = click.style(state, fg=colour)
    row = [click.style(str(item.path), bold=True), word]
    pointer = item.pointer
    if pointer is None:
        return [*row, "", "", ""]
    return [*row, pointer.kind, plural(pointer.files, "file"), human_size(pointer.size)]


def _show_status(item: Status, limit: int | None) -> None:
    lines = [
        (_WORDS.get(change.how, change.how), shown(change.path), kind_change(change.kinds))
        for change in item.changes
    ]
    lines += [("refused", shown(name), reason) for name, reason in item.odd]
    if item.is_fetched:  # else all of them are, and that is no news
        lines += [("missing", shown(path), "not in the store") for path in item.missing]
    for how, path, reason in lines[:limit]:
        word = click.style(f"{how:8}", fg=_COLOURS.get(how, "red"))
        say(f"  {word}  {path or item.path}" + (f"  ({reason})" if reason else ""))
    if limit is not None and len(lines) > limit:
        say(f"  … and {len(lines) - limit:,} more (--all names them)")
    if item.problem:
        say(f"  {click.style('problem', fg='red')}   {item.problem}")


def _status_json(item: Status) -> Json:
    pointer = item.pointer
    return {
        "path": item.path.raw.decode("utf-8", "replace"),
        "kind": pointer.kind if pointer else None,
        "root": str(pointer.root) if pointer else None,
        "size": pointer.size if pointer else None,
        "files": pointer.files if pointer else None,
        "state": item.state,
        "fetched": item.is_fetched,
        "changes": [
            {
                "path": shown(change.path),
                "how": change.how,
                "old_size": change.old_size,
                "new_size": change.new_size,
            }
            for change in item.changes
        ],
        "refused": [{"path": shown(name), "reason": reason} for name, reason in item.odd],
        "missing": [shown(path) for path in item.missing],
        "problem": item.problem or None,
    }
