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
from gitprov.cli.remote_upkeep import check_remote, collect_remote
from gitprov.ops.fsck import StoreCheck, StoreProblem
from gitprov.ops.fsck import fsck as check_store
from gitprov.ops.gc import gc as collect

_FOR_REMOTES = "With --remote: transfers at once."
_SHOWN = 20
_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*%?")


_remote_option = click.option(
    "-r",
    "--remote",
    is_flag=False,
    flag_value="",
    metavar="[NAME]",
    help="The remote of this name, or the default one.",
)
_jobs_option = click.option(
    "-j", "--jobs", type=click.IntRange(1, 64), default=4, show_default=True, help=_FOR_REMOTES
)


@click.command(
    short_help="Remove blobs that nothing refers to.",
    epilog=examples(
        "gitprov gc                 # only says what would go",
        "gitprov gc --yes",
        "gitprov gc --yes --grace 30    # reflog entries older than 30 days do not count",
        "gitprov gc --remote            # what no ref here needs of the default remote",
        "gitprov gc --remote nas --clone ../other --clone git@host:team/third.git --yes",
    ),
)
@click.option("--yes", is_flag=True, help="Really remove it; of a remote, announce it first.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.  [default]")
@click.option(
    "--grace",
    type=click.IntRange(0, 36500),
    metavar="DAYS",
    help="How old a reflog entry may be to count.  [default: all that git still has] "
    "With --remote: from the announcement to the removal.  [default: 14]",
)
@_remote_option
@click.option(
    "--clone",
    "clones",
    multiple=True,
    metavar="PATH|URL",
    help="With --remote: another clone whose refs count, or a repository that this clone has "
    "fetched. May be given again.",
)
@click.option(
    "--ignore-missing",
    is_flag=True,
    help="With --remote: versions whose manifest nobody has keep nothing.",
)
@click.option("--offline", is_flag=True, help="With --remote: do not ask git's own remotes.")
@_jobs_option
@json_option
@quiet_option
def gc(
    yes: bool,
    dry_run: bool,
    grace: int | None,
    remote: str | None,
    clones: tuple[str, ...],
    ignore_missing: bool,
    offline: bool,
    jobs: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Remove blobs that no ref, worktree, index, stash or reflog needs, and join small packs.

    With --remote, of a remote: the first --yes announces packs, and copies what is needed of them
    into new ones; a later one removes what was announced long enough ago and is still not needed.
    """
    if yes and dry_run:
        raise click.UsageError("--yes and --dry-run contradict each other")
    if remote is not None:
        collect_remote(
            remote,
            clones=clones,
            act=yes,
            grace=grace,
            ignore_missing=ignore_missing,
            offline=offline,
            jobs=jobs,
            as_json=as_json,
            quiet=quiet,
        )
        return
    if clones or ignore_missing or offline:
        raise click.UsageError("--clone, --ignore-missing and --offline are for gc --remote")
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
            self.fail(f"{value} is not a percentage above 0 and at most 100", param, ctx)
        return float(found[1]) / 100


@click.command(
    short_help="Check the store's own integrity.",
    epilog=examples(
        "gitprov fsck",
        "gitprov fsck --sample 5%       # hash a random twentieth",
        "gitprov fsck --quarantine      # set damaged blobs aside; adding them again repairs",
        "gitprov fsck --rebuild-index",
        "gitprov fsck --remote              # the default remote, too",
        "gitprov fsck --remote nas --sample 10% --repair",
    ),
)
@click.option("--sample", type=_Share(), metavar="N%", help="Hash only a random share.")
@click.option("--quarantine", is_flag=True, help="Set damaged blobs aside.")
@click.option("--rebuild-index", is_flag=True, help="Make the index anew from the packs first.")
@_remote_option
@click.option(
    "--repair",
    is_flag=True,
    help="With --remote: repair the store from the remote, and the remote from the store.",
)
@_jobs_option
@json_option
@quiet_option
def fsck(
    sample: float | None,
    quarantine: bool,
    rebuild_index: bool,
    remote: str | None,
    repair: bool,
    jobs: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Hash what the store holds, and name the files that damaged or missing blobs belong to.

    Missing is what was added or checked out here. What never came here is counted, and no damage.

    With --remote, check a remote, too: its packs, or a share of their bytes, every index, every
    recipe of a large file, and whether it has what the commits of this clone need.
    """
    if remote is not None:
        if quarantine or rebuild_index:
            raise click.UsageError("--quarantine and --rebuild-index are for the store alone")
        check_remote(remote, sample=sample, mend=repair, jobs=jobs, as_json=as_json, quiet=quiet)
        return
    if repair:
        raise click.UsageError("--repair is for fsck --remote")
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
                "not_here": done.not_here,
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
        _tell(done, is_sample=sample is not None, quarantine=quarantine, quiet=quiet)
    if done.problems:
        raise click.exceptions.Exit(1)


def _tell(done: StoreCheck, *, is_sample: bool, quarantine: bool, quiet: bool) -> None:
    for problem in done.problems[:_SHOWN]:
        _show(problem)
    if len(done.problems) > _SHOWN:
        say(f"and {len(done.problems) - _SHOWN:,} more: --json names them all")
    if not quiet and not done.problems:
        what = "a sample of " if is_sample else ""
        size = human_size(done.size)
        say(f"the store is intact: {what}{plural(done.blobs, 'blob')}, {size}")
    if not quiet and done.not_here:
        verb = "is" if done.not_here == 1 else "are"
        files = f"{plural(done.not_here, 'file')} of current artifacts"
        note(f"gitprov: {files} {verb} not here; gitprov fetch brings them")
    if any(problem.files for problem in done.problems):
        note(f"gitprov: hint: {_repair(done, quarantine=quarantine)}")


def _repair(done: StoreCheck, *, quarantine: bool) -> str:
    add = "`gitprov add` repairs what the worktree still has intact"
    damaged = any(problem.kind == "damaged" for problem in done.problems)
    return f"`gitprov fsck --quarantine`, then {add}" if damaged and not quarantine else add


def _show(problem: StoreProblem) -> None:
    say(f"{click.style(problem.kind, fg='red')}  {problem.detail}")
    for name in problem.files:
        say(f"         {name}")
