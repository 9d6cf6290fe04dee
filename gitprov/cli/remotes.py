"""The commands about remotes: remote add, list, remove, default, index."""

from contextlib import closing
from typing import TYPE_CHECKING

import click

from gitprov.cli.context import open_remote, workspace
from gitprov.cli.options import (
    emit_json,
    examples,
    json_option,
    note,
    plural,
    quiet_option,
    say,
    shown,
    table,
)

if TYPE_CHECKING:
    from gitprov.config.remotes import RemoteConfig
    from gitprov.core.canonical import Json
    from gitprov.ops.remote_setup import RemoteChange

name_argument = click.argument("name")


@click.group(
    invoke_without_command=True,
    short_help="Say where the data of the team lies.",
    epilog=examples(
        "gitprov remote                                   # lists them",
        "gitprov remote add team s3://bucket/project --shared",
        "gitprov remote add nas /mnt/nas/project --default",
        "gitprov remote remove nas",
    ),
)
@json_option
@click.pass_context
def remote(context: click.Context, as_json: bool) -> None:
    """List the remotes, or change them: folders, S3, Google, Azure, ssh, web servers, and fsspec's.

    Credentials come from where their own tools keep them (environment, profile, agent), and stand
    in no file of gitprov's.
    """
    if context.invoked_subcommand is None:
        _list(as_json=as_json)


