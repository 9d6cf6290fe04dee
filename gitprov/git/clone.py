"""A bare clone in a cache folder: of another repository, one commit and what vouches for it.

It is shallow: of 300 commits over 400 files of 50 kB 20 MB came in 0.5 s, with the history 49 MB in
1.4 s. A record binds every file of its commit, and a clone without blobs would fetch those one by
one, which took 27 s. The history comes only for revisions like `main~2`.
"""

import contextlib
import os
import re
import time
from collections.abc import Mapping, Sequence

from blake3 import blake3

from gitprov.config.git_url import GitUrl
from gitprov.errors import UnavailableError, UsageError
from gitprov.git.command import Git
from gitprov.git.repo import Repository, check_rev
from gitprov.git.sync import unreachable
from gitprov.platform.files import atomic_write, fault
from gitprov.platform.locks import Waiting, file_lock

ASK_SECONDS = 120.0
"""How long a repository may take to name its refs."""

FETCH_SECONDS = 3600.0
"""How long one fetch may take; over HTTP less than 1,000 bytes a second for a minute end it."""

_MARKER = "gitprov-url"
_PLACE = "refs/elsewhere/"
_VOUCHING = ("refs/notes/gitprov", "refs/gitprov/log/")
# Globs, so that a repository that has neither does not fail a fetch.
_NOTES_AND_LOG = (
    "+refs/notes/gitprov*:refs/notes/gitprov*",
    "+refs/gitprov/log/*:refs/gitprov/log/*",
)
_HARDENED = (
    *("-c", "gc.auto=0", "-c", "maintenance.auto=false"),
    *("-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false"),
    *("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60"),
)
"""No background work, no hooks of the user's templates, no server that keeps us for ever."""

_FULL_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.ASCII)
_ABBREVIATED = re.compile(r"[0-9a-f]{4,63}", re.ASCII)
_RELATIVE = re.compile(r"([^~^:]+)((?:[~^][0-9]*|\^\{commit\})+)", re.ASCII)
_LOCK_SECONDS = 5.0
_SHA1_HEX = 40
_DEPTH = "--depth=1"
_LOCKS = ("shallow.lock", "packed-refs.lock", "HEAD.lock", "config.lock")


class Clone:
    """The cached clone of one address; its folder may be deleted at any time."""

    def __init__(self, url: GitUrl, cache: str, waiting: Waiting | None = None) -> None:
        """Opens nothing yet.

        Args:
            url: the address, no path.
            cache: the folder of all clones.
            waiting: is told when another gitprov is waited for.
        """
        self._url = url
        self._cache = cache
        self._waiting = waiting
        self.folder = os.path.join(cache, folder_name(str(url)))

    def at(self, rev: str | None, *, offline: bool = False) -> tuple[Repository, str]:
        """Returns the clone and the id of the commit that a revision means there now.

        A branch or a tag is asked for anew. A full id that is here needs no network.

        Args:
            rev: a branch, a tag, an id, or one of these with `~N` and `^N`; None for what the
                repository calls HEAD.
            offline: answer from what is here.

        Raises:
            UsageError: there is no such revision, or several.
            UnavailableError: the repository does not answer, or refuses; or offline, what is
                wanted was never fetched.
        """
        if rev is not None:
            check_rev(rev)
        try:
            os.makedirs(self._cache, mode=0o700, exist_ok=True)
        except OSError as exc:
            raise fault(exc, "make the folder", self._cache) from exc
        with file_lock(self.folder + ".lock", waiting=self._waiting):
            repo = self._open() if os.path.exists(os.path.join(self.folder, _MARKER)) else None
            known = None if repo is None else _known(repo, rev, names=offline)
            if repo is not None and known is not None:
                return repo, known
            if offline:
                if repo is not None:
                    repo.close()
                raise UnavailableError(
                    f"{rev or 'HEAD'} of {self._url} was not fetched yet, and this is offline"
                )
            return self._asked(repo, rev)

    def _open(self) -> Repository:
        return Repository.discover(self.folder, git_dir=self.folder, offline=True)

    def _asked(self, repo: Repository | None, rev: str | None) -> tuple[Repository, str]:
        try:
            refs = self._refs()
            length = len(next(iter(refs.values())))
            if repo is None:
                repo = self._make("sha1" if length == _SHA1_HEX else "sha256")
            elif 2 * repo.hash_len != length:
                raise UsageError(
                    f"{self._url} has ids of another kind than it had", hint=f"delete {self.folder}"
                )
            return repo, self._commit(repo, refs, rev)
        except BaseException:
            if repo is not None:
                repo.close()
            raise

    def _refs(self) -> dict[str, str]:
        """Asks for all refs. A tag's own id comes with it, not that of its commit."""
        git = Git(self._cache, env={"GIT_CEILING_DIRECTORIES": os.path.dirname(self._cache)})
        asked = ("ls-remote", "--quiet", "--", str(self._url))
        done = git.call(*_HARDENED, *asked, timeout=ASK_SECONDS)
        if done.returncode:
            raise unreachable("read", str(self._url), done)
        pairs = (line.split("\t", 1) for line in os.fsdecode(done.stdout).splitlines())
        refs = {
            pair[1]: pair[0] for pair in pairs if len(pair) == 2 and _FULL_ID.fullmatch(pair[0])
        }
        if not refs:
            raise UsageError(f"{self._url} has no commits yet")
        return refs

    def _make(self, object_format: str) -> Repository:
        git = Git(self._cache)
        options = ("--quiet", "--bare", "--template=", f"--object-format={object_format}")
        git.run(*_HARDENED, "init", *options, "--", self.folder)
        atomic_write(os.path.join(self.folder, _MARKER), f"{self._url}\n".encode())
        return self._open()

    def _commit(self, repo: Repository, refs: Mapping[str, str], rev: str | None) -> str:
        name = _named(refs, rev)
        if name is not None:
            self._bring(repo, refs, name)
            return _peeled(repo, _place(name), rev or name)
        assert rev is not None  # noqa: S101  # HEAD is a name
        if _FULL_ID.fullmatch(rev):
            wanted = (f"+{rev}:{_PLACE}{rev}",)
            if self._fetch(repo, (_DEPTH, *wanted), may_fail=True):
                return _peeled(repo, rev, rev)
        base = _RELATIVE.fullmatch(rev)
        start = _named(refs, base[1]) if base else None
        if start is None and not _ABBREVIATED.fullmatch(base[1] if base else rev):
            raise UsageError(f"{self._url} has no revision {rev!r:.80}")
        self._fetch(repo, _everything(repo, start))
        if start is not None and base is not None:
            rev = refs[start] + base[2]
        try:
            return repo.resolve(rev)
        except UsageError as exc:
            raise UsageError(f"{self._url}: {exc}") from None

    def _bring(self, repo: Repository, refs: Mapping[str, str], name: str) -> None:
        """Fetches one ref, if it or what vouches for its commit has moved."""
        here = {**repo.refs(_PLACE), **repo.refs("refs/notes"), **repo.refs("refs/gitprov/log")}
        wanted = {ref: oid for ref, oid in refs.items() if ref.startswith(_VOUCHING)}
        wanted[_place(name)] = refs[name]
        if not wanted.items() <= here.items():
            self._fetch(repo, (_DEPTH, f"+{name}:{_place(name)}"))

    def _fetch(self, repo: Repository, wanted: Sequence[str], *, may_fail: bool = False) -> bool:
        options = [part for part in wanted if part.startswith("--")]
        specs = [part for part in wanted if not part.startswith("--")] + [*_NOTES_AND_LOG]
        command = (
            *(*_HARDENED, "fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--force"),
            *("--no-write-fetch-head", "--refmap=", "--update-shallow", *options),
            *("--", str(self._url), *specs),
        )
        done = repo.git.call(*command, timeout=FETCH_SECONDS)
        if done.returncode and b".lock': File exists" in done.stderr:
            # A killed git leaves its locks. We hold our own, and git holds its for moments only.
            time.sleep(_LOCK_SECONDS)
            _drop_locks(repo.git_dir)
            done = repo.git.call(*command, timeout=FETCH_SECONDS)
        if done.returncode and b"shallow" in done.stderr and _DEPTH in command:
            # A plain web server has files only, and no git that could leave out history.
            command = tuple(part for part in command if part != _DEPTH)
            done = repo.git.call(*command, timeout=FETCH_SECONDS)
        if done.returncode and not may_fail:
            raise unreachable("fetch from", str(self._url), done)
        repo.objects.close()  # they know the packs of before
        return done.returncode == 0


