"""The commands around runs: run, and runs with show, diff and verify below it."""

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from gitprov.cli.context import means, workspace
from gitprov.cli.options import (
    emit_json,
    examples,
    human_size,
    json_option,
    note,
    plural,
    say,
    shown,
    table,
)
from gitprov.cli.reports import EXIT_CODES, format_option, show_report, strict_option
from gitprov.core.canonical import Json
from gitprov.errors import MalformedError, UsageError
from gitprov.model.run import Leaf, Run, run_path
from gitprov.ops.runs import Difference, FoundRun, diff_runs, list_runs, read_run
from gitprov.ops.verify_runs import verify_runs
from gitprov.render.words import printable, short_digests

if TYPE_CHECKING:
    from gitprov.ops.run_command import RunResult
    from gitprov.workspace import Workspace

_COLOURS = {"completed": "green", "failed": "red", "interrupted": "yellow", "running": "cyan"}
_SECONDS = 30.0
_LONG = 100


@click.command(
    short_help="Run a command, and record what it read and wrote.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=examples(
        "gitprov run -- python train.py --epochs 5",
        "gitprov run --no-anchor -- make model",
        "gitprov run -- sh -c 'sort data/raw > data/sorted'",
    )
    + "\n\nThe exit code is the command's.",
)
@click.option("--no-anchor", is_flag=True, help="Log the stages, and send them to no network.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(no_anchor: bool, command: tuple[str, ...]) -> None:
    """Run COMMAND as a run: its inputs are the artifacts as they are, its outputs those it changed.

    Its output streams through untouched. The record is runs/<id>.json, staged for the next commit:
    command, artifacts before and after, environment, exit code, duration.
    """
    from gitprov.ops.run_command import run_command

    with workspace() as ws:
        done = run_command(
            ws,
            command,
            anchored=None if no_anchor else lambda ws, entry: _witness(ws, entry),
            environ=dict(os.environ),
        )
    _tell(done)
    raise click.exceptions.Exit(done.exit_code)


def _witness(ws: "Workspace", entry: int) -> None:
    from gitprov.ops.networks import anchors_config
    from gitprov.ops.statements import witness

    networks = anchors_config(ws).networks
    for one in witness(ws, means(ws, seconds=_SECONDS), networks, index=entry):
        if one.problem:
            note(f"gitprov: {one.network}: {printable(one.problem)}; `gitprov anchor` sends it")


def _tell(done: "RunResult") -> None:
    note(
        f"gitprov: run {done.run.id} {done.run.outcome}: exit code {done.exit_code}, "
        f"{done.seconds:.1f} s, {plural(len(done.changed), 'artifact')} changed"
    )
    if done.changed:
        paths = " ".join(shown(leaf.path) for leaf in done.changed)
        note(f"gitprov: next: gitprov add {paths} && git commit")


@click.group(
    invoke_without_command=True,
    short_help="List, show, compare and verify training runs.",
    epilog=examples(
        "gitprov runs                      # the newest first",
        "gitprov runs show 20261126T1320   # a prefix of the id is enough",
        "gitprov runs diff A B             # what made the difference?",
        "gitprov runs verify               # does what the files say hold?",
    ),
)
@json_option
@click.pass_context
def runs(context: click.Context, as_json: bool) -> None:
    """List the runs in runs/: when, how they ended, on which commit, with which results."""
    if context.invoked_subcommand is not None:
        return
    with workspace() as ws:
        found = list_runs(ws)
    if as_json:
        emit_json("runs", {"runs": [_summary_json(one) for one in found]})
        return
    if not found:
        note("no run is here yet: `gitprov run -- COMMAND`, or ProvenanceTracker in Python")
    for line in table([_row(one) for one in found]):
        say(line)


@runs.command("show", epilog=examples("gitprov runs show 20261126T132000Z-3f9a2c"))
@click.argument("run_id", metavar="ID")
@json_option
def show(run_id: str, as_json: bool) -> None:
    """Show all of one run, leaf by leaf; `gitprov runs verify ID` tells whether it holds."""
    with workspace() as ws:
        found = read_run(ws, run_id)
    if as_json:
        emit_json(
            "runs-show", {**_summary_json(FoundRun(found.id, found)), "leaves": _leaves(found)}
        )
        return
    say(f"{click.style(found.id, fg='yellow')}  {_coloured(found)}  {run_path(found.id)}")
    for stage in found.stages:
        say(f"  {stage.name:<11} {stage.root}  the first {stage.size:,} of these:")
    for leaf in found.leaves:
        say(f"  {printable(str(leaf['type'])):<11} {_leaf_line(leaf)}")


@runs.command("diff", epilog=examples("gitprov runs diff 20261126T1320 20261126T1405"))
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
@json_option
def diff(old: str, new: str, as_json: bool) -> None:
    """Show in what two runs differ: data, model, configuration, environment, results."""
    with workspace() as ws:
        found = diff_runs(read_run(ws, old), read_run(ws, new))
    if as_json:
        emit_json(
            "runs-diff",
            {"differences": [{"what": one.what, "old": one.old, "new": one.new} for one in found]},
        )
        return
    for line in table([_difference(one) for one in found]):
        say(line)
    if not found:
        note("the two runs do not differ, but in time")


@runs.command(
    "verify",
    epilog=examples(
        "gitprov runs verify                       # all of them",
        "gitprov runs verify 20261126T1320 --offline",
    )
    + EXIT_CODES,
)
@click.argument("ids", nargs=-1, metavar="[ID]…")
@click.option("--policy-from", metavar="REV", help="Take the policy of a trusted revision.")
@click.option("--offline", is_flag=True, help="Ask no network; judge by the saved evidence.")
@strict_option
@format_option
@json_option
def verify(
    ids: tuple[str, ...],
    policy_from: str | None,
    offline: bool,
    strict: bool,
    form: str,
    as_json: bool,
) -> None:
    """Verify runs: their files against the notes, the logs and the networks."""
    with workspace() as ws:
        found = _chosen(ws, ids)
        report = verify_runs(
            ws,
            found,
            policy_from=policy_from,
            means=None if offline else means(ws, seconds=_SECONDS),
            now=int(time.time()),
        )
    show_report(report, strict=strict, form=form, as_json=as_json, quiet=False, verb="runs-verify")


def _chosen(ws: "Workspace", ids: Sequence[str]) -> list[FoundRun]:
    if not ids:
        found = list_runs(ws)
        if not found:
            raise UsageError("no run is here", hint="`gitprov run -- COMMAND` makes one")
        return found
    chosen: list[FoundRun] = []
    for one in ids:
        try:
            read = read_run(ws, one)
            chosen.append(FoundRun(read.id, read))
        except MalformedError as exc:
            chosen.append(FoundRun(one, None, str(exc)))
    return chosen


def _first(run: Run, kind: str) -> Leaf:
    return next(iter(run.of_type(kind)), {})


def _coloured(run: Run) -> str:
    return click.style(run.outcome, fg=_COLOURS[run.outcome])


def _row(one: FoundRun) -> list[str]:
    if one.run is None:
        return [one.id, click.style("unreadable", fg="red"), "", printable(one.problem)]
    commit = str(_first(one.run, "run").get("commit") or "")
    clean = "" if _first(one.run, "run").get("clean") else " (changed files)"
    return [one.id, _coloured(one.run), printable(commit[:12] + clean), _what(one.run)]


def _what(run: Run) -> str:
    """The results in one line, or what was run."""
    value = _first(run, "results").get("value")
    argv = _first(run, "run").get("argv")
    parts = [" ".join(str(word) for word in argv)] if isinstance(argv, list) else []
    if isinstance(value, dict):
        parts += [f"{key}={_short(inner)}" for key, inner in value.items()]
    return _cut(printable("  ".join(parts)))


def _short(value: Json) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict) and len(value) == 1 and "$float" in value:
        return str(value["$float"])
    return _plain(value)


