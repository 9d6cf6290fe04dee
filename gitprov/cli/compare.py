"""The commands that compare and list: diff, ls."""

import os

import click

from gitprov.cli.compare_models import show_models
from gitprov.cli.context import workspace
from gitprov.cli.options import (
    emit_json,
    examples,
    human_size,
    json_option,
    kind_change,
    say,
    shown,
    table,
)
from gitprov.cli.progress import progress
from gitprov.core.canonical import Json
from gitprov.errors import GitprovError, UsageError
from gitprov.model.pointer import SUFFIX
from gitprov.ops.compare import ArtifactDiff
from gitprov.ops.compare import diff as differences
from gitprov.ops.compare import ls as list_files
from gitprov.workspace import Workspace

_SIGNS = {"added": "+", "deleted": "-", "modified": "~", "type": "~"}
_COLOURS = {"added": "green", "deleted": "red", "modified": "yellow", "type": "yellow"}
_PATHS = "gitprov.paths"
_KINDS = {"f": "-", "x": "x", "l": "l"}


class _DiffCommand(click.Command):
    """Remembers where `--` was, which click takes away."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            ctx.meta[_PATHS] = len(args) - 1 - args.index("--")
        return super().parse_args(ctx, args)


@click.command(
    cls=_DiffCommand,
    short_help="Show which files of artifacts differ between revisions.",
    epilog=examples(
        "gitprov diff                     # pointers against the data on disk",
        "gitprov diff HEAD                # the last commit against the data on disk",
        "gitprov diff v1.0 v2.0 -- data   # two revisions, one artifact",
        "gitprov diff --model v1.0:model.safetensors model.safetensors",
    ),
)
@click.argument("revs", nargs=-1)
@click.option("--model", is_flag=True, help="Compare two models, tensor by tensor.")
@json_option
def diff(revs: tuple[str, ...], model: bool, as_json: bool) -> None:
    """Show the files that differ, with their sizes: diff [A [B]] [-- PATH…].

    Without B the data in the worktree is compared, without A the pointers in the worktree.

    With --model, A and B are files (.safetensors, or a state dict that torch saved), or REV:PATH
    for one that an artifact has at a revision. It shows the tensors that differ, the L2 norm of the
    difference and that of the tensor.
    """
    if model:
        show_models(revs, as_json=as_json)
        return
    with workspace() as ws, progress("reading", quiet=as_json) as meter:
        old, new, paths = _split(ws, revs)
        found = differences(ws, old, new, paths, progress=meter)
    if as_json:
        emit_json("diff", {"artifacts": [_diff_json(item) for item in found]})
        return
    for item in found:
        say(click.style(str(item.path), bold=True) + f"  {_roots(item)}")
        rows = []
        for change in item.changes:
            sign = click.style(_SIGNS[change.how], fg=_COLOURS[change.how])
            rows.append(
                [
                    f"  {sign} {shown(change.path) or item.path}",
                    kind_change(change.kinds) or _sizes(change),
                ]
            )
        for line in table(rows):
            say(line)
        if item.problem:
            say(f"  its files cannot be told: {item.problem}")


def _split(ws: Workspace, words: tuple[str, ...]) -> tuple[str | None, str | None, list[str]]:
    """Tells revisions from paths, as git does: before and after `--`, or by what exists."""
    after = click.get_current_context().meta.get(_PATHS)
    count = _count_revisions(ws, words) if after is None else len(words) - after
    revs, paths = list(words[:count]), list(words[count:])
    if len(revs) == 1 and ".." in revs[0]:
        old, _, new = revs[0].partition("..")
        if new.startswith("."):
            raise UsageError("A...B is not understood here", hint="use two revisions: A B")
        return old or "HEAD", new or "HEAD", paths
    if len(revs) > 2:
        raise UsageError(f"{len(revs)} revisions are too many: diff compares two")
    return revs[0] if revs else None, revs[1] if len(revs) > 1 else None, paths


def _count_revisions(ws: Workspace, words: tuple[str, ...]) -> int:
    for count, word in enumerate(words):
        if not any(os.path.lexists(os.path.join(ws.cwd, word + end)) for end in ("", SUFFIX)):
            if count == 2:
                return 2  # and the op says that there is no such artifact
            continue
        try:
            ws.repo.resolve(word)
        except GitprovError:
            return count
        raise UsageError(
            f"{word} is both a revision and a path", hint="put -- between revisions and paths"
        )
    return len(words)


def _roots(item: ArtifactDiff) -> str:
    old = item.old_root.hex[:12] if item.old_root else "nothing"
    new = item.new_root.hex[:12] if item.new_root else "nothing"
    return old if old == new else f"{old} → {new}"


def _sizes(change: object) -> str:
    old = getattr(change, "old_size", None)
    new = getattr(change, "new_size", None)
    if old is None:
        return human_size(new or 0)
    if new is None:
        return human_size(old)
    if old == new:
        return human_size(new)
    return f"{human_size(old)} → {human_size(new)}"


def _diff_json(item: ArtifactDiff) -> Json:
    return {
        "path": item.path.raw.decode("utf-8", "replace"),
        "old_root": str(item.old_root) if item.old_root else None,
        "new_root": str(item.new_root) if item.new_root else None,
        "changes": [
            {
                "path": shown(change.path),
                "how": change.how,
                "old_size": change.old_size,
                "new_size": change.new_size,
            }
            for change in item.changes
        ],
        "problem": item.problem or None,
    }


@click.command(
    short_help="List what an artifact holds.",
    epilog=examples(
        "gitprov ls data",
        "gitprov ls v1.0:data/train       # at a revision",
    ),
)
@click.argument("path", default="", metavar="[REV:]PATH")
@json_option
def ls(path: str, as_json: bool) -> None:
    """List the files at a path of an artifact with kind, size and digest; all without a PATH."""
    with workspace() as ws:
        rev, colon, where = path.partition(":")
        if not colon or os.path.lexists(os.path.join(ws.cwd, path)):
            rev, where = "", path
        files = list_files(ws, rev or None, where)
    if as_json:
        emit_json(
            "ls",
            {
                "files": [
                    {
                        "path": shown(item.path.raw),
                        "kind": item.kind,
                        "size": item.size,
                        "digest": str(item.digest),
                    }
                    for item in files
                ]
            },
        )
        return
    sizes = [f"{item.size:,}" for item in files]
    width = max(map(len, sizes), default=0)
    for item, size in zip(files, sizes, strict=True):
        say(f"{_KINDS[item.kind]}  {size:>{width}}  {item.digest.hex[:16]}  {item.path}")
