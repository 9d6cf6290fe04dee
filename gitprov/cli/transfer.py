"""The commands that move data: push, fetch, pull."""

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from gitprov.cli.context import open_remote, workspace
from gitprov.cli.options import (
    emit_json,
    examples,
    json_option,
    note,
    quiet_option,
    say,
    shown,
    table,
)
from gitprov.cli.progress import Meter, progress
from gitprov.cli.shallow import tell_shallow
from gitprov.cli.transfer_notes import Notes, exchange
from gitprov.cli.transfer_told import end, tell_lack, told
from gitprov.errors import UsageError
from gitprov.ops.notes_exchange import need_git_remote
from gitprov.ops.pointers import repo_path
from gitprov.ops.remote_setup import remotes_config
from gitprov.ops.restore import checkout
from gitprov.ops.revisions import chosen_commits
from gitprov.ops.transfer import Transferred, accept_remote, fetch_worktree, is_accepted
from gitprov.ops.transfer import fetch as fetch_data
from gitprov.ops.transfer import push as push_data

if TYPE_CHECKING:
    from gitprov.config.remotes import RemoteConfig
    from gitprov.core.canonical import Json
    from gitprov.core.paths import RepoPath
    from gitprov.store.transport import Transport
    from gitprov.workspace import Workspace

_NAMED = 5


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the three have in common."""

    remote: str | None
    jobs: int
    dry_run: bool
    no_notes: bool
    as_json: bool
    quiet: bool

    def open(self, ws: "Workspace") -> "Transport":
        return open_remote(remotes_config(ws).chosen(self.remote))

    def meter(self, title: str, things: str = "objects") -> AbstractContextManager[Meter]:
        return progress(title, quiet=self.quiet or self.as_json, things=things)

    @contextlib.contextmanager
    def revisions(self, ws: "Workspace", verb: str, revs: Sequence[str]) -> Iterator[None]:
        """Tells whoever types the name of a remote where a revision belongs, as git has it."""
        try:
            yield
        except UsageError as exc:
            for rev in revs:
                if rev in remotes_config(ws).remotes:
                    hint = f"{rev} is a remote: gitprov {verb} -r {rev}"
                    raise UsageError(str(exc), hint=hint) from exc
            raise

    def paths(self, ws: "Workspace", texts: Sequence[str]) -> "list[RepoPath]":
        return [repo_path(ws.worktree, ws.cwd, text) for text in texts]


_SHARED = (
    click.option("-r", "--remote", metavar="NAME", help="Not the default remote, but this one."),
    click.option(
        "-j",
        "--jobs",
        type=click.IntRange(1, 64),
        default=4,
        show_default=True,
        help="Transfers at once.",
    ),
    click.option("-n", "--dry-run", is_flag=True, help="Say what would travel, and stop."),
    click.option("--no-notes", is_flag=True, help="Data only: leave notes and log as they are."),
    json_option,
    quiet_option,
)


def _shared(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the shared options, as one value `asked`."""

    @functools.wraps(command)
    def given(
        remote: str | None,
        jobs: int,
        dry_run: bool,
        no_notes: bool,
        as_json: bool,
        quiet: bool,
        **own: object,
    ) -> None:
        command(asked=_Asked(remote, jobs, dry_run, no_notes, as_json, quiet), **own)

    for option in reversed(_SHARED):
        given = option(given)
    return given


_commits = click.argument("revs", nargs=-1, metavar="[REV | A..B]…")
_all = click.option(
    "--all", "everything", is_flag=True, help="Every commit of every branch and tag."
)
_part = click.option(
    "-p",
    "--path",
    "paths",
    multiple=True,
    type=click.Path(),
    help="Only this artifact, or this part of one; may be repeated.",
)


