"""A training run as a document: its leaves, its stages, and one Merkle tree over all of it.

Normative: docs/formats.md section 6. The file is canonical JSON but for line breaks around its
leaves, so that git shows a run leaf by leaf.
"""

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Self, cast

from gitprov.core.canonical import Fields, Json, dumps, loads
from gitprov.core.digest import Digest
from gitprov.core.merkle import RUN, consistency_proof, root, subtree_of, verify_consistency
from gitprov.errors import MalformedError, VerificationError
from gitprov.model.record import check_commit_id

FOLDER = "runs"
"""Where runs lie, at the top of the repository."""

SUFFIX = ".json"
MAX_RUN_BYTES = 64 << 20
MAX_LEAVES = 1_000_000

Outcome = Literal["running", "completed", "failed", "interrupted"]
OUTCOMES: tuple[Outcome, ...] = ("running", "completed", "failed", "interrupted")

StageName = Literal["before", "after"]
STAGES: tuple[StageName, ...] = ("before", "after")

Leaf = dict[str, Json]

_ID = re.compile(r"[0-9a-zA-Z][0-9a-zA-Z._-]{0,79}", re.ASCII)
_HEX32 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_WHAT = "a run"

_AFTERWARDS = {"results", "privacy", "end"}
"""Leaves that only a run which was logged to its end may have."""


def check_run_id(text: str) -> str:
    """Returns the text when it can be the id of a run."""
    if not _ID.fullmatch(text) or text.endswith(SUFFIX):
        raise MalformedError(f"{_WHAT}: not an id: {text[:80]!r}")
    return text


@dataclass(frozen=True, slots=True)
class Stage:
    """A moment whose root went into the log.

    Attributes:
        name: `before` the training, or `after` it.
        size: how many leaves there were.
        root: the root over them.
    """

    name: StageName
    size: int
    root: Digest


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        id: its name, and its file's.
        leaves: what is known of it, each a JSON object with a `type`, in the order it was learned.
        stages: `before`, then `after`; fewer while it runs, or when it never got there.
        outcome: how it ended; `failed` and `completed` are what its last leaf says.
    """

    id: str
    leaves: tuple[Leaf, ...] = ()
    stages: tuple[Stage, ...] = ()
    outcome: Outcome = "running"

    @cached_property
    def encoded(self) -> tuple[bytes, ...]:
        """The leaves' canonical bytes, kept from leaf to leaf: a run is written every epoch."""
        return tuple(dumps(leaf) for leaf in self.leaves)

    @property
    def commit(self) -> str | None:
        """The commit that it says it was started from, None when it says none."""
        for leaf in self.of_type("run"):
            commit = leaf.get("commit")
            with suppress(MalformedError):
                return check_commit_id(commit, what="a run") if isinstance(commit, str) else None
        return None

    def root(self, size: int | None = None) -> Digest:
        """Returns the root over the first leaves, over all of them by default."""
        return Digest(root(RUN, self._hashes()[:size]))

    def with_leaf(self, leaf: Leaf) -> Self:
        """Returns the run with one more leaf."""
        run = replace(self, leaves=(*self.leaves, leaf))
        run.__dict__["encoded"] = (*self.encoded, dumps(leaf))
        return run

    def with_stage(self, name: StageName) -> Self:
        """Returns the run with a stage over the leaves that are there."""
        stage = Stage(name, len(self.leaves), self.root())
        return replace(self, stages=(*self.stages, stage))

    def stage(self, name: StageName) -> Stage | None:
        """Returns a stage, or None."""
        return next((stage for stage in self.stages if stage.name == name), None)

    def of_type(self, kind: str) -> list[Leaf]:
        """Returns the leaves of one type."""
        return [leaf for leaf in self.leaves if leaf.get("type") == kind]

    @property
    def consistency(self) -> tuple[bytes, ...]:
        """The proof that the tree of `after` begins with that of `before` (RFC 9162)."""
        if len(self.stages) < len(STAGES):
            return ()
        old, new = self.stages[0].size, self.stages[1].size
        return tuple(consistency_proof(subtree_of(RUN, self._hashes()[:new]), old, new))

    def _hashes(self) -> list[bytes]:
        return [RUN.leaf(leaf) for leaf in self.encoded]


def format_run(run: Run) -> bytes:
    """Returns the file's bytes. `format_run(parse_run(b)) == b`."""
    proof: list[Json] = [value.hex() for value in run.consistency]
    stages: list[Json] = [
        {"root": str(stage.root), "size": stage.size, "stage": stage.name} for stage in run.stages
    ]
    leaves = b",\n".join(run.encoded)
    head = b'{"consistency":%s,"gitprov":1,"id":%s' % (dumps(proof), dumps(run.id))
    tail = b'"outcome":%s,"stages":%s,"type":"run"}' % (dumps(run.outcome), dumps(stages))
    return b'%s,"leaves":[\n%s\n],%s\n' % (head, leaves, tail)


