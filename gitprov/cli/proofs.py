"""The commands about one file's proof: prove, check."""

import sys

import click

from gitprov.cli.context import workspace
from gitprov.cli.options import examples, json_option, note, quiet_option, say, shown
from gitprov.cli.reports import EXIT_CODES, format_option, show_report, strict_option
from gitprov.errors import UsageError
from gitprov.ops.prove import check as check_proof
from gitprov.ops.prove import prove as make_proof
from gitprov.platform.files import atomic_write


@click.command(
    short_help="Write a proof that a commit binds one file.",
    epilog=examples(
        "gitprov prove data/train/0.png -o 0.proof",
        "gitprov prove model.safetensors v1.0 -o model.proof",
    ),
)
@click.argument("path", type=click.Path())
@click.argument("rev", default="HEAD")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False), help="Where to.  [default: stdout]"
)
@quiet_option
def prove(path: str, rev: str, output: str | None, quiet: bool) -> None:
    """Write a self-contained proof that the commit REV binds the file at PATH of an artifact.

    Whoever has it can check it with `gitprov check`, without the repository.
    """
    with workspace() as ws:
        bundle = make_proof(ws, path, rev)
    data = bundle.to_bytes() + b"\n"
    if output is None or output == "-":
        sys.stdout.buffer.write(data)
        return
    atomic_write(output, data)
    if not quiet:
        say(f"wrote {shown(output)}: {bundle.path} is bound by {bundle.code.commit[:12]}")


@click.command(
    short_help="Check a proof without the repository.",
    epilog=examples(
        "gitprov check 0.proof 0.png",
        "gitprov check 0.proof 0.png --key 'gitprov/digits/1f…+5c0d…+AY…'",
    )
    + EXIT_CODES,
)
@click.argument("proof", type=click.Path(dir_okay=False), metavar="FILE")
@click.argument("datafile", required=False, type=click.Path(dir_okay=False))
@click.option("--key", "keys", multiple=True, help="A log's key that you trust; may be repeated.")
@strict_option
@format_option
@json_option
@quiet_option
def check(
    proof: str,
    datafile: str | None,
    keys: tuple[str, ...],
    strict: bool,
    form: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Check the proof FILE, and that DATAFILE is the file that it is about."""
    if datafile == "-":
        raise UsageError("the data file must be a file, so that it can be named")
    _, report = check_proof(proof, datafile, keys)
    if not keys and not as_json and not quiet:
        note("gitprov: no --key was given, so anybody may have made the log that signed this")
    show_report(report, strict=strict, form=form, as_json=as_json, quiet=quiet, verb="check")