@click.command(
    short_help="Send data to a remote.",
    epilog=examples(
        "gitprov push                    # the data of the current commit",
        "gitprov push --all              # of every branch and tag",
        "gitprov push origin/main..HEAD",
        "gitprov push --path data/train  # a part",
        "gitprov push --dry-run -r nas",
    ),
)
@_commits
@_all
@_part
@click.option("--yes", is_flag=True, help="Send to the address that a tracked file names.")
@_shared
def push(
    asked: _Asked, revs: tuple[str, ...], everything: bool, paths: tuple[str, ...], yes: bool
) -> None:
    """Send the datasets and models of commits to a remote; REV is HEAD when it is not given.

    Only what the remote lacks travels: of a large file that changed, the chunks that are new. An
    interrupted push goes on where it stopped. Then notes and log go to the git remote of the
    current branch, as with `git push`, the log's head signed.
    """
    with workspace() as ws:
        chosen = remotes_config(ws).chosen(asked.remote, writing=True)
        if not asked.dry_run:
            _accept(ws, chosen, yes=yes)
        with asked.revisions(ws, "push", revs), asked.meter("sending") as meter:
            done = push_data(
                ws,
                open_remote(chosen),
                revs,
                everything=everything,
                paths=asked.paths(ws, paths),
                jobs=asked.jobs,
                dry_run=asked.dry_run,
                meter=meter,
            )
        notes = exchange(ws, send=True, skip=asked.no_notes or asked.dry_run)
        tell_shallow(ws, revs, everything=everything)
    _show("push", ("would send" if asked.dry_run else "sent", "to"), done, notes, asked)
    end(done, notes)


@click.command(
    short_help="Fetch data from a remote into the store.",
    epilog=examples(
        "gitprov fetch                   # what the current commit needs",
        "gitprov fetch --all",
        "gitprov fetch v1.0 -r nas",
    ),
)
@_commits
@_all
@_part
@_shared
def fetch(asked: _Asked, revs: tuple[str, ...], everything: bool, paths: tuple[str, ...]) -> None:
    """Fetch the datasets and models of commits into the store; the worktree stays as it is.

    Every object is checked as it arrives. What was fetched stays when it is interrupted. Then notes
    and logs come from the git remote of the current branch.
    """
    with workspace() as ws:
        with asked.revisions(ws, "fetch", revs), asked.meter("fetching") as meter:
            done = fetch_data(
                ws,
                asked.open(ws),
                revs,
                everything=everything,
                paths=asked.paths(ws, paths),
                jobs=asked.jobs,
                dry_run=asked.dry_run,
                meter=meter,
            )
        notes = exchange(ws, send=False, skip=asked.no_notes or asked.dry_run)
        tell_shallow(ws, revs, everything=everything)
    _show("fetch", (_fetched(asked), "from"), done, notes, asked)
    end(done, notes)


@click.command(
    short_help="Fetch data from a remote and check it out.",
    epilog=examples(
        "gitprov pull                    # everything that the pointers here name",
        "gitprov pull data/train         # a part",
        "gitprov pull --dry-run",
        "gitprov pull --for-verify origin/main..HEAD --policy-from origin/main    # in CI",
    ),
)
@click.argument("paths", nargs=-1, type=click.Path())
@click.option("-f", "--force", is_flag=True, help="Write over files that were changed.")
@click.option(
    "--for-verify",
    is_flag=True,
    help="Bring what `gitprov verify` needs, and check nothing out. PATHs are revisions then.",
)
@click.option(
    "--policy-from",
    metavar="REV",
    help="With --for-verify: what is needed is said by the policy of this revision.",
)
@_shared
def pull(
    asked: _Asked, paths: tuple[str, ...], force: bool, for_verify: bool, policy_from: str | None
) -> None:
    """Fetch what the worktree's pointers name, or only PATHs of it, and check it out.

    Files that were changed and never added are not written over without --force. An artifact of
    which nobody has all, or not undamaged, is left as it is. Then notes and logs come from the git
    remote of the current branch.

    With --for-verify, notes and logs come, and data only if the policy says `require_data`.
    """
    if for_verify:
        if force or asked.no_notes:
            raise UsageError("--for-verify brings notes and writes no file of the worktree")
        _pull_for_verify(asked, paths, policy_from)
        return
    if policy_from is not None:
        raise UsageError("--policy-from is for --for-verify")
    with workspace() as ws:
        wanted = asked.paths(ws, paths)
        with asked.meter("fetching") as meter:
            done = fetch_worktree(
                ws, asked.open(ws), wanted, jobs=asked.jobs, dry_run=asked.dry_run, meter=meter
            )
        restored = None
        is_whole = not done.absent and done.refusal is None
        if not asked.dry_run and (done.whole or is_whole):
            # What came whole is restored, whatever else is not to be had.
            whole = [os.path.join(ws.worktree, os.fsdecode(path.raw)) for path in done.whole]
            with asked.meter("restoring", "files") as meter:
                chosen = paths if is_whole else whole
                restored = checkout(ws, chosen, force=force, progress=meter)
        notes = exchange(ws, send=False, skip=asked.no_notes or asked.dry_run)
    left = dict.fromkeys(one.part for one in (*done.lacking, *(one for one, _ in done.wrong)))
    more: dict[str, Json] = {
        "files": restored.files if restored else 0,
        "removed": restored.removed if restored else 0,
        "left": [str(path) for path in left],
    }
    _show("pull", (_fetched(asked), "from"), done, notes, asked, more)
    if restored is not None and not asked.as_json and not asked.quiet:
        for line in table([["restored", str(path)] for path in restored.updated]):
            say(line)
    if left and not asked.dry_run and (restored is not None or done.lacking):
        some = ", ".join(shown(path.raw) for path in [*left][:_NAMED])
        others = f" and {len(left) - _NAMED:,} more" if len(left) > _NAMED else ""
        note(f"gitprov: left as it is, for lack of that: {some}{others}")
    end(done, notes)


