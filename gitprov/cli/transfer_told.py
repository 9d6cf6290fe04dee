"""What push, fetch and pull say of the data, and how they end."""

import click

from gitprov.cli.options import human_size, note, plural, shown
from gitprov.cli.transfer_notes import Notes
from gitprov.core.paths import printable
from gitprov.ops.transfer import Transferred

_NAMED = 5


def told(verb: str, where: str, done: Transferred, *, dry_run: bool) -> str:
    """One line about the data."""
    if not done.url:
        return "no data is required"
    there = "" if done.there is None else plural(done.there, "object")
    all_there = f"{'the' if done.there == 1 else 'all'} {there}" if there else "everything"
    if not done.objects and not done.absent and done.refusal is None:
        if done.there == 0:
            return "no artifacts, so no data: gitprov add PATH makes one"
        if where == "to":
            return f"nothing to send: {done.url} has {all_there}"
        return f"nothing to fetch: the store has {all_there}"
    travelled = "" if dry_run else f", {human_size(done.travelled)} on the line"
    objects = f"{plural(done.objects, 'object')} ({human_size(done.size)}){travelled}"
    already = f"; {there} there already" if done.there else ""
    return f"{verb} {objects} {where} {done.url}{already}"


def tell_lack(done: Transferred, *, sending: bool) -> None:
    """Says on stderr what nobody has, and what the remote has wrongly."""
    for one in done.lacking[:_NAMED]:
        note(f"gitprov: neither here nor there: {shown(one.path.raw)}, blake3:{one.digest.hex()}")
    if len(done.lacking) > _NAMED:
        note(f"gitprov: and {len(done.lacking) - _NAMED:,} more")
    if done.absent:
        others = "`gitprov push`, where somebody has them, sends them there"
        mine = "; so does `gitprov add`, and a push, where the files are"
        note(f"gitprov: {others}{mine if sending else ''}")
    if done.refusal is not None:
        note(f"gitprov: error: {printable(str(done.refusal))}")
        if done.refusal.hint:
            note(f"gitprov: hint: {printable(done.refusal.hint)}")


def end(done: Transferred, notes: Notes) -> None:
    """Ends with the worst of what happened: what does not hold, then what could not be had."""
    codes = {3} if done.absent else set()
    if done.refusal is not None:
        codes.add(done.refusal.exit_code)
    if notes.problem is not None:
        codes.add(notes.problem.exit_code)
    if codes:
        raise click.exceptions.Exit(1 if 1 in codes else max(codes))
