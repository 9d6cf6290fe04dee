"""`gitprov push`, `fetch`, `pull`: what commits need, to a remote and from it."""

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from gitprov.core.paths import RepoPath
from gitprov.errors import UnavailableError, UsageError
from gitprov.model.entry import Entry
from gitprov.model.manifest import Manifest
from gitprov.model.record import ArtifactLeaf
from gitprov.ops.compare import leaf_entry
from gitprov.ops.manifests import find, loader
from gitprov.ops.record import compute_record
from gitprov.ops.revisions import chosen_commits
from gitprov.platform.files import atomic_write, read_bounded
from gitprov.store.base import BlobStore
from gitprov.store.remote import Remote, Wanted
from gitprov.store.remote_fetch import Fetcher, refuse_wrong
from gitprov.store.transport import Transport
from gitprov.workspace import Workspace

_CACHE = "remotes"
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
        commits: how many commits were looked at.
        objects: blobs and manifests that travelled, or would.
        size: their bytes, before packing.
        travelled: the bytes that travelled.
        there: objects that were there already.
        absent: digests that neither side has.
    """

    url: str
    commits: int
    objects: int
    size: int
    travelled: int
    there: int
    absent: tuple[bytes, ...] = ()


def push(
    ws: Workspace,
    transport: Transport,
    revs: Sequence[str],
    *,
    everything: bool = False,
    jobs: int = 4,
    dry_run: bool = False,
    meter: Meter | None = None,
) -> Transferred:
    """Sends the data of commits to a remote; only what it lacks travels.

    Raises:
        UnavailableError: the store lacks some of it, or the remote cannot be reached.
    """
    if transport.read_only:
        raise UsageError(f"{transport.url} can only be read")
    commits = chosen_commits(ws, revs, everything=everything)
    leaves = _leaves(ws, commits)
    wanted, absent = _needed(ws.store, [(leaf.root.raw, leaf.entry == "dir") for leaf in leaves])
    with Remote(transport, os.path.join(ws.repo.data_dir, _CACHE)) as remote:
        try:
            remote.connect(create=not dry_run)
        except UnavailableError:
            if not dry_run:
                raise
        there = remote.has(wanted)
        absent = [digest for digest in absent if remote.place(digest) is None]
        if absent:
            raise _missing(absent)
        lacking = [one for one in wanted if one not in there]
        size = sum(ws.store.sizes(one.digest for one in lacking).values())
        if dry_run:
            return Transferred(transport.url, len(commits), len(lacking), size, 0, len(there))
        if meter is not None:
            meter.found(len(lacking), size)
        done = remote.push(ws.store, lacking, jobs=jobs, sent=None if meter is None else meter.done)
    return Transferred(transport.url, len(commits), len(lacking), size, done.sent_bytes, len(there))


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
    on from there.

    Raises:
        UnavailableError: the remote cannot be reached.
        VerificationError: the remote has something wrongly; the rest has come.
    """
    commits = chosen_commits(ws, revs, everything=everything)
    leaves = _leaves(ws, commits)
    tmp = os.path.join(ws.store_path, "tmp")
    with (
        Remote(transport, os.path.join(ws.repo.data_dir, _CACHE)) as remote,
        ThreadPoolExecutor(max_workers=jobs) as pool,
        ws.store.writer() as writer,
    ):
        remote.connect(create=False)
        os.makedirs(tmp, exist_ok=True)
        fetcher = Fetcher(remote, writer, pool, jobs, tmp)
        # Manifests first, level by level: they say what else is needed.
        files = _follow(ws, fetcher, leaves, paths)
        lacking = files.keys() - ws.store.has(files)
        wanted = [Wanted(digest, is_manifest=False) for digest in sorted(lacking)]
        known = [one for one in wanted if remote.place(one.digest) is not None]
        size = sum(files[one.digest] for one in known)
        if dry_run:
            absent = tuple(one.digest for one in wanted if remote.place(one.digest) is None)
            there = len(files) - len(lacking)
            return Transferred(transport.url, len(commits), len(known), size, 0, there, absent)
        if meter is not None:
            meter.found(len(wanted), size)
        fetcher.fetch(wanted, None if meter is None else meter.done, sizes=files)
    result = fetcher.result
    refuse_wrong(result, transport.url)
    return Transferred(
        transport.url,
        len(commits),
        result.objects,
        size,
        result.received_bytes,
        len(files) - len(lacking),
        tuple(result.absent),
    )


