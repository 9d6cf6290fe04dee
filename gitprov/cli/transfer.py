"""The commands that move data: push, fetch, pull."""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

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
from gitprov.errors import UsageError
from gitprov.ops.pointers import repo_path
from gitprov.ops.remote_setup import remotes_config
from gitprov.ops.restore import checkout
from gitprov.ops.transfer import Transferred, accept_remote, is_accepted
from gitprov.ops.transfer import fetch as fetch_data
from gitprov.ops.transfer import push as push_data
from gitprov.store.transports import open_transport

if TYPE_CHECKING:
    from gitprov.config.remotes import RemoteConfig
    from gitprov.core.canonical import Json
    from gitprov.store.transport import Transport
    from gitprov.workspace import Workspace

F = TypeVar("F", bound=Callable[..., Any])

_NAMED = 5


def _options(command: F) -> F:
    """What the three have in common."""
    shared = (
        click.option(
            "-r", "--remote", metavar="NAME", help="Not the default remote, but this one."
        ),
        click.option(
            "-j",
            "--jobs",
            type=click.IntRange(1, 64),
            default=4,
            show_default=True,
            help="Transfers at once.",
        ),
        click.option("-n", "--dry-run", is_flag=True, help="Say what would travel, and stop."),
        json_option,
        quiet_option,
    )
    for option in reversed(shared):
        command = option(command)
    return command


