"""Compares a remote's logs with what was seen of them before, here and elsewhere."""

from dataclasses import dataclass

from gitprov.core.merkle import LOG, verify_consistency
from gitprov.errors import UnavailableError, VerificationError
from gitprov.git.heads import Head, note_heads, read_heads
from gitprov.git.log import LOCAL_PREFIX, LogReader, known_logs, remote_log_prefix
from gitprov.git.repo import Repository
from gitprov.git.sync import FETCH_TIMEOUT_SECONDS, fetch, place_of, unreachable
from gitprov.model.signed_note import VerifierKey, open_note


@dataclass(frozen=True, slots=True)
class LogCheck:
    """What became of one log of a remote.

    Attributes:
        key_id: the log.
        vkey: its public key, None when it cannot be read.
        seen: the head that this remote showed last, None when it is new.
        head: the head that it shows now, None when the log is gone or cannot be read.
        ok: whether everything holds.
        detail: one sentence.
        proof: the consistency proof from `seen` to `head`.
        signed: the newest head that the log's key has signed: all that is worth remembering.
    """

    key_id: str
    vkey: str | None
    seen: Head | None
    head: Head | None
    ok: bool
    detail: str
    proof: tuple[bytes, ...] = ()
    signed: Head | None = None


def check_remote(
    repo: Repository, remote: str, *, timeout: float = FETCH_TIMEOUT_SECONDS
) -> list[LogCheck]:
    """Fetches a remote's logs and checks each: its tiles, its signature, what was seen before.

    Signed heads that hold are remembered; a log that fails leaves the memory as it was.

    Raises:
        UnavailableError: the remote does not answer.
    """
    place = place_of(repo, remote)
    fetch(repo, remote, timeout=timeout)
    present = _listed(repo, remote, timeout)
    heads = read_heads(repo)
    seen = heads.get(place, {})
    prefix = remote_log_prefix(place)
    kept = {log.key_id for log in known_logs(repo) if log.remote == place}
    checks: list[LogCheck] = []
    for key_id in sorted(kept | seen.keys()):
        if key_id not in present:
            gone = LogCheck(key_id, None, seen.get(key_id), None, False, "the log is gone")
            checks.append(gone)
            continue
        elsewhere = {
            there: logs[key_id]
            for there, logs in heads.items()
            if key_id in logs and there != place
        }
        checks.append(_check(repo, prefix + key_id, seen.get(key_id), elsewhere))
    note_heads(repo, place, {c.key_id: c.signed for c in checks if c.ok and c.signed})
    return checks


def check_log(log: LogReader) -> Head:
    """Judges a log by itself: every tile, the key, and the signed head if there is one.

    Raises:
        VerificationError: something does not hold.
        UnavailableError: an object is missing.
    """
    log.audit()
    vkey = log.vkey()
    if vkey is None:
        raise VerificationError(f"the log {log.ref} has no key")
    key = VerifierKey.parse(vkey)
    if key.key_id != log.key_id:
        raise VerificationError(f"the log {log.ref} holds the key of another log, {key.key_id}")
    _signed(log, key)
    return _head(log)


def signed_head(log: LogReader, key_id: str) -> Head | None:
    """Returns the head of a log that the key of that id has signed; None when none holds.

    Whoever may push can add entries to another's log, but not sign them. A head that was seen is
    held against the log for ever, so only what its owner has signed may be remembered.
    """
    try:
        key = VerifierKey.parse(log.vkey() or "")
        return _signed(log, key) if key.key_id == key_id else None
    except (VerificationError, UnavailableError):
        return None


def _signed(log: LogReader, key: VerifierKey) -> Head | None:
    note = log.signed_note()
    if note is None:
        return None
    signed = open_note(note, [key])
    if signed.origin != key.name:
        raise VerificationError(f"the signed head of {log.ref} is one of {signed.origin!r}")
    if signed.size > log.size or log.root(signed.size) != signed.root:
        raise VerificationError(
            f"the log {log.ref} is not what its signed head says: "
            f"signed size {signed.size}, root {signed.root}; here {_head(log)}"
        )
    return Head(signed.size, signed.root)


def _check(repo: Repository, ref: str, seen: Head | None, elsewhere: dict[str, Head]) -> LogCheck:
    key_id = ref.rpartition("/")[2]
    vkey: str | None = None
    head: Head | None = None
    signed: Head | None = None
    proof: list[bytes] = []
    try:
        log = LogReader.open(repo, ref)
        vkey = log.vkey()
        head = check_log(log)
        signed = signed_head(log, key_id)
        if seen is not None:
            proof = _extends(log, seen)
        for place, other in elsewhere.items():
            _agrees(log, place, other)
        _agrees_with_refs(repo, log)
    except (VerificationError, UnavailableError) as exc:
        return LogCheck(key_id, vkey, seen, head, False, str(exc))
    before = f"extends the head seen before, {seen}" if seen else "is seen for the first time"
    return LogCheck(key_id, vkey, seen, head, True, f"{head}: {before}", tuple(proof), signed)


def _extends(log: LogReader, seen: Head) -> list[bytes]:
    now = _head(log)
    if seen.size > now.size:
        raise VerificationError(f"the log was cut: seen before {seen}; now {now}")
    proof = log.consistency(seen.size)
    try:
        verify_consistency(LOG, seen.size, now.size, seen.root.raw, now.root.raw, proof)
    except VerificationError as exc:
        raise VerificationError(f"history was rewritten: seen before {seen}; now {now}") from exc
    return proof


def _agrees(log: LogReader, place: str, other: Head) -> None:
    """Two places may lag behind each other, but not differ: that would be a split view."""
    if other.size <= log.size and log.root(other.size) != other.root:
        raise VerificationError(
            f"the log has two histories: {place} showed {other}; here {_head(log)}"
        )


def _agrees_with_refs(repo: Repository, log: LogReader) -> None:
    for other in known_logs(repo):
        if other.key_id != log.key_id or other.ref == log.ref:
            continue
        reader = LogReader(repo.objects, other.ref, other.commit)
        size = min(reader.size, log.size)
        if reader.root(size) != log.root(size):
            raise VerificationError(
                f"the log has two histories: {other.ref} is at {_head(reader)}; here {_head(log)}"
            )


def _head(log: LogReader) -> Head:
    return Head(log.size, log.root())


def _listed(repo: Repository, remote: str, timeout: float) -> set[str]:
    done = repo.git.call(
        "ls-remote", "--quiet", "--refs", "--", remote, "refs/gitprov/log/*", timeout=timeout
    )
    if done.returncode:
        raise unreachable("list the logs of", remote, done)
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    names = (line.partition("\t")[2] for line in lines)
    return {name.removeprefix(LOCAL_PREFIX) for name in names if name.startswith(LOCAL_PREFIX)}
