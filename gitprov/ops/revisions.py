"""Which commits a command means: revisions, ranges, or all."""

from collections.abc import Sequence

from gitprov.errors import UsageError
from gitprov.workspace import Workspace


def chosen_commits(ws: Workspace, revs: Sequence[str], *, everything: bool) -> list[str]:
    """Returns commits, each once; HEAD when nothing is named.

    Args:
        ws: the workspace.
        revs: revisions and ranges `A..B`.
        everything: every commit of every branch and tag instead.

    Raises:
        UsageError: both were given, or a revision is none.
    """
    if everything:
        if revs:
            raise UsageError("give revisions or --all, not both")
        return ws.repo.rev_list(everything=True)
    commits: list[str] = []
    for rev in revs or ["HEAD"]:
        commits += ws.repo.rev_list(rev) if ".." in rev else [ws.repo.resolve(rev)]
    return list(dict.fromkeys(commits))
