"""What the judging commands share: how a report is shown, and with which exit code."""

import sys

import click

from gitprov.cli.options import say
from gitprov.model.report import Report, Verdict
from gitprov.render.to_json import to_json
from gitprov.render.to_markdown import to_markdown
from gitprov.render.to_text import to_text
from gitprov.verify.engine import verdict_of

EXIT_CODES = "\n\nExit codes: 0 holds, 1 does not hold, 3 cannot be told here."

format_option = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown"]),
    default="text",
    show_default=True,
    help="How to write the report.",
)
strict_option = click.option("--strict", is_flag=True, help="What cannot be told is a failure.")

_EXIT = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.UNKNOWN: 3}


def show_report(
    report: Report, *, strict: bool, form: str, as_json: bool, quiet: bool, verb: str
) -> None:
    """Prints a report and ends with the exit code of its verdict."""
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
