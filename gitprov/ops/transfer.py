"""`gitprov push`, `fetch`, `pull`: what commits need, to a remote and from it."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from gitprov.core.paths import RepoPath
from gitprov.errors import UnavailableError, VerificationError
from gitprov.ops.revisions import chosen_commits
from gitprov.ops.transfer_needs import (
    Lacking,
    Part,
    follow,
    lacking,
    needed,
    parts_of_commits,
    parts_of_worktree,
)
from gitprov.platform.files import atomic_write, read_bounded
from gitprov.store.local import LocalStore
from gitprov.store.partial import FOLDER as PARTIAL
from gitprov.store.partial import clear_old
from gitprov.store.remote import Remote, Wanted
from gitprov.store.remote_fetch import Fetcher, refusal
from gitprov.store.remote_listing import refresh_listing
from gitprov.store.remote_marker import NothingPushedError
from gitprov.store.remote_memory import Memory, question, recall, remember
from gitprov.store.remote_send import push as send
from gitprov.store.transport import Transport, read_only
from gitprov.workspace import Workspace

REMOTE_CACHE = "remotes"
"""The folder, in that of gitprov, that holds what is known of remotes."""

_ACCEPTED = "accepted"
_MOST = 1000
"""Commits of one git push whose data is looked at; `gitprov push --all` looks at all."""


class Meter(Protocol):
    """Is told of work that was found and of work that is done: objects, bytes."""

    def found(self, files: int, size: int) -> None:
        """More work is known of."""
        ...

    def done(self, files: int, size: int) -> None:
        """Work is finished."""
        ...


@dataclass(frozen=True, slots=True)
class Transferred:
    """What a transfer did, or would do.

    Attributes:
        url: the remote.
        commits: how many commits were looked at; none where the worktree's pointers were.
        objects: blobs and manifests that travelled, or would.
        size: their bytes, before packing.
        travelled: the bytes that travelled.
        there: objects that were there already; None where a push went by what it remembered of the
            remote, and counted only what changed since.
        absent: digests that neither side has.
        lacking: where they lie.
        wrong: where that lies which the remote has wrongly, or may have where its index is
            damaged, and what is wrong with it; none of it entered the store.
        refusal: that in one sentence; None where nothing is wrong.
        whole: artifacts, or parts, of which nothing is absent or wrong.
    """

    url: str
    commits: int
    objects: int
    size: int
    travelled: int
    there: int | None
    absent: tuple[bytes, ...] = ()
    lacking: tuple[Lacking, ...] = ()
    wrong: tuple[tuple[Lacking, str], ...] = ()
    refusal: VerificationError | None = None
    whole: tuple[RepoPath, ...] = ()

    def refuse_wrong(self) -> None:
        """Raises for what the remote has wrongly, where nothing can be done with the rest.

        Raises:
            VerificationError: there is something.
        """
        if self.refusal is not None:
            raise self.refusal


def push(
    ws: Workspace,
    transport: Transport,
    revs: Sequence[str],
    *,
    everything: bool = False,
    paths: Sequence[RepoPath] = (),
    jobs: int = 4,
    dry_run: bool = False,
    meter: Meter | None = None,
) -> Transferred:
    """Sends the data of commits, or of some paths in them, to a remote; what it lacks travels.

    What neither side has is named in what is returned; all else has been sent.

    Raises:
        UsageError: the remote can only be read, or there is nothing at a path.
        UnavailableError: the remote cannot be reached.
    """
    if transport.read_only:
        raise read_only(transport.url)
    commits = chosen_commits(ws, revs, everything=everything)
    parts = parts_of_commits(ws, commits, paths)
    asked = question((part.top.kind, part.top.digest, part.below) for part in parts)
    with Remote(transport, _indexes(ws)) as remote:
        listed = _glance(remote)
        memory = Memory()
        if listed is not None:
            memory = recall(remote.folder, listed, remote.announced)
        if asked in memory.answers:
            if not dry_run:
                refresh_listing(transport)
            return Transferred(transport.url, len(commits), 0, 0, 0, memory.answers[asked])
        if listed is not None:
            remote.look_again(listed=listed)
        elif not dry_run:
            remote.connect(create=True)
        done = _send_needed(
            ws.store, remote, parts, memory, jobs=jobs, dry_run=dry_run, meter=meter
        )
        if not dry_run:
            # Also when nothing was sent: the push before may have died before it came this far.
            refresh_listing(transport)
            if not done.absent:
                count = None if done.there is None else done.there + done.objects
                remember(remote.folder, asked, remote.counted_on(), count, _whole(parts))
        lost = _lost(remote, done.absent)
    return Transferred(
        url=transport.url,
        commits=len(commits),
        objects=done.objects,
        size=done.size,
        travelled=done.travelled,
        there=done.there,
        absent=lost,
        lacking=tuple(lacking(ws.store, parts, {*lost})),
    )


class _Sent(NamedTuple):
    """What was sent, as in `Transferred`, and what the store lacks."""

    objects: int
    size: int
    travelled: int
    there: int | None
    absent: Sequence[bytes]


def _send_needed(
    store: LocalStore,
    remote: Remote,
    parts: Sequence[Part],
    memory: Memory,
    *,
    jobs: int,
    dry_run: bool,
    meter: Meter | None,
) -> _Sent:
    """Sends what a remote lacks of parts; what it is remembered to have is not looked at."""
    whole = _whole(parts)
    known = {path: root for path, root in memory.roots.items() if path in whole}
    wanted, absent = needed(store, parts, known)
    there = remote.has(wanted)
    new = [one for one in wanted if one not in there]
    size = sum(store.sizes(one.digest for one in new).values())
    travelled = 0
    if not dry_run:
        if meter is not None:
            meter.found(len(new), size)
        told = None if meter is None else meter.done
        # All that is wanted: what is there may be announced for removal meanwhile.
        travelled = send(remote, store, wanted, jobs=jobs, sent=told).sent_bytes
        if known and not memory.holds(remote.counted_on(), ()):
            # So may what was not looked at.
            rest = _send_needed(
                store, remote, parts, Memory(), jobs=jobs, dry_run=dry_run, meter=meter
            )
            objects, size = rest.objects + len(new), rest.size + size
            return _Sent(objects, size, rest.travelled + travelled, None, rest.absent)
    return _Sent(len(new), size, travelled, None if known else len(there), absent)


def _whole(parts: Iterable[Part]) -> dict[bytes, bytes]:
    """The roots of those folders that are meant as a whole, by their paths; the first of each."""
    roots: dict[bytes, bytes] = {}
    for part in parts:
        if part.path is not None and not part.below and part.top.kind == "d":
            roots.setdefault(part.path.raw, part.top.digest)
    return roots


def _lost(remote: Remote, digests: Sequence[bytes]) -> tuple[bytes, ...]:
    """Returns what of that which the store lacks the remote does not have either.

    Raises:
        UnavailableError: it has some of it, and is about to remove it.
    """
    kept = {one.digest for one in remote.has(Wanted(one, is_manifest=False) for one in digests)}
    lost = tuple(digest for digest in digests if digest not in kept)
    going = [digest for digest in lost if remote.place(digest) is not None]
    if going:
        more = f" and {len(going) - 1:,} more" if len(going) > 1 else ""
        raise UnavailableError(
            f"the store lacks blake3:{going[0].hex()}{more}, and a collection is about to remove "
            "it from the remote",
            hint="gitprov fetch brings it here; then push it again",
        )
    return lost


def _glance(remote: Remote) -> dict[str, int] | None:
    """What the remote lists and has; None when nothing was pushed to it yet."""
    try:
        remote.identify(create=False, writing=True)
    except NothingPushedError:
        return None
    return remote.with_packs(remote.glance())


def fetch(
    ws: Workspace,
    transport: Transport,
    revs: Sequence[str],
    *,
    everything: bool = False,
    paths: Sequence[RepoPath] = (),
    jobs: int = 4,
    dry_run: bool = False,
    meter: Meter | None = None,
) -> Transferred:
    """Fetches the data of commits, or of some paths in them, into the store.

    Every object is checked as it arrives. An interrupted fetch keeps what came; the next one goes
    on from there. What the remote does not have, or has wrongly, is named in what is returned; all
    else has come.

    Raises:
        UsageError: there is nothing at a path.
        UnavailableError: the remote cannot be reached.
    """
    commits = chosen_commits(ws, revs, everything=everything)
    parts = parts_of_commits(ws, commits, paths)
    done = fetch_parts(
        ws.store, _indexes(ws), transport, parts, jobs=jobs, dry_run=dry_run, meter=meter
    )
    return replace(done, commits=len(commits))


def fetch_worktree(
    ws: Workspace,
    transport: Transport,
    paths: Sequence[RepoPath] = (),
    *,
    jobs: int = 4,
    dry_run: bool = False,
    meter: Meter | None = None,
) -> Transferred:
    """Fetches what the worktree's pointers name, committed or not; the same in all else."""
    parts = parts_of_worktree(ws, paths)
    return fetch_parts(
        ws.store, _indexes(ws), transport, parts, jobs=jobs, dry_run=dry_run, meter=meter
    )


