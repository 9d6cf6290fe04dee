"""What the listed clones need of a remote: every version that any of their refs still names."""

import contextlib
import os
import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from gitprov.config.git_url import GitUrl
from gitprov.errors import GitprovError, UnavailableError, VerificationError
from gitprov.git.command import printable
from gitprov.git.sync import remotes
from gitprov.model.entry import Entry
from gitprov.ops.gc_roots import repositories_of, tops
from gitprov.ops.manifests import as_manifest
from gitprov.platform.files import fault
from gitprov.store.base import BlobStore
from gitprov.store.local import LocalStore
from gitprov.store.remote import Remote, Wanted
from gitprov.store.remote_fetch import Fetcher
from gitprov.workspace import Workspace

_ASK_SECONDS = 60.0
_OID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Live:
    """What is needed.

    Attributes:
        files: blobs, with their sizes where a manifest says them.
        folders: roots of manifests.
        versions: how many versions of artifacts that is.
        missing: roots of manifests that nobody has: what they need is not known.
    """

    files: Mapping[bytes, int | None]
    folders: frozenset[bytes]
    versions: int
    missing: tuple[bytes, ...]


class Scratch(NamedTuple):
    """Where manifests of the remote are held for a while: a store has what was asked for only.

    Attributes:
        store: a store that goes again.
        fetcher: brings them there.
    """

    store: LocalStore
    fetcher: Fetcher


@contextlib.contextmanager
def scratch(remote: Remote, pool: ThreadPoolExecutor, jobs: int) -> Iterator[Scratch]:
    """Opens a place for a remote's manifests."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="gitprov-")
    except OSError as exc:
        raise fault(exc, "make", tempfile.gettempdir()) from exc
    with folder as path, LocalStore(path) as store, store.writer() as writer:
        yield Scratch(store, Fetcher(remote, writer, pool, jobs, path))


def live_of(ws: Workspace, clones: Sequence[str], scratch: Scratch, *, offline: bool) -> Live:
    """Returns what this clone and those that are listed need.

    Args:
        ws: this clone; those that share its store are asked, too.
        clones: folders of other clones, or addresses of repositories: of those, this clone must
            have fetched every branch and tag.
        scratch: brings manifests that the remote has, and the store not.
        offline: whether git's own remotes are not asked.

    Raises:
        UnavailableError: a clone cannot be read, is shallow, or lacks objects.
    """
    folders = [one for one in clones if GitUrl.parse(one).is_path]
    addresses = [one for one in clones if one not in folders]
    if not offline:
        addresses += remotes(ws.repo)
    far = [oid for address in addresses for oid in _far_tips(ws, address)]
    named: set[tuple[bytes, bool]] = set()
    with contextlib.ExitStack() as stack:
        stores: list[BlobStore] = [ws.store]
        for repo in repositories_of(ws):
            more = far if repo.common_dir == ws.repo.common_dir else ()
            named.update(tops(repo, None, more=more, whole=True))
        for folder in folders:
            other = stack.enter_context(_opened(ws, folder))
            for repo in repositories_of(other):
                named.update(tops(repo, None, whole=True))
            stores.append(other.store)
        return followed(stores, scratch, named)


def _opened(ws: Workspace, folder: str) -> Workspace:
    path = os.path.abspath(os.path.join(ws.cwd, folder))
    try:
        return Workspace.open(path)
    except GitprovError as exc:
        raise UnavailableError(
            f"the clone {folder} cannot be read, so what it needs is not known: {exc}",
            hint=exc.hint,
        ) from exc


def _far_tips(ws: Workspace, address: str) -> Iterator[str]:
    """The branches and tags of a repository that git reaches; this clone must have them all."""
    asked = ("ls-remote", "--quiet", "--heads", "--tags", "--", address)
    done = ws.repo.git.call(*asked, timeout=_ASK_SECONDS)
    if done.returncode:
        said = (printable(done.stderr).splitlines() or ["no answer"])[-1]
        raise UnavailableError(
            f"{address} cannot be asked what it has: {said}",
            hint="--offline leaves out git's remotes: what was fetched last counts then",
        )
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        oid, _, ref = line.partition("\t")
        if ref.endswith("^{}") or not _OID.fullmatch(oid):
            continue
        if ws.repo.objects.header(oid) is None:
            raise UnavailableError(
                f"{address} has {printable(ref.encode())}, which this clone has not fetched",
                hint=f"git fetch --tags {address}",
            )
        yield oid


def followed(
    stores: Sequence[BlobStore], scratch: Scratch, named: Iterable[tuple[bytes, bool]]
) -> Live:
    """Follows manifests level by level, wherever they are: in a store or in the remote."""
    files: dict[bytes, int | None] = {}
    folders: set[bytes] = set()
    versions = 0
    for digest, is_folder in named:
        if is_folder:
            folders.add(digest)
        else:
            files[digest] = None
        versions += 1
    done: set[bytes] = set()
    missing: set[bytes] = set()
    while folders:
        done |= folders
        below: set[bytes] = set()
        left = set(folders)
        for store in (*stores, scratch.store):
            left -= _followed(store, left, files, below)
        if left:
            scratch.fetcher.fetch(Wanted(root, is_manifest=True) for root in sorted(left))
            left -= _followed(scratch.store, left, files, below)
        missing |= left
        folders = below - done
    return Live(files, frozenset(done), versions, tuple(sorted(missing)))


def _followed(
    store: BlobStore, roots: set[bytes], files: dict[bytes, int | None], below: set[bytes]
) -> set[bytes]:
    """Takes down what those manifests list that a store has, and returns which these are."""
    found: set[bytes] = set()
    for root, entries in manifests(store, roots):
        found.add(root)
        for entry in entries:
            if entry.kind == "d":
                below.add(entry.digest)
            else:
                files[entry.digest] = entry.size
    return found


def manifests(
    store: BlobStore, roots: Collection[bytes]
) -> Iterator[tuple[bytes, Sequence[Entry]]]:
    """Yields those manifests that a store has, each once; what is damaged is passed over."""
    found: set[bytes] = set()
    here = store.has(roots)
    while here - found:
        # One that is damaged is set aside by the reader, and is not there any more.
        with contextlib.suppress(VerificationError):
            for root, data in _readable(store, here - found):
                entries = as_manifest(root, data).entries
                found.add(root)
                yield root, entries
        again = store.has(roots)
        if again == here:
            break
        here = again


def _readable(store: BlobStore, roots: set[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Reads manifests; one whose pack is lost is passed over, whatever the index says."""
    left = set(roots)
    try:
        for root, data in store.read_many(roots):
            left.discard(root)
            yield root, data
    except UnavailableError:
        for root in sorted(left):
            with contextlib.suppress(UnavailableError):
                yield root, store.read(root)
