"""The command that judges commits: verify."""

import click

from gitprov.cli.context import workspace
from gitprov.cli.options import examples, json_option, note, quiet_option
from gitprov.cli.progress import progress
from gitprov.cli.reports import EXIT_CODES, format_option, show_report, strict_option
from gitprov.ops.verify import verify as verify_commits
from gitprov.render.words import left_out


@click.command(
    short_help="Check that records, artifacts, log and anchors hold.",
    epilog=examples(
        "gitprov verify                             # the current commit",
        "gitprov verify origin/main..HEAD --policy-from origin/main   # in code review",
        "gitprov verify --all --deep                # everything, trusting no cache",
        "gitprov verify --format markdown > comment.md",
    )
    + EXIT_CODES,
)
@click.argument("revs", nargs=-1, metavar="[REV | A..B]…")
@click.option("--all", "everything", is_flag=True, help="Every commit of every branch and tag.")
@click.option("--deep", is_flag=True, help="Trust no cache; hash what the store holds again.")
@click.option("--require-data", is_flag=True, help="Data that is nowhere here is no SKIP.")
@click.option("--policy-from", metavar="REV", help="Take the policy of a trusted revision.")
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
            progress=meter,
        )
    if as_json and report.left_out:
        note(f"gitprov: {left_out(report)}")
    show_report(report, strict=strict, form=form, as_json=as_json, quiet=quiet, verb="verify")
