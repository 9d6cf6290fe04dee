"""`gitprov add URL --as PATH`: records a dataset that lies in an object store, where it lies.

Whoever hashes, this machine or workers, the root is the one of the same files on disk. The blobs
stay where they are; with `copy` they enter the store, each hashed again as it arrives.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial

from gitprov import __version__
from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath, show
from gitprov.errors import UsageError, VerificationError
from gitprov.model.entry import Entry
from gitprov.model.manifest import encode
from gitprov.model.pointer import ArtifactKind
from gitprov.ops.add_targets import far_target, refuse_colliding, refuse_tracked
from gitprov.ops.added import AddedArtifact
from gitprov.ops.far_pointer import write_far_pointer
from gitprov.ops.far_tree import FarTree
from gitprov.ops.pointers import repo_path
from gitprov.ops.shared_store import register_here
from gitprov.platform.dask_executor import watch_of
from gitprov.platform.tasks import digests_of, spread
from gitprov.store.base import StoreWriter
from gitprov.store.source import Address, Item, batches
from gitprov.store.source_object import Fetched, ObjectSource, object_url
from gitprov.store.source_tasks import hash_items
from gitprov.workspace import Workspace
from gitprov.worktree.folders import Folders
from gitprov.worktree.ignore import Rules, read_rules
from gitprov.worktree.scan import Progress, Silence

_TASK_FILES, _TASK_BYTES = 256, 64 << 20
_FETCH_FILES, _FETCH_BYTES = 64, 8 << 20
_COMMIT_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Far:
    """How data elsewhere is read.

    Attributes:
        environ: where this machine's credentials are looked for; workers have their own.
        executor: what hashes; None for threads of this process.
        copy: whether the blobs enter the store, too.
        jobs: how many objects travel to this machine at once.
    """

    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    executor: Executor | None = None
    copy: bool = False
    jobs: int = 8


def add_objects(
    ws: Workspace,
    address: Address,
    path: str,
    far: Far,
    *,
    kind: ArtifactKind | None = None,
    stage: bool = True,
    progress: Progress | None = None,
) -> AddedArtifact:
    """Records what lies at an address as the artifact at a path.

    Nothing is written before everything is hashed. What changes meanwhile is noticed by its ETag,
    or else by its size and time.

    Args:
        ws: the workspace.
        address: a prefix of an object store, or one object.
        path: of the artifact, as the user typed it.
        far: how it is read.
        kind: data or model; None keeps what the pointer says, or goes by the ending.
        stage: whether to stage the pointer and .gitignore.
        progress: is told how it goes; with both workers and `copy` everything is done twice.

    Raises:
        UsageError: the path cannot become an artifact, or there is nothing at the address.
        UnavailableError: the place or the workers cannot be reached.
        MalformedError: a name is refused.
        VerificationError: a worker gave another digest than that of what arrived.
        FileChangedError: an object changed meanwhile.
    """
    target = far_target(ws, repo_path(ws.worktree, ws.cwd, path))
    refuse_tracked(ws, [target])
    refuse_colliding(ws, [target])
    work = _Work(far, progress or Silence(), address)
    with closing(ObjectSource(address, far.environ)) as source:
        items = [*source.listing()]
        if items:
            return _add_folder(ws, work, source, items, target.artifact, kind, stage=stage)
    return _add_single(ws, work, target.artifact, kind, stage=stage)


@dataclass(frozen=True, slots=True)
class _Work:
    far: Far
    progress: Progress
    address: Address


def _add_folder(
    ws: Workspace,
    work: _Work,
    source: ObjectSource,
    items: Sequence[Item],
    artifact: RepoPath,
    kind: ArtifactKind | None,
    *,
    stage: bool,
) -> AddedArtifact:
    tree = FarTree(artifact, items)
    tree.leave_out(_rules_above(ws, artifact), lambda item: source.read([item])[0] or b"")
    wanted = [*tree.items()]
    digests = _hashed(work, source, wanted)
    register_here(ws)
    with ws.store.writer() as writer:
        if work.far.copy:
            digests = _copied(ws, work, source, wanted, digests, writer)
        top, files = tree.build(
            digests, lambda root, entries: writer.add_manifest(root, encode(entries))
        )
        writer.commit()
        return write_far_pointer(ws, artifact, top, files, kind=kind, stage=stage)


def _add_single(
    ws: Workspace, work: _Work, artifact: RepoPath, kind: ArtifactKind | None, *, stage: bool
) -> AddedArtifact:
    """The address may be that of one object: then the folder above it is the place."""
    url = str(object_url(work.address.url))
    above = url.rpartition("/")[0]
    nothing = UsageError(
        f"there is no object below {url}", hint="look at the address; a prefix ends at a slash"
    )
    if above.endswith(":/"):  # the whole bucket
        raise nothing
    work = _Work(work.far, work.progress, Address(above, work.address.options))
    with closing(ObjectSource(work.address, work.far.environ)) as source:
        item = source.find(object_url(url).path.rpartition("/")[2])
        if item is None:
            raise nothing
        digests = _hashed(work, source, [item])
        register_here(ws)
        with ws.store.writer() as writer:
            if work.far.copy:
                digests = _copied(ws, work, source, [item], digests, writer)
            writer.commit()
            top = Entry(artifact.name, "f", digests[item.name], item.size)
            return write_far_pointer(ws, artifact, top, 1, kind=kind, stage=stage)


def _rules_above(ws: Workspace, artifact: RepoPath) -> Rules | None:
    """The rules of the worktree's own ignore files, down to where the artifact is to be."""
    rules: Rules | None = None
    with Folders(ws.worktree) as folders:
        for above in reversed([*artifact.ancestors()]):
            try:
                fd = folders.open(above.raw)
            except FileNotFoundError:
                break
            rules = read_rules(rules, above.raw, fd)
    return rules


