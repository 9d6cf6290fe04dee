"""`gitprov gc`: removes blobs that no commit, index, stash, reflog or worktree needs."""

from dataclasses import dataclass

from gitprov.errors import UnavailableError
from gitprov.ops.gc_roots import repositories_of, tops
from gitprov.ops.manifests import reachable
from gitprov.store.gc import Collected
from gitprov.workspace import Workspace


@dataclass(frozen=True, slots=True)
class GarbageCollection:
    """What a collection did, or would do.

    Attributes:
        collected: what the store says.
        artifacts: versions of artifacts that are kept.
        acted: whether anything was really removed.
    """

    collected: Collected
    artifacts: int
    acted: bool


def gc(ws: Workspace, *, act: bool, grace_days: int | None = None) -> GarbageCollection:
    """Collects what nothing needs.

    Kept is everything reachable from any ref, from the HEAD, index and pointers on disk of any
    worktree, from the stash, and from the reflog.

    Args:
        ws: the workspace.
        act: False only counts.
        grace_days: how old a reflog entry may be to count; None counts all that git still has.

    Raises:
        UnavailableError: a repository that shares the store is not there, or a manifest is lost.
    """
    kept: set[tuple[bytes, bool]] = set()

    def live() -> set[bytes]:
        for repo in repositories_of(ws):
            kept.update(tops(repo, grace_days))
        digests, missing = reachable(ws.store, _followed(ws, kept))
        if missing and act:
            raise UnavailableError(
                f"{missing[0]}, so what it needs is not known; nothing was removed",
                hint="restore it (gitprov fsck names what is lost), then collect again",
            )
        return digests

    collected = ws.store.collect(live, dry_run=not act)
    return GarbageCollection(collected, len(kept), act)


def _followed(ws: Workspace, named: set[tuple[bytes, bool]]) -> set[tuple[bytes, bool]]:
    """Leaves out artifacts that never were in this store: a clone has pointers to many such."""
    here = ws.store.has(digest for digest, _ in named)
    return {top for top in named if top[0] in here or ws.store.was_set_aside(top[0])}
