"""The commands that compare and list: diff, ls."""

import click

from gitprov.cli.context import workspace
from gitprov.cli.options import emit_json, examples, human_size, json_option, say, shown, table
from gitprov.cli.progress import progress
from gitprov.core.canonical import Json
from gitprov.errors import UsageError
from gitprov.ops.compare import ArtifactDiff
from gitprov.ops.compare import diff as differences
from gitprov.ops.compare import ls as list_files

_SIGNS = {"added": "+", "deleted": "-", "modified": "~", "type": "~"}
_COLOURS = {"added": "green", "deleted": "red", "modified": "yellow", "type": "yellow"}
_KINDS = {"f": "-", "x": "x", "l": "l"}


@click.command(
    short_help="Show which files of artifacts differ between revisions.",
    epilog=examples(
        "gitprov diff                     # pointers against the data on disk",
        "gitprov diff HEAD                # the last commit against the data on disk",
        "gitprov diff v1.0 v2.0 -- data   # two revisions, one artifact",
    ),
)
@click.argument("revs", nargs=-1)
@json_option
def diff(revs: tuple[str, ...], as_json: bool) -> None:
    """Show the files that differ, with their sizes: diff [A [B]] [-- PATH…].

    Without B the data in the worktree is compared, without A the pointers in the worktree.
    """
    with workspace() as ws, progress("reading", quiet=as_json) as meter:
        old, new, paths = _split(revs, ws.repo.worktree or "")
        found = differences(ws, old, new, paths, progress=meter)
    if as_json:
        emit_json("diff", {"artifacts": [_diff_json(item) for item in found]})
        return
    for item in found:
        say(click.style(str(item.path), bold=True) + f"  {_roots(item)}")
        rows = []
        for change in item.changes:
            sign = click.style(_SIGNS[change.how], fg=_COLOURS[change.how])
            rows.append([f"  {sign} {shown(change.path) or item.path}", _sizes(change)])
        for line in table(rows):
            say(line)
        if item.problem:
            say(f"  its files cannot be told: {item.problem}")


def _split(words: tuple[str, ...], worktree: str) -> tuple[str | None, str | None, list[str]]:
    """Tells revisions from paths: click has taken the `--` away, so what exists is a path."""
    import os  # only here

    revs: list[str] = []
    paths: list[str] = []
    for word in words:
        is_path = bool(paths) or len(revs) == 2 or os.path.lexists(word)
        (paths if is_path or os.path.lexists(word + ".prov") else revs).append(word)
    if not revs:
        return None, None, paths
    if len(revs) == 1 and ".." in revs[0]:
        old, _, new = revs[0].partition("..")
        if new.startswith("."):
            raise UsageError("A...B is not understood here", hint="use two revisions: A B")
        return old or "HEAD", new or "HEAD", paths
    return revs[0], revs[1] if len(revs) > 1 else None, paths


def _roots(item: ArtifactDiff) -> str:
    old = item.old_root.hex[:12] if item.old_root else "nothing"
    new = item.new_root.hex[:12] if item.new_root else "nothing"
    return f"{old} → {new}"


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
    rev, colon, where = path.partition(":")
    if not colon:
        rev, where = "", path
    with workspace() as ws:
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
