"""`gitprov gc --remote`: announces what no listed clone needs there, and removes it later."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from gitprov.core.digest import Digest
from gitprov.errors import UnavailableError
from gitprov.ops.remote_live import live_of, scratch
from gitprov.ops.transfer import REMOTE_CACHE
from gitprov.store.remote import Remote
from gitprov.store.remote_gc import Collection, collect
from gitprov.store.remote_listing import refresh_listing
from gitprov.store.transport import Transport, read_only
from gitprov.workspace import Workspace

GRACE_DAYS = 14
_DAY = 86400


@dataclass(frozen=True, slots=True)
class RemoteCollection:
    """What a collection of a remote did, or would do.

    Attributes:
        url: the remote.
        collection: what the remote says.
        versions: versions of artifacts that are kept.
        missing: manifests that nobody has: what they need is not known.
        grace_days: days between announcement and removal.
        acted: whether anything was really announced or removed.
    """

    url: str
    collection: Collection
    versions: int
    missing: tuple[bytes, ...]
    grace_days: int
    acted: bool


def gc_remote(
    ws: Workspace,
    transport: Transport,
    *,
    clones: Sequence[str] = (),
    act: bool,
    now: datetime,
    grace_days: int = GRACE_DAYS,
    ignore_missing: bool = False,
    offline: bool = False,
    jobs: int = 4,
) -> RemoteCollection:
    """Collects what no ref of this clone and of those listed reaches.

    Args:
        ws: the workspace.
        transport: the remote.
        clones: other clones, see `live_of`.
        act: False only looks.
        now: the time.
        grace_days: days between announcement and removal.
        ignore_missing: whether versions whose manifest nobody has keep nothing.
        offline: whether git's own remotes are not asked.
        jobs: transfers at once.

    Raises:
        UsageError: the remote can only be read.
        UnavailableError: it is not known what a clone needs; nothing was announced or removed.
        VerificationError: something that is needed is damaged; nothing was removed.
    """
    if act and transport.read_only:
        raise read_only(transport.url)
    versions = 0
    missing: tuple[bytes, ...] = ()
    with (
        Remote(transport, os.path.join(ws.repo.data_dir, REMOTE_CACHE)) as remote,
        ThreadPoolExecutor(max_workers=jobs) as pool,
        scratch(remote, pool, jobs) as place,
    ):
        remote.connect(create=False, writing=True)

        def live() -> frozenset[bytes]:
            nonlocal versions, missing
            found = live_of(ws, clones, place, offline=offline)
            versions, missing = found.versions, found.missing
            if missing and act and not ignore_missing:
                raise _unknown(missing)
            return frozenset(found.files) | found.folders

        done = collect(
            remote,
            live,
            now=int(now.timestamp()),
            grace=grace_days * _DAY,
            act=act,
            jobs=jobs,
        )
        if act:
            refresh_listing(transport)
    return RemoteCollection(transport.url, done, versions, missing, grace_days, act)


def _unknown(missing: Sequence[bytes]) -> UnavailableError:
    more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
    return UnavailableError(
        f"nobody has the manifest {Digest(missing[0])}{more}, so what it needs is not known; "
        "nothing was removed",
        hint="gitprov push --all, from the clone that has it; "
        "or --ignore-missing, if it is lost for good",
    )
