"""What git's hooks do after the commit, the rewrite, the merge, and before the push."""

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gitprov.errors import MalformedError, UnavailableError, UsageError
from gitprov.ops.record import record_commits, without_record
from gitprov.platform.files import read_bounded
from gitprov.workspace import Workspace

MAX_UNRECORDED = 1000
"""A push that brings more commits without a record than this leaves them to `gitprov record`."""

_MAX_STATE_BYTES = 4096
_MAX_TODO_BYTES = 1 << 20
_NO_COMMIT = (b"noop", b"drop", b"d")


def after_commit(ws: Workspace) -> None:
    """Records HEAD; during a rebase post-rewrite does it, once for all commits."""
    head = ws.repo.head()
    if head is not None and not ws.repo.in_progress_rebase():
        record_commits(ws, [head])


def after_rewrite(ws: Workspace, rewritten: Sequence[str], *, amended: bool) -> None:
    """Records what an amend or a rebase made, in one batch.

    Commits that were added while an interactive rebase had stopped are not in git's list, and the
    pre-commit framework does not hand the list on: what lies above the rebase's base counts.

    Args:
        ws: the workspace.
        rewritten: the new commits, as git lists them.
        amended: whether it was `git commit --amend`; one in the middle of a rebase is not the end.
    """
    if amended:
        after_commit(ws)
        return
    commits = list(rewritten)
    base = _rebase_base(ws)
    if base is not None:
        between = ws.repo.git.run(
            *("rev-list", "--topo-order", "--reverse", f"--max-count={MAX_UNRECORDED}"),
            *("HEAD", f"^{base}"),
        )
        above = between.decode("ascii").split()
        commits = [*above, *(commit for commit in rewritten if commit not in set(above))]
    if commits:
        record_commits(ws, list(dict.fromkeys(commits)))


def rebase_goes_on(ws: Workspace) -> bool:
    """Whether the rebase under way will make commits, so that git will run post-rewrite."""
    path = os.path.join(ws.repo.git_dir, "rebase-merge", "git-rebase-todo")
    try:
        todo = read_bounded(path, _MAX_TODO_BYTES)
    except (MalformedError, UnavailableError):
        return True
    words = {line.split(maxsplit=1)[0] for line in todo.splitlines() if line.strip()}
    return any(word not in _NO_COMMIT and not word.startswith(b"#") for word in words)


def after_merge(ws: Workspace) -> None:
    """Records a merge commit: git runs no post-commit for it. A fast-forward made no commit."""
    found = ws.objects.commit("HEAD")
    head = ws.repo.head()
    before = ws.repo.ref("ORIG_HEAD")
    if found and head and len(found.parents) > 1 and before in found.parents:
        record_commits(ws, [head])


def moves_artifacts(ws: Workspace) -> bool:
    """Whether HEAD has other pointers than its parent, for artifacts that lie here as they were.

    That is a cherry-pick, a revert or the end of a merge: git has moved the pointers, and nothing
    else. After `gitprov add` the artifact is here already.
    """
    now = _artifacts(ws, "HEAD")
    before = _artifacts(ws, "HEAD~1")
    changed = {path for path in now.keys() | before.keys() if now.get(path) != before.get(path)}
    if not changed:
        return False
    return any(
        artifact in changed and now.get(artifact) != digest
        for path, digest in _here(ws)
        for artifact in _above(path)
    )


def any_artifacts(ws: Workspace) -> bool:
    """Whether there is anything that could be restored or removed."""
    from gitprov.ops.pointers import pointer_paths

    return bool(pointer_paths(ws.repo.git) or _here(ws))


class PushedRef(NamedTuple):
    """One line of what git tells pre-push: what is pushed, and what the remote has."""

    local: str | None
    remote: str | None


def unrecorded(ws: Workspace, remote: str, refs: Sequence[PushedRef]) -> list[str]:
    """Returns the commits that a push brings and that have no record, oldest first."""
    new = [ref.local for ref in refs if ref.local is not None and ws.repo.ref(ref.local)]
    if not new:
        return []  # nothing but deletions, and tags of something else than a commit
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
        words = line.decode("utf-8", "surrogateescape").rsplit(" ", 3)
        if len(words) != 4:
            raise UsageError("pre-push was not given what git gives it")
        local, remote = words[1], words[3]
        refs.append(PushedRef(_oid(local), _oid(remote)))
    return refs


def parse_rewritten(stdin: bytes) -> list[str]:
    """Parses what git writes to post-rewrite: `<old id> <new id>` lines; returns the new ones.

    Raises:
        UsageError: it is something else.
    """
    lines = [line.split() for line in stdin.splitlines()]
    if any(len(words) < 2 for words in lines):
        raise UsageError("post-rewrite was not given what git gives it")
    return list(dict.fromkeys(words[1].decode("ascii", "replace") for words in lines))


def _oid(text: str) -> str | None:
    return text if text.strip("0") else None


def _rebase_base(ws: Workspace) -> str | None:
    """The commit onto which the rebase goes that ends now; its folder is there until after us."""
    for state in ("rebase-merge", "rebase-apply"):
        path = os.path.join(ws.repo.git_dir, state, "onto")
        try:
            base = read_bounded(path, _MAX_STATE_BYTES).decode("ascii", "replace").strip()
        except (MalformedError, UnavailableError):
            continue
        return ws.repo.ref(base) if base else None
    return None


def _artifacts(ws: Workspace, rev: str) -> dict[str, bytes]:
    """The roots of a commit's artifacts by path; none when that cannot be told here."""
    commit = ws.objects.commit(rev)
    if commit is None:
        return {}
    try:
        tree = ws.digests.tree(bytes.fromhex(commit.tree))
    except (MalformedError, UnavailableError):
        return {}
    return {leaf.path: leaf.root.raw for leaf in tree.artifacts}


def _here(ws: Workspace) -> list[tuple[bytes, bytes]]:
    """The paths that are checked out in this worktree, and the digests of what was.

    Not through gitprov.ops.checkouts: what reads manifests would double the time of a commit.
    """
    worktree = os.path.relpath(ws.repo.git_dir, ws.repo.common_dir)
    query = "SELECT path, digest FROM checkouts WHERE worktree = ?"
    return ws.cache.execute(query, (worktree,)).fetchall()


def _above(path: bytes) -> Iterable[str]:
    """The path and the folders above it: a part of an artifact is checked out by itself."""
    text = path.decode("utf-8", "replace")
    while text:
        yield text
        text = text.rpartition("/")[0]
