"""The commands for the store's upkeep: gc, fsck."""

import re

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
)
from gitprov.cli.progress import progress
from gitprov.ops.fsck import StoreCheck, StoreProblem
from gitprov.ops.fsck import fsck as check_store
from gitprov.ops.gc import gc as collect

_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*%?")


@click.command(
    short_help="Remove blobs that nothing refers to.",
    epilog=examples(
        "gitprov gc                 # only says what would go",
        "gitprov gc --yes",
        "gitprov gc --yes --grace 30    # reflog entries older than 30 days do not count",
    ),
)
@click.option("--yes", is_flag=True, help="Really remove it.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.  [default]")
@click.option(
    "--grace",
    type=click.IntRange(min=0),
    metavar="DAYS",
    help="How old a reflog entry may be to count.  [default: all that git still has]",
)
@json_option
@quiet_option
def gc(yes: bool, dry_run: bool, grace: int | None, as_json: bool, quiet: bool) -> None:
    """Remove blobs that no ref, worktree, index, stash or reflog needs, and join small packs."""
    if yes and dry_run:
        raise click.UsageError("--yes and --dry-run contradict each other")
    with workspace() as ws:
        done = collect(ws, act=yes, grace_days=grace)
    result = done.collected
    if as_json:
        emit_json(
            "gc",
            {
                "acted": done.acted,
                "removed": result.removed,
                "removed_bytes": result.removed_bytes,
                "kept": result.kept,
                "kept_bytes": result.kept_bytes,
                "artifacts": done.artifacts,
            },
        )
    elif not quiet:
        size = human_size(result.removed_bytes)
        word = "removed" if done.acted else "would remove"
        say(f"{word} {plural(result.removed, 'blob')}, {size}")
        kept = human_size(result.kept_bytes)
        versions = plural(done.artifacts, "version")
        say(f"keeps {plural(result.kept, 'blob')}, {kept}, for {versions} of artifacts")
        if not done.acted and result.removed:
            say("gitprov gc --yes removes them")


class _Share(click.ParamType[float]):
    name = "percent"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        found = _PERCENT.fullmatch(str(value))
        if found is None or not 0 < float(found[1]) <= 100:
            self.fail(f"{value} is not a percentage from 0 to 100", param, ctx)
        return float(found[1]) / 100


@click.command(
    short_help="Check the store's own integrity.",
    epilog=examples(
        "gitprov fsck",
        "gitprov fsck --sample 5%       # hash a random twentieth",
        "gitprov fsck --quarantine      # set damaged blobs aside; adding them again repairs",
        "gitprov fsck --rebuild-index",
    ),
)
@click.option("--sample", type=_Share(), metavar="N%", help="Hash only a random share.")
@click.option("--quarantine", is_flag=True, help="Set damaged blobs aside.")
@click.option("--rebuild-index", is_flag=True, help="Make the index anew from the packs first.")
@json_option
@quiet_option
def fsck(
    sample: float | None, quarantine: bool, rebuild_index: bool, as_json: bool, quiet: bool
) -> None:
    """Hash what the store holds, and name the files that damaged or missing blobs belong to."""
    with workspace() as ws, progress("checking", quiet=quiet or as_json) as meter:
        if not rebuild_index:  # an index that has to be made anew cannot be counted
            stats = ws.store.stats()
            meter.found(stats.packed_blobs + stats.objects, stats.packed_bytes + stats.object_bytes)
        done = check_store(
            ws,
            sample=sample,
            quarantine=quarantine,
            rebuild=rebuild_index,
            progress=lambda size: meter.done(0, size),
        )
    if as_json:
        emit_json(
            "fsck",
            {
                "verdict": "fail" if done.problems else "pass",
                "blobs": done.blobs,
                "bytes": done.size,
                "rebuilt": done.rebuilt,
                "problems": [
                    {
                        "kind": problem.kind,
                        "detail": problem.detail,
                        "digest": str(problem.digest) if problem.digest else None,
                        "files": list(problem.files),
                    }
                    for problem in done.problems
                ],
            },
        )
    else:
        for problem in done.problems:
            _show(problem)
        if not quiet and not done.problems:
            what = "a sample of " if sample is not None else ""
            size = human_size(done.size)
            say(f"the store is intact: {what}{plural(done.blobs, 'blob')}, {size}")
        if any(problem.files for problem in done.problems):
            note(f"gitprov: hint: {_repair(done, quarantine=quarantine)}")
    if done.problems:
        raise click.exceptions.Exit(1)


def _repair(done: StoreCheck, *, quarantine: bool) -> str:
    add = "`gitprov add` repairs what the worktree still has intact"
    damaged = any(problem.kind == "damaged" for problem in done.problems)
    return f"`gitprov fsck --quarantine`, then {add}" if damaged and not quarantine else add


def _show(problem: StoreProblem) -> None:
    say(f"{click.style(problem.kind, fg='red')}  {problem.detail}")
    for name in problem.files:
        say(f"         {name}")