def _hashed(work: _Work, source: ObjectSource, items: Sequence[Item]) -> dict[str, bytes]:
    """The digests by name. Nothing when they come with the blobs: nothing is read twice for it."""
    far = work.far
    digests: dict[str, bytes] = {}
    if far.copy and far.executor is None:
        return digests
    work.progress.found(len(items), sum(item.size for item in items))

    def take(batch: list[Item], outcome: object) -> None:
        for item, digest in zip(batch, digests_of(outcome, len(batch)), strict=True):
            if not digest and item.size:
                raise VerificationError(f"a worker has no digest of {show(item.name.encode())}")
            digests[item.name] = digest
        work.progress.done(len(batch), sum(item.size for item in batch))

    parts = batches(items, count=_TASK_FILES, size=_TASK_BYTES)
    if far.executor is not None:
        jobs = ((part, partial(hash_items, work.address, part, __version__)) for part in parts)
        spread(far.executor, jobs, take, look=watch_of(far.executor))
    else:
        own = ((part, partial(source.digests, part)) for part in parts)
        with ThreadPoolExecutor(max_workers=far.jobs) as pool, _ended_by_errors(source):
            spread(pool, own, take)
    return digests


@contextmanager
def _ended_by_errors(source: ObjectSource) -> Iterator[None]:
    """Ends a source when something fails, so that threads which wait for it end, too."""
    try:
        yield
    except BaseException:
        source.close()
        raise


def _copied(
    ws: Workspace,
    work: _Work,
    source: ObjectSource,
    items: Sequence[Item],
    digests: Mapping[str, bytes],
    writer: StoreWriter,
) -> dict[str, bytes]:
    """Brings what the store lacks, and returns the digests of all."""
    found = dict(digests)
    have = ws.store.has(set(digests.values()) - {b""})
    lacking = [
        item for item in items if item.name not in found or found[item.name] not in {b"", *have}
    ]
    work.progress.found(len(lacking), sum(item.size for item in lacking))
    kept = _Kept(writer)

    def take(batch: list[Item], results: Sequence[Fetched]) -> None:
        for item, got in zip(batch, results, strict=True):
            if got.digest != found.get(item.name, got.digest):
                raise VerificationError(
                    f"a worker says that {show(item.name.encode())} is "
                    f"blake3:{found[item.name].hex()}, and what arrived is another file",
                    hint="the object changed meanwhile, or the worker cannot be trusted",
                )
            kept.keep(got)
            found[item.name] = got.digest
        work.progress.done(len(batch), sum(item.size for item in batch))

    tmp = os.path.join(ws.store_path, "tmp")
    with ThreadPoolExecutor(max_workers=work.far.jobs) as pool, _ended_by_errors(source):
        spread(pool, _fetching(source, lacking, tmp), take, ahead=work.far.jobs + 2)
    return found


def _fetching(
    source: ObjectSource, items: Sequence[Item], tmp: str
) -> "Iterator[tuple[list[Item], partial[list[Fetched]]]]":
    for batch in batches(items, count=_FETCH_FILES, size=_FETCH_BYTES):
        yield batch, partial(source.fetch, batch, tmp)


class _Kept:
    """What was brought so far; it is made durable now and then, so that little is lost."""

    def __init__(self, writer: StoreWriter) -> None:
        self._writer = writer
        self._size = 0

    def keep(self, got: Fetched) -> None:
        if got.file is not None:
            with got.file as file:
                size = file.seek(0, os.SEEK_END)
                path = f"/proc/self/fd/{file.fileno()}"
                digest = self._writer.add_file(path, fd=file.fileno(), size=size, link="copy")
            if digest != got.digest:
                raise VerificationError(f"{Digest(got.digest)} did not stay as it arrived")
        elif got.digest:
            size = len(got.data)
            self._writer.add_known(got.digest, got.data)
        else:
            return
        self._size += size
        if self._size >= _COMMIT_BYTES:
            self._writer.commit()
            self._size = 0
