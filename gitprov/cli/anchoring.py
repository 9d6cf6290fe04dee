"""The commands around anchors: anchor, with setup, deploy and export below it."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from gitprov.cli.anchor_text import anchored_lines, status_lines, to_json
from gitprov.cli.context import means, workspace
from gitprov.cli.options import emit_json, examples, json_option, note, plural, quiet_option, say
from gitprov.config.anchors import NETWORKS
from gitprov.errors import UsageError
from gitprov.git.sync import push as push_notes
from gitprov.ops.anchor import anchor_log
from gitprov.ops.networks import (
    NetworkState,
    anchor_networks,
    anchors_config,
    chosen_networks,
    network_states,
)

if TYPE_CHECKING:
    from gitprov.ops.anchor import Anchored
    from gitprov.workspace import Workspace

_SECONDS = 60.0
_WAIT_SECONDS = 3600.0
_BACKGROUND_PAUSE = 0.5
"""A rebase makes many commits within moments; their heads are anchored as one."""

network_argument = click.argument("network", type=click.Choice(NETWORKS[1:]))


@click.group(
    invoke_without_command=True,
    short_help="Sign the log and anchor it.",
    epilog=examples(
        "gitprov anchor                              # `git push` does this by itself",
        "gitprov anchor --network opentimestamps     # needs no key and no node",
        "gitprov anchor --network ethereum --wait    # until it is in a block",
        "gitprov anchor --refresh                    # ask how far everything is, tell the notes",
        "gitprov anchor --status                     # the same without asking anybody",
        "gitprov anchor setup ethereum --url http://127.0.0.1:8545",
    ),
)
@click.option(
    "-n",
    "--network",
    "networks",
    multiple=True,
    type=click.Choice(NETWORKS),
    help="Only this network; may be repeated. Else those of anchors.networks.",
)
@click.option(
    "--wait",
    is_flag=False,
    flag_value="included",
    type=click.Choice(["included", "final"]),
    help="Wait until the head is in a block, or final.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1, max=1e6),
    metavar="SECONDS",
    help="How long all of it may take: 60 seconds, with --wait an hour.",
)
@click.option("--refresh", is_flag=True, help="Begin nothing new; ask how far everything is.")
@click.option("--status", is_flag=True, help="Show what is under way, without asking anybody.")
@click.option("--retry", is_flag=True, help="Make failed anchorings anew; that may be paid again.")
@click.option("--push", metavar="REMOTE", help="Push notes and log to this remote afterwards.")
@click.option("--background", is_flag=True, hidden=True, help="Started by the hook.")
@json_option
@quiet_option
@click.pass_context
def anchor(
    context: click.Context,
    networks: tuple[str, ...],
    wait: str | None,
    timeout: float | None,
    refresh: bool,
    status: bool,
    retry: bool,
    push: str | None,
    background: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Sign the head of this clone's log, and have the other networks witness it.

    From then on nobody can take a record out of the log, or change one, without it showing. One
    transaction witnesses the head, so it covers every commit before it, and each gets a line in its
    note. What a network cannot take now stays in the outbox and goes out with the next call;
    nothing is paid twice.
    """
    if context.invoked_subcommand is not None:
        return
    if refresh and retry:
        raise UsageError("--refresh begins nothing; --retry makes failed anchorings anew")
    if background:
        time.sleep(_BACKGROUND_PAUSE)
    with workspace() as ws:
        if status:
            _show_status(ws, as_json=as_json)
            return
        chosen = () if networks == ("tlog",) else chosen_networks(anchors_config(ws), networks)
        done = None if refresh else anchor_log(ws)
        states = anchor_networks(
            ws,
            means(ws, seconds=timeout or (_WAIT_SECONDS if wait else _SECONDS)),
            chosen,
            begin=not refresh,
            retry=retry,
            until=wait,
            told=None if quiet or as_json else _Told().say,
        )
        if push is not None:
            push_notes(ws.repo, push, waiting=ws.waiting)
    _show(done, states, as_json=as_json, quiet=quiet)


def _show(
    done: "Anchored | None", states: Sequence[NetworkState], *, as_json: bool, quiet: bool
) -> None:
    """Prints what was done, and ends with the exit code of what was not."""
    if as_json:
        emit_json("anchor", to_json(done, states))
    elif not quiet:
        for line in anchored_lines(done, states):
            say(line)
    problems = [state.problem for state in states if state.problem is not None]
    for state in states:
        _say_problem(state, quiet=quiet)
    if problems:
        raise click.exceptions.Exit(max(problem.exit_code for problem in problems))


