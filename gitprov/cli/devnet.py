"""The commands of the devnet: up, down, status."""

import click

from gitprov.cli.context import means, workspace
from gitprov.cli.options import emit_json, examples, json_option, note, quiet_option, say, table
from gitprov.devnet.control import NodeState
from gitprov.devnet.control import down as stop
from gitprov.devnet.control import status as look
from gitprov.devnet.control import up as start

_SECONDS = 300.0


@click.group(
    short_help="Run all networks on this machine, with throw-away data.",
    epilog=examples(
        "gitprov devnet up",
        "git commit --allow-empty -m 'Anchor me' && gitprov anchor --wait && gitprov verify",
        "gitprov devnet down",
    ),
)
def devnet() -> None:
    """Run nodes of Ethereum, Bitcoin and IPFS on loopback, with throw-away data and funded keys.

    It starts what it finds on PATH, or in the cache that `make devnet` fills: anvil or geth, btcd
    or bitcoind, ipfs. They have no peers, and nothing that they hold is worth anything. Blocks are
    made when a transaction waits for one.

    Use a repository that you can throw away as well: its notes keep what was anchored here, and
    nobody can confirm that once the chains are gone.
    """


@devnet.command(short_help="Start the nodes.", epilog=examples("gitprov devnet up"))
@json_option
@quiet_option
def up(as_json: bool, quiet: bool) -> None:
    """Start the nodes and write a matching configuration for this clone."""
    with workspace() as ws:
        told = (lambda text: None) if quiet or as_json else (lambda text: note(f"gitprov: {text}"))
        states = start(ws, means(ws, seconds=_SECONDS), say=told)
    _show(states, as_json=as_json, quiet=quiet)
    if not (as_json or quiet):
        say("next: gitprov anchor --wait && gitprov verify")


@devnet.command(short_help="End the nodes.", epilog=examples("gitprov devnet down"))
@json_option
@quiet_option
def down(as_json: bool, quiet: bool) -> None:
    """End the nodes, remove their data, and put this clone's configuration back."""
    with workspace() as ws:
        was = stop(ws)
    if as_json:
        emit_json("devnet", {"down": was})
    elif not quiet:
        say("the devnet is down" if was else "there was no devnet")


@devnet.command(short_help="Show what runs.", epilog=examples("gitprov devnet status"))
@json_option
def status(as_json: bool) -> None:
    """Show the nodes, where they answer, and how many blocks they have."""
    with workspace() as ws:
        states = look(ws)
    _show(states, as_json=as_json, quiet=False)


def _show(states: list[NodeState], *, as_json: bool, quiet: bool) -> None:
    if as_json:
        emit_json(
            "devnet",
            {
                "nodes": [
                    {
                        "network": one.network,
                        "program": one.kind,
                        "url": one.url,
                        "running": one.running,
                        "height": one.height,
                        "address": one.address,
                    }
                    for one in states
                ]
            },
        )
        return
    if quiet:
        return
    rows = [
        [
            one.network,
            one.kind,
            "running" if one.running else "ended",
            one.url,
            "" if one.height is None else f"block {one.height:,}",
            one.address,
        ]
        for one in states
    ]
    for line in table(rows):
        say(line)
    if not rows:
        say("no devnet: gitprov devnet up")
