"""The commands that keep artifacts of other repositories here: import, update."""

import os
import sys
from typing import TYPE_CHECKING

import click

from gitprov.cli.context import workspace
from gitprov.cli.elsewhere import from_remote, options, transport_of
from gitprov.cli.options import emit_json, examples, human_size, plural, say, shown, waiting
from gitprov.cli.progress import progress
from gitprov.errors import UsageError
from gitprov.ops.elsewhere import cache_folder, open_elsewhere
from gitprov.ops.foreign import look_up, typed_path
from gitprov.ops.imports import Imported, agree, import_artifact, is_agreed
from gitprov.ops.update import origins
from gitprov.ops.update import update as update_artifacts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gitprov.core.canonical import Json
    from gitprov.model.origin import Origin
    from gitprov.workspace import Workspace

_SHORT = 12


@click.command(
    name="import",
    short_help="Import an artifact of another repository.",
    epilog=examples(
        "gitprov import https://example.org/team/data.git images",
        "gitprov import ../other models/base.pt --rev v1.2 -o models/base.pt",
        "gitprov update                  # later: takes what is there then",
    ),
)
@click.argument("url")
@click.argument("path")
@click.option("-o", "--out", metavar="OUT", help="The artifact here. [default: its own name, here]")
@options
def import_(
    url: str,
    path: str,
    out: str | None,
    rev: str | None,
    remote: str | None,
    jobs: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Bring PATH out of the repository at URL into this one, and keep where it comes from.

    It goes into the store and the worktree, with a pointer as `gitprov add` writes it. The file
    OUT.prov.origin beside it says where it comes from: address, revision, commit, root, and that
    commit's record root. Both are staged. `gitprov update` follows the revision.
    """
    wanted = typed_path(path)
    with (
        workspace() as ws,
        open_elsewhere(
            url, cwd=os.getcwd(), cache=cache_folder(os.environ), rev=rev, waiting=waiting
        ) as there,
        progress("importing", quiet=quiet or as_json) as meter,
    ):
        done = import_artifact(
            ws,
            there,
            look_up(there, wanted),
            out,
            lambda: transport_of(there, remote),
            jobs=jobs,
            meter=meter,
            progress=meter,
        )
    if as_json:
        emit_json("import", _imported_json(done))
    elif not quiet:
        _say_imported(done)
        say("git commit binds it to the code")


@click.command(
    short_help="Bring imported artifacts up to date.",
    epilog=examples(
        "gitprov update                  # every imported artifact",
        "gitprov update images --dry-run",
        "gitprov update base.pt --rev v1.3   # follows v1.3 from now on",
    ),
)
@click.argument("names", nargs=-1, type=click.Path(), metavar="[NAME]…")
@click.option("-f", "--force", is_flag=True, help="Write over artifacts that were changed here.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would change, and stop.")
@click.option("--yes", is_flag=True, help="Ask the addresses that tracked files name.")
@options
def update(
    names: tuple[str, ...],
    force: bool,
    dry_run: bool,
    yes: bool,
    rev: str | None,
    remote: str | None,
    jobs: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Ask where imported artifacts came from, and bring what is new there.

    Where the revision has another root now, the artifact, its pointer and its origin follow, and
    are staged. NAME is an imported artifact or a folder that holds some; all when there is none.
    """
    if rev is not None and not names:
        raise UsageError("--rev needs a NAME: each artifact follows its own", hint="gitprov status")
    with workspace() as ws:
        wanted = origins(ws, names)
        _accept(ws, wanted.values(), yes=yes)
        with progress("updating", quiet=quiet or as_json) as meter:
            done = update_artifacts(
                ws,
                wanted,
                cache=cache_folder(os.environ),
                connect_to=lambda there: transport_of(there, remote),
                rev=rev,
                force=force,
                dry_run=dry_run,
                jobs=jobs,
                meter=meter,
                progress=meter,
            )
    if as_json:
        emit_json("update", {"artifacts": [_imported_json(one) for one in done]})
    elif not quiet:
        if not done:
            say("nothing was imported")
        for one in done:
            _say_imported(one)


def _accept(ws: "Workspace", wanted: "Iterable[Origin]", *, yes: bool) -> None:
    """An address in a tracked file comes from whoever can push: it could be a folder of yours."""
    for url in dict.fromkeys(origin.url for origin in wanted):
        if is_agreed(ws, url):
            continue
        if not yes:
            if not (sys.stdin and sys.stdin.isatty()):
                raise UsageError(
                    f"nothing was taken from {url} here yet, and a tracked file names it",
                    hint="gitprov update --yes, once: it is remembered",
                )
            if not click.confirm(f"gitprov: take data from {shown(url)}?", err=True):
                raise click.exceptions.Exit(2)
        agree(ws, url)


def _say_imported(done: Imported) -> None:
    origin, before = done.origin, done.before
    say(f"{done.state}  {done.path}")
    if done.state == "up to date":
        return
    was = f", was {before.commit[:_SHORT]}" if before else ""
    say(f"  from    {origin.path} of {shown(origin.url)} at {shown(origin.rev)}")
    say(f"  commit  {origin.commit}{was}")
    say(f"  root    {origin.root}")
    have = "has" if done.logs == 1 else "have"
    logs = f", and {plural(done.logs, 'log')} of it {have} it" if done.logs else ""
    noted = f"that repository's own note says so{logs}" if done.noted else "not recorded there"
    say(f"  record  {origin.record}")
    say(f"          {noted}")
    if done.pointer is not None:
        say(f"  holds   {plural(done.pointer.files, 'file')}, {human_size(done.pointer.size)}")
    if done.moved is not None:
        say(f"          {from_remote(done.moved)}")


def _imported_json(done: Imported) -> "dict[str, Json]":
    origin, before = done.origin, done.before
    return {
        "path": done.path.raw.decode("utf-8", "replace"),
        "state": done.state,
        "url": origin.url,
        "rev": origin.rev,
        "commit": origin.commit,
        "source": origin.path.raw.decode("utf-8", "replace"),
        "kind": origin.kind,
        "root": str(origin.root),
        "record": str(origin.record),
        "noted": bool(done.noted),
        "logs": done.logs,
        "before": {"commit": before.commit, "root": str(before.root)} if before else None,
        "travelled": done.moved.travelled if done.moved else 0,
        "written": done.restored.files if done.restored else 0,
    }
