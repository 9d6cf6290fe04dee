"""Everything that verification looks at for one commit, gathered beforehand. Data only."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

from gitprov.core.canonical import dumps
from gitprov.core.digest import Digest, Sha256Digest
from gitprov.model.note import (
    AnchorLine,
    MalformedLine,
    NoteLine,
    RecordLine,
    StatementLine,
    UnknownLine,
)
from gitprov.model.record import Record
from gitprov.model.run import Run, StageName

How = Literal["added", "modified", "deleted", "corrupt", "missing"]
"""Against the manifest: in the worktree (the first three), in the store (the last two)."""

ArtifactState = Literal[
    "clean", "modified", "absent", "not-checked-out", "corrupt", "missing", "unreadable"
]


@dataclass(frozen=True, slots=True)
class Malformed:
    """The commit was read, but its content gives no record: a pointer is not well formed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The commit could not be read here: a shallow or partial clone."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stated:
    """No commit's record is judged, but a statement's root: a run's stage, a hash."""

    root: Digest


Recomputed = Record | Stated | Malformed | Unavailable


class Change(NamedTuple):
    """One file that is not as the manifest says; `path` is its path in the repository."""

    how: How
    path: str


@dataclass(frozen=True, slots=True)
class ArtifactEvidence:
    """What was found of one artifact of the commit.

    Attributes:
        path: the artifact's path in the repository, as its leaf has it.
        state: `clean` and `modified` speak of the worktree; `not-checked-out` says that only the
            store has the data, `absent` that nothing here has it, `missing` that the store lacks
            some of it, `corrupt` that a blob does not match its name, `unreadable` that looking
            failed (see `problem`).
        changes: the files behind `modified`, `corrupt` and `missing`, in the order to show.
        rehashed: the store's bytes of this artifact were all hashed again, and match (`--deep`).
        problem: why it could not be read, one sentence, for `unreadable`.
        ignored: names in the worktree that `.gitprovignore` takes out, for `clean`.
        same_weights: the file in the worktree is another one, and a model whose weights root is the
            recorded one, for `modified`.
        misstated: one sentence for each thing that the pointer or a manifest says and that is not
            so: sizes, counts, the weights root. Whatever the state, it does not hold.
    """

    path: str
    state: ArtifactState
    changes: tuple[Change, ...] = ()
    rehashed: bool = False
    problem: str = ""
    ignored: int = 0
    same_weights: bool = False
    misstated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Head:
    """A tree head without its signature: size and root of a log."""

    size: int
    root: Sha256Digest


