"""`gitprov get`: brings data out of another repository into a folder; no repository is needed here.

It is first put together in a folder of its own beside its place, and moved there as a whole: what
is interrupted leaves nothing under the final name.
"""

import contextlib
import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from blake3 import blake3

from gitprov.core.paths import RepoPath
from gitprov.errors import EnvironmentFault, UnavailableError, UsageError, VerificationError
from gitprov.model.entry import Entry
from gitprov.ops.elsewhere import Elsewhere
from gitprov.ops.foreign import Brought, Connect, Found, bring, plan_to_bring
from gitprov.ops.manifests import loader
from gitprov.ops.restore import StoreSource
from gitprov.ops.transfer import REMOTE_CACHE, Meter, Transferred
from gitprov.platform.files import fault
from gitprov.store.local import LocalStore
from gitprov.worktree.materialize import Materializer
from gitprov.worktree.plan import make_plan
from gitprov.worktree.scan import Progress, Scanner
from gitprov.worktree.statcache import SCHEMA, StatCache

_NEW = b"new"
_OLD = "old"


@dataclass(frozen=True, slots=True)
class Got:
    """What was brought.

    Attributes:
        out: where it lies.
        brought: what it is.
    """

    out: str
    brought: Brought


def check_out(out: str, *, force: bool) -> None:
    """Refuses a place that is taken, before anything is fetched.

    Raises:
        UsageError: something is there, or its folder is not.
    """
    folder, name = os.path.split(out)
    if name in {"", ".", ".."} or not os.path.isdir(folder or "."):
        raise UsageError(f"there is no folder {folder or out}", hint="make it, or name another -o")
    if os.path.lexists(out) and not force:
        raise UsageError(f"{out} is there already", hint="name another place: -o, or use --force")


def plan_to_get(there: Elsewhere, found: Found, connect: Connect) -> Transferred | None:
    """Returns what `get` would fetch from the remote, None when it needs none."""
    with _store(there) as store:
        return plan_to_bring(there, found, store, os.path.join(store.root, REMOTE_CACHE), connect)


def get(
    there: Elsewhere,
    found: Found,
    out: str,
    connect: Connect,
    *,
    force: bool = False,
    jobs: int = 4,
    meter: Meter | None = None,
    progress: Progress | None = None,
) -> Got:
    """Brings what was found to a place on disk.

    Args:
        there: the other repository.
        found: what is wanted of it.
        out: the place.
        connect: opens the remote.
        force: whether to replace what is at the place.
        jobs: transfers at once.
        meter: is told how the fetching goes.
        progress: is told how the writing goes.

    Raises:
        UsageError: the place is taken.
        UnavailableError: the data cannot be had; or another process writes to this place.
        VerificationError: something is not what its name says.
        EnvironmentFault: it cannot be written.
    """
    out = os.path.abspath(out)
    check_out(out, force=force)
    with _store(there) as store:
        indexes = os.path.join(store.root, REMOTE_CACHE)
        brought = bring(there, found, store, indexes, connect, jobs=jobs, meter=meter)
        with _beside(out) as folder:
            _write(store, brought.entry, folder, progress)
            _move(folder, out, force=force)
    return Got(out, brought)


@contextlib.contextmanager
def _store(there: Elsewhere) -> Iterator[LocalStore]:
    """The clone's own store; for somebody else's folder one in the cache, which may be written."""
    if there.spare is None:
        yield there.ws.store
    else:
        with LocalStore(there.spare, waiting=there.ws.waiting) as store:
            yield store


@contextlib.contextmanager
def _beside(out: str) -> Iterator[str]:
    """A folder beside the place; one that a killed run has left is emptied.

    What was at the place before goes back there, if the run was killed when it was to change it.

    Raises:
        UnavailableError: another process works there.
    """
    above, name = os.path.split(out)
    digest = blake3(os.fsencode(name)).hexdigest()[:16]
    folder = os.path.join(above, f".gitprov-get-{digest}")
    fd = -1
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_ino != os.stat(folder).st_ino:
            raise BlockingIOError
        if not os.path.lexists(out):
            with contextlib.suppress(FileNotFoundError):
                os.rename(os.path.join(folder, _OLD), out)
        for left in os.listdir(folder):
            _delete(os.path.join(folder, left))
    except (BlockingIOError, FileNotFoundError):
        if fd >= 0:
            os.close(fd)
        raise UnavailableError(
            f"another gitprov get writes to {out}", hint="try again when it has ended"
        ) from None
    except OSError as exc:
        if fd >= 0:
            os.close(fd)
        raise fault(exc, "make the folder", folder) from exc
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(fd)


def _write(store: LocalStore, entry: Entry, folder: str, progress: Progress | None) -> None:
    with contextlib.closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        connection.execute(SCHEMA)
        cache = StatCache(connection, "get")
        path = RepoPath(_NEW)
        want = entry._replace(name=_NEW)
        plan = make_plan(Scanner(folder, cache), loader(store), path, want, expected=None)
        materializer = Materializer(folder, cache, StoreSource(store), progress=progress)
        (tree,) = materializer.apply([plan])
    if tree is None or (tree.kind, tree.root) != (entry.kind, entry.digest):
        raise VerificationError("what was written is not what was to be written")


def _move(folder: str, out: str, *, force: bool) -> None:
    new, old = os.path.join(folder, os.fsdecode(_NEW)), os.path.join(folder, _OLD)
    try:
        if os.path.lexists(out):
            check_out(out, force=force)  # it may have come meanwhile
            os.rename(out, old)
        os.rename(new, out)
    except OSError as exc:
        if os.path.lexists(old) and not os.path.lexists(out):
            with contextlib.suppress(OSError):
                os.rename(old, out)
        raise fault(exc, "write", out) from exc


def _delete(path: str) -> None:
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except OSError as exc:
        raise EnvironmentFault(f"cannot remove {path}: {exc.strerror}") from exc
