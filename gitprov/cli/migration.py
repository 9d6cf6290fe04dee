"""The commands that take over what other tools keep: import-dvc, import-lfs."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from gitprov.cli.context import workspace
from gitprov.cli.options import (
    emit_json,
    examples,
    human_size,
    json_option,
    note,
    plural,
    quiet_option,
    say,
    table,
)
from gitprov.cli.progress import progress
from gitprov.core.paths import printable
from gitprov.ops import import_dvc as dvc
from gitprov.ops import import_dvc_history as dvc_history
from gitprov.ops import import_lfs as lfs
from gitprov.ops.adopt import typed
from gitprov.ops.import_history import PREFIX
from gitprov.ops.migrated import Left, exit_code

if TYPE_CHECKING:
    from gitprov.core.canonical import Json
    from gitprov.model.pointer import ArtifactKind
    from gitprov.ops.adopt import Adopted
    from gitprov.ops.import_dvc import Imported
    from gitprov.ops.import_history import History
    from gitprov.workspace import Workspace

F = TypeVar("F", bound=Callable[..., Any])

_NAMED = 20
_HERE = {
    "differs": "what lies at {0} differs: gitprov status {1}",
    "linked": "links into DVC's cache lie at {0}: dvc unprotect {1} makes files of them",
    "restored": "only LFS pointers lay at {0}: its data is there now",
}
"""What is said of the data on disk, which is not what an artifact's pointer says, or was not."""


def _options(command: F) -> F:
    """What both have in common."""
    shared = (
        click.option(
            "--all-revisions",
            is_flag=True,
            help="All commits of all branches and tags, as new branches; the index stays.",
        ),
        click.option(
            "--branch",
            "prefix",
            metavar="PREFIX",
            help=f"What stands before the names of the new branches.  [default: {PREFIX}]",
        ),
        click.option(
            "--kind",
            type=click.Choice(["data", "model"]),
            help="What the artifacts are.  [default: by the ending, as for add]",
        ),
        click.option("-n", "--dry-run", is_flag=True, help="Say what would be done, and stop."),
        json_option,
        quiet_option,
    )
    for option in reversed(shared):
        command = option(command)
    return command


