"""What git's hooks do after the commit, the rewrite, the merge, and before the push."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gitprov.errors import UsageError
from gitprov.ops.record import record_commits, without_record
from gitprov.workspace import Workspace

MAX_UNRECORDED = 1000
"""A push that brings more commits without a record than this leaves them to `gitprov record`."""


def after_commit(ws: Workspace) -> None:
    """Records HEAD; during a rebase post-rewrite does it, once for all commits."""
    head = ws.repo.head()
    if head is not None and not ws.repo.in_progress_rebase():
        record_commits(ws, [head])


def after_rewrite(ws: Workspace, rewritten: Iterable[str]) -> None:
    """Records what an amend or a rebase made, in one batch.

    Commits that were added while an interactive rebase had stopped are not in git's list; they lie
    between the old tip and the new one.
    """
    commits = list(dict.fromkeys(rewritten))
    if ws.repo.ref("ORIG_HEAD") is not None and len(commits) > 0:
        between = ws.repo.git.run(
            *("rev-list", "--topo-order", "--reverse", f"--max-count={MAX_UNRECORDED}"),
            *("HEAD", "^ORIG_HEAD", "--not", "--remotes"),
        )
        between_commits = between.decode("ascii").split()
        known = set(commits)
        commits += [commit for commit in without_record(ws, between_commits) if commit not in known]
    if commits:
        record_commits(ws, commits)


def after_merge(ws: Workspace) -> None:
    """Records a merge commit: git runs no post-commit for it. A fast-forward made no commit."""
    found = ws.objects.commit("HEAD")
    head = ws.repo.head()
    before = ws.repo.ref("ORIG_HEAD")
    if found and head and len(found.parents) > 1 and before in found.parents:
        record_commits(ws, [head])


@dataclass(frozen=True, slots=True)
class PushedRef:
    """One line of what git tells pre-push: what is pushed, and what the remote has."""

    local: str | None
    remote: str | None


def unrecorded(ws: Workspace, remote: str, refs: Sequence[PushedRef]) -> list[str]:
    """Returns the commits that a push brings and that have no record, oldest first."""
    new = [ref.local for ref in refs if ref.local is not None]
    if not new:
        return []
    known = [f"^{ref.remote}" for ref in refs if ref.remote and ws.repo.ref(ref.remote)]
    names = f"--remotes={remote}" if remote else "--remotes"
    output = ws.repo.git.run(
        *("rev-list", "--topo-order", "--reverse", f"--max-count={MAX_UNRECORDED + 1}"),
        *(*new, *known, "--not", names),
    )
    return without_record(ws, output.decode("ascii").split())


def parse_pushed(stdin: bytes) -> list[PushedRef]:
    """Parses what git writes to pre-push: `<local ref> <local id> <remote ref> <remote id>` lines.

    Raises:
        UsageError: it is something else.
    """
    refs: list[PushedRef] = []
    for line in stdin.splitlines():
        words = line.decode("utf-8", "replace").rsplit(" ", 3)
        if len(words) != 4:
            raise UsageError("pre-push was not given what git gives it")
        local, remote = words[1], words[3]
        refs.append(PushedRef(_oid(local), _oid(remote)))
    return refs


def _oid(text: str) -> str | None:
    return text if text.strip("0") else None