def _plain(value: Json) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _leaf_line(leaf: Leaf) -> str:
    artifact = leaf.get("artifact")
    if isinstance(artifact, dict):
        size = artifact.get("size")
        shown_size = human_size(size) if isinstance(size, int) else ""
        words = (artifact.get("kind"), artifact.get("path"), artifact.get("root"), shown_size)
        return short_digests(printable("  ".join(str(word) for word in words)))
    parts = [
        f"{key}={_cut(_short(value))}"
        for key, value in leaf.items()
        if key != "type" and value is not None and key != "packages"
    ]
    packages = leaf.get("packages")
    if isinstance(packages, dict):
        parts.append(f"{plural(len(packages), 'package')} (--json lists them)")
    return short_digests(printable("  ".join(parts)))


def _difference(one: Difference) -> list[str]:
    return [
        printable(one.what),
        short_digests(_cut(printable(_short(one.old)))),
        "→",
        short_digests(_cut(printable(_short(one.new)))),
    ]


def _cut(text: str) -> str:
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"


def _leaves(run: Run) -> list[Json]:
    return [*run.leaves]


def _summary_json(one: FoundRun) -> dict[str, Json]:
    if one.run is None:
        return {"id": one.id, "outcome": None, "problem": one.problem}
    head = _first(one.run, "run")
    return {
        "id": one.id,
        "outcome": one.run.outcome,
        "commit": head.get("commit"),
        "clean": head.get("clean"),
        "started": head.get("started"),
        "ended": _first(one.run, "end").get("ended"),
        "argv": head.get("argv"),
        "results": _first(one.run, "results").get("value"),
        "stages": [
            {"stage": stage.name, "size": stage.size, "root": str(stage.root)}
            for stage in one.run.stages
        ],
    }
