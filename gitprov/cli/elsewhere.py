"""`gitprov get`, and what the commands that take data from other repositories share."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gitprov.cli.context import open_remote
from gitprov.cli.options import (
    emit_json,
    examples,
    human_size,
    json_option,
    note,
    plural,
    quiet_option,
    say,
    shown,
    table,
    waiting,
)
from gitprov.cli.progress import progress
from gitprov.config.remote_url import RemoteUrl
from gitprov.config.remotes import RemoteConfig
from gitprov.errors import UsageError
from gitprov.ops.elsewhere import Elsewhere, cache_folder, open_elsewhere
from gitprov.ops.foreign import Found, listing, look_up, typed_path
from gitprov.ops.get import check_out, plan_to_get
from gitprov.ops.get import get as get_data
from gitprov.ops.transfer import Transferred

if TYPE_CHECKING:
    from gitprov.core.canonical import Json
    from gitprov.store.transport import Transport

F = TypeVar("F", bound=Callable[..., Any])

_SHORT = 12


def options(command: F) -> F:
    """Adds what get, import and update have in common."""
    shared = (
        click.option(
            "--rev",
            metavar="REV",
            help="A branch, a tag or a commit of that repository; else its HEAD.",
        ),
        click.option(
            "-r",
            "--remote",
            metavar="NAME|URL",
            help="Where its data lies: one of its remotes, or an address. [default: its default]",
        ),
        click.option(
            "-j",
            "--jobs",
            type=click.IntRange(1, 64),
            default=4,
            show_default=True,
            help="Transfers at once.",
        ),
        json_option,
        quiet_option,
    )
    for option in reversed(shared):
        command = option(command)
    return command


@click.command(
    short_help="Get data out of another repository.",
    epilog=examples(
        "gitprov get https://example.org/team/data.git              # lists what there is",
        "gitprov get https://example.org/team/data.git images/train",
        "gitprov get ../other model.safetensors --rev v1.2 -o base.safetensors",
        "gitprov get git@example.org:team/data.git images -r s3://bucket/team",
    ),
)
@click.argument("url")
@click.argument("path", required=False)
@click.option("-o", "--out", metavar="OUT", help="Where it goes. [default: its own name, here]")
@click.option("--list", "only_list", is_flag=True, help="List the artifacts there, and stop.")
@click.option("-f", "--force", is_flag=True, help="Replace what is at OUT.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would travel, and stop.")
@options
def get(
    url: str,
    path: str | None,
    out: str | None,
    only_list: bool,
    force: bool,
    dry_run: bool,
    rev: str | None,
    remote: str | None,
    jobs: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Bring PATH out of the repository at URL into this folder; none is needed here.

    PATH is an artifact, something inside one, or a file of code; without it the artifacts are
    listed. Every byte is checked. The data comes from the remote that the repository's own
    .gitprov.yaml names; of a folder on this machine from its store.

    What an interrupted get has fetched is kept in ~/.cache/gitprov (XDG_CACHE_HOME), and the next
    one goes on from there. That folder may be deleted at any time.
    """
    wanted = None if path is None or only_list else typed_path(path)
    if wanted is not None:
        out = _place(out if out is not None else os.fsdecode(wanted.name), force=force)
    with open_elsewhere(
        url, cwd=os.getcwd(), cache=cache_folder(os.environ), rev=rev, waiting=waiting
    ) as there:
        if wanted is None or out is None:
            _list(there, as_json=as_json, quiet=quiet)
            return
        found = look_up(there, wanted)
        document = _found_json(there, found)
        if dry_run:
            planned = plan_to_get(there, found, lambda: transport_of(there, remote))
            _show_plan(document, planned, there, found, as_json=as_json, quiet=quiet)
            return
        with progress("getting", quiet=quiet or as_json) as meter:
            got = get_data(
                there,
                found,
                out,
                lambda: transport_of(there, remote),
                force=force,
                jobs=jobs,
                meter=meter,
                progress=meter,
            )
    brought = got.brought
    if as_json:
        document |= {
            "root": f"blake3:{brought.entry.digest.hex()}",
            "size": brought.entry.size,
            "files": brought.files,
            "out": got.out,
            "travelled": brought.moved.travelled if brought.moved else 0,
            "dry_run": False,
        }
        emit_json("get", document)
    elif not quiet:
        amount = f"{plural(brought.files, 'file')}, {human_size(brought.entry.size)}"
        say(f"got  {shown(os.path.relpath(got.out))}  {amount}")
        say(f"of {there.url} at {there.rev}, commit {there.commit[:_SHORT]}")
        if brought.moved:
            say(from_remote(brought.moved))