@dataclass(frozen=True, slots=True)
class LogEvidence:
    """One log that is known here, as computed from its entries; our copy or a remote's.

    Attributes:
        key_id: the log's id, the last part of its ref.
        size: its entries.
        root: its root at `size`.
        vkey: its public key as a verifier key line, when one is here.
        index: where the commit's record root stands in it, or None.
        path: the inclusion proof of that entry at `size`.
        checkpoint: the signed note that lies in the log, or None before the first signing.
        seen: the newest head of this log ever seen here, or None.
        consistency: consistency proofs from earlier sizes to `size`; wanted for the sizes of
            `seen`, of `checkpoint`, of every tlog anchor line and of smaller copies of the log.
        problem: why the log cannot be read, one sentence, or "".
    """

    key_id: str
    size: int
    root: Sha256Digest
    vkey: str | None = None
    index: int | None = None
    path: tuple[bytes, ...] = ()
    checkpoint: str | None = None
    seen: Head | None = None
    consistency: Mapping[int, tuple[bytes, ...]] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a network says now about one receipt.

    Attributes:
        asked: who was asked, for people.
        problem: why there is no answer, one sentence; nothing else counts then.
        chain: the chain that answered, as the receipt would name it (CAIP-2), "" where none is.
        block: the id of the block at the receipt's height in the chain that is active now; "" when
            there is none, or the receipt names no height.
        header: that block's header in hex, where the judge needs it (Bitcoin).
        time: of that block, in seconds since 1970.
        confirmations: blocks from that one to the newest, itself counted.
        final: the network itself calls it final.
        contradiction: what it says against the receipt, one sentence, or "".
    """

    asked: str
    problem: str = ""
    chain: str = ""
    block: str = ""
    header: str = ""
    time: int | None = None
    confirmations: int = 0
    final: bool = False
    contradiction: str = ""


@dataclass(frozen=True)
class CommitEvidence:
    """Everything about one commit.

    Attributes:
        commit: its id.
        subject: the first line of its message.
        recomputed: the record that the commit itself gives, or why there is none.
        lines: the note's lines, of every notes ref that is here.
        notes_known: whether any note of gitprov is here at all, for any commit.
        artifacts: one for each artifact of the recomputed record.
        logs: every log that is known here, our own copies first.
        vkeys: public keys of logs found elsewhere (`log.pub`, configuration).
        answers: what networks say about receipts of this note, by `answer_key`; one that is
            missing was not asked for.
        runs: one for each run in the commit's tree.
        runs_problem: why not all of them were looked at, one sentence, or "".
        now: seconds since 1970, for ages in sentences; nothing is judged by it.
    """

    commit: str
    subject: str
    recomputed: Recomputed
    lines: tuple[NoteLine, ...] = ()
    notes_known: bool = True
    artifacts: tuple[ArtifactEvidence, ...] = ()
    logs: tuple[LogEvidence, ...] = ()
    vkeys: tuple[str, ...] = ()
    answers: Mapping[str, Answer] = field(default_factory=dict)
    runs: "tuple[RunEvidence, ...]" = ()
    runs_problem: str = ""
    now: int = 0

    def answer(self, line: AnchorLine) -> Answer | None:
        """What the line's network says now; None when it was not asked."""
        return self.answers.get(answer_key(line))

    @property
    def root(self) -> Digest | None:
        """The record root that logs and anchors are held against.

        The commit's own where it can be computed: a note is only a claim. Else the recorded one,
        when the note has exactly one.
        """
        if isinstance(self.recomputed, Record | Stated):
            return self.recomputed.root
        roots = {line.root for line in self.records}
        return roots.pop() if len(roots) == 1 else None

    @property
    def records(self) -> tuple[RecordLine, ...]:
        """The record lines that speak of this commit, each once."""
        return tuple(
            line
            for line in self.unique_lines
            if isinstance(line, RecordLine) and line.commit == self.commit
        )

    @property
    def anchors(self) -> tuple[AnchorLine, ...]:
        """All anchor lines, each once."""
        return tuple(line for line in self.unique_lines if isinstance(line, AnchorLine))

    @cached_property
    def unique_lines(self) -> tuple[NoteLine, ...]:
        """The lines without repetition: several notes refs mostly hold the same ones."""
        return tuple({_identity(line): line for line in self.lines}.values())


@dataclass(frozen=True)
class RunEvidence:
    """Everything about one run.

    Attributes:
        path: its file.
        run: the run, or why it cannot be judged: its file, or the note about it, is no good.
        statements: the statements about it, from every note that is here.
        notes_known: whether any note of gitprov is here at all.
        stages: by stage of the file, what logs and networks say of its root.
        commit: the commit that the run says it was started from.
    """

    path: str
    run: Run | str
    statements: tuple[StatementLine, ...] = ()
    notes_known: bool = True
    stages: tuple[tuple[StageName, CommitEvidence], ...] = ()
    commit: str = ""


def answer_key(line: AnchorLine) -> str:
    """Under which the answer to a line's receipt is kept: thousands of commits share one."""
    return f"{line.network} {dumps(line.receipt).decode()}"


def _identity(line: NoteLine) -> Hashable:
    match line:
        case RecordLine():
            return line.commit, line.root, line.record.root
        case UnknownLine() | MalformedLine():
            return line.raw
        case _:
            return repr(line)
