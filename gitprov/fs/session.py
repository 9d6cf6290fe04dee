"""A repository that a program reads from: opened once in a process, safe for forks and threads."""

import atexit
import contextlib
import io
import os
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gitprov.config.git_url import GitUrl
from gitprov.config.remote_url import RemoteUrl
from gitprov.config.remotes import RemoteConfig, RemotesConfig
from gitprov.core.paths import RepoPath
from gitprov.errors import GitprovError, UnavailableError, UsageError, VerificationError
from gitprov.fs.git_file import open_git_file
from gitprov.git.repo import check_rev
from gitprov.ops.pointers import pointer_paths
from gitprov.ops.reading import Blob, DataReader
from gitprov.ops.remote_setup import remotes_config
from gitprov.ops.revision_tree import IsFolderError, Node, RevisionTree
from gitprov.store.partial import FOLDER as PARTIAL
from gitprov.store.range_file import RangeFile
from gitprov.store.remote import Remote
from gitprov.store.remote_blocks import Chunk
from gitprov.store.remote_file import ChunkCache
from gitprov.store.transports import open_transport
from gitprov.workspace import Workspace

_KEPT_TREES = 8
_MOST_SESSIONS = 32


@dataclass
class _Live:
    """What belongs to one process: helper processes, databases and connections survive no fork."""

    ws: Workspace
    data: DataReader
    lock: threading.RLock
    opened: contextlib.ExitStack
    trees: "OrderedDict[tuple[str | None, str | None], RevisionTree]" = field(
        default_factory=OrderedDict
    )