def _pull_for_verify(asked: _Asked, revs: tuple[str, ...], policy_from: str | None) -> None:
    from gitprov.ops.verify import read_policy  # judges; no other transfer needs it

    with workspace() as ws:
        need_git_remote(ws)
        notes = exchange(ws, send=False, skip=asked.dry_run)
        commits = chosen_commits(ws, revs, everything=False)
        done = Transferred("", len(commits), 0, 0, 0, 0)
        if read_policy(ws, policy_from, require_data=False).require_data:
            with asked.meter("fetching") as meter:
                done = fetch_data(
                    ws, asked.open(ws), revs, jobs=asked.jobs, dry_run=asked.dry_run, meter=meter
                )
            done.refuse_wrong()
        tell_shallow(ws, revs, everything=False)
    _show("pull", (_fetched(asked), "from"), done, notes, asked, {"files": 0, "removed": 0})
    end(done, notes)


def _accept(ws: "Workspace", chosen: "RemoteConfig", *, yes: bool) -> None:
    """An address in a tracked file comes from whoever can push: it could be anybody's."""
    if not chosen.shared or is_accepted(ws, chosen.url):
        return
    if not yes:
        asked = f"send data to {chosen.url}, which .gitprov.yaml names?"
        if not (sys.stdin and sys.stdin.isatty()):
            raise UsageError(
                f"nothing was sent to {chosen.url} yet, and a tracked file names it",
                hint="gitprov push --yes, once: it is remembered",
            )
        if not click.confirm(f"gitprov: {asked}", err=True):
            raise click.exceptions.Exit(2)
    accept_remote(ws, chosen.url)


def _fetched(asked: _Asked) -> str:
    return "would fetch" if asked.dry_run else "fetched"


def _show(
    schema: str,
    words: tuple[str, str],
    done: Transferred,
    notes: Notes,
    asked: _Asked,
    more: "dict[str, Json] | None" = None,
) -> None:
    if asked.as_json:
        emit_json(
            schema,
            {
                "remote": done.url or None,
                "commits": done.commits,
                "objects": done.objects,
                "size": done.size,
                "travelled": done.travelled,
                "there": done.there,
                "absent": [f"blake3:{digest.hex()}" for digest in done.absent],
                "lacking": [
                    {"path": str(one.path), "digest": f"blake3:{one.digest.hex()}"}
                    for one in done.lacking
                ],
                "wrong": [
                    {
                        "path": str(one.path),
                        "digest": f"blake3:{one.digest.hex()}",
                        "reason": reason,
                    }
                    for one, reason in done.wrong
                ],
                "dry_run": asked.dry_run,
                "notes": notes.to_json(),
                **(more or {}),
            },
        )
    elif not asked.quiet:
        verb, where = words
        say(told(verb, where, done, dry_run=asked.dry_run))
        if notes.refs:
            say(f"{verb} notes and log {where} {notes.remote}")
    tell_lack(done, sending=words[1] == "to")
    notes.tell()
