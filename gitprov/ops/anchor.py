"""`gitprov anchor`: signs the head of this clone's log and tells every commit that it covers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gitprov.core.digest import Digest, Sha256Digest
from gitprov.errors import UnavailableError
from gitprov.git.keys import load_signer
from gitprov.git.log import LogReader
from gitprov.git.notes import NOTES_REF, Notes
from gitprov.git.writer import write
from gitprov.model.note import (
    AnchorLine,
    NoteLine,
    RecordLine,
    StatementAnchorLine,
    StatementLine,
    parse_note,
)
from gitprov.model.signed_note import TreeHead
from gitprov.ops.anchor_notes import Covered, Kind, Rooted, anchor_line
from gitprov.ops.record import log_key
from gitprov.workspace import Workspace

NETWORK = "tlog"
_TYPED_ROOT = re.compile(
    rb'"root":"(blake3:[0-9a-f]{64})"(?:,"size":\d+,"status":"[a-z]+")?'
    rb',"type":"(record|statement|anchor|statement-anchor)"\}$'
)


@dataclass(frozen=True, slots=True)
class Anchored:
    """What an anchoring did.

    Attributes:
        origin: the name of the log.
        size: the size of the signed head.
        root: its root.
        commits: the commits that were given an anchor line just now.
    """

    origin: str
    size: int
    root: Sha256Digest
    commits: tuple[str, ...]


def anchor_log(ws: Workspace) -> Anchored:
    """Signs the head when it covers records without an anchor, and writes their anchor lines.

    It may be repeated: commits that have their line keep it.

    Raises:
        UnavailableError: nothing is recorded yet, or this clone's private key is gone.
    """
    key = log_key(ws)
    log = LogReader.open(ws.repo, key.ref)
    if log.size == 0:
        raise UnavailableError(
            "the log is empty: nothing is recorded yet",
            hint="`gitprov record HEAD` records the current commit",
        )
    waiting = list(_unanchored(ws, log, key.origin))
    head = TreeHead(key.origin, log.size, log.root())
    if not waiting:
        return Anchored(key.origin, log.size, head.root, ())
    signer = load_signer(ws.repo)
    if signer is None:
        raise UnavailableError(
            "the private key of this clone's log is gone",
            hint="move log.pub away from the same folder: a new log begins with a new key",
        )
    signed = signer.sign(head)
    lines: dict[str, list[NoteLine]] = {}
    for rooted, index in waiting:
        line = AnchorLine(
            commit=rooted.commit,
            digest=head.root,
            index=index,
            network=NETWORK,
            path=tuple(log.inclusion(index)),
            receipt={"checkpoint": signed},
            root=rooted.root,
            size=head.size,
            status="final",
        )
        lines.setdefault(rooted.commit, []).append(anchor_line(rooted.kind, line))
    write(ws.repo, notes=lines, key=key, signed_note=signed, waiting=ws.waiting)
    return Anchored(key.origin, head.size, head.root, tuple(lines))


def _unanchored(ws: Workspace, log: LogReader, origin: str) -> Iterator[Covered]:
    """The roots of notes that are in the log but have no tlog line of this log yet."""
    tip = ws.repo.ref(NOTES_REF)
    notes = Notes(ws.repo, refs={NOTES_REF: tip} if tip else {})
    # A receipt begins with the name of its log.
    mark = f'{{"checkpoint":"{origin}\\n'.encode()
    for commit, text in notes.texts(notes.commits()):
        if text is None or _is_anchored(text, mark):
            continue
        lines = parse_note(text)
        done = {root for line in lines if (root := _anchored_root(line, origin)) is not None}
        for line in lines:
            if not isinstance(line, RecordLine | StatementLine) or line.commit != commit:
                continue
            index = None if line.root in done else log.find(line.root)
            if index is not None:
                kind: Kind = "record" if isinstance(line, RecordLine) else "statement"
                yield Covered(Rooted(commit, line.root, kind), index)


def _is_anchored(text: bytes, mark: bytes) -> bool:
    """Whether every root of a note has its line: nearly all notes do, and need no parsing."""
    wanted, done = set(), set()
    for line in text.split(b"\n"):
        found = _TYPED_ROOT.search(line)
        if found is not None and found[2] in {b"record", b"statement"}:
            wanted.add(found[1])
        elif found is not None and mark in line:
            done.add(found[1])
    return wanted <= done


def _anchored_root(line: NoteLine, origin: str) -> Digest | None:
    """The root that a tlog line of a log is for."""
    anchor = line.anchor if isinstance(line, StatementAnchorLine) else line
    if not isinstance(anchor, AnchorLine) or anchor.network != NETWORK:
        return None
    checkpoint = anchor.receipt.get("checkpoint")
    own = isinstance(checkpoint, str) and checkpoint.startswith(f"{origin}\n")
    return anchor.root if own else None
