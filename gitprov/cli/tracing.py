"""The command that asks where something came from: trace."""

import os
from collections.abc import Iterator

import click

from gitprov.cli.context import workspace
from gitprov.cli.options import emit_json, examples, json_option, note, plural, say, shown
from gitprov.cli.progress import progress
from gitprov.core.canonical import Json
from gitprov.ops.trace import trace as trace_all
from gitprov.ops.traced import (
    Behind,
    Binding,
    Looked,
    Trace,
    TracedAnchor,
    TracedCommit,
    TracedRun,
)
from gitprov.verify.sentences import utc

_SHORT = 12
_MAX_SHOWN = 50
_NO_TIME = frozenset({"tlog", "ipfs"})


@click.command(
    short_help="Show which commits and runs bind a file, and since when.",
    epilog=examples(
        "gitprov trace data/train/1.png    # a file, a folder or an artifact",
        "gitprov trace ~/got.safetensors   # a copy from anywhere; its weights count, too",
        "gitprov trace blake3:5c1f09a2     # a digest, or 8 digits and more of one",
        "gitprov trace --all --json model.safetensors",
    ),
)
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--all", "everything", is_flag=True, help="List every commit, not first and last.")
@json_option
def trace(files: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Show every commit and run that binds a file, a folder or a model's weights.

    FILE is a path, or a digest: of a file, a folder, weights, a record or a run's stage. Shown are
    the earliest anchor of each, and for a model the data and the code behind it. It is what notes
    and runs say; `gitprov verify COMMIT` tells whether it holds. Exit code 1: nothing binds it.
    """
    with workspace() as ws, progress("reading", quiet=as_json) as meter:
        found = trace_all(ws, files, progress=meter)
    if as_json:
        traces: list[Json] = [_trace_json(one) for one in found.traces]
        emit_json("trace", {"traces": traces, "looked_through": _looked_json(found.looked)})
    else:
        for number, one in enumerate(found.traces):
            if number:
                say()
            for line in _lines(one, found.looked, everything=everything):
                say(line)
        _warn(found.looked)
    if not all(one.is_found for one in found.traces):
        raise click.exceptions.Exit(1)


def _lines(one: Trace, looked: Looked, *, everything: bool) -> Iterator[str]:
    yield click.style(shown(os.fsencode(one.asked)), bold=True)
    for asked in one.digests:
        yield f"  {asked.kind:8}{asked.digest}"
    for remark in one.remarks:
        yield f"  note    {remark}"
    if not one.is_found:
        yield f"  nothing binds it: looked through {_looked(looked)}"
        return
    files = {(b.artifact, b.commits) for b in one.bindings if b.kind != "weights"}
    for binding in one.bindings:
        # The same file in the same commits has the same weights.
        if binding.kind != "weights" or (binding.artifact, binding.commits) not in files:
            yield from _binding_lines(binding, everything=everything)
    if one.left_out:
        yield "  there are more places than were looked at"
    for run in one.runs:
        yield from _run_lines(run)
    for behind in one.behind:
        yield from _behind_lines(behind)
    verify = next((b.commits[0].commit for b in one.bindings), "") or one.runs[0].commit or "COMMIT"
    yield f"  unverified: `gitprov verify {verify[:_SHORT]}` judges"


def _binding_lines(binding: Binding, *, everything: bool) -> Iterator[str]:
    commits = binding.commits
    first, last = commits[0], commits[-1]
    where = shown(f"{binding.artifact}/{binding.inside}".strip("/") or "the record itself")
    kind = f"  {binding.kind:8}{where}"
    if everything or len(commits) == 1:
        yield f"{kind} in {plural(len(commits), 'commit')}" if len(commits) > 1 else kind
        for commit in commits:
            yield f"    {_commit(commit)}"
            yield f"      {_anchor(commit.anchor)}"
        return
    yield f"{kind} in {plural(len(commits), 'commit')}"
    for word, commit in (("from", first), ("to  ", last)):
        yield f"    {word} {_commit(commit)}"
        yield f"         {_anchor(commit.anchor)}"


def _commit(commit: TracedCommit) -> str:
    name = click.style(commit.commit[:_SHORT], fg="yellow")
    if commit.time is None:
        return f"{name} (this clone does not have the commit)"
    head = " (HEAD)" if commit.is_head else ""
    return f"{name} {utc(commit.time)[:10]}{head} {shown(commit.subject)}".rstrip()


def _anchor(anchor: TracedAnchor | None) -> str:
    if anchor is None:
        return "not anchored"
    if anchor.time is not None:
        return f"{anchor.network}: {anchor.status}, in a block of {utc(anchor.time)}"
    proves = "; proves no time" if anchor.network in _NO_TIME else ""
    return f"{anchor.network}: {anchor.status}, under the head of size {anchor.size:,}{proves}"


def _run_lines(run: TracedRun) -> Iterator[str]:
    outcome = run.outcome or "only a note tells of it"
    start = f", started from {click.style(run.commit[:_SHORT], fg='yellow')}" if run.commit else ""
    yield f"  {'run':8}{run.id} ({outcome}){start}"
    roles: dict[str, list[str]] = {}
    for role in run.roles:
        roles.setdefault(role.role, []).append(shown(role.name))
    for word, names in roles.items():
        some = ", ".join(filter(None, names[:3])) + (", …" if len(names) > 3 else "")
        yield f"    as {word}" + (f": {some}" if some else "")
    yield f"    {_anchor(run.anchor)}"


def _behind_lines(behind: Behind) -> Iterator[str]:
    yield f"  behind  {shown(behind.artifact)}"
    yield f"    code  {click.style(behind.commit[:_SHORT], fg='yellow')}"
    for artifact in behind.artifacts[:_MAX_SHOWN]:
        yield f"    {artifact.kind:5} {shown(artifact.path)} {artifact.root.hex[:16]}"
    if len(behind.artifacts) > _MAX_SHOWN:
        yield f"    and {len(behind.artifacts) - _MAX_SHOWN:,} more artifacts"
    for run in behind.runs[:_MAX_SHOWN]:
        yield f"    run   {run}"


def _looked(looked: Looked) -> str:
    runs = plural(looked.runs, "run")
    return (
        f"{plural(looked.commits, 'recorded commit')}, {plural(looked.manifests, 'folder')}, {runs}"
    )


def _warn(looked: Looked) -> None:
    """Says what could not be looked at: an answer may be missing for it."""
    said = (
        (looked.missing_commits, "recorded commit", "not in this clone"),
        (looked.missing_manifests, "folder", "not in the store, so their files are not known"),
        (looked.odd_lines, "line", "of notes that cannot be read"),
        (looked.odd_runs, "file", "in runs/ that cannot be read as runs"),
    )
    for number, noun, what in said:
        if number:
            note(f"passed over: {plural(number, noun)} {what}")
    for problem in looked.problems:
        note(f"passed over: {shown(problem)}")


def _trace_json(one: Trace) -> Json:
    return {
        "asked": shown(os.fsencode(one.asked)),
        "found": one.is_found,
        "digests": [{"kind": asked.kind, "digest": str(asked.digest)} for asked in one.digests],
        "bindings": [_binding_json(binding) for binding in one.bindings],
        "runs": [_run_json(run) for run in one.runs],
        "behind": [_behind_json(behind) for behind in one.behind],
        "left_out": one.left_out,
        "remarks": list(one.remarks),
    }


def _binding_json(binding: Binding) -> Json:
    return {
        "kind": binding.kind,
        "digest": str(binding.digest),
        "artifact": binding.artifact or None,
        "artifact_kind": binding.artifact_kind or None,
        "path": binding.inside or None,
        "commits": [
            {
                "commit": commit.commit,
                "subject": commit.subject,
                "time": commit.time,
                "root": str(commit.root),
                "anchor": _anchor_json(commit.anchor),
                "head": commit.is_head,
            }
            for commit in binding.commits
        ],
    }


def _anchor_json(anchor: TracedAnchor | None) -> Json:
    if anchor is None:
        return None
    return {
        "network": anchor.network,
        "status": anchor.status,
        "size": anchor.size,
        "time": anchor.time,
    }


def _run_json(run: TracedRun) -> Json:
    return {
        "id": run.id,
        "outcome": run.outcome or None,
        "roles": [{"role": role.role, "name": role.name or None} for role in run.roles],
        "commit": run.commit or None,
        "recorded_in": run.recorded_in or None,
        "anchor": _anchor_json(run.anchor),
        "facts": run.facts,
    }


def _behind_json(behind: Behind) -> Json:
    return {
        "artifact": behind.artifact,
        "commit": behind.commit,
        "artifacts": [
            {"path": artifact.path, "kind": artifact.kind, "root": str(artifact.root)}
            for artifact in behind.artifacts
        ],
        "runs": list(behind.runs),
    }


def _looked_json(looked: Looked) -> Json:
    return {
        "commits": looked.commits,
        "runs": looked.runs,
        "manifests": looked.manifests,
        "missing_commits": looked.missing_commits,
        "missing_manifests": looked.missing_manifests,
        "odd_lines": looked.odd_lines,
        "odd_runs": looked.odd_runs,
        "problems": list(looked.problems),
        "read": {
            "notes": looked.read_notes,
            "runs": looked.read_runs,
            "manifests": looked.read_manifests,
        },
    }
