"""What the anchor commands print: outcomes and states, as lines and as JSON."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from gitprov.cli.options import plural, table
from gitprov.core.paths import printable

if TYPE_CHECKING:
    from gitprov.anchors.outbox import Job
    from gitprov.core.canonical import Json
    from gitprov.ops.anchor import Anchored
    from gitprov.ops.networks import NetworkState

_COLOURS = {"final": "green", "included": "green", "failed": "red", "reorged": "red"}


def anchored_lines(done: "Anchored | None", states: Sequence["NetworkState"]) -> Iterator[str]:
    """Gives the lines of `gitprov anchor`."""
    if done is not None and done.commits:
        covered = plural(len(done.commits), "commit")
        yield f"anchored {covered} under the signed head of size {done.size:,} of {done.origin}"
    elif done is not None and not states:
        yield f"nothing to do: the head of size {done.size:,} of {done.origin} covers all records"
    yield from table([_row(state, newest) for state in states if (newest := state.newest)])


def _state(job: "Job") -> str:
    """The state in a word; what is signed and not sent yet waits."""
    word = "not sent" if job.state == "signed" else job.state
    return click.style(word, fg=_COLOURS.get(job.state))


def _row(state: "NetworkState", job: "Job") -> list[str]:
    told = f"{plural(state.noted, 'note')} written" if state.noted else "no note changed"
    # What went wrong is said by itself, on stderr.
    detail = "" if state.problem is not None else printable(job.detail)
    return [state.network, _state(job), f"head {job.size:,}", job.locator, told, detail]


def status_lines(states: Sequence["NetworkState"], *, now: float) -> Iterator[str]:
    """Gives the lines of `gitprov anchor --status`."""
    rows: list[list[str]] = []
    for state in states:
        shown = [job for job in state.jobs if not job.settled]
        final = [job for job in state.jobs if job.state == "final"]
        failed = [job for job in state.jobs if job.state == "failed"]
        for job in [*final[-1:], *failed, *shown]:
            age = _age(now - job.updated)
            cells = [state.network, _state(job), f"head {job.size:,}", job.locator]
            rows.append([*cells, f"{age} ago", printable(job.detail)])
        left = state.size - state.covered
        if left > 0:
            text = f"{plural(left, 'record')} not anchored yet"
            rows.append([state.network, "waiting", f"head {state.size:,}", "", "", text])
    yield from table(rows)
    if not rows:
        yield "nothing is under way, and nothing waits"


def _age(seconds: float) -> str:
    for length, noun in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length:
            return plural(int(seconds // length), noun)
    return plural(max(int(seconds), 0), "second")


def to_json(done: "Anchored | None", states: Sequence["NetworkState"]) -> "dict[str, Json]":
    """Returns the fields of `gitprov anchor --json`."""
    fields: dict[str, Json] = {}
    if done is not None:
        commits: list[Json] = [*done.commits]
        fields = {
            "log": done.origin,
            "size": done.size,
            "root": str(done.root),
            "commits": commits,
        }
    networks: list[Json] = [_network(state) for state in states]
    return {**fields, "networks": networks}


def _network(state: "NetworkState") -> "Json":
    jobs: list[Json] = [
        {
            "size": job.size,
            "digest": str(job.digest),
            "state": job.state,
            "locator": job.locator,
            "detail": job.detail,
            "created": job.created,
            "updated": job.updated,
        }
        for job in state.jobs
    ]
    problem: Json = None
    if state.problem is not None:
        problem = {"error": str(state.problem), "hint": state.problem.hint}
    return {
        "network": state.network,
        "target": state.target,
        "size": state.size,
        "covered": state.covered,
        "made": state.made,
        "noted": state.noted,
        "anchorings": jobs,
        "problem": problem,
    }
