"""`gitprov gc`: removes blobs that no commit, index, stash, reflog or worktree needs."""

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from gitprov.errors import GitprovError, MalformedError, UnavailableError
from gitprov.git.command import split_nul
from gitprov.git.repo import Repository
from gitprov.model.pointer import MAX_POINTER_BYTES, SUFFIX, Pointer, is_pointer_name
from gitprov.ops.manifests import reachable
from gitprov.ops.shared_store import repositories
from gitprov.platform.files import read_bounded
from gitprov.store.gc import Collected
from gitprov.workspace import Workspace

_BEGINNING = b"gitprov: 1\n"
_STATE_FILES = (
    *("ORIG_HEAD", "MERGE_HEAD", "MERGE_AUTOSTASH", "AUTO_MERGE", "FETCH_HEAD", "BISECT_HEAD"),
    *("CHERRY_PICK_HEAD", "REVERT_HEAD", "REBASE_HEAD", "sequencer/head", "sequencer/abort-safety"),
    *(f"rebase-merge/{name}" for name in ("autostash", "orig-head", "onto", "stopped-sha")),
    *("rebase-merge/amend", "rebase-merge/squash-onto"),
    *(f"rebase-apply/{name}" for name in ("autostash", "orig-head", "onto", "original-commit")),
)
"""Files in a git folder that name objects while something is under way."""