def _place(out: str, *, force: bool) -> str:
    place, here = os.path.abspath(out), os.getcwd()
    if os.path.commonpath([place, here]) == place:
        raise UsageError(f"{out} is the folder that this runs in, or holds it")
    check_out(place, force=force)
    return place


def transport_of(there: Elsewhere, remote: str | None) -> "Transport":
    """Opens the remote of another repository: the named one, an address, or its default."""
    if remote is not None and ("://" in remote or remote.startswith(("/", "."))):
        address = remote if "://" in remote else os.path.abspath(remote)
        chosen = RemoteConfig("given", str(RemoteUrl.parse(address)))
    else:
        known = there.remotes()
        if not known.remotes:
            raise UsageError(
                f"{there.url} does not say where its data lies",
                hint="name an address: --remote URL; or there: gitprov remote add --shared",
            )
        if remote is None and known.default is None and len(known.remotes) > 1:
            raise UsageError(
                f"{there.url} has several remotes, and none is the default",
                hint=f"name one: --remote; known: {', '.join(known.remotes)}",
            )
        chosen = known.chosen(remote)
    return open_remote(chosen)


def _found_json(there: Elsewhere, found: Found) -> "dict[str, Json]":
    return {
        "url": str(there.url),
        "rev": there.rev,
        "commit": there.commit,
        "path": found.path.raw.decode("utf-8", "replace"),
        "kind": found.kind,
    }


def _list(there: Elsewhere, *, as_json: bool, quiet: bool) -> None:
    leaves, wrong = listing(there)
    if as_json:
        document: dict[str, Json] = {
            "url": str(there.url),
            "rev": there.rev,
            "commit": there.commit,
            "artifacts": [leaf.to_json() for leaf in leaves],
        }
        emit_json("get-list", document)
    elif not quiet:
        rows = [
            [shown(leaf.path), leaf.kind, plural(leaf.files, "file"), human_size(leaf.size)]
            for leaf in leaves
        ]
        for line in table(rows):
            say(line)
        if not leaves:
            say(f"{there.url} has no artifacts at {there.rev}")
    for sentence in wrong:
        note(f"gitprov: {shown(sentence)}")


def _show_plan(
    document: "dict[str, Json]",
    planned: Transferred | None,
    there: Elsewhere,
    found: Found,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    objects = planned.objects if planned else 0
    size = planned.size if planned else 0
    absent = planned.absent if planned else ()
    if as_json:
        document |= {
            "objects": objects,
            "size": size,
            "absent": [f"blake3:{digest.hex()}" for digest in absent],
            "dry_run": True,
        }
        emit_json("get", document)
    elif not quiet:
        where = f" from {planned.url}" if planned else ""
        say(f"would fetch {plural(objects, 'object')} ({human_size(size)}){where}")
        say(f"for {found.path} of {there.url} at {there.rev}, commit {there.commit[:_SHORT]}")
    if absent:
        note(f"gitprov: the remote lacks {plural(len(absent), 'object')}")
        raise click.exceptions.Exit(3)


def from_remote(moved: Transferred) -> str:
    """Says what came from a remote."""
    return f"{human_size(moved.travelled)} on the line from {moved.url}"