def fetch_parts(
    store: LocalStore,
    indexes: str,
    transport: Transport,
    parts: Sequence[Part],
    *,
    jobs: int = 4,
    dry_run: bool = False,
    meter: Meter | None = None,
) -> Transferred:
    """Fetches artifacts, or parts of them, into a store; see `fetch`.

    Args:
        store: where they go.
        indexes: the folder in which the indexes of remotes are kept.
        transport: the remote.
        parts: what is wanted.
        jobs: transfers at once.
        dry_run: whether to fetch manifests only, which say what would travel.
        meter: is told how it goes.
    """
    partial = os.path.join(store.root, PARTIAL)
    clear_old(partial, store.has)
    with (
        Remote(transport, indexes) as remote,
        ThreadPoolExecutor(max_workers=jobs) as pool,
        store.writer() as writer,
    ):
        remote.connect(create=False)
        fetcher = Fetcher(remote, writer, pool, jobs, partial)
        # Manifests first, level by level: they say what else is needed.
        files = follow(store, fetcher, parts)
        new = files.keys() - store.has(files)
        known = [digest for digest in sorted(new) if remote.place(digest) is not None]
        objects = len(known)
        if not dry_run:
            if meter is not None:
                meter.found(len(known), sum(files[digest] for digest in known))
            # Also what is nowhere: why it cannot be had is for the fetcher to say.
            wanted = [Wanted(digest, is_manifest=False) for digest in sorted(new)]
            fetcher.fetch(wanted, None if meter is None else meter.done, sizes=files)
            objects = fetcher.result.objects
    result = fetcher.result
    reasons = dict(result.wrong)
    absent = (*result.absent, *(sorted(new.difference(known)) if dry_run else ()))
    places = lacking(store, parts, {*absent, *reasons})
    wrong = [one for one in places if one.digest in reasons]
    broken = {one.part for one in places}
    size = sum(files[digest] for digest in known if digest not in reasons)
    return Transferred(
        url=transport.url,
        commits=0,
        objects=objects,
        size=size,
        travelled=0 if dry_run else result.received_bytes + transport.unasked,
        there=len(files) - len(new),
        absent=absent,
        lacking=tuple(one for one in places if one.digest not in reasons),
        wrong=tuple((one, reasons[one.digest]) for one in wrong),
        refusal=refusal(result, transport.url, {one.digest: str(one.path) for one in wrong}),
        whole=tuple(part.path for part in parts if part.path and part.path not in broken),
    )


