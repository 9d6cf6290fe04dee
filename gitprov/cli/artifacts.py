"""The commands that change artifacts: add, checkout, remove."""

from typing import TYPE_CHECKING, Unpack, cast

import click

from gitprov.cli.context import workspace
from gitprov.cli.far import FarOptions, add_anywhere, far_options
from gitprov.cli.options import (
    emit_json,
    examples,
    human_size,
    json_option,
    plural,
    quiet_option,
    say,
    table,
)
from gitprov.cli.progress import progress
from gitprov.core.canonical import Json
from gitprov.ops.added import AddedArtifact
from gitprov.ops.remove import remove as remove_artifacts
from gitprov.ops.restore import checkout as restore_artifacts

if TYPE_CHECKING:
    from gitprov.model.pointer import ArtifactKind


@click.command(
    short_help="Put datasets and models into the store and stage their pointers.",
    epilog=examples(
        "gitprov add data/                    # a dataset: writes and stages data.prov",
        "gitprov add model.safetensors        # a model, by its ending",
        "gitprov add --kind model weights/    # a folder that holds a model",
        "gitprov add data/train/new           # only this part of data is read again",
        "gitprov add s3://bucket/images --as data             # stays where it is",
        "gitprov add s3://bucket/images --as data --copy      # comes into the store, too",
        "gitprov add s3://bucket/images --as data --executor dask://HOST:8786",
        "gitprov add data --executor dask://HOST:8786         # on a file system that all share",
    ),
)
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@far_options
@click.option(
    "--kind",
    type=click.Choice(["data", "model"]),
    help="What it is.  [default: model for .pt .pth .ckpt .safetensors .onnx .gguf .h5 .keras "
    ".pkl .joblib, else data]",
)
@click.option("--no-stage", is_flag=True, help="Leave staging the pointers to you.")
@json_option
@quiet_option
def add(
    paths: tuple[str, ...],
    kind: str | None,
    no_stage: bool,
    as_json: bool,
    quiet: bool,
    **far: Unpack[FarOptions],
) -> None:
    """Put files and folders into the store, and write and stage their pointers.

    The data itself is ignored by git from then on. Adding an artifact again keeps what changed;
    names in .gitprovignore (gitignore syntax) are left out.

    Of what lies in an object store, the names and digests are recorded and the bytes stay there,
    unless --copy brings them. The same holds for what the workers of an executor hash.
    """
    with workspace() as ws, progress("adding", quiet=quiet or as_json) as meter:
        added = add_anywhere(
            ws,
            paths,
            far,
            kind=cast("ArtifactKind | None", kind),
            stage=not no_stage,
            meter=meter,
        )
    if as_json:
        artifacts: list[Json] = [_added_json(item) for item in added]
        emit_json("add", {"artifacts": artifacts})
    elif not quiet:
        for line in table([_added_row(item) for item in added]):
            say(line)
        if any(item.state != "unchanged" for item in added):
            say(
                "git commit binds it to the code" if not no_stage else "the pointers are not staged"
            )


def _added_row(item: AddedArtifact) -> list[str]:
    pointer = item.pointer
    size = human_size(pointer.size)
    return [f"{item.state:9}", str(item.path), pointer.kind, plural(pointer.files, "file"), size]


def _added_json(item: AddedArtifact) -> Json:
    return {
        "path": item.path.raw.decode("utf-8"),
        "kind": item.pointer.kind,
        "root": str(item.pointer.root),
        "size": item.pointer.size,
        "files": item.pointer.files,
        "state": item.state,
    }


@click.command(
    short_help="Restore artifacts to what their pointers say.",
    epilog=examples(
        "gitprov checkout                    # everything",
        "gitprov checkout data/train/0       # a part of an artifact",
        "gitprov checkout --force data       # throws local changes of data away",
    ),
)
@click.argument("paths", nargs=-1, type=click.Path())
@click.option("-f", "--force", is_flag=True, help="Write over changed files, remove unknown ones.")
@json_option
@quiet_option
def checkout(paths: tuple[str, ...], force: bool, as_json: bool, quiet: bool) -> None:
    """Restore artifacts, or parts of them, to what their pointers say.

    Files that were changed and never added are not written over without --force. Files that the
    manifest no longer has are removed.
    """
    with workspace() as ws, progress("restoring", quiet=quiet or as_json) as meter:
        done = restore_artifacts(ws, paths, force=force, progress=meter)
    if as_json:
        emit_json(
            "checkout",
            {
                "updated": [path.raw.decode("utf-8", "replace") for path in done.updated],
                "unchanged": [path.raw.decode("utf-8", "replace") for path in done.unchanged],
                "files": done.files,
                "removed": done.removed,
            },
        )
    elif not quiet:
        rows = [["restored", str(path)] for path in done.updated]
        rows += [["unchanged", str(path)] for path in done.unchanged]
        for line in table(rows):
            say(line)
        if done.updated:
            say(f"{plural(done.files, 'file')} written, {done.removed:,} removed")


@click.command(
    short_help="Stop tracking an artifact.",
    epilog=examples(
        "gitprov remove data             # the data stays on disk",
        "gitprov remove --delete data    # it goes; earlier commits can still restore it",
    ),
)
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@click.option("--delete", is_flag=True, help="Delete the data in the worktree, too.")
@click.option("-f", "--force", is_flag=True, help="Delete even what the store does not have.")
@json_option
@quiet_option
def remove(paths: tuple[str, ...], delete: bool, force: bool, as_json: bool, quiet: bool) -> None:
    """Stop tracking artifacts: their pointers and .gitignore lines go, and that is staged.

    What the store keeps stays for the commits that have it, until `gitprov gc`.
    """
    with workspace() as ws:
        removed = remove_artifacts(ws, paths, delete=delete, force=force)
    if as_json:
        emit_json(
            "remove",
            {
                "artifacts": [
                    {"path": item.path.raw.decode("utf-8", "replace"), "deleted": item.deleted}
                    for item in removed
                ]
            },
        )
    elif not quiet:
        for item in removed:
            data = "and its data deleted" if item.deleted else "its data stays on disk"
            say(f"removed  {item.path}, {data}")
