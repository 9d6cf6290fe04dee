"""What another repository has at a path, and bringing its bytes into a store of ours."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass

from blake3 import blake3

from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath
from gitprov.errors import MalformedError, UnavailableError, UsageError, VerificationError
from gitprov.git.command import split_nul
from gitprov.git.objects import EXECUTABLE_MODE, TREE_MODE, TreeEntry, parse_commit
from gitprov.model.entry import Entry
from gitprov.model.manifest import Manifest
from gitprov.model.origin import OriginKind
from gitprov.model.pointer import MAX_POINTER_BYTES, is_pointer_name
from gitprov.model.record import ArtifactLeaf
from gitprov.ops.compare import leaf_entry
from gitprov.ops.elsewhere import Elsewhere
from gitprov.ops.manifests import count_files, find, loader
from gitprov.ops.pointers import artifact_path, parse_pointer, pointer_path
from gitprov.ops.transfer import Meter, Transferred, fetch_parts
from gitprov.ops.transfer_needs import Part, needed
from gitprov.platform.files import fault
from gitprov.store.base import LARGE, StoreWriter
from gitprov.store.local import LocalStore
from gitprov.store.partial import FOLDER as PARTIAL
from gitprov.store.partial import own_file
from gitprov.store.transport import Transport

Connect = Callable[[], Transport]
"""Opens the remote of the other repository; it is called only when something is lacking."""

_REGULAR = 0o100000
_TYPE_MASK = 0o170000
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Found:
    """What lies at a path.

    Attributes:
        path: where, in that repository.
        kind: an artifact, a part of one, or a file of the code.
        leaf: the artifact, where it is one or a part of one.
        blob: git's entry, where it is code.
    """

    path: RepoPath
    kind: OriginKind
    leaf: ArtifactLeaf | None
    blob: TreeEntry | None

    @property
    def part(self) -> Part:
        """What of the artifact is meant."""
        assert self.leaf is not None  # noqa: S101  # the callers have looked
        where = RepoPath(self.leaf.path.encode())
        return Part(leaf_entry(self.leaf), self.path.below(where), self.path)


@dataclass(frozen=True, slots=True)
class Brought:
    """What is in the store now.

    Attributes:
        entry: the whole of it; its name is that of the path.
        files: how many files and symbolic links.
        moved: what a remote gave, None when none was asked.
    """

    entry: Entry
    files: int
    moved: Transferred | None = None


def typed_path(text: str) -> RepoPath:
    """Returns the path in another repository that a user means; a pointer means its artifact.

    Raises:
        UsageError: it is none: from the root, with `..`, or a name that is refused.
    """
    raw = os.fsencode(text).removeprefix(b"./").rstrip(b"/")
    try:
        path = RepoPath.parse(raw)
    except MalformedError as exc:
        raise UsageError(
            f"no path in a repository: {exc}", hint="it begins at the repository's top: data/train"
        ) from None
    if not path.raw:
        raise UsageError("no path in a repository: it is empty")
    return artifact_path(path) if is_pointer_name(path.raw) else path


def look_up(there: Elsewhere, path: RepoPath) -> Found:
    """Finds out what a path means at the commit.

    Raises:
        UsageError: nothing that can be brought is there.
        MalformedError: the pointer is not well formed.
    """
    objects = there.ws.objects
    tree = parse_commit(objects.need(there.commit, "commit")).tree
    for artifact in (*reversed([above for above in path.ancestors() if above.raw]), path):
        pointer = objects.entry_at(tree, pointer_path(artifact).raw)
        if pointer is not None and pointer.mode & _TYPE_MASK == _REGULAR:
            leaf = _leaf(there, artifact, pointer.oid.hex())
            return Found(path, "artifact" if artifact == path else "part", leaf, None)
    entry = objects.entry_at(tree, path.raw)
    if entry is not None and entry.mode & _TYPE_MASK == _REGULAR:
        return Found(path, "code", None, entry)
    hint = f"gitprov get {there.url} lists the artifacts"
    if entry is None:
        raise UsageError(f"{there.url} has no {path} at {there.rev}", hint=hint)
    what = "a folder of code" if entry.mode == TREE_MODE else "a link or a submodule"
    raise UsageError(f"{path} is {what} there, and no artifact: git brings it", hint=hint)


def listing(there: Elsewhere) -> tuple[list[ArtifactLeaf], list[str]]:
    """Returns the artifacts of the commit by path, and a sentence for each pointer that is none."""
    output = there.ws.repo.git.run("ls-tree", "-r", "-z", "--full-tree", there.commit)
    found: list[ArtifactLeaf] = []
    wrong: list[str] = []
    for line in split_nul(output):
        head, _, raw = line.partition(b"\t")
        mode, _, oid = head.split(b" ")
        if not is_pointer_name(raw) or int(mode, 8) & _TYPE_MASK != _REGULAR:
            continue
        try:
            artifact = artifact_path(RepoPath.parse(raw))
            found.append(_leaf(there, artifact, oid.decode("ascii")))
        except MalformedError as exc:
            wrong.append(str(exc))
    return sorted(found, key=lambda leaf: leaf.path.encode()), wrong


def _leaf(there: Elsewhere, artifact: RepoPath, oid: str) -> ArtifactLeaf:
    data = there.ws.objects.need(oid, "blob", limit=MAX_POINTER_BYTES)
    pointer = parse_pointer(pointer_path(artifact), data)
    return ArtifactLeaf.of(artifact.parent.raw.decode("utf-8"), pointer)


def bring(
    there: Elsewhere,
    found: Found,
    store: LocalStore,
    indexes: str,
    connect: Connect,
    *,
    jobs: int = 4,
    meter: Meter | None = None,
) -> Brought:
    """Brings what was found into a store: from that repository's own store, or from its remote.

    Everything is checked as it arrives. What came stays when it is interrupted.

    Args:
        there: the other repository.
        found: what is wanted of it.
        store: where it goes; may be the other repository's own one.
        indexes: the folder in which remotes' indexes are kept.
        connect: opens the remote; asked only when neither store has everything.
        jobs: transfers at once.
        meter: is told how it goes.

    Raises:
        UnavailableError: the remote lacks something or cannot be reached.
        VerificationError: something is not what its name says, or the pointer lies.
    """
    if found.leaf is None:
        return _bring_code(there, found, store)
    moved = None
    top = _complete(store, found)
    if top is None and store.root != there.ws.store_path:
        theirs = _complete(there.ws.store, found)
        if theirs is not None:
            _copy(there.ws.store, store, theirs, meter)
            top = theirs
    if top is None:
        moved = fetch_parts(store, indexes, connect(), [found.part], jobs=jobs, meter=meter)
        moved.refuse_wrong()
        if moved.absent:
            raise _absent(there, moved)
        top = _top(store, found)
    files = count_files(loader(store), top)
    _check_claims(store, found, top, files)
    return Brought(top._replace(name=found.path.name), files, moved)


def plan_to_bring(
    there: Elsewhere, found: Found, store: LocalStore, indexes: str, connect: Connect
) -> Transferred | None:
    """Returns what `bring` would fetch from the remote, None when it needs none.

    Manifests are fetched: they are small, and say what would travel.

    Raises:
        VerificationError: the remote has one of them wrongly.
    """
    if found.leaf is None or any(_complete(one, found) for one in (store, there.ws.store)):
        return None
    planned = fetch_parts(store, indexes, connect(), [found.part], dry_run=True)
    planned.refuse_wrong()
    return planned


def root_there(
    there: Elsewhere, found: Found, store: LocalStore, indexes: str, connect: Connect
) -> Digest:
    """Returns the root of what was found; of the data manifests at most are fetched for it."""
    if found.blob is not None:
        hasher = blake3()
        there.ws.objects.feed(found.blob.oid.hex(), hasher.update)
        return Digest(hasher.digest())
    assert found.leaf is not None  # noqa: S101  # what is no code is an artifact
    if found.kind == "artifact":
        return found.leaf.root
    for one in (store, there.ws.store):
        with contextlib.suppress(UnavailableError):
            return Digest(_top(one, found).digest)
    planned = plan_to_bring(there, found, store, indexes, connect)
    if planned is not None and planned.absent:
        raise _absent(there, planned)
    return Digest(_top(store, found).digest)


def _complete(store: LocalStore, found: Found) -> Entry | None:
    """What was found, if a store has all of it."""
    try:
        top = _top(store, found)
    except UnavailableError:
        return None
    return None if needed(store, [Part(top)])[1] else top


def _top(store: LocalStore, found: Found) -> Entry:
    part = found.part
    entry = find(loader(store), part.top, part.below.split(b"/") if part.below else [])
    if entry is None:
        raise UsageError(f"there is no {found.path} in the artifact there")
    if entry.kind == "l":
        raise UsageError(f"{found.path} is a symbolic link there: bring what it leads to")
    return entry


def _copy(source: LocalStore, store: LocalStore, top: Entry, meter: Meter | None) -> None:
    wanted, absent = needed(source, [Part(top)])
    lacking = {one.digest for one in wanted} - store.has(one.digest for one in wanted)
    manifests = {one.digest for one in wanted if one.is_manifest}
    files = {digest: source.path_of(digest, verify=False) for digest in lacking - manifests}
    if meter is not None:
        meter.found(len(lacking), sum(source.size(digest) for digest in lacking))
    with store.writer() as writer:
        packed = [digest for digest in lacking if files.get(digest) is None]
        for digest, data in source.read_many(packed):
            if digest in manifests:
                if Manifest.parse(data).root.raw != digest:
                    raise VerificationError(f"{Digest(digest)} is no manifest's root")
                writer.add_manifest(digest, data)
            else:
                writer.add_known(digest, data)
            if meter is not None:
                meter.done(1, len(data))
        for digest, path in files.items():
            if path is not None:
                size = _copy_file(writer, digest, path)
                if meter is not None:
                    meter.done(1, size)
    if absent:
        raise UnavailableError("the other store lost something meanwhile")


def _copy_file(writer: StoreWriter, digest: bytes, path: str) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as exc:
        raise fault(exc, "read", path) from exc
    try:
        size = os.fstat(fd).st_size
        if writer.add_file(path, fd=fd, size=size, link="auto") != digest:
            raise VerificationError(
                f"the other store has {Digest(digest)} damaged", hint="gitprov fsck there"
            )
    finally:
        os.close(fd)
    return size


def _bring_code(there: Elsewhere, found: Found, store: LocalStore) -> Brought:
    assert found.blob is not None  # noqa: S101  # what is no artifact is code
    oid = found.blob.oid.hex()
    kind = "x" if found.blob.mode & EXECUTABLE_MODE == EXECUTABLE_MODE else "f"
    header = there.ws.objects.header(oid)
    if header is None or header.type != "blob":
        raise UnavailableError(f"git lacks {found.path} there")
    with store.writer() as writer:
        if header.size < LARGE:
            digest = writer.add(there.ws.objects.need(oid, "blob", limit=LARGE))
        else:
            digest = _stream_code(there, oid, store, writer)
    return Brought(Entry(found.path.name, kind, digest, header.size), 1)


def _stream_code(there: Elsewhere, oid: str, store: LocalStore, writer: StoreWriter) -> bytes:
    hasher = blake3()
    with own_file(os.path.join(store.root, PARTIAL), oid) as file:

        def keep(piece: bytes) -> None:
            hasher.update(piece)
            file.write(piece)

        there.ws.objects.feed(oid, keep)
        file.flush()
        writer.add_known_file(hasher.digest(), file.name)
    return hasher.digest()


def _check_claims(store: LocalStore, found: Found, top: Entry, files: int) -> None:
    """Holds what a pointer claims against what there is."""
    leaf = found.leaf
    if leaf is None or found.kind != "artifact":
        return
    size = loader(store)(top.digest).size if top.kind == "d" else store.size(top.digest)
    if (size, files) != (leaf.size, leaf.files):
        raise VerificationError(
            f"the pointer of {found.path} claims {leaf.size:,} bytes in {leaf.files:,} files, and "
            f"there are {size:,} in {files:,}"
        )


def _absent(there: Elsewhere, moved: Transferred) -> UnavailableError:
    first = ", ".join(str(Digest(digest)) for digest in moved.absent[:_NAMED])
    more = f" and {len(moved.absent) - _NAMED:,} more" if len(moved.absent) > _NAMED else ""
    return UnavailableError(
        f"{moved.url} lacks {first}{more}",
        hint=f"`gitprov push` in {there.url} brings it there; what came is kept",
    )