def _indexes(ws: Workspace) -> str:
    return os.path.join(ws.repo.data_dir, REMOTE_CACHE)


def pushed_commits(ws: Workspace, refs: Iterable[tuple[str, str | None]]) -> list[str]:
    """Returns the commits that a git push brings: of a new branch the tip, else what is new.

    Args:
        ws: the workspace.
        refs: what each ref is to be, and was.
    """
    commits: list[str] = []
    for new, old in refs:
        found = ws.objects.header(new)
        if found is None or found.type != "commit":
            continue  # a tag of something: its commit travels with a branch
        known = old is not None and ws.objects.header(old) is not None
        commits += ws.repo.rev_list(f"{old}..{new}", limit=_MOST) if known else [new]
    return list(dict.fromkeys(commits))


def is_accepted(ws: Workspace, url: str) -> bool:
    """Whether the user has agreed to send data to an address that a tracked file names."""
    return url in _accepted(ws)


def accept_remote(ws: Workspace, url: str) -> None:
    """Remembers that the user has agreed."""
    lines = "".join(f"{one}\n" for one in sorted({*_accepted(ws), url}))
    os.makedirs(_indexes(ws), exist_ok=True)
    atomic_write(os.path.join(_indexes(ws), _ACCEPTED), lines.encode())


def _accepted(ws: Workspace) -> set[str]:
    try:
        data = read_bounded(os.path.join(_indexes(ws), _ACCEPTED), 1 << 20)
    except UnavailableError:
        return set()
    return set(data.decode("utf-8", "replace").splitlines())