_MAX_STATE_BYTES = 16 << 20
_OID = re.compile(rb"^(?:[0-9a-f]{64}|[0-9a-f]{40})(?![0-9a-f])", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class GarbageCollection:
    """What a collection did, or would do.

    Attributes:
        collected: what the store says.
        artifacts: versions of artifacts that are kept.
        acted: whether anything was really removed.
    """

    collected: Collected
    artifacts: int
    acted: bool


def gc(ws: Workspace, *, act: bool, grace_days: int | None = None) -> GarbageCollection:
    """Collects what nothing needs.

    Kept is everything reachable from any ref, from the HEAD, index and pointers on disk of any
    worktree, from the stash, and from the reflog.

    Args:
        ws: the workspace.
        act: False only counts.
        grace_days: how old a reflog entry may be to count; None counts all that git still has.

    Raises:
        UnavailableError: a repository that shares the store is not there, or a manifest is lost.
    """
    kept: set[tuple[bytes, bool]] = set()

    def live() -> set[bytes]:
        for repo in _repositories(ws):
            kept.update(_tops(repo, grace_days))
        digests, missing = reachable(ws.store, _followed(ws, kept))
        if missing and act:
            raise UnavailableError(
                f"{missing[0]}, so what it needs is not known; nothing was removed",
                hint="restore it (gitprov fsck names what is lost), then collect again",
            )
        return digests

    collected = ws.store.collect(live, dry_run=not act)
    return GarbageCollection(collected, len(kept), act)


def _followed(ws: Workspace, tops: set[tuple[bytes, bool]]) -> set[tuple[bytes, bool]]:
    """Leaves out artifacts that never were in this store: a clone has pointers to many such."""
    here = ws.store.has(digest for digest, _ in tops)
    return {top for top in tops if top[0] in here or ws.store.was_set_aside(top[0])}


def _repositories(ws: Workspace) -> Iterator[Repository]:
    yield ws.repo
    if ws.config.store.path is None:
        return
    for common_dir in repositories(ws.config.store.path):
        if common_dir == ws.repo.common_dir:
            continue
        try:
            repo = Repository.discover(common_dir, git_dir=common_dir)
        except GitprovError as exc:
            raise UnavailableError(
                f"the repository {common_dir} shares this store and cannot be asked: {exc}",
                hint=f"if it is gone for good, take its line out of "
                f"{os.path.join(ws.config.store.path, 'repositories')}",
            ) from exc
        with repo:
            yield repo


def _tops(repo: Repository, grace_days: int | None) -> Iterator[tuple[bytes, bool]]:
    """The artifacts that a repository needs: digests, and whether each is a folder."""
    for data in _pointer_blobs(repo, grace_days):
        try:
            pointer = Pointer.parse(data)
        except MalformedError:
            continue  # nonsense names no data; `gitprov verify` complains about it
        yield pointer.root.raw, pointer.type == "dir"


def _pointer_blobs(repo: Repository, grace_days: int | None) -> Iterator[bytes]:
    for name in _worktrees(repo):
        yield from _on_disk(name)
    oids = _small_blobs(repo, *_beginnings(repo, grace_days))
    for _, found in repo.objects.get_many(oids, limit=MAX_POINTER_BYTES):
        if found is not None and found.data.startswith(_BEGINNING):
            yield found.data


def _beginnings(repo: Repository, grace_days: int | None) -> tuple[list[str], list[str]]:
    """What reachability starts from: options of rev-list, and objects."""
    # For these options git looks at all worktrees.
    options = ["--all", "--indexed-objects"]
    objects = [oid for folder in _git_dirs(repo) for oid in _in_progress(repo, folder)]
    if repo.ref("refs/stash"):
        # All stashes but the newest are only in the reflog of refs/stash, which is their place.
        objects += repo.git.text("rev-list", "--walk-reflogs", "refs/stash", "--").split()
    if grace_days is None:
        options.append("--reflog")
    elif grace_days > 0:
        since = int(time.time()) - grace_days * 86400
        objects += (oid for folder in _git_dirs(repo) for oid in _recent(repo, folder, since))
    return options, sorted(set(objects))


def _git_dirs(repo: Repository) -> list[str]:
    """The git folder of the main worktree and those of the linked ones."""
    linked = os.path.join(repo.common_dir, "worktrees")
    names = sorted(os.listdir(linked)) if os.path.isdir(linked) else []
    return [repo.common_dir, *(os.path.join(linked, name) for name in names)]


def _in_progress(repo: Repository, git_dir: str) -> Iterator[str]:
    """What a merge, a rebase, a cherry-pick or a bisect under way has put where no ref is."""
    for name in _STATE_FILES:
        try:
            data = read_bounded(os.path.join(git_dir, name), _MAX_STATE_BYTES)
        except (MalformedError, UnavailableError):
            continue
        yield from (found.decode("ascii") for found in _OID.findall(data))
    own_refs = ("refs/bisect", "refs/worktree", "refs/rewritten")
    done = repo.git.call(
        f"--git-dir={git_dir}", "for-each-ref", "--format=%(objectname)", *own_refs
    )
    yield from done.stdout.decode("ascii").split()


def _recent(repo: Repository, git_dir: str, since: int) -> Iterator[str]:
    """What refs have pointed to since a moment, the one that they pointed to then included."""
    done = repo.git.call(
        f"--git-dir={git_dir}", "log", "-g", "--all", "--date=unix", "--format=%H %gD", "--"
    )
    older: set[str] = set()
    for line in os.fsdecode(done.stdout).splitlines():
        oid, _, entry = line.partition(" ")
        ref, _, when = entry.rpartition("@{")
        if ref not in older:
            yield oid
        if int(when.rstrip("}")) < since:
            older.add(ref)


def _small_blobs(repo: Repository, options: list[str], commits: list[str]) -> list[str]:
    """The git blobs that are small enough to be pointers, whatever they are called."""
    listed = repo.git.run(
        *("rev-list", "--objects", "--no-object-names", "--ignore-missing"),
        *(f"--filter=blob:limit={MAX_POINTER_BYTES + 1}", *options, "--stdin"),
        input="".join(f"{commit}\n" for commit in commits).encode(),
    )
    checked = repo.git.run(
        *("cat-file", "--buffer", "--batch-check=%(objecttype) %(objectname)"), input=listed
    )
    return [line[5:].decode("ascii") for line in checked.splitlines() if line.startswith(b"blob ")]


def _worktrees(repo: Repository) -> list[str]:
    done = repo.git.call("worktree", "list", "--porcelain", "-z")
    if done.returncode:  # git before 2.36
        lines = repo.git.run("worktree", "list", "--porcelain").split(b"\n")
    else:
        lines = split_nul(done.stdout)
    prefix = b"worktree "
    return [os.fsdecode(line[len(prefix) :]) for line in lines if line.startswith(prefix)]


def _on_disk(worktree: str) -> Iterator[bytes]:
    """The pointers that lie in a worktree: staged or not, ignored or not."""
    if not os.path.isdir(worktree):
        return
    try:
        repo = Repository.discover(worktree)
    except GitprovError:
        return
    with repo:
        if repo.worktree is None:
            return
        output = repo.git.run("ls-files", "-z", "--cached", "--others", "--", f"*{SUFFIX}")
        for raw in set(split_nul(output)):
            if is_pointer_name(raw):
                try:
                    path = os.path.join(os.fsencode(repo.worktree), raw)
                    yield read_bounded(path, MAX_POINTER_BYTES)
                except (MalformedError, UnavailableError):
                    continue