class Session:
    """Reads a repository's files at any revision. Safe for several threads, and after a fork."""

    def __init__(
        self, place: str, remote: str | None, *, keep: bool | None, rev: str | None = None
    ) -> None:
        """Opens nothing yet.

        Args:
            place: a folder of the repository, absolute; or the repository's address.
            remote: the name or address of the remote that has what the store lacks; None for the
                default.
            keep: what of a remote goes into the store; see `gitprov.open`.
            rev: of an address, the one revision that is read.
        """
        self.place, self.remote, self.keep = place, remote, keep
        self._is_url = not os.path.isabs(place)
        self._rev = rev
        self._live: dict[int, _Live] = {}
        # Who is at work, by process: a child inherits its parent's. There is no lock, as a fork
        # might take it along locked: adding to a set is atomic.
        self._users: set[tuple[int, object]] = set()
        self._replaced: list[tuple[int, _Live]] = []

    def close(self) -> None:
        """Keeps what came, ends processes and connections; the next question opens them again."""
        live = self._live.pop(os.getpid(), None)
        if live is not None:
            _end(live)
        self._end_replaced()

    def close_idle(self) -> bool:
        """Closes it unless somebody is at work, and says whether it is closed."""
        live = self._live.pop(os.getpid(), None)
        if live is None:
            return True
        # Who comes from here on opens it anew; who came before is seen now.
        if not self._is_busy():
            _end(live)
            self._end_replaced()
            return True
        if self._live.setdefault(os.getpid(), live) is not live:
            self._replaced.append((os.getpid(), live))  # somebody has opened it anew already
        return False

    def _is_busy(self) -> bool:
        return any(process == os.getpid() for process, _ in list(self._users))

    def _end_replaced(self) -> None:
        while self._replaced:
            process, live = self._replaced.pop()
            if process == os.getpid():
                _end(live)

    def pin(self, rev: str | None) -> str | None:
        """Returns the commit that a revision names now; of a folder, None stays None.

        Raises:
            UsageError: there is no such commit.
            UnavailableError: the repository's address does not answer.
        """
        if self._is_url:
            self._here()
            return self._rev
        if rev is None:
            return None
        check_rev(rev)
        with self._used() as live, live.lock:
            return live.ws.repo.resolve(rev)

    def find(self, path: RepoPath, commit: str | None, *, follow: bool = True) -> Node:
        """Returns what lies at a path of a commit, or where the worktree's pointers say (None).

        Raises:
            NoSuchPathError: nothing does; `RevisionTree.find` says what else.
        """
        with self._tree(commit) as tree:
            node = tree.find(path, follow=follow)
            return node._replace(size=tree.size(node))

    def children(self, folder: Node, commit: str | None) -> list[Node]:
        """Returns what lies in a folder, with sizes, sorted; its manifest is fetched if need be."""
        with self._tree(commit) as tree:
            found = [node._replace(size=tree.size(node)) for node in tree.children(folder)]
        return sorted(found, key=lambda node: node.path.raw)

    def link_target(self, link: Node, commit: str | None) -> bytes:
        """Returns what a symlink says."""
        with self._tree(commit) as tree:
            return tree.link_target(link)

    def open(self, node: Node) -> io.BytesIO | RangeFile:
        """Opens a file.

        Raises:
            IsFolderError: it is none.
            UnavailableError: neither the store nor the remote has it.
            VerificationError: what they have is not what its name says.
        """
        _refuse_folder(node)
        with _named(node), self._used() as live:
            if not node.digest:
                with live.lock:
                    return open_git_file(live.ws.repo, node.oid, node.size)
            file = live.data.open(Blob(node.digest, node.size), _Streamed(self))
        if isinstance(file, RangeFile):
            file.naming = lambda: _named(node)
        return file

    def bring(self, nodes: Sequence[Node]) -> dict[Node, GitprovError]:
        """Fetches small files that the store lacks, many at once.

        Returns:
            Those that cannot be had, as the remote does not answer, and what it is that happened.
        """
        data = [node for node in nodes if node.digest]
        with self._used() as live:
            failed = live.data.bring([Blob(node.digest, node.size) for node in data])
        return {node: _about(node, failed[node.digest]) for node in data if node.digest in failed}

    @property
    def cache(self) -> ChunkCache:
        """The chunks of large files that came last, in this process."""
        return self._here().data.remote.cache

    @property
    def received(self) -> int:
        """The bytes of packs that have travelled, in this process."""
        return self._here().data.remote.received

    def chunks(self, chunks: Sequence[Chunk]) -> Iterator[bytes]:
        """Yields chunks' bytes from the remote, each checked."""
        with self._used() as live:
            yield from live.data.remote.chunks(chunks)

    # ------------------------------------------------------------ this process

    @contextlib.contextmanager
    def _used(self) -> Iterator[_Live]:
        user = (os.getpid(), object())
        self._users.add(user)
        try:
            yield self._here()
        finally:
            self._users.discard(user)

    def _here(self) -> _Live:
        """Returns what belongs to this process.

        A child never touches what its parent had open, not even to close it.
        """
        live = self._live.get(os.getpid())
        if live is None:
            # Of two threads that come at once, one finds the other's and lets go of its own.
            made = self._opened()
            live = self._live.setdefault(os.getpid(), made)
            if live is not made:
                made.opened.close()
        return live

    def _opened(self) -> _Live:
        with contextlib.ExitStack() as stack:
            if self._is_url:
                # What fetches a clone takes longer to load than a file to read.
                from gitprov.ops.elsewhere import cache_folder, open_elsewhere

                cache = cache_folder(os.environ)
                there = open_elsewhere(self.place, cwd=os.getcwd(), cache=cache, rev=self._rev)
                found = stack.enter_context(there)
                # Whoever opens it again, in a child for example, is to see the same commit.
                self._rev = found.commit
                ws, remotes = found.ws, found.remotes
            else:
                git_dir, work_tree = os.environ.get("GIT_DIR"), os.environ.get("GIT_WORK_TREE")
                ws = Workspace.open(self.place, git_dir=git_dir, work_tree=work_tree)
                stack.enter_context(ws)
                # Read anew each time: a remote may be added while a program runs.
                remotes = lambda: remotes_config(Workspace(ws.repo, ws.cwd))  # noqa: E731
            lock = threading.RLock()
            data = DataReader(
                ws,
                lock,
                lambda: self._connected(ws, remotes()),
                keep=self.keep,
                folder=self._folder(ws, stack),
            )
            return _Live(ws, data, lock, stack.pop_all())

    def _folder(self, ws: Workspace, stack: contextlib.ExitStack) -> str:
        """Where files lie on their way: beside the store if they stay there, else by themselves."""
        if self.keep:
            return os.path.join(ws.store_path, PARTIAL)
        # Made, for nobody else, when the first one comes.
        folder = os.path.join(tempfile.gettempdir(), f"gitprov-{os.urandom(8).hex()}")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def _connected(self, ws: Workspace, config: RemotesConfig) -> Remote:
        if self.remote is None and not config.remotes:
            raise UnavailableError(
                "the store does not have it, and no remote is known",
                hint="gitprov remote add NAME URL, or add the files again",
            )
        if self.remote is not None and "/" in self.remote:  # which no name has
            chosen = RemoteConfig("", str(RemoteUrl.parse(self.remote)))
        else:
            chosen = config.chosen(self.remote)
        transport = open_transport(chosen.url, chosen.options(), dict(os.environ))
        remote = Remote(transport, os.path.join(ws.repo.data_dir, "remotes"))
        try:
            remote.connect(create=False)
        except BaseException:
            transport.close()
            raise
        return remote

    @contextlib.contextmanager
    def _tree(self, commit: str | None) -> Iterator[RevisionTree]:
        with self._used() as live, live.lock:
            repo = live.ws.repo
            base = repo.head() if commit is None else commit
            worktree = repo.worktree if commit is None else None
            tree = live.trees.get((base, worktree))
            if tree is None:
                tree = RevisionTree(
                    live.ws.objects,
                    base,
                    live.data.manifest,
                    lambda entry: live.data.read(Blob(entry.digest, entry.size)),
                    None if worktree is None else (worktree, lambda: pointer_paths(repo.git)),
                )
                live.trees[base, worktree] = tree
                while len(live.trees) > _KEPT_TREES:
                    live.trees.popitem(last=False)
            yield tree


