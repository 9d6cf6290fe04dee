"""Notes and logs travel: fetch to tracking refs, join, push without force, try again."""

import hashlib
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from gitprov.errors import (
    EnvironmentFault,
    MalformedError,
    UnavailableError,
    UsageError,
    VerificationError,
)
from gitprov.git.command import Completed, printable
from gitprov.git.heads import Head, note_heads
from gitprov.git.log import LOCAL_PREFIX, LogKey, LogReader, read_log_key, remote_log_prefix
from gitprov.git.notes import NOTES_REF, NotesTree, is_tracking, tracking_ref, union
from gitprov.git.repo import Repository, check_rev
from gitprov.git.writer import LOCK_FILE as NOTES_LOCK
from gitprov.git.writer import RefUpdate, commit_files, joined_notes
from gitprov.model.note import MAX_NOTE_BYTES
from gitprov.platform.locks import Waiting, file_lock

PUSHING = "GITPROV_PUSHING"
"""Set while we push, so that a pre-push hook of ours knows that it is not the user's push."""

PUSH_ATTEMPTS = 12
FETCH_TIMEOUT_SECONDS = 120.0
PUSH_TIMEOUT_SECONDS = 120.0

_RACE = re.compile(r"fetch first|non-fast-forward|stale|lock|update ref|exists|incorrect old")
_FIRM_ATTEMPTS = 5
_MERGE_ATTEMPTS = 20
_PAUSE_SECONDS = 0.05
_MAX_PAUSE_SECONDS = 1.0
_QUIET = ("-c", "gc.auto=0", "-c", "maintenance.auto=false")


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did.

    Attributes:
        attempts: how often it was tried.
        refs: what was sent; empty when there was nothing to send.
        head: this clone's log as the remote now has it, None when it has no log.
    """

    attempts: int
    refs: tuple[str, ...]
    head: Head | None


def refspecs(place: str) -> tuple[str, str]:
    """Returns what to fetch. Globs, so that a remote that has neither does not fail a fetch."""
    return (
        f"+refs/notes/gitprov*:refs/notes/{place}/gitprov*",
        f"+refs/gitprov/log/*:{remote_log_prefix(place)}*",
    )


def configure(repo: Repository, remote: str) -> bool:
    """Makes every `git fetch` bring notes and logs; safe to repeat.

    Returns:
        Whether anything was added.

    Raises:
        UsageError: there is no such remote.
    """
    if remote not in remotes(repo):
        raise UsageError(
            f"there is no remote {remote!r}", hint=f"git remote add {remote} <address>"
        )
    place_of(repo, remote)
    name = f"remote.{remote}.fetch"
    known = repo.config(name)
    missing = [spec for spec in refspecs(remote) if spec not in known]
    for spec in missing:
        repo.git.run("config", "--add", name, spec)
    return bool(missing)


def unconfigure(repo: Repository, remote: str) -> bool:
    """Takes the refspecs of `configure` away again; returns whether any was there."""
    name = f"remote.{remote}.fetch"
    present = [spec for spec in refspecs(remote) if spec in repo.config(name)]
    for spec in present:
        repo.git.run("config", "--fixed-value", "--unset-all", name, spec)
    return bool(present)


def remotes(repo: Repository) -> list[str]:
    """Returns the names of the configured remotes."""
    return repo.git.text("remote").splitlines()


def fetch(repo: Repository, remote: str, *, timeout: float = FETCH_TIMEOUT_SECONDS) -> None:
    """Brings a remote's notes and logs into our tracking refs, and nothing else.

    Raises:
        UnavailableError: the remote does not answer.
    """
    place = place_of(repo, remote)
    done = repo.git.call(
        *_QUIET,
        # A partial clone would leave out the very notes that this is for.
        *("fetch", "--quiet", "--no-tags", "--no-filter", "--no-recurse-submodules"),
        *("--no-write-fetch-head", "--refmap=", "--", remote, *refspecs(place)),
        timeout=timeout,
    )
    if done.returncode:
        raise unreachable("fetch from", remote, done)


def merge_notes(
    repo: Repository, *, only: str | None = None, waiting: Waiting | None = None
) -> bool:
    """Joins what remotes have sent into the local notes, line by line; nothing is ever dropped.

    When both sides have moved, the new commit has both as parents, so that a push of it is a
    fast-forward there.

    Args:
        repo: the repository.
        only: the tracking ref that matters; what is wrong with others is passed over then.
        waiting: told when another process holds the lock for long.

    Returns:
        Whether the local notes changed.

    Raises:
        MalformedError: a remote's notes cannot be ours; those of the others are joined.
    """
    changed = False
    problem: MalformedError | None = None
    with file_lock(f"{repo.data_dir}/{NOTES_LOCK}", waiting=waiting):
        for ref, theirs in repo.refs("refs/notes/").items():
            if not is_tracking(ref):
                continue
            try:
                changed |= _merge_one(repo, ref, theirs)
            except MalformedError as exc:
                if only in (None, ref):
                    problem = exc
    if problem is not None:
        raise problem
    return changed


def push(
    repo: Repository,
    remote: str,
    *,
    timeout: float = PUSH_TIMEOUT_SECONDS,
    waiting: Waiting | None = None,
) -> Pushed:
    """Fetches, joins, pushes the notes and this clone's log; tries again when others were faster.

    Raises:
        VerificationError: the remote's copy of our log is not a beginning of ours.
        UnavailableError: the remote does not answer or keeps refusing, or its notes cannot be
            joined with ours.
    """
    deadline = time.monotonic() + timeout
    key = read_log_key(repo)
    place = place_of(repo, remote)
    said = "others keep pushing"
    for attempt in range(1, PUSH_ATTEMPTS + 1):
        fetch(repo, remote, timeout=_left(deadline))
        try:
            merge_notes(repo, only=tracking_ref(place), waiting=waiting)
        except MalformedError as exc:
            # Not a verdict on the log: the user's own push goes on with a warning.
            raise UnavailableError(
                f"the notes at {remote} cannot be joined with ours: {exc}",
                hint=f"put {NOTES_REF} right at {remote}",
            ) from exc
        head = check_own_log(repo, place, key)
        wanted = _to_push(repo, place, key)
        if not wanted:
            _remember(repo, place, key, head)
            return Pushed(attempt, (), head)
        done = repo.git.call(
            *_QUIET,
            *("push", "--no-verify", "--porcelain", "--no-follow-tags"),
            *("--recurse-submodules=no", "--", remote),
            *(f"{oid}:{ref}" for ref, oid in wanted.items()),
            env={PUSHING: "1"},
            timeout=_left(deadline),
        )
        if done.returncode == 0:
            _track(repo, place, wanted)
            _remember(repo, place, key, head)
            return Pushed(attempt, tuple(wanted), head)
        refused = _refused(done.stdout)
        if not refused:
            raise unreachable("push to", remote, done)
        said = refused[0]
        # A server's rule will not change its mind; a race is worth many attempts.
        if attempt >= _FIRM_ATTEMPTS and not _RACE.search(said):
            break
        pause = min(_PAUSE_SECONDS * 2**attempt, _MAX_PAUSE_SECONDS)
        if time.monotonic() + pause > deadline:
            break
        # Two that were refused at the same moment must not try again at the same moment.
        time.sleep(random.uniform(0.1, 1) * pause)  # noqa: S311  # nothing secret about a pause
    raise UnavailableError(
        f"{remote} did not take the notes: {said}",
        hint=f"try again: gitprov anchor --push {remote}",
    )


def check_own_log(repo: Repository, place: str, key: LogKey | None) -> Head | None:
    """Returns the head of this clone's log when the remote's copy of it is a beginning of it.

    Raises:
        VerificationError: it is not; both heads are named.
    """
    if key is None:
        return None
    ours = LogReader.open(repo, key.ref)
    head = Head(ours.size, ours.root()) if ours.tip else None
    theirs = LogReader.open(repo, remote_log_prefix(place) + key.key_id)
    if theirs.tip is None:
        return head
    there = Head(theirs.size, theirs.root())
    extends = theirs.size <= ours.size and ours.root(theirs.size) == there.root
    if ours.tip is None or not extends or not _is_ancestor(repo, theirs.tip, ours.tip):
        raise VerificationError(
            f"the log {key.key_id} at {place} is no beginning of ours: "
            f"there {there}; here {head or 'nothing'}",
            hint="two clones write with one key, or history was rolled back; nothing was changed",
        )
    return head


def place_of(repo: Repository, remote: str) -> str:
    """Returns the name under which a remote's refs are kept here: its own, or one for an address.

    Raises:
        UsageError: git would take it for an option, or cannot keep refs under that name.
    """
    check_rev(remote)
    if remote not in remotes(repo):
        return "address-" + hashlib.sha256(remote.encode("utf-8", "replace")).hexdigest()[:16]
    # What lies below a remote's folder is the remote's own choice, so its name must end first.
    if "/log/" in f"{remote}/":
        raise UsageError(
            f"gitprov cannot keep the logs of a remote called {remote!r}",
            hint=f"git remote rename {remote} origin",
        )
    # Its tracking ref would lie below refs/notes/gitprov, where git cannot have one.
    if remote == "gitprov" or remote.startswith("gitprov/"):
        raise UsageError(
            f"a remote of gitprov cannot be called {remote!r}",
            hint=f"git remote rename {remote} origin",
        )
    return remote


def _merge_one(repo: Repository, ref: str, theirs: str) -> bool:
    if repo.ref(ref) != theirs:
        raise MalformedError(f"{ref} is not a commit", hint=f"git update-ref -d {ref}")
    for attempt in range(_MERGE_ATTEMPTS):
        ours = repo.ref(NOTES_REF)
        if ours is None or _is_ancestor(repo, ours, theirs):
            if ours == theirs:
                return False
            for _ in NotesTree.at(repo, theirs, ref=ref).items():
                pass  # what cannot be listed must not become ours
            if repo.update_ref(NOTES_REF, theirs, ours):
                return True
        elif _is_ancestor(repo, theirs, ours):
            return False
        else:
            update = RefUpdate(
                ref=NOTES_REF,
                parents=(ours, theirs),
                message=f"gitprov: join {ref}",
                files=_joined(repo, ours, theirs, ref),
            )
            if commit_files(repo, [update]):
                return True
        time.sleep(_PAUSE_SECONDS * attempt)
    raise EnvironmentFault(f"other programs keep changing {NOTES_REF}", hint="try again later")


def _joined(repo: Repository, ours: str, theirs: str, ref: str) -> dict[bytes, bytes | None]:
    """The files in which our notes must change to hold theirs as well."""
    local = NotesTree.at(repo, ours)
    known = {(commit, oid) for commit, _, oid in local.items()}
    wanted: dict[str, list[str]] = {}
    for commit, _, oid in NotesTree.at(repo, theirs, ref=ref).items():
        if (commit, oid) not in known:
            wanted.setdefault(oid, []).append(commit)
    added: dict[str, bytes] = {}
    for oid, found in repo.objects.get_many(wanted, limit=MAX_NOTE_BYTES):
        if found is None or found.type != "blob":
            raise MalformedError(f"{ref}: the note {oid} is missing or no git blob")
        for commit in wanted[oid]:
            added[commit] = union([added.get(commit, b""), found.data])
    return joined_notes(repo, local, added)


def _to_push(repo: Repository, place: str, key: LogKey | None) -> dict[str, str]:
    """Our refs that the remote does not have as they are."""
    ours = [NOTES_REF] if key is None else [NOTES_REF, key.ref]
    tips = {ref: (repo.ref(ref), repo.ref(_tracking(ref, place))) for ref in ours}
    return {ref: mine for ref, (mine, there) in tips.items() if mine and mine != there}


def _track(repo: Repository, place: str, pushed: Mapping[str, str]) -> None:
    """Notes what the remote has now: git does so only where `configure` has added our refspecs."""
    lines = [f"update {_tracking(ref, place)} {oid}\n" for ref, oid in pushed.items()]
    repo.git.run("update-ref", "--stdin", input="".join(lines).encode())


def _tracking(ref: str, place: str) -> str:
    """The ref under which a remote's copy of one of ours is kept here."""
    if ref == NOTES_REF:
        return tracking_ref(place)
    return remote_log_prefix(place) + ref.removeprefix(LOCAL_PREFIX)


def _remember(repo: Repository, place: str, key: LogKey | None, head: Head | None) -> None:
    if key is not None and head is not None:
        note_heads(repo, place, {key.key_id: head})


def _is_ancestor(repo: Repository, old: str, new: str) -> bool:
    if old == new:
        return True
    done = repo.git.call("merge-base", "--is-ancestor", old, new)
    return done.returncode == 0


def _refused(porcelain: bytes) -> list[str]:
    """The refs that the remote refused, as `git push --porcelain` tells it."""
    lines = (line.split(b"\t") for line in porcelain.split(b"\n") if line[:1] == b"!")
    pairs = (parts[1:] for parts in lines if len(parts) == 3)
    return [f"{printable(names.rpartition(b':')[2])} {printable(why)}" for names, why in pairs]


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise UnavailableError("the time for the push is over")
    return left


def unreachable(doing: str, remote: str, done: Completed) -> UnavailableError:
    """Returns the error for a remote that does not answer, in git's own words."""
    said = printable(done.stderr).splitlines()
    fatal = [line for line in said if line.startswith(("fatal:", "error:"))]
    reason = (fatal or said or ["git does not say why"])[0]
    return UnavailableError(f"cannot {doing} {remote}: {reason}")
