"""The command export: what others need to keep, in one file."""

import click

from gitprov.cli.context import workspace
from gitprov.cli.options import (
    emit_json,
    examples,
    human_size,
    json_option,
    plural,
    quiet_option,
    say,
)
from gitprov.cli.progress import progress
from gitprov.ops.publish import export_car


@click.command(
    short_help="Write a CAR archive for IPFS.",
    epilog=examples(
        "gitprov export --car head.car                     # the record and the signed head",
        "gitprov export --car all.car v1.0 --with-data     # and the artifacts",
        "ipfs dag import all.car",
    ),
)
@click.argument("rev", required=False, default="HEAD")
@click.option(
    "--car",
    "path",
    required=True,
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="The file.",
)
@click.option("--with-data", is_flag=True, help="Also the artifacts, with their manifests.")
@json_option
@quiet_option
def export(rev: str, path: str, with_data: bool, as_json: bool, quiet: bool) -> None:
    """Write the record of REV (default HEAD) and the log's signed head as blocks of a CAR archive.

    Each block is named by its own BLAKE3 digest, which is its CID, so whoever serves it cannot
    serve anything else. Blocks have at most 1 MiB; larger files are cut, and lists say how.
    """
    with workspace() as ws, progress("exporting", quiet=quiet or as_json) as meter:
        done = export_car(ws, rev, path, with_data=with_data, progress=meter)
    if as_json:
        emit_json(
            "export",
            {
                "commit": done.commit,
                "root": str(done.root),
                "car": path,
                "roots": list(done.roots),
                "blocks": done.blocks,
                "size": done.size,
            },
        )
    elif not quiet:
        say(f"wrote {path}: {plural(done.blocks, 'block')}, {human_size(done.size)}")
        for root in done.roots:
            say(f"root  {root}")
