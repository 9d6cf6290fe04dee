"""`gitprov fsck --remote`: a remote's integrity, and repair from each side to the other."""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from gitprov.core.digest import Digest
from gitprov.errors import MalformedError, UnavailableError
from gitprov.ops.fsck import StoreProblem, fsck
from gitprov.ops.named import paths_of
from gitprov.ops.remote_live import Live, Scratch, followed, manifests, scratch
from gitprov.ops.revisions import chosen_commits
from gitprov.ops.transfer import REMOTE_CACHE
from gitprov.ops.transfer_needs import Part, parts_of_commits
from gitprov.store.partial import FOLDER as PARTIAL
from gitprov.store.remote import Remote, Wanted
from gitprov.store.remote_check import Inspection, Inspector, RemoteProblem
from gitprov.store.remote_fetch import Fetcher
from gitprov.store.remote_listing import refresh_listing
from gitprov.store.remote_marker import MARKER, NoRemoteError, write_marker
from gitprov.store.remote_repair import repair
from gitprov.store.transport import Transport
from gitprov.workspace import Workspace


class Meter(Protocol):
    """Is told of work that was found and of work that is done: objects, bytes."""

    def found(self, files: int, size: int) -> None:
        """More work is known of."""
        ...

    def done(self, files: int, size: int) -> None:
        """Work is finished."""
        ...


