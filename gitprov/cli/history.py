"""The command that shows evidence: log."""

from typing import TYPE_CHECKING

import click

from gitprov.cli.context import workspace
from gitprov.cli.options import (
    emit_json,
    examples,
    human_size,
    json_option,
    note,
    plural,
    say,
    shown,
    table,
)
from gitprov.core.canonical import Json
from gitprov.model.record import ArtifactLeaf
from gitprov.ops.log import KnownLog, LoggedCommit, list_logs, log_commits
from gitprov.render.words import short_digests

if TYPE_CHECKING:
    from gitprov.git.consistency import LogCheck


@click.command(
    short_help="Show commits with their records, artifacts and anchors.",
    epilog=examples(
        "gitprov log                  # the newest 20 commits",
        "gitprov log -n 5 main",
        "gitprov log --keys           # the public keys, for policy.tlog.keys",
        "gitprov log --check origin   # has the remote's log only grown?",
    ),
)
@click.argument("revs", nargs=-1)
@click.option("-n", "limit", type=click.IntRange(min=1), help="At most so many.  [default: 20]")
@click.option("--keys", is_flag=True, help="Show the logs that are here with their public keys.")
@click.option("--check", "remote", metavar="REMOTE", help="Prove that its logs have only grown.")
@json_option
def log(
    revs: tuple[str, ...], limit: int | None, keys: bool, remote: str | None, as_json: bool
) -> None:
    """Show commits with their roots, artifacts and anchors, newest first.

    What is shown is what the notes say; `gitprov verify` tells whether it holds.
    """
    with workspace() as ws:
        if remote is not None:
            from gitprov.ops.log_check import check_remote_logs  # the library for signatures

            _show_check(remote, check_remote_logs(ws, remote), as_json)
        elif keys:
            _show_logs(list_logs(ws), as_json)
        else:
            _show_commits(log_commits(ws, revs, limit=limit or (None if as_json else 20)), as_json)


def _show_commits(commits: list[LoggedCommit], as_json: bool) -> None:
    if as_json:
        emit_json("log", {"commits": [_commit_json(item) for item in commits]})
        return
    for number, item in enumerate(commits):
        if number:
            say()
        say(f"{click.style(item.commit[:12], fg='yellow')} {item.subject}")
        if item.root is None:
            say("  not recorded")
        else:
            say(f"  root    {item.root}")
        for line in table([_artifact_row(leaf) for leaf in item.artifacts], right=(2, 3)):
            say(f"  {line}")
        for entry in item.anchors:
            where = f"entry {entry.index:,} under the head of size {entry.size:,}"
            say(f"  anchor  {entry.network}: {entry.status}, {where}")
        if item.unreadable:
            say(f"  note    {plural(item.unreadable, 'line')} that this gitprov cannot read")


def _artifact_row(leaf: ArtifactLeaf) -> list[str]:
    files = plural(leaf.files, "file") if leaf.entry == "dir" else ""
    return [f"{leaf.kind:6}", shown(leaf.path), human_size(leaf.size), files, leaf.root.hex[:16]]


def _commit_json(item: LoggedCommit) -> Json:
    return {
        "commit": item.commit,
        "subject": item.subject,
        "root": str(item.root) if item.root else None,
        "artifacts": [leaf.to_json() for leaf in item.artifacts],
        "anchors": [
            {"network": a.network, "status": a.status, "index": a.index, "size": a.size}
            for a in item.anchors
        ],
        "unreadable_lines": item.unreadable,
    }


def _show_logs(logs: list[KnownLog], as_json: bool) -> None:
    if as_json:
        emit_json(
            "log-keys",
            {
                "logs": [
                    {
                        "id": one.key_id,
                        "key": one.vkey,
                        "size": one.size,
                        "root": str(one.root),
                        "remote": one.remote,
                        "own": one.own,
                    }
                    for one in logs
                ]
            },
        )
        return
    if not logs:
        note("no log is here yet: gitprov init makes this clone's own")
    shown_keys: set[str] = set()
    for one in logs:
        where = "this clone's own" if one.own else f"from {shown(one.remote or 'this repository')}"
        say(f"{one.key_id}  {plural(one.size, 'record')}, {where}")
        if one.vkey not in shown_keys:
            say(f"  {shown(one.vkey) if one.vkey else 'its public key is not here'}")
        shown_keys.add(one.vkey or "")


def _show_check(remote: str, checks: "list[LogCheck]", as_json: bool) -> None:
    if as_json:
        emit_json(
            "log-check",
            {
                "remote": remote,
                "verdict": "pass" if all(one.ok for one in checks) else "fail",
                "logs": [
                    {
                        "id": one.key_id,
                        "ok": one.ok,
                        "seen": one.seen.size if one.seen else None,
                        "size": one.head.size if one.head else None,
                        "root": str(one.head.root) if one.head else None,
                        "proof": [value.hex() for value in one.proof],
                        "detail": one.detail,
                    }
                    for one in checks
                ],
            },
        )
    else:
        for one in checks:
            word = click.style("PASS", fg="green") if one.ok else click.style("FAIL", fg="red")
            say(f"{word}  log {one.key_id}  {short_digests(one.detail)}")
        if not checks:
            note(f"{remote} has no log yet: the first push brings one")
    if not all(one.ok for one in checks):
        raise click.exceptions.Exit(1)