class _Streamed:
    """Where a large file's chunks come from, in whatever process it is read."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def cache(self) -> ChunkCache:
        return self._session.cache

    def chunks(self, chunks: Sequence[Chunk]) -> Iterator[bytes]:
        yield from self._session.chunks(chunks)


def _refuse_folder(node: Node) -> None:
    if node.kind == "d":
        raise IsFolderError(f"{node.path} is a folder")
    if node.kind == "m":
        raise UsageError(f"{node.path} is a submodule: a repository of its own")


@contextlib.contextmanager
def _named(node: Node) -> Iterator[None]:
    """Says which file it is about, where the error knows only a digest."""
    try:
        yield
    except (UnavailableError, VerificationError) as exc:
        raise _about(node, exc) from exc


def _about(node: Node, exc: GitprovError) -> GitprovError:
    for kind in (UnavailableError, VerificationError):
        if isinstance(exc, kind):
            return kind(f"cannot read {node.path}: {exc}", hint=exc.hint)
    return exc


# A program that opens a hundred thousand files one by one opens the repository once.
_Key = tuple[str, str | None, bool | None, str | None]
_SESSIONS: "OrderedDict[_Key, Session]" = OrderedDict()


def session_of(
    repo: str | os.PathLike[str] | None, remote: str | None, rev: str | None, *, keep: bool | None
) -> Session:
    """Returns the session for a repository, the same one for the same question.

    Args:
        repo: a folder of the repository, or its address; None for the current folder.
        remote: see `Session`.
        rev: see `Session`.
        keep: see `Session`.

    Raises:
        UsageError: the address cannot be used.
    """
    place = os.fspath(repo) if repo is not None else os.getcwd()
    if isinstance(repo, str) and not os.path.isdir(repo) and not GitUrl.parse(repo).is_path:
        key = (place, remote, keep, rev)
    else:
        key = (os.path.abspath(place), remote, keep, None)
    session = _SESSIONS.get(key)
    if session is None:
        session = _SESSIONS.setdefault(key, Session(*key[:2], keep=keep, rev=key[3]))
        _close_some(session)
    return session


def _close_some(new: Session) -> None:
    """Closes those that are too many, the oldest first; whoever holds one may go on with it."""
    for key, session in list(_SESSIONS.items()):
        if len(_SESSIONS) <= _MOST_SESSIONS:
            return
        if session is not new and session.close_idle():
            _SESSIONS.pop(key, None)


def _end(live: _Live) -> None:
    live.data.close()
    with live.lock:
        live.opened.close()


@atexit.register
def close_sessions() -> None:
    """Keeps what came from remotes, and ends what is open, of all sessions of this process."""
    for session in list(_SESSIONS.values()):
        with contextlib.suppress(GitprovError):
            session.close()
