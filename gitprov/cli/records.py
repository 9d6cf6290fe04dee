"""The command that makes records."""

import click

from gitprov.cli.context import workspace
from gitprov.cli.options import emit_json, examples, json_option, plural, quiet_option, say
from gitprov.errors import UsageError
from gitprov.ops.record import record_commits


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