def _say_problem(state: NetworkState, *, quiet: bool) -> None:
    problem = state.problem
    if problem is None:
        return
    said = str(problem).removeprefix(f"{state.network} ")
    note(f"gitprov: {state.network}: {said}")
    if problem.hint:
        note(f"gitprov: hint: {problem.hint}")
    if not quiet:
        note(
            f"gitprov: {state.network}: nothing is lost; the next `gitprov anchor` goes on with it"
        )


class _Told:
    """Says once what is waited for, and again when it changes."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def say(self, network: str, text: str) -> None:
        if self._said.get(network) != text:
            self._said[network] = text
            note(f"gitprov: waiting for {network}: {text}")


def _show_status(ws: "Workspace", *, as_json: bool) -> None:
    states = network_states(ws)
    if as_json:
        emit_json("anchor", to_json(None, states))
        return
    for line in status_lines(states, now=time.time()):
        say(line)


@anchor.command(
    short_help="Say how this clone reaches a network.",
    epilog=examples(
        "gitprov anchor setup opentimestamps",
        "gitprov anchor setup ethereum --url https://node.example --set mode=calldata",
        "gitprov anchor setup bitcoin --url http://127.0.0.1:8332 --set cookie=/path/.cookie",
        "gitprov anchor setup ipfs --url http://127.0.0.1:5001",
    ),
)
@network_argument
@click.option("--url", help="The address of the node's RPC.")
@click.option(
    "--set", "values", multiple=True, metavar="KEY=VALUE", help="Any other key of the section."
)
@json_option
@quiet_option
def setup(
    network: str, url: str | None, values: tuple[str, ...], as_json: bool, quiet: bool
) -> None:
    """Write how this clone reaches NETWORK into its own configuration, and use it from now on.

    The file lies in the git folder and is never tracked. Keys stay in the environment, in an
    encrypted keystore or in the OS keyring: `gitprov key --help`.
    """
    from gitprov.ops.anchor_setup import set_up_network

    with workspace() as ws:
        done = set_up_network(ws, network, url=url, values=values)
    if as_json:
        emit_json("anchor-setup", {"path": done.path, "networks": list(done.networks)})
    elif not quiet:
        say(f"configuration  {done.path}")
        say(f"networks       tlog, {', '.join(done.networks)}")
        say(f"next           gitprov anchor --network {network}")


@anchor.command(
    short_help="Deploy the contract.",
    epilog=examples("gitprov anchor deploy ethereum"),
)
@click.argument("network", type=click.Choice(["ethereum"]))
@json_option
@quiet_option
def deploy(network: str, as_json: bool, quiet: bool) -> None:
    """Deploy the contract MLProvenance, unless it is there already, and use it from now on.

    Where the CREATE2 proxy exists, its address is the same on every chain.
    """
    from gitprov.ops.anchor_setup import deploy_contract

    with workspace() as ws:
        done = deploy_contract(ws, means(ws, seconds=_WAIT_SECONDS))
    if as_json:
        emit_json(
            "anchor-deploy",
            {"network": network, "address": done.address, "tx": done.tx, "existed": done.existed},
        )
    elif not quiet:
        say(f"contract  {done.address}{', which was there already' if done.existed else ''}")
        if done.tx:
            say(f"paid by   {done.tx}")
        say("shared    anchors.ethereum.contract and policy.ethereum.contracts in .gitprov.yaml")


@anchor.command(
    short_help="Write a proof that the OpenTimestamps client accepts.",
    epilog=examples(
        "gitprov anchor export --ots HEAD            # writes <commit>.ots and <commit>",
        "ots verify <commit>.ots",
    ),
)
@click.option("--ots", "rev", required=True, metavar="COMMIT", help="The commit.")
@click.option(
    "-o", "--output", metavar="FILE", help="The file that is stamped; the proof is FILE.ots."
)
@json_option
@quiet_option
def export(rev: str, output: str | None, as_json: bool, quiet: bool) -> None:
    """Write two files: the commit's leaf in the log (33 bytes), and its proof in Bitcoin's chain.

    `ots verify FILE.ots` finds FILE beside it. Made from an OpenTimestamps anchor, or from one of
    gitprov's own Bitcoin transactions.
    """
    from gitprov.ops.export import export_ots
    from gitprov.platform.files import atomic_write

    with workspace() as ws:
        done = export_ots(ws, rev)
    target = output or done.commit
    atomic_write(target, done.target)
    atomic_write(target + ".ots", done.ots)
    if as_json:
        emit_json(
            "anchor-export",
            {
                "commit": done.commit,
                "target": target,
                "ots": target + ".ots",
                "complete": done.complete,
            },
        )
    elif not quiet:
        say(f"wrote {target}.ots: it stamps {target} ({plural(len(done.target), 'byte')})")
        if not done.complete:
            say("it is pending still: `ots upgrade`, or export it again after some hours")
