"""Writes notes and the log in one go: one `git fast-import`, compare-and-swap on both refs.

Our lock keeps gitprov's own writers apart. Other tools (`git notes`) do not take it, so every write
also names the commit it builds on: git refuses to move a ref whose tip the new commit does not
contain, and the whole is then computed again from what is there.
"""

import os
import re
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gitprov.core.digest import Digest, Sha256Digest
from gitprov.errors import EnvironmentFault, MalformedError, UsageError
from gitprov.git.append import LogChange, append
from gitprov.git.command import GitError
from gitprov.git.log import LogKey, LogReader
from gitprov.git.notes import NOTES_REF, NotesTree, union
from gitprov.git.repo import Repository
from gitprov.model.note import MAX_NOTE_BYTES, NoteLine, format_note
from gitprov.platform.locks import Waiting, file_lock

Files = Mapping[bytes, bytes | None]
"""Contents by path in a ref's tree; None takes the file away."""

LOCK_FILE = "notes.lock"
ATTEMPTS = 20

_PAUSE_SECONDS = 0.02
_FEW_FILES = 20
_LOCKED = re.compile(rb"cannot lock ref|\.lock': File exists")
_IDENTITY = b"gitprov <gitprov@localhost>"


class Written(NamedTuple):
    """What stands in the repository now.

    Attributes:
        indices: the entry in the log of each given root.
        size: the size of the log.
        root: the root of the log, None when the log was not touched.
    """

    indices: Mapping[Digest, int]
    size: int
    root: Sha256Digest | None


class RefUpdate(NamedTuple):
    """One new commit on one ref."""

    ref: str
    parents: tuple[str, ...]
    message: str
    files: Files


def write(
    repo: Repository,
    *,
    notes: Mapping[str, Iterable[NoteLine]] | None = None,
    roots: Iterable[Digest] = (),
    key: LogKey | None = None,
    signed_note: str | None = None,
    waiting: Waiting | None = None,
) -> Written:
    """Adds lines to notes and roots to this clone's log.

    Lines are joined with those that are there; nothing is ever taken out. What is there already is
    not written again, so the whole may be repeated.

    Args:
        repo: the repository.
        notes: new lines by commit.
        roots: record roots for the log, in order.
        key: the log's key; needed for roots and signed heads.
        signed_note: a newly signed head of the log.
        waiting: told when another process holds the lock for long.

    Raises:
        EnvironmentFault: git refused.
        MalformedError: a note would become too large.
    """
    added = {commit: format_note(lines) for commit, lines in (notes or {}).items()}
    wanted = tuple(roots)
    if key is None and (wanted or signed_note is not None):
        raise UsageError("this clone has no log key", hint="run `gitprov init`")
    with file_lock(os.path.join(repo.data_dir, LOCK_FILE), waiting=waiting):
        for attempt in range(ATTEMPTS):
            updates: list[RefUpdate] = []
            change: LogChange | None = None
            if added:
                updates += _notes_update(repo, added)
            if key is not None and (wanted or signed_note is not None):
                log = LogReader.open(repo, key.ref)
                change = append(log, wanted, key=key, signed_note=signed_note)
                updates += _log_update(log, change)
            if commit_files(repo, updates):
                break
            time.sleep(_PAUSE_SECONDS * attempt)
        else:
            raise EnvironmentFault(
                f"other programs keep changing {NOTES_REF}", hint="try again when they are done"
            )
    if change is None:
        return Written({}, 0, None)
    return Written(change.indices, change.size, change.root)


def _notes_update(repo: Repository, added: Mapping[str, bytes]) -> list[RefUpdate]:
    tip = repo.ref(NOTES_REF)
    files = joined_notes(repo, NotesTree.at(repo, tip), added)
    if not files:
        return []
    count = len(added)
    message = f"gitprov: notes of {count} commits" if count > 1 else f"gitprov: {next(iter(added))}"
    return [RefUpdate(NOTES_REF, (tip,) if tip else (), message, files)]


def joined_notes(
    repo: Repository, tree: NotesTree, added: Mapping[str, bytes]
) -> dict[bytes, bytes | None]:
    """Returns the files that change when notes are joined with those in a tree.

    Raises:
        MalformedError: a note would become too large.
    """
    places = {commit: tree.find(commit) for commit in added}
    oids = sorted({oid for place in places.values() for oid in place.values()})
    known: dict[str, bytes] = {}
    for oid, found in repo.objects.get_many(oids, limit=MAX_NOTE_BYTES):
        if found is None or found.type != "blob":
            raise MalformedError(f"{NOTES_REF}: the note {oid} is missing or no git blob")
        known[oid] = found.data
    fresh = tree.place(commit for commit, place in places.items() if not place)
    files: dict[bytes, bytes | None] = {}
    for commit, new in added.items():
        old = [known[oid] for oid in places[commit].values()]
        note = union([*old, new])
        if len(note) > MAX_NOTE_BYTES:
            raise MalformedError(f"the note of {commit} would exceed {MAX_NOTE_BYTES} bytes")
        if [note] == old or not note:
            continue
        # A mixed tree may hold two notes of one commit; they become one.
        path, *others = sorted(places[commit]) or [fresh[commit]]
        files[path] = note
        files.update(dict.fromkeys(others))
    return files


def _log_update(log: LogReader, change: LogChange) -> list[RefUpdate]:
    if not change.files:
        return []
    message = f"gitprov log: size {change.size}, root {change.root}"
    return [RefUpdate(log.ref, (log.tip,) if log.tip else (), message, change.files)]


def commit_files(repo: Repository, updates: Iterable[RefUpdate]) -> bool:
    """Makes one commit per update, all in one process.

    Each commit's first parent must be the tip of its ref (no parent: the ref must not exist).

    Returns:
        False when a ref has moved: the caller computes anew what was refused. Updates of other refs
        may stand, so what is written must be of the kind that may be repeated.
    """
    updates = tuple(updates)
    if not updates:
        return True
    stream = [b"feature done\n"]
    for update in updates:
        stream += _commit(update)
    stream.append(b"done\n")
    # git unpacks a small import into loose objects, which it does not sync; to wait for the disk
    # before that would cost the post-commit hook more than all the rest.
    small = sum(len(update.files) for update in updates) <= _FEW_FILES
    done = repo.git.call(
        *(("-c", "core.fsync=none") if small else ()),
        *("fast-import", "--quiet", "--done", "--date-format=raw"),
        input=b"".join(stream),
    )
    if done.returncode == 0:
        return True
    if any(repo.ref(u.ref) != (u.parents[0] if u.parents else None) for u in updates):
        return False
    if _LOCKED.search(done.stderr):
        return False
    raise GitError("fast-import", done.returncode, done.stderr)


def _commit(update: RefUpdate) -> list[bytes]:
    message = update.message.encode()
    lines = [
        b"commit %s\n" % os.fsencode(update.ref),
        b"committer %s %d +0000\n" % (_IDENTITY, int(time.time())),
        b"data %d\n%s\n" % (len(message), message),
    ]
    verbs = (b"from", *[b"merge"] * (len(update.parents) - 1))
    for verb, parent in zip(verbs[: len(update.parents)], update.parents, strict=True):
        lines.append(b"%s %s\n" % (verb, parent.encode()))
    lines += [b"D %s\n" % path for path, data in update.files.items() if data is None]
    for path, data in update.files.items():
        if data is not None:
            lines.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path, len(data), data))
    return lines