@click.command(
    short_help="Send data to a remote.",
    epilog=examples(
        "gitprov push                    # the data of the current commit",
        "gitprov push --all              # of every branch and tag",
        "gitprov push origin/main..HEAD",
        "gitprov push --dry-run -r nas",
    ),
)
@click.argument("revs", nargs=-1, metavar="[REV | A..B]…")
@click.option("--all", "everything", is_flag=True, help="Every commit of every branch and tag.")
@click.option("--yes", is_flag=True, help="Send to the address that a tracked file names.")
@_options
def push(
    revs: tuple[str, ...],
    everything: bool,
    yes: bool,
    remote: str | None,
    jobs: int,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Send the datasets and models of commits to a remote; REV is HEAD when it is not given.

    Only what the remote lacks travels: of a large file that changed, the chunks that are new. An
    interrupted push goes on where it stopped. Notes and log travel with `git push`.
    """
    with workspace() as ws, progress("sending", quiet=quiet or as_json) as meter:
        chosen = remotes_config(ws).chosen(remote)
        if not dry_run:
            _accept(ws, chosen, yes=yes)
        done = push_data(
            ws,
            _open(chosen),
            revs,
            everything=everything,
            jobs=jobs,
            dry_run=dry_run,
            meter=meter,
        )
    verb = "would send" if dry_run else "sent"
    _show("push", verb, "to", done, dry_run=dry_run, as_json=as_json, quiet=quiet)


@click.command(
    short_help="Fetch data from a remote into the store.",
    epilog=examples(
        "gitprov fetch                   # what the current commit needs",
        "gitprov fetch --all",
        "gitprov fetch v1.0 -r nas",
    ),
)
@click.argument("revs", nargs=-1, metavar="[REV | A..B]…")
@click.option("--all", "everything", is_flag=True, help="Every commit of every branch and tag.")
@_options
def fetch(
    revs: tuple[str, ...],
    everything: bool,
    remote: str | None,
    jobs: int,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Fetch the datasets and models of commits into the store; the worktree stays as it is.

    Every object is checked as it arrives. What was fetched stays when it is interrupted.
    """
    with workspace() as ws, progress("fetching", quiet=quiet or as_json) as meter:
        done = fetch_data(
            ws,
            _open(remotes_config(ws).chosen(remote)),
            revs,
            everything=everything,
            jobs=jobs,
            dry_run=dry_run,
            meter=meter,
        )
    _show("fetch", _fetched(dry_run), "from", done, dry_run=dry_run, as_json=as_json, quiet=quiet)
    _exit_when_absent(done)


@click.command(
    short_help="Fetch data from a remote and check it out.",
    epilog=examples(
        "gitprov pull                    # everything that the current commit has",
        "gitprov pull data/train         # a part",
        "gitprov pull --dry-run",
    ),
)
@click.argument("paths", nargs=-1, type=click.Path())
@click.option("-f", "--force", is_flag=True, help="Write over files that were changed.")
@_options
def pull(
    paths: tuple[str, ...],
    force: bool,
    remote: str | None,
    jobs: int,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Fetch what the current commit needs, or only PATHs, and check it out.

    Files that were changed and never added are not written over without --force.
    """
    with workspace() as ws:
        wanted = [repo_path(ws.worktree, ws.cwd, path) for path in paths]
        with progress("fetching", quiet=quiet or as_json) as meter:
            done = fetch_data(
                ws,
                _open(remotes_config(ws).chosen(remote)),
                (),
                paths=wanted,
                jobs=jobs,
                dry_run=dry_run,
                meter=meter,
            )
        restored = None
        if not dry_run and not done.absent:
            with progress("restoring", quiet=quiet or as_json) as meter:
                restored = checkout(ws, paths, force=force, progress=meter)
    files = restored.files if restored else 0
    _show(
        "pull",
        _fetched(dry_run),
        "from",
        done,
        dry_run=dry_run,
        as_json=as_json,
        quiet=quiet,
        more={"files": files, "removed": restored.removed if restored else 0},
    )
    if restored is not None and not as_json and not quiet:
        for line in table([["restored", str(path)] for path in restored.updated]):
            say(line)
    _exit_when_absent(done)


def _open(chosen: "RemoteConfig") -> "Transport":
    return open_transport(chosen.url, chosen.options(), dict(os.environ))


def _accept(ws: "Workspace", chosen: "RemoteConfig", *, yes: bool) -> None:
    """An address in a tracked file comes from whoever can push: it could be anybody's."""
    if not chosen.shared or is_accepted(ws, chosen.url):
        return
    if not yes:
        asked = f"send data to {chosen.url}, which {'.gitprov.yaml'} names?"
        if not (sys.stdin and sys.stdin.isatty()):
            raise UsageError(
                f"nothing was sent to {chosen.url} yet, and a tracked file names it",
                hint="gitprov push --yes, once: it is remembered",
            )
        if not click.confirm(f"gitprov: {asked}", err=True):
            raise click.exceptions.Exit(2)
    accept_remote(ws, chosen.url)


def _fetched(dry_run: bool) -> str:
    return "would fetch" if dry_run else "fetched"


def _show(
    schema: str,
    verb: str,
    where: str,
    done: Transferred,
    *,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    more: "dict[str, Json] | None" = None,
) -> None:
    if as_json:
        emit_json(
            schema,
            {
                "remote": done.url,
                "commits": done.commits,
                "objects": done.objects,
                "size": done.size,
                "travelled": done.travelled,
                "there": done.there,
                "absent": [f"blake3:{digest.hex()}" for digest in done.absent],
                "dry_run": dry_run,
                **(more or {}),
            },
        )
    elif not quiet:
        travelled = "" if dry_run else f", {human_size(done.travelled)} on the line"
        there = f"; {plural(done.there, 'object')} there already" if done.there else ""
        objects = plural(done.objects, "object")
        say(f"{verb} {objects} ({human_size(done.size)}){travelled} {where} {done.url}{there}")
    for digest in done.absent[:_NAMED]:
        note(f"gitprov: neither here nor there: blake3:{digest.hex()}")
    if len(done.absent) > _NAMED:
        note(f"gitprov: and {len(done.absent) - _NAMED:,} more")
    if done.absent:
        note("gitprov: `gitprov push`, where somebody has them, sends them there")


def _exit_when_absent(done: Transferred) -> None:
    if done.absent:
        raise click.exceptions.Exit(3)
