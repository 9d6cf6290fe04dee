"""The commands that make evidence: record, anchor."""

from typing import TYPE_CHECKING

import click

from gitprov.cli.context import workspace
from gitprov.cli.options import emit_json, examples, json_option, plural, quiet_option, say
from gitprov.errors import UsageError
from gitprov.ops.anchor import anchor_log
from gitprov.ops.record import record_commits

if TYPE_CHECKING:
    from gitprov.core.canonical import Json


@click.command(
    short_help="Record commits: bind code, data and models under one root.",
    epilog=examples(
        "gitprov record                  # the current commit; the hook does this by itself",
        "gitprov record main~20..main    # commits made before gitprov was here",
        "gitprov record --all",
    ),
)
@click.argument("rev", required=False)
@click.option("--all", "everything", is_flag=True, help="Record every commit of every branch.")
@json_option
@quiet_option
def record(rev: str | None, everything: bool, as_json: bool, quiet: bool) -> None:
    """Record REV (default HEAD): bind its code, data and models under one root.

    The record goes into the commit's note (refs/notes/gitprov) and into this clone's log. REV may
    be a range A..B. A commit that is recorded already stays as it is.
    """
    if everything and rev:
        raise UsageError("give a revision or --all, not both")
    with workspace() as ws:
        if everything:
            commits = ws.repo.rev_list(everything=True, reverse=True)
        elif rev and ".." in rev:
            commits = ws.repo.rev_list(rev, reverse=True)
        else:
            commits = [ws.repo.resolve(rev or "HEAD")]
        if not commits:
            raise UsageError(f"there is no commit in {rev or 'this repository'}")
        recorded = record_commits(ws, commits)
    last = recorded[-1]
    if as_json:
        emit_json(
            "record",
            {
                "commit": last.commit,
                "root": str(last.root),
                "commits": [
                    {"commit": item.commit, "root": str(item.root), "new": item.new}
                    for item in recorded
                ],
            },
        )
    elif not quiet:
        new = sum(item.new for item in recorded)
        if len(recorded) == 1:
            word = "recorded" if new else "already recorded"
            bound = plural(last.artifacts, "artifact")
            say(f"{word} {last.commit[:12]} with {bound}: {last.root}")
        else:
            old = len(recorded) - new
            known = f"; {plural(old, 'commit')} had a record already" if old else ""
            say(f"recorded {plural(new, 'commit')}{known}")


@click.command(
    short_help="Sign the log and anchor it.",
    epilog=examples("gitprov anchor        # `git push` does this by itself, through the hook"),
)
@json_option
@quiet_option
def anchor(as_json: bool, quiet: bool) -> None:
    """Sign the head of this clone's log and write an anchor line for every commit under it.

    From then on nobody can take a record out of the log, or change one, without it showing: the
    next head would not be consistent with this one.
    """
    with workspace() as ws:
        done = anchor_log(ws)
    if as_json:
        commits: list[Json] = [*done.commits]
        emit_json(
            "anchor",
            {"log": done.origin, "size": done.size, "root": str(done.root), "commits": commits},
        )
    elif not quiet:
        if done.commits:
            covered = plural(len(done.commits), "commit")
            say(f"anchored {covered} under the signed head of size {done.size:,} of {done.origin}")
        else:
            say(
                f"nothing to do: the head of size {done.size:,} of {done.origin} covers all records"
            )
