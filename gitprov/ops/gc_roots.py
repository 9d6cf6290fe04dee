"""What repositories need: what any ref, reflog, stash, index or worktree of theirs names."""

import os
import re
import time
from collections.abc import Iterator, Sequence

from gitprov.errors import GitprovError, MalformedError, UnavailableError
from gitprov.git.command import split_nul
from gitprov.git.repo import Repository
from gitprov.model.pointer import MAX_POINTER_BYTES, SUFFIX, Pointer, is_pointer_name
from gitprov.ops.shared_store import repositories
from gitprov.platform.files import read_bounded
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


def repositories_of(ws: Workspace) -> Iterator[Repository]:
    """Yields the workspace's repository, and those that share its store.

    Raises:
        UnavailableError: one of them cannot be asked.
    """
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


def tops(
    repo: Repository,
    grace_days: int | None,
    *,
    more: Sequence[str] = (),
    whole: bool = False,
) -> Iterator[tuple[bytes, bool]]:
    """Yields the artifacts that a repository needs: digests, and whether each is a folder.

    Args:
        repo: the repository.
        grace_days: how old a reflog entry may be to count; None counts all that git still has.
        more: objects beside its own refs.
        whole: whether it must have everything that its refs reach.

    Raises:
        UnavailableError: it has not.
    """
    if whole:
        _refuse_lacking(repo, more)
    for data in _pointer_blobs(repo, grace_days, more, whole=whole):
        try:
            pointer = Pointer.parse(data)
        except MalformedError:
            continue  # nonsense names no data; `gitprov verify` complains about it
        yield pointer.root.raw, pointer.type == "dir"


def _refuse_lacking(repo: Repository, more: Sequence[str]) -> None:
    """What a ref names must be there, and all of its history: else something needed looks dead."""
    where = repo.worktree or repo.common_dir
    if repo.is_shallow:
        raise UnavailableError(
            f"{where} is shallow, so what its history needs is not known",
            hint="git fetch --unshallow",
        )
    named = [*repo.refs("refs/").values(), *more]
    checked = repo.git.run(
        *("cat-file", "--buffer", "--batch-check=%(objecttype)"),
        input="".join(f"{oid}\n" for oid in named).encode(),
    )
    for line in checked.splitlines():
        if line.endswith(b" missing"):
            raise _lacking(repo, line)


def _lacking(repo: Repository, line: bytes) -> UnavailableError:
    oid = line.split()[0].decode("ascii", "replace")
    return UnavailableError(
        f"{repo.worktree or repo.common_dir} lacks the git object {oid}, so what it needs is "
        "not known",
        hint="git fetch; in a partial clone: git fetch --refetch --no-filter",
    )


def _pointer_blobs(
    repo: Repository, grace_days: int | None, more: Sequence[str], *, whole: bool
) -> Iterator[bytes]:
    for name in _worktrees(repo):
        yield from _on_disk(name)
    options, objects = _beginnings(repo, grace_days)
    oids = _small_blobs(repo, options, [*objects, *more], whole=whole)
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


def _small_blobs(
    repo: Repository, options: list[str], commits: list[str], *, whole: bool
) -> list[str]:
    """The git blobs that are small enough to be pointers, whatever they are called."""
    listed = repo.git.run(
        *("rev-list", "--objects", "--no-object-names", "--ignore-missing"),
        *(f"--filter=blob:limit={MAX_POINTER_BYTES + 1}", *options, "--stdin"),
        input="".join(f"{commit}\n" for commit in commits).encode(),
    )
    checked = repo.git.run(
        *("cat-file", "--buffer", "--batch-check=%(objecttype) %(objectname)"), input=listed
    )
    lines = checked.splitlines()
    if whole:
        for line in lines:
            if line.endswith(b" missing"):
                raise _lacking(repo, line)
    return [line[5:].decode("ascii") for line in lines if line.startswith(b"blob ")]


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
