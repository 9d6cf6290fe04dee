"""What `gitprov trace` answers with: bindings, runs, anchors, and what was looked through."""

from dataclasses import dataclass
from typing import Literal

from gitprov.core.canonical import Json
from gitprov.core.digest import Digest

BindingKind = Literal["file", "folder", "weights", "record", "statement"]

PRODUCED = frozenset({"model after", "epoch", "checkpoint", "output"})
"""The roles in which a run made what was asked for, and did not only use it."""


@dataclass(frozen=True, slots=True)
class TracedAnchor:
    """The anchor that counts, as a note claims it; `gitprov verify` judges.

    Attributes:
        network: which witnessed it.
        status: how far it is.
        size: the size of the log's head.
        time: what the block in the receipt says, in seconds since 1970; None where none does.
    """

    network: str
    status: str
    size: int
    time: int | None


@dataclass(frozen=True, slots=True)
class TracedCommit:
    """One commit that binds what was asked for.

    Attributes:
        commit: its id.
        subject: the first line of its message; "" when this clone lacks the commit.
        time: its date, a claim, in seconds since 1970; None when this clone lacks it.
        root: the root that is in the log.
        anchor: the earliest anchor of that root.
        is_head: whether it is checked out.
    """

    commit: str
    subject: str
    time: int | None
    root: Digest
    anchor: TracedAnchor | None
    is_head: bool


@dataclass(frozen=True, slots=True)
class Binding:
    """One place where commits bind a digest.

    Attributes:
        kind: `file` or `folder` for bytes, `weights` for a model's tensors, `record` for a
            record's own root, `statement` for a root that was put into the log by itself.
        digest: what is bound.
        artifact: the artifact's path; for a statement its name; "" for a record.
        artifact_kind: `data` or `model`; "" for records and statements.
        inside: the path below the artifact; "" when it is the artifact.
        commits: those that bind it there, the oldest first.
    """

    kind: BindingKind
    digest: Digest
    artifact: str
    artifact_kind: str
    inside: str
    commits: tuple[TracedCommit, ...]


@dataclass(frozen=True, slots=True)
class Role:
    """What a run says of a digest: `data`, `model before`, `epoch`, …, and what it calls it."""

    role: str
    name: str


@dataclass(frozen=True, slots=True)
class TracedRun:
    """One run that names what was asked for.

    Attributes:
        id: its id.
        outcome: how it ended, as its file says; "" when only a note tells of it.
        roles: what it says of the digest.
        commit: the commit that it was started from; "" when it does not say.
        recorded_in: the first commit that holds its file; "" when none does.
        anchor: the earliest anchor of its last stage that has one.
        facts: its `data`, `config`, `inputs`, `outputs`, `started` and `clean`, as it says.
    """

    id: str
    outcome: str
    roles: tuple[Role, ...]
    commit: str
    recorded_in: str
    anchor: TracedAnchor | None
    facts: dict[str, Json]


@dataclass(frozen=True, slots=True)
class BehindArtifact:
    """An artifact that the same commit binds."""

    path: str
    kind: str
    root: Digest


@dataclass(frozen=True, slots=True)
class Behind:
    """The code and data behind a model.

    Attributes:
        artifact: the model.
        commit: the first commit that binds it; its code.
        artifacts: what else that commit binds.
        runs: the ids of the runs that made the model.
    """

    artifact: str
    commit: str
    artifacts: tuple[BehindArtifact, ...]
    runs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A digest that was looked for: of the `content`, or of a model's `weights`."""

    kind: Literal["content", "weights"]
    digest: Digest


@dataclass(frozen=True, slots=True)
class Trace:
    """All that is known of one thing.

    Attributes:
        asked: the word that it was asked by.
        digests: what was looked for.
        bindings: where commits bind it, the oldest first.
        runs: the runs that name it, the oldest first.
        behind: code and data, for models.
        left_out: whether there are more places than were looked at.
        remarks: sentences on what could not be looked at.
    """

    asked: str
    digests: tuple[Asked, ...]
    bindings: tuple[Binding, ...]
    runs: tuple[TracedRun, ...]
    behind: tuple[Behind, ...]
    left_out: bool
    remarks: tuple[str, ...]

    @property
    def is_found(self) -> bool:
        """Whether anything binds it."""
        return bool(self.bindings or self.runs)


@dataclass(frozen=True, slots=True)
class Looked:
    """What the index holds, and what was read for it just now.

    Attributes:
        commits: commits with a record.
        runs: files of runs.
        manifests: folders of artifacts.
        missing_commits: recorded commits that this clone lacks.
        missing_manifests: folders that the store lacks.
        odd_lines: lines of notes that are not in the format, and notes that cannot be read.
        odd_runs: files of runs that are not in the format, or not under their own name.
        problems: one sentence for each remote whose notes cannot be listed.
        read_notes: notes that were read for this answer.
        read_runs: files of runs that were.
        read_manifests: manifests that were.
    """

    commits: int
    runs: int
    manifests: int
    missing_commits: int
    missing_manifests: int
    odd_lines: int
    odd_runs: int
    problems: tuple[str, ...]
    read_notes: int
    read_runs: int
    read_manifests: int


@dataclass(frozen=True, slots=True)
class Traces:
    """The answers in the order of the questions."""

    traces: tuple[Trace, ...]
    looked: Looked