@remote.command(
    short_help="Add a remote.",
    epilog=examples(
        "gitprov remote add nas /mnt/nas/project",
        "gitprov remote add team s3://bucket/project --region eu-central-1 --shared",
        "gitprov remote add minio s3://bucket --endpoint https://minio.example --profile lab",
        "gitprov remote add box ssh://me@host.example/srv/project",
        "gitprov remote add mirror https://data.example/project     # can only be read",
        "gitprov remote add old ftp://files.example/project         # and more: what fsspec knows",
    ),
)
@name_argument
@click.argument("url")
@click.option("--endpoint", metavar="URL", help="The server, when it is not the cloud's own.")
@click.option("--region", metavar="R", help="The region of the bucket.")
@click.option("--profile", metavar="P", help="The section of ~/.aws/credentials to use.")
@click.option("--default", "default", is_flag=True, help="Use it when no remote is named.")
@click.option("--shared", is_flag=True, help="Write the address into .gitprov.yaml, for everybody.")
@json_option
@quiet_option
def add(
    name: str,
    url: str,
    endpoint: str | None,
    region: str | None,
    profile: str | None,
    default: bool,
    shared: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Call the place at URL by NAME from now on. Nobody is asked yet.

    It is written into this clone's own configuration. With --shared, address and region go into the
    tracked .gitprov.yaml; endpoint and profile, which say who is given credentials, never do.
    """
    from gitprov.ops.remote_setup import add_remote, remotes_config

    given = {"endpoint": endpoint, "region": region, "profile": profile}
    options = {key: value for key, value in given.items() if value is not None}
    with workspace() as ws:
        done = add_remote(ws, name, url, options, default=default, shared=shared)
        pushed_to = remotes_config(ws).meant(writing=True)
    if as_json:
        emit_json("remote-add", {**_to_json(done.remote), "paths": list(done.paths)})
    elif not quiet:
        say(f"remote         {done.remote.name}{', the default' if done.is_default else ''}")
        say(f"address        {done.remote.url}{', a new folder' if done.made else ''}")
        _say_paths(done)
    if done.unseated:
        still = f"; gitprov push goes to {pushed_to} as before" if pushed_to else ""
        note(f"gitprov: no remote is the default any more{still}")
        note("gitprov: hint: gitprov remote default NAME chooses one")


@remote.command(
    name="list",
    short_help="List the remotes.",
    epilog=examples("gitprov remote list", "gitprov remote list --json"),
)
@json_option
def list_(as_json: bool) -> None:
    """List the remotes of this clone and of the tracked file; a star marks the default."""
    _list(as_json=as_json)


@remote.command(
    short_help="Forget a remote.",
    epilog=examples("gitprov remote remove nas"),
)
@name_argument
@json_option
@quiet_option
def remove(name: str, as_json: bool, quiet: bool) -> None:
    """Forget the remote NAME. What lies there stays as it is.

    What this clone's own configuration says about it goes first; run it again for what the tracked
    .gitprov.yaml says.
    """
    from gitprov.ops.remote_setup import remotes_config, remove_remote

    with workspace() as ws:
        done = remove_remote(ws, name)
        stays = name in remotes_config(ws).remotes
    if as_json:
        emit_json(
            "remote-remove",
            {**_to_json(done.remote), "paths": list(done.paths), "still_shared": stays},
        )
    elif not quiet:
        say(f"forgotten      {done.remote.name}  {done.remote.url}")
        _say_paths(done)
        if stays:
            note(f"gitprov: .gitprov.yaml names {name} still; once more removes that, too")


@remote.command(
    short_help="Say which remote is meant when none is named.",
    epilog=examples("gitprov remote default", "gitprov remote default team"),
)
@click.argument("name", required=False)
@json_option
@quiet_option
def default(name: str | None, as_json: bool, quiet: bool) -> None:
    """Make NAME the remote that is meant when none is named, in this clone; or show which it is."""
    from gitprov.ops.remote_setup import remotes_config, set_default_remote

    with workspace() as ws:
        done = set_default_remote(ws, name) if name is not None else None
        chosen = remotes_config(ws).chosen()
    if as_json:
        emit_json("remote-default", {"default": chosen.name, "url": chosen.url})
    elif done is None or not quiet:
        say(f"{chosen.name}  {chosen.url}")


@remote.command(
    short_help="Let a web server stand in for a remote.",
    epilog=examples("gitprov remote index nas     # then serve its folder over https://"),
)
@name_argument
@json_option
@quiet_option
def index(name: str, as_json: bool, quiet: bool) -> None:
    """Write the list of what the remote NAME has beside it, for those who read it over http(s)://.

    A web server cannot say what it has. Once the list is there, every push keeps it fresh.
    """
    from gitprov.ops.remote_index import index_remote
    from gitprov.ops.remote_setup import remotes_config

    with workspace() as ws:
        chosen = remotes_config(ws).chosen(name)
        transport = open_remote(chosen)
        with closing(transport):
            done = index_remote(ws, chosen.name, transport)
    if as_json:
        emit_json("remote-index", {"url": done.url, "objects": done.objects})
    elif not quiet:
        say(f"listed {plural(done.objects, 'object')} of {done.url}; every push keeps it fresh")


def _list(*, as_json: bool) -> None:
    from gitprov.ops.remote_setup import remotes_config

    with workspace() as ws:
        config = remotes_config(ws)
    chosen = config.meant()
    if as_json:
        remotes: list[Json] = [_to_json(one) for one in config.remotes.values()]
        emit_json("remote", {"remotes": remotes, "default": chosen})
        return
    if not config.remotes:
        note("gitprov: no remote is known yet: gitprov remote add NAME URL")
    rows = [
        ("*" if one.name == chosen else " ", one.name, one.url, ", ".join(_notes(one)))
        for one in config.remotes.values()
    ]
    for line in table(rows):
        say(line)


def _notes(one: "RemoteConfig") -> list[str]:
    notes = ["shared"] if one.shared else []
    notes += [f"{key} {value}" for key, value in one.options().items()]
    return notes


def _to_json(one: "RemoteConfig") -> "dict[str, Json]":
    return {
        "name": one.name,
        "url": one.url,
        "shared": one.shared,
        "endpoint": one.endpoint,
        "region": one.region,
        "profile": one.profile,
        "instance_metadata": one.instance_metadata,
    }


def _say_paths(done: "RemoteChange") -> None:
    for path in done.paths:
        say(f"configuration  {shown(path)}")