def _follow(
    ws: Workspace, fetcher: Fetcher, leaves: Iterable[ArtifactLeaf], paths: Sequence[RepoPath]
) -> dict[bytes, int]:
    """Brings the manifests of artifacts, and returns the files below them with their sizes.

    They are brought in a dry run too: they are small, and say what would travel.
    """
    files: dict[bytes, int] = {}
    folders: set[bytes] = set()
    for leaf in leaves:
        for top in _tops(ws, fetcher, leaf, paths):
            if top.kind == "d":
                folders.add(top.digest)
            else:
                files[top.digest] = top.size
    done: set[bytes] = set()
    while folders:
        _bring_manifests(ws, fetcher, folders)
        done |= folders
        below: set[bytes] = set()
        for root, data in ws.store.read_many(ws.store.has(folders)):
            for entry in _parse(root, data).entries:
                if entry.kind == "d":
                    below.add(entry.digest)
                else:
                    files[entry.digest] = entry.size
        folders = below - done
    return files


def _tops(
    ws: Workspace, fetcher: Fetcher, leaf: ArtifactLeaf, paths: Sequence[RepoPath]
) -> list[Entry]:
    """What of an artifact is wanted: all of it, or what lies at the paths."""
    where = leaf.path.encode()
    top = leaf_entry(leaf)
    if not paths:
        return [top]
    found: list[Entry] = []
    for path in paths:
        if path.raw == where or where.startswith(path.raw + b"/"):
            return [top]
        if not path.raw.startswith(where + b"/"):
            continue
        parts = path.raw[len(where) + 1 :].split(b"/")
        for depth in range(len(parts)):
            folder = top if not depth else find(loader(ws.store), top, parts[:depth])
            if folder is not None and folder.kind == "d":
                _bring_manifests(ws, fetcher, {folder.digest})
        entry = find(loader(ws.store), top, parts)
        if entry is not None:
            found.append(entry)
    return found


def _bring_manifests(ws: Workspace, fetcher: Fetcher, roots: set[bytes]) -> None:
    lacking = roots - ws.store.has(roots)
    if lacking:
        fetcher.fetch(Wanted(root, is_manifest=True) for root in sorted(lacking))


def _needed(
    store: BlobStore, tops: Iterable[tuple[bytes, bool]]
) -> tuple[list[Wanted], list[bytes]]:
    """Everything below artifacts, manifests too; and what the store lacks of it."""
    files: set[bytes] = set()
    folders: set[bytes] = set()
    for digest, is_folder in tops:
        (folders if is_folder else files).add(digest)
    done: set[bytes] = set()
    absent: set[bytes] = set()
    while folders:
        done |= folders
        here = store.has(folders)
        absent |= folders - here
        below: set[bytes] = set()
        for root, data in store.read_many(here):
            for entry in _parse(root, data).entries:
                (below if entry.kind == "d" else files).add(entry.digest)
        folders = below - done
    have = store.has(files)
    absent |= files - have
    wanted = [Wanted(digest, is_manifest=False) for digest in sorted(have)]
    wanted += [Wanted(digest, is_manifest=True) for digest in sorted(done - absent)]
    return wanted, sorted(absent)


def _parse(root: bytes, data: bytes) -> Manifest:
    manifest = Manifest.parse(data)
    if manifest.root.raw != root:
        raise UsageError(f"blake3:{root.hex()} is the digest of a file, not of a folder")
    return manifest


def _leaves(ws: Workspace, commits: Iterable[str]) -> list[ArtifactLeaf]:
    """The artifacts of commits, each version once."""
    found: Mapping[tuple[str, bytes], ArtifactLeaf] = {
        (leaf.path, leaf.root.raw): leaf
        for commit in commits
        for leaf in compute_record(ws, commit).artifacts
    }
    ws.digests.save()
    return list(found.values())


def _missing(absent: Sequence[bytes]) -> UnavailableError:
    more = f" and {len(absent) - 1:,} more" if len(absent) > 1 else ""
    return UnavailableError(
        f"the store lacks blake3:{absent[0].hex()}{more}, and the remote does not have it either",
        hint="`gitprov status` names the files; `gitprov add` brings them back",
    )


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
    os.makedirs(os.path.join(ws.repo.data_dir, _CACHE), exist_ok=True)
    atomic_write(os.path.join(ws.repo.data_dir, _CACHE, _ACCEPTED), lines.encode())


def _accepted(ws: Workspace) -> set[str]:
    try:
        data = read_bounded(os.path.join(ws.repo.data_dir, _CACHE, _ACCEPTED), 1 << 20)
    except UnavailableError:
        return set()
    return set(data.decode("utf-8", "replace").splitlines())