def parse_run(data: bytes, *, what: str = _WHAT) -> Run:
    """Parses a run's file: its form, not whether its roots hold (`check_run`).

    Raises:
        MalformedError: it is not in the format.
    """
    if len(data) > MAX_RUN_BYTES:
        raise MalformedError(f"{what} is larger than {MAX_RUN_BYTES} bytes")
    # The line breaks around leaves are the only white space: without them it is canonical.
    value = loads(_joined(data, what), what=what, limit=MAX_RUN_BYTES)
    fields = Fields(value, what=what)
    fields.constant("type", "run")
    fields.constant("gitprov", 1)
    leaves = fields.array("leaves")
    if len(leaves) > MAX_LEAVES:
        raise MalformedError(f"{what} has more than {MAX_LEAVES} leaves")
    run = Run(
        id=check_run_id(fields.text("id")),
        leaves=tuple(_leaf(leaf, what) for leaf in leaves),
        stages=tuple(_stage(stage, what) for stage in fields.array("stages")),
        outcome=cast("Outcome", fields.text("outcome", one_of=OUTCOMES)),
    )
    proof = fields.array("consistency")
    fields.end()
    if [stage.name for stage in run.stages] != [*STAGES][: len(run.stages)]:
        raise MalformedError(f"{what}: its stages are not `before` and `after`, in that order")
    if any(not isinstance(node, str) or not _HEX32.fullmatch(node) for node in proof):
        raise MalformedError(f"{what}: its consistency proof has a node that is not 64 hex digits")
    if len(proof) > 64:
        raise MalformedError(f"{what}: its consistency proof has more than 64 nodes")
    sizes = [stage.size for stage in run.stages]
    if sizes != sorted(sizes):
        raise MalformedError(f"{what}: its stage after has fewer leaves than its stage before")
    if any(stage.size > len(run.leaves) for stage in run.stages):
        raise MalformedError(f"{what}: a stage has more leaves than there are")
    if format_run(run) != data:
        # The proof is what the leaves give, so a wrong one is a second spelling of the same run.
        if proof != [node.hex() for node in run.consistency]:
            raise MalformedError(
                f"{what}: its leaves do not give its consistency proof: one of them was changed"
            )
        raise MalformedError(f"{what} is not written as gitprov writes it")
    return run


def check_run(run: Run) -> None:
    """Checks a run against itself: who it is, stages against leaves, how it ended.

    Raises:
        VerificationError: it contradicts itself.
    """
    _check_first(run)
    for stage in run.stages:
        if run.root(stage.size) != stage.root:
            raise VerificationError(
                f"the leaves of {run.id} do not give the root of its stage {stage.name!r}"
            )
    if len(run.stages) == len(STAGES):
        before, after = run.stages
        verify_consistency(
            RUN, before.size, after.size, before.root.raw, after.root.raw, run.consistency
        )
    _check_end(run)


def _check_first(run: Run) -> None:
    """The first leaf says which run this is, so that its leaves cannot stand for another one."""
    heads = run.of_type("run")
    if not run.leaves or heads != [run.leaves[0]] or heads[0].get("id") != run.id:
        raise VerificationError(f"{run.id} does not begin with a leaf that says so")
    if run.commit is None:
        raise VerificationError(f"{run.id} does not say which commit it was started from")


def _check_end(run: Run) -> None:
    after = run.stage("after")
    ends = run.of_type("end")
    if after is None:
        told = {str(leaf.get("type")) for leaf in run.leaves} & _AFTERWARDS
        if told or run.outcome in {"completed", "failed"}:
            what = ", ".join(sorted(told)) or run.outcome
            raise VerificationError(f"{run.id} says {what}, but has no stage after")
        return
    last = run.leaves[after.size - 1]
    if after.size != len(run.leaves) or ends != [last]:
        raise VerificationError(f"{run.id} does not end with its one leaf that says how it ended")
    # It was ended, and killed before that was logged: then it says so, and nothing else.
    if run.outcome not in {last.get("outcome"), "running", "interrupted"}:
        raise VerificationError(f"{run.id} does not end with a leaf that says {run.outcome!r}")


def run_path(run_id: str) -> str:
    """Returns the path of a run's file in the repository."""
    return f"{FOLDER}/{run_id}{SUFFIX}"


def _joined(data: bytes, what: str) -> bytes:
    head, opened, rest = data.partition(b'"leaves":[\n')
    leaves, closed, tail = rest.rpartition(b'\n],"outcome":')
    if not opened or not closed or not tail.endswith(b"\n"):
        raise MalformedError(f"{what} is not written as gitprov writes it")
    return b'%s"leaves":[%s],"outcome":%s' % (head, leaves.replace(b",\n", b","), tail[:-1])


def _leaf(value: Json, what: str) -> Leaf:
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise MalformedError(f"{what}: a leaf is no object with a type")
    return value


def _stage(value: Json, what: str) -> Stage:
    fields = Fields(value, what=f"{what}: a stage")
    stage = Stage(
        name=cast("StageName", fields.text("stage", one_of=STAGES)),
        size=fields.integer("size", minimum=1),
        root=Digest.parse(fields.text("root")),
    )
    fields.end()
    return stage
