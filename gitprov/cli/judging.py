"""The command that judges commits: verify."""

import time

import click

from gitprov.cli.context import means, workspace
from gitprov.cli.options import examples, json_option, note, quiet_option
from gitprov.cli.progress import progress
from gitprov.cli.reports import EXIT_CODES, format_option, show_report, strict_option
from gitprov.cli.shallow import tell_shallow
from gitprov.ops.verify import verify as verify_commits
from gitprov.render.words import left_out


@click.command(
    short_help="Check that records, artifacts, log and anchors hold.",
    epilog=examples(
        "gitprov verify                             # the current commit",
        "gitprov verify origin/main..HEAD --policy-from origin/main   # in code review",
        "gitprov verify --all --deep                # everything, trusting no cache",
        "gitprov verify --format markdown > comment.md",
        "gitprov verify --offline --trust-block 0xabc…   # a proof against a block you trust",
    )
    + EXIT_CODES,
)
@click.argument("revs", nargs=-1, metavar="[REV | A..B]…")
@click.option("--all", "everything", is_flag=True, help="Every commit of every branch and tag.")
@click.option("--deep", is_flag=True, help="Trust no cache; hash what the store holds again.")
@click.option("--require-data", is_flag=True, help="Data that is not here is no SKIP.")
@click.option("--policy-from", metavar="REV", help="Take the policy of a trusted revision.")
@click.option("--offline", is_flag=True, help="Ask no network; judge by the saved evidence.")
@click.option(
    "--trust-block",
    "trust_blocks",
    multiple=True,
    metavar="HASH",
    help="Trust that this block is in its chain; may be repeated.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1, max=86_400),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long networks may be asked.",
)
@strict_option
@format_option
@json_option
@quiet_option
def verify(
    revs: tuple[str, ...],
    everything: bool,
    deep: bool,
    require_data: bool,
    policy_from: str | None,
    offline: bool,
    trust_blocks: tuple[str, ...],
    timeout: float,
    strict: bool,
    form: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Verify commits: record, artifacts, log, anchors, policy. REV is HEAD when it is not given."""
    with workspace() as ws, progress("verifying", quiet=quiet or as_json) as meter:
        report = verify_commits(
            ws,
            revs,
            everything=everything,
            deep=deep,
            require_data=require_data,
            policy_from=policy_from,
            means=None if offline else means(ws, seconds=timeout),
            trust_blocks=trust_blocks,
            now=int(time.time()),
            progress=meter,
        )
        tell_shallow(ws, revs, everything=everything)
    if as_json and report.left_out:
        note(f"gitprov: {left_out(report)}")
    show_report(report, strict=strict, form=form, as_json=as_json, quiet=quiet, verb="verify")