@click.command(
    "import-dvc",
    short_help="Take over what DVC keeps.",
    epilog=examples(
        "gitprov import-dvc --dry-run        # what there is, and what is missing",
        "gitprov import-dvc                  # pointers beside the .dvc files, staged",
        "gitprov import-dvc data models/m.pt.dvc",
        "gitprov import-dvc --all-revisions  # every commit, as branches imported/…",
    ),
)
@click.argument("paths", nargs=-1, type=click.Path())
@click.option(
    "--cache",
    metavar="FOLDER",
    type=click.Path(file_okay=False),
    help="DVC's cache.  [default: as .dvc/config says, when that is safe, or .dvc/cache]",
)
@_options
def import_dvc(
    paths: tuple[str, ...],
    cache: str | None,
    all_revisions: bool,
    prefix: str | None,
    kind: str | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make artifacts of what .dvc files and dvc.lock name: all, or only PATHs.

    The data comes from DVC's cache and is checked by its MD5. DVC's files, its cache and the data
    on disk stay as they are, and DVC goes on working. What is missing or damaged is named, and the
    rest is imported. A .dvc file without its data never gets a pointer, and an artifact of another
    version than DVC's stays as it is, unless DVC's version lies on disk.
    """
    _check_prefix(prefix, all_revisions=all_revisions)
    chosen = cast("ArtifactKind | None", kind)
    with workspace() as ws, progress("importing", quiet=quiet or as_json) as meter:
        if all_revisions:
            past = dvc_history.import_dvc_history(
                ws,
                paths,
                cache=cache,
                kind=chosen,
                prefix=prefix or PREFIX,
                dry_run=dry_run,
                progress=meter,
            )
        else:
            done = dvc.import_dvc(
                ws, paths, cache=cache, kind=chosen, dry_run=dry_run, progress=meter
            )
    if all_revisions:
        _show_history("import-dvc", past, dry_run=dry_run, as_json=as_json, quiet=quiet)
    else:
        _show(ws, "import-dvc", done, dry_run=dry_run, as_json=as_json, quiet=quiet)


@click.command(
    "import-lfs",
    short_help="Take over what git-lfs keeps.",
    epilog=examples(
        "gitprov import-lfs --dry-run",
        "gitprov import-lfs                  # every LFS file becomes an artifact",
        "gitprov import-lfs data             # the folder becomes one artifact",
        "gitprov import-lfs --all-revisions data",
    ),
)
@click.argument("paths", nargs=-1, type=click.Path())
@_options
def import_lfs(
    paths: tuple[str, ...],
    all_revisions: bool,
    prefix: str | None,
    kind: str | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make artifacts of the LFS files of the current commit: of each, or of PATHs.

    A PATH is a file, or a folder that holds nothing but LFS files. The data comes from git-lfs'
    store and is checked by its SHA-256. git does not track the files any more: that is staged
    together with the pointers. The files on disk and git-lfs' store stay as they are; where only
    an LFS pointer lies on disk, its data takes the place. Before the commit
    `gitprov remove ARTIFACT…` and then `git reset` undo it.
    """
    _check_prefix(prefix, all_revisions=all_revisions)
    chosen = cast("ArtifactKind | None", kind)
    with workspace() as ws, progress("importing", quiet=quiet or as_json) as meter:
        if all_revisions:
            past = lfs.import_lfs_history(
                ws, paths, kind=chosen, prefix=prefix or PREFIX, dry_run=dry_run, progress=meter
            )
        else:
            done, better = lfs.import_lfs(ws, paths, kind=chosen, dry_run=dry_run, progress=meter)
    if all_revisions:
        _show_history("import-lfs", past, dry_run=dry_run, as_json=as_json, quiet=quiet)
        return
    for folder in better if not (quiet or as_json) else ():
        command = f"gitprov import-lfs {typed(ws, folder)}"
        note(f"gitprov: {folder} holds nothing but LFS files: `{command}` makes one artifact of it")
    _show(ws, "import-lfs", done, dry_run=dry_run, as_json=as_json, quiet=quiet)


def _check_prefix(prefix: str | None, *, all_revisions: bool) -> None:
    if prefix is not None and not all_revisions:
        raise click.UsageError("--branch goes with --all-revisions")


def _show(
    ws: "Workspace", verb: str, done: "Imported", *, dry_run: bool, as_json: bool, quiet: bool
) -> None:
    if as_json:
        artifacts: list[Json] = [_artifact_json(item, dry_run=dry_run) for item in done.artifacts]
        emit_json(
            verb,
            {
                "artifacts": artifacts,
                "left": _left_json(done.left),
                "files": done.files,
                "size": done.size,
                "dry_run": dry_run,
            },
        )
    elif not quiet:
        for line in table([_row(item, dry_run=dry_run) for item in done.artifacts]):
            say(line)
        _say_read(done.files, done.size, dry_run=dry_run)
        if not dry_run and any(item.state != "unchanged" for item in done.artifacts):
            say("git commit binds it to the code")
    if not (as_json or quiet):
        for item in done.artifacts:
            if item.here in _HERE:
                text = _HERE[item.here].format(item.path, typed(ws, item.path))
                note(f"gitprov: {text}")
    _end(done.left, quiet=quiet or as_json)


def _show_history(verb: str, done: "History", *, dry_run: bool, as_json: bool, quiet: bool) -> None:
    if as_json:
        emit_json(
            verb,
            {
                "artifacts": [_text(path.raw) for path in done.artifacts],
                "branches": dict(done.branches),
                "commits": done.commits,
                "rewritten": done.rewritten,
                "new": done.new,
                "unchanged": list(done.unchanged),
                "recorded": done.recorded,
                "left": _left_json(done.left),
                "files": done.files,
                "size": done.size,
                "dry_run": dry_run,
            },
        )
    elif not quiet:
        say(_commits_line(done, dry_run=dry_run))
        made = "from" if dry_run else "made"
        rows = [
            ["unchanged" if ref in done.unchanged else made, ref, commit[:12]]
            for ref, commit in done.branches.items()
        ]
        for line in table(rows):
            say(line)
        for path in done.artifacts:
            say(f"artifact  {path}")
        _say_read(done.files, done.size, dry_run=dry_run)
    _end(done.left, quiet=quiet or as_json)


def _commits_line(done: "History", *, dry_run: bool) -> str:
    commits = plural(done.commits, "commit")
    if dry_run:
        return f"{done.rewritten:,} of {commits} would be made anew"
    before = done.rewritten - done.new
    if before and not done.new:
        return f"nothing new: {before:,} of {commits} were made anew before"
    rest = f"; {before:,} were made before" if before else ""
    return f"{done.new:,} of {commits} made anew, {done.recorded:,} recorded{rest}"


def _say_read(files: int, size: int, *, dry_run: bool) -> None:
    what = "to read" if dry_run else "read"
    say(f"{plural(files, 'distinct file')} {what}, {human_size(size)}")


def _row(item: "Adopted", *, dry_run: bool) -> list[str]:
    pointer = item.pointer
    planned = "would import" if item.state == "added" else "would compare"
    state = planned if dry_run else item.state
    size = human_size(pointer.size)
    return [state, str(item.path), pointer.kind, plural(pointer.files, "file"), size]


def _artifact_json(item: "Adopted", *, dry_run: bool) -> "Json":
    return {
        "path": _text(item.path.raw),
        "kind": item.pointer.kind,
        "root": None if dry_run else str(item.pointer.root),
        "size": item.pointer.size,
        "files": item.pointer.files,
        "state": None if dry_run else item.state,
        "here": None if dry_run else item.here,
    }


def _left_json(left: Sequence[Left]) -> "list[Json]":
    return [
        {
            "path": item.path,
            "why": item.why,
            "hint": item.hint,
            "exit_code": item.code,
            "commits": item.commits,
        }
        for item in left
    ]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _line(text: str) -> str:
    """One line that cannot steer a terminal, whatever a repository put into it."""
    return printable(" ".join(text.split()))


def _end(left: Sequence[Left], *, quiet: bool) -> None:
    """Names what was left on stderr, each hint once, and ends with the code that it is worth."""
    wrong = [item for item in left if item.code]
    named = [] if quiet else [item for item in left if not item.code]
    named += wrong
    for item in named[:_NAMED]:
        where = f", in {plural(item.commits, 'commit')}" if item.commits else ""
        note(f"gitprov: not imported: {printable(item.path)}: {_line(item.why)}{where}")
    if len(named) > _NAMED:
        note(f"gitprov: and {len(named) - _NAMED:,} more; --json names all")
    for hint in dict.fromkeys(item.hint for item in named if item.hint):
        note(f"gitprov: hint: {printable(hint)}")  # two spaces of a name stay two
    if code := exit_code(left):
        raise click.exceptions.Exit(code)
