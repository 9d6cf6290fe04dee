"""Opens another gitprov repository at a revision: one that git fetches, or a folder here.

Of an address a bare, shallow clone is kept in a cache folder, and what is fetched of its data goes
into that clone's own store. A folder is read where it is, and so is its store; only of one in which
gitprov was never used a clone is made, so that nothing is written there.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

from gitprov.config import MAX_CONFIG_BYTES, TRACKED_NAME
from gitprov.config.git_url import GitUrl
from gitprov.config.remotes import RemotesConfig
from gitprov.errors import MalformedError, UnavailableError, UsageError
from gitprov.git.clone import Clone, folder_name
from gitprov.git.objects import parse_commit
from gitprov.git.repo import Repository
from gitprov.ops.remote_setup import remotes_config
from gitprov.workspace import Workspace

_REGULAR = 0o100000
_TYPE_MASK = 0o170000


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another repository at one commit.

    Attributes:
        url: its address, as it was given.
        rev: the revision that was asked for; `HEAD` where none was.
        commit: the full id of the commit that it means.
        ws: the repository, without a worktree where it is a clone. Its configuration is the one
            that this commit tracks, and a folder's own beside it.
        spare: a folder in the cache for a store, where `ws.store` may not be written to: it
            belongs to somebody else. None where the clone's own store is the place.
    """

    url: GitUrl
    rev: str
    commit: str
    ws: Workspace
    spare: str | None = None

    def remotes(self) -> RemotesConfig:
        """Returns where its data lies: what the commit's `.gitprov.yaml` and the folder's own say.

        Raises:
            UsageError: the configuration is not one, or says what a tracked file may not.
        """
        try:
            return remotes_config(self.ws)
        except UsageError as exc:
            raise UsageError(f"{self.url}: {exc}", hint=exc.hint) from None


def cache_folder(environ: Mapping[str, str]) -> str:
    """Returns gitprov's cache folder by an environment: below XDG_CACHE_HOME, or ~/.cache."""
    given = environ.get("XDG_CACHE_HOME", "")
    home = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".cache")
    # The standard says that a relative path is to be ignored.
    return os.path.join(given if os.path.isabs(given) else home, "gitprov")


@contextmanager
def open_elsewhere(
    url: str,
    *,
    cwd: str,
    cache: str,
    rev: str | None = None,
    offline: bool = False,
    waiting: Callable[[str], None] | None = None,
) -> Iterator[Elsewhere]:
    """Opens another repository; two processes may do so at once.

    Args:
        url: https://, http://, ssh://, file://, USER@HOST:PATH, or the path of a folder.
        cwd: where a relative path begins.
        cache: gitprov's cache folder, see `cache_folder`; it is made when needed, and may be
            deleted at any time.
        rev: a branch, a tag, an id, or one of these with `~N`; None for its HEAD. A branch or a tag
            is asked for anew each time; a full id that is there needs no network.
        offline: fetch nothing, go by what was fetched before.
        waiting: is told when another gitprov is waited for.

    Raises:
        UsageError: the address cannot be used, there is no repository or no such revision.
        UnavailableError: it does not answer, or (offline) was not fetched yet.
    """
    parsed = GitUrl.parse(url)
    repos = os.path.join(cache, "repos")
    fetched, spare = parsed, None
    if parsed.is_path:
        repo = _folder(os.path.join(cwd, url), offline=offline)
        spare = os.path.join(repos, folder_name(repo.common_dir), "gitprov")
        if not os.path.isdir(os.path.join(repo.common_dir, "gitprov")):
            repo.close()
            fetched, spare = GitUrl.parse(f"file://{quote(repo.common_dir)}"), None
    if not fetched.is_path:
        repo, commit = Clone(fetched, repos, waiting).at(rev, offline=offline)
    with repo:
        if fetched.is_path:
            commit = repo.resolve(rev or "HEAD")
        tracked = tracked_config(repo, commit)
        with Workspace(repo, repo.worktree or repo.git_dir, waiting, tracked) as ws:
            _check_config(parsed, ws)
            yield Elsewhere(parsed, rev or "HEAD", commit, ws, spare)


def tracked_config(repo: Repository, commit: str) -> bytes:
    """Returns the text of a commit's `.gitprov.yaml`; none where it has no such regular file.

    Raises:
        UnavailableError: git lacks an object.
        UsageError: it is too large.
    """
    tree = parse_commit(repo.objects.need(commit, "commit")).tree
    entry = repo.objects.entry_at(tree, TRACKED_NAME.encode())
    if entry is None or entry.mode & _TYPE_MASK != _REGULAR:
        return b""
    try:
        return repo.objects.need(entry.oid.hex(), "blob", limit=MAX_CONFIG_BYTES)
    except MalformedError as exc:
        raise UsageError(f"cannot use {TRACKED_NAME} of {commit}: {exc}") from None


def _check_config(url: GitUrl, ws: Workspace) -> None:
    try:
        _ = ws.config
    except UsageError as exc:
        raise UsageError(f"{url}: {exc}", hint=exc.hint) from None


def _folder(path: str, *, offline: bool) -> Repository:
    if not os.path.isdir(path):
        raise UnavailableError(f"there is no folder {path}")
    repo = Repository.discover(path, offline=offline)
    tops = [os.path.realpath(top) for top in (repo.worktree, repo.git_dir) if top is not None]
    if os.path.realpath(path) not in tops:
        repo.close()
        raise UsageError(f"{path} is not the top of a git repository, but lies inside {tops[0]}")
    return repo
