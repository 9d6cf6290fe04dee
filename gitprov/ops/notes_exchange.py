"""Notes and log travel with the data: to the git remote, and from it."""

from dataclasses import dataclass

from gitprov.errors import UsageError, VerificationError
from gitprov.git.log import LogReader, read_log_key, remote_log_prefix
from gitprov.git.notes import NOTES_REF, tracking_ref
from gitprov.git.sync import merge_notes, place_of, push, remotes
from gitprov.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What travelled.

    Attributes:
        remote: the git remote.
        refs: its refs that were moved there, or whose copies were moved here.
    """

    remote: str
    refs: tuple[str, ...]


def git_remote(ws: Workspace, *, pushing: bool) -> str | None:
    """Returns the git remote that the current branch goes to or comes from, as git chooses it.

    None where git knows none by name: an address alone keeps no memory of the logs seen there.
    """
    known = remotes(ws.repo)
    branch = ws.repo.git.text("symbolic-ref", "--quiet", "--short", "HEAD", ok=(0, 1))
    names = [f"branch.{branch}.remote"] if branch else []
    if pushing:
        names = ["remote.pushDefault", *names]
        names = [f"branch.{branch}.pushRemote", *names] if branch else names
    for name in names:
        for value in ws.repo.config(name)[-1:]:
            if value in known:
                return value
    if "origin" in known:
        return "origin"
    return known[0] if len(known) == 1 else None


def send_notes(ws: Workspace, remote: str) -> Exchanged:
    """Signs the log's head, joins what others have sent, and sends notes and log.

    Two clones may do so at once: who is refused joins and tries again.

    Raises:
        VerificationError: the remote's copy of our log is not a beginning of ours.
        UnavailableError: the remote does not answer, or keeps refusing.
    """
    key = read_log_key(ws.repo)
    if key is not None and LogReader.open(ws.repo, key.ref).size:
        from gitprov.ops.anchor import anchor_log  # the library for signatures costs 13 ms

        anchor_log(ws)
    seconds = ws.config.hooks.push_seconds
    pushed = push(ws.repo, remote, timeout=seconds, waiting=ws.waiting)
    return Exchanged(remote, tuple(sorted(pushed.refs)))


def bring_notes(ws: Workspace, remote: str) -> Exchanged:
    """Fetches notes and logs, proves that each log only grew, and joins the notes with ours.

    Raises:
        VerificationError: a log was cut or rewritten, or the notes cannot be ours.
        UnavailableError: the remote does not answer.
    """
    from gitprov.git.consistency import check_remote  # the library for signatures

    place = place_of(ws.repo, remote)
    before = _copies(ws, place)
    checks = check_remote(ws.repo, remote, timeout=ws.config.hooks.push_seconds)
    for check in checks:
        if not check.ok:
            raise VerificationError(
                f"the log {check.key_id} at {remote}: {check.detail}",
                hint=f"gitprov log --check {remote} shows all of them",
            )
    merge_notes(ws.repo, only=tracking_ref(place), waiting=ws.waiting)
    after = _copies(ws, place)
    return Exchanged(remote, tuple(sorted(ref for ref in after if after[ref] != before.get(ref))))


def _copies(ws: Workspace, place: str) -> dict[str, str]:
    """What the remote showed last: its refs, as they are called there."""
    prefix = remote_log_prefix(place)
    logs = ws.repo.refs(prefix.rstrip("/"))
    found = {f"refs/gitprov/log/{ref.removeprefix(prefix)}": oid for ref, oid in logs.items()}
    notes = ws.repo.ref(tracking_ref(place))
    return {**found, NOTES_REF: notes} if notes else found


def need_git_remote(ws: Workspace) -> str:
    """Returns the git remote to fetch from.

    Raises:
        UsageError: git knows none.
    """
    remote = git_remote(ws, pushing=False)
    if remote is None:
        raise UsageError(
            "no git remote is known, and notes and log come from one",
            hint="git remote add origin ADDRESS",
        )
    return remote
