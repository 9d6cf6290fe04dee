"""The commands that judge: verify, prove, check."""

import sys

import click

from gitprov.cli.context import workspace
from gitprov.cli.options import examples, json_option, note, quiet_option, say
from gitprov.cli.progress import progress
from gitprov.errors import UsageError
from gitprov.model.report import Report, Verdict
from gitprov.ops.prove import check as check_proof
from gitprov.ops.prove import prove as make_proof
from gitprov.ops.verify import verify as verify_commits
from gitprov.platform.files import atomic_write
from gitprov.render.to_json import to_json
from gitprov.render.to_markdown import to_markdown
from gitprov.render.to_text import to_text
from gitprov.verify.engine import verdict_of

_EXIT = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.UNKNOWN: 3}

format_option = click.option(
    "--format", "form", type=click.Choice(["text", "markdown"]), default="text", show_default=True
)
strict_option = click.option("--strict", is_flag=True, help="What cannot be told is a failure.")


@click.command(
    short_help="Check that records, artifacts, log and anchors hold.",
    epilog=examples(
        "gitprov verify                             # the current commit",
        "gitprov verify origin/main..HEAD --policy-from origin/main   # in code review",
        "gitprov verify --all --deep                # everything, trusting no cache",
        "gitprov verify --format markdown > comment.md",
    )
    + "\n\nExit codes: 0 holds, 1 does not hold, 3 cannot be told here.",
)
@click.argument("revs", nargs=-1, metavar="[REV | A..B]…")
@click.option("--all", "everything", is_flag=True, help="Every commit of every branch and tag.")
@click.option("--deep", is_flag=True, help="Trust no cache; hash what the store holds again.")
@click.option("--require-data", is_flag=True, help="Data that is nowhere here is no SKIP.")
@click.option("--policy-from", metavar="REV", help="Take the policy of a trusted revision.")
@strict_option
@format_option
@json_option
@quiet_option
def verify(
    revs: tuple[str, ...],
    everything: bool,
    deep: bool,
    require_data: bool,
    policy_from: str | None,
    strict: bool,
    form: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Verify commits: record, artifacts, log, anchors, policy. REV is HEAD when it is not given."""
    with workspace() as ws, progress("verifying", quiet=quiet or as_json) as meter:
        report = verify_commits(
            ws,
            revs,
            everything=everything,
            deep=deep,
            require_data=require_data,
            policy_from=policy_from,
            progress=meter,
        )
    _show(report, strict=strict, form=form, as_json=as_json, quiet=quiet, verb="verify")


def _show(
    report: Report, *, strict: bool, form: str, as_json: bool, quiet: bool, verb: str
) -> None:
    verdict = verdict_of(report, strict=strict)
    if as_json:
        say(to_json(report, verb=verb, verdict=verdict).rstrip("\n"))
    elif form == "markdown":
        say(to_markdown(report, verdict=verdict).rstrip("\n"))
    elif not quiet or verdict is not Verdict.PASS:
        utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        text = to_text(report, verdict=verdict, colour=True, ascii_only=not utf8)
        say(text.rstrip("\n"))
    raise click.exceptions.Exit(_EXIT[verdict])


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
        commit = bundle.code.commit[:12]
        say(f"{output}: {bundle.path} in {commit}, {len(data):,} bytes; gitprov check {output}")


@click.command(
    short_help="Check a proof without the repository.",
    epilog=examples(
        "gitprov check 0.proof 0.png",
        "gitprov check 0.proof 0.png --key 'gitprov/digits/1f…+5c0d…+AY…'",
    )
    + "\n\nExit codes: 0 holds, 1 does not hold, 3 cannot be told here.",
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
    _show(report, strict=strict, form=form, as_json=as_json, quiet=quiet, verb="check")