@dataclass(frozen=True, slots=True)
class RemoteCheck:
    """What a check found, and what a repair has left.

    Attributes:
        url: the remote.
        problems: what is wrong with the remote.
        store: what is wrong with the store.
        lacking: what commits here need, the store has, and the remote does not.
        lost: what commits here need, or an index of the remote named, and neither side has.
        inspection: what was looked at.
        seed: what the sample was drawn with; None without one.
        repaired: whether everything that could be repaired was.
        mended: blobs of the store that came back from the remote.
        can_be_written: whether the remote can be repaired from here.
        files: a few files, of any version, of each blob or manifest that is named here.
    """

    url: str
    problems: tuple[RemoteProblem, ...]
    store: tuple[StoreProblem, ...]
    lacking: tuple[bytes, ...]
    lost: tuple[bytes, ...]
    inspection: Inspection
    seed: int | None
    repaired: bool
    mended: tuple[bytes, ...] = ()
    can_be_written: bool = True
    files: Mapping[bytes, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong, or nothing is any more."""
        unmended = [one for one in self.store if not _is_mended(one, self.mended)]
        wrong = () if self.repaired else (*self.problems, *self.lacking)
        return not (wrong or unmended or self.lost)


def fsck_remote(
    ws: Workspace,
    transport: Transport,
    *,
    sample: float | None,
    seed: int,
    mend: bool,
    jobs: int,
    meter: Meter,
) -> RemoteCheck:
    """Checks the store and a remote, and repairs each from the other.

    Args:
        ws: the workspace.
        transport: the remote.
        sample: the share of bytes to read, between 0 and 1; all when None.
        seed: what the sample is drawn with.
        mend: whether to repair; a remote that can only be read is left as it is.
        jobs: transfers at once.
        meter: is told of bytes.

    Raises:
        UnavailableError: the remote cannot be reached, or nothing was pushed to it.
        MalformedError: its marker is damaged, and it is not to be repaired.
    """
    stats = ws.store.stats()
    meter.found(0, int((stats.packed_bytes + stats.object_bytes) * (sample or 1)))
    store = fsck(
        ws, sample=sample, quarantine=mend, progress=lambda size: meter.done(0, size)
    ).problems
    partial = os.path.join(ws.store_path, PARTIAL)
    with (
        Remote(transport, os.path.join(ws.repo.data_dir, REMOTE_CACHE)) as remote,
        ThreadPoolExecutor(max_workers=jobs) as pool,
        scratch(remote, pool, jobs) as place,
        ws.store.writer() as writer,
    ):
        writes = mend and not transport.read_only
        problems = _identify(remote, writes=writes)
        inspector = Inspector(remote, pool, jobs, lambda size: meter.done(0, size))
        size = inspector.indexes()
        meter.found(0, size if sample is None else int(size * sample))
        found = inspector.run(sample, seed)
        found.problems[:0] = problems
        if found.false:
            remote.disbelieve(found.false)
        needs = _needed(ws, place)
        wanted = needs.wanted()
        absent = [one.digest for one in wanted if remote.place(one.digest) is None]
        here = ws.store.has(absent)
        lost = {*needs.live.missing, *(one for one in absent if one not in here)}
        mended: tuple[bytes, ...] = ()
        if writes and (found.problems or absent or lost):
            writer.commit()
            lost = {*repair(remote, found, ws.store, wanted, jobs=jobs)}
            refresh_listing(transport)
        if mend:
            fetcher = Fetcher(remote, writer, pool, jobs, partial)
            mended = _mend_store(ws, remote, fetcher, store, needs.sizes())
        concerned = {*absent, *lost, *(one.digest for one in found.problems if one.digest)}
        concerned.update(one.digest.raw for one in store if one.digest)
        files = _files(ws, place, needs, concerned) if concerned else {}
    return RemoteCheck(
        transport.url,
        tuple(found.problems),
        store,
        tuple(one for one in absent if one in here),
        tuple(sorted(lost)),
        found,
        None if sample is None else seed,
        writes,
        mended,
        not transport.read_only,
        files,
    )


def _identify(remote: Remote, *, writes: bool) -> list[RemoteProblem]:
    """Reads the marker; a damaged one is written anew, with another id."""
    try:
        remote.identify(create=False)
    except NoRemoteError as exc:
        if remote.transport.read_only:
            raise
        if not writes:
            raise MalformedError(
                str(exc.__cause__), hint="gitprov fsck --remote --repair writes it anew"
            ) from exc
        remote.transport.delete([MARKER])
        write_marker(remote.transport)
        remote.identify(create=False)
        return [RemoteProblem("marker", f"the marker was damaged: {exc.__cause__}")]
    except UnavailableError:
        if not (writes and next(iter(remote.transport.list("packs")), None)):
            raise
        write_marker(remote.transport)
        remote.identify(create=False)
        return [RemoteProblem("marker", "the marker was missing")]
    return []


class _Needs(NamedTuple):
    """What the commits of all branches and tags need: artifacts, and what is below them."""

    parts: Sequence[Part]
    live: Live

    def wanted(self) -> list[Wanted]:
        files = [Wanted(digest, is_manifest=False) for digest in sorted(self.live.files)]
        return files + [Wanted(digest, is_manifest=True) for digest in sorted(self.live.folders)]

    def sizes(self) -> dict[bytes, int]:
        """The sizes of files, where a manifest or a pointer says them."""
        sizes = {one.top.digest: one.top.size for one in self.parts if one.top.kind != "d"}
        known = self.live.files.items()
        return sizes | {digest: size for digest, size in known if size is not None}


def _needed(ws: Workspace, place: Scratch) -> _Needs:
    commits = chosen_commits(ws, (), everything=True)
    parts = parts_of_commits(ws, commits, ())
    tops = {(one.top.digest, one.top.kind == "d") for one in parts}
    return _Needs(parts, followed([ws.store], place, tops))


def _files(
    ws: Workspace, place: Scratch, needs: _Needs, concerned: Collection[bytes]
) -> dict[bytes, tuple[str, ...]]:
    """Reads the manifests once more: only now it is known what is to be named."""
    tops = [(one.path.raw, one.top.digest) for one in needs.parts if one.path is not None]
    listed = (
        manifest
        for store in (ws.store, place.store)
        for manifest in manifests(store, needs.live.folders)
    )
    return paths_of(concerned, tops, listed)


def _mend_store(
    ws: Workspace,
    remote: Remote,
    fetcher: Fetcher,
    problems: Sequence[StoreProblem],
    sizes: Mapping[bytes, int],
) -> tuple[bytes, ...]:
    """Fetches what is damaged or missing in the store.

    A large blob only at the size that a manifest or a pointer says: by the remote's word alone it
    could fill the disk.
    """
    remote.look_again()
    wanted = []
    for one in problems:
        place = None if one.digest is None else remote.place(one.digest.raw)
        if one.digest is None or place is None:
            continue
        if place.kind != "B" or one.digest.raw in sizes:
            wanted.append(Wanted(one.digest.raw, is_manifest=place.kind in {"m", "M"}))
    fetcher.fetch(wanted, sizes=sizes)
    here = ws.store.has(one.digest for one in wanted)
    return tuple(sorted(here))


def _is_mended(problem: StoreProblem, mended: Sequence[bytes]) -> bool:
    if problem.kind == "pack":
        return True  # each blob of it is a problem of its own
    return problem.digest is not None and problem.digest.raw in mended


def shown(digests: Iterable[bytes]) -> list[str]:
    """Returns digests as text."""
    return [str(Digest(one)) for one in digests]