def folder_name(url: str) -> str:
    """Returns the name of the folder that belongs to an address, 32 hex digits."""
    return blake3(url.encode()).hexdigest()[:32]


def _known(repo: Repository, rev: str | None, *, names: bool) -> str | None:
    """What a revision means by what is here: a full id, and where that is enough a name."""
    if rev is not None and _FULL_ID.fullmatch(rev):
        return repo.ref(rev)
    if not names:
        return None
    for name in _places(rev):
        oid = repo.ref(_place(name))
        if oid is not None:
            return oid
    return None


def _places(rev: str | None) -> tuple[str, ...]:
    if rev is None or rev in {"HEAD", "@"}:
        return ("HEAD",)
    if rev.startswith("refs/"):
        return (rev,)
    return (f"refs/tags/{rev}", f"refs/heads/{rev}", f"refs/{rev}")


def _named(refs: Mapping[str, str], rev: str | None) -> str | None:
    """The full name of a ref.

    Raises:
        UsageError: it may be several; whoever may push a tag must not decide what `main` means.
    """
    found = [name for name in _places(rev) if name in refs]
    if len({refs[name] for name in found}) > 1:
        raise UsageError(f"{rev!r:.80} is ambiguous: {', '.join(found)}", hint="give the full name")
    if not found and _places(rev) == ("HEAD",):
        raise UsageError("the repository has no HEAD", hint="name a branch or a tag: --rev")
    return found[0] if found else None


def _place(name: str) -> str:
    """Where a ref of theirs is kept; a digest, so that no name can lie inside another."""
    return _PLACE + blake3(name.encode("utf-8", "surrogateescape")).hexdigest()[:40]


def _peeled(repo: Repository, ref: str, rev: str) -> str:
    oid = repo.ref(ref)
    if oid is None:
        raise UsageError(f"{rev!r:.80} is no commit there")
    return oid


def _everything(repo: Repository, start: str | None) -> tuple[str, ...]:
    deep = ("--unshallow",) if os.path.exists(os.path.join(repo.git_dir, "shallow")) else ()
    more = () if start is None else (f"+{start}:{_place(start)}",)
    return (*deep, "--prune", "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", *more)


def _drop_locks(git_dir: str) -> None:
    places = [os.path.join(git_dir, name) for name in _LOCKS]
    for folder, _, names in os.walk(os.path.join(git_dir, "refs")):
        places += [os.path.join(folder, name) for name in names if name.endswith(".lock")]
    for place in places:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place)
