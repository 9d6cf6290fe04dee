"""The note of a commit: one canonical JSON object per line, lines sorted (docs/formats.md)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

from gitprov.core.canonical import Fields, Json, dumps, loads
from gitprov.core.digest import Digest, Sha256Digest
from gitprov.core.merkle import RUN, root
from gitprov.errors import MalformedError
from gitprov.model.record import Record, check_commit_id

MAX_NOTE_BYTES = 16 << 20
"""A note larger than this is refused before it is parsed."""

MAX_LINE_BYTES = 4 << 20
MAX_PATH = 64
"""The longest inclusion proof: a log of 2**64 entries."""

Status = Literal["pending", "included", "final", "reorged"]
STATUSES: tuple[Status, ...] = ("pending", "included", "final", "reorged")

_NETWORK = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)
_NAME = re.compile(r"[a-z]{1,16}(/[0-9A-Za-z._-]{1,80}){1,2}", re.ASCII)
_HEX32 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class RecordLine:
    """The record of a commit. `root` is what the line says; the judge compares it with `record`."""

    commit: str
    record: Record
    root: Digest

    def to_json(self) -> dict[str, Json]:
        """Returns the line as a JSON object."""
        return {
            "commit": self.commit,
            "gitprov": 1,
            "leaves": self.record.to_json(),
            "root": str(self.root),
            "type": "record",
        }


@dataclass(frozen=True)
class AnchorLine:
    """That a network witnessed a head of the log that covers the record.

    Attributes:
        commit: the commit's id.
        digest: the root of the log at `size`, which the network witnessed.
        index: the record's entry in the log.
        network: `tlog`, `ethereum`, …
        path: inclusion proof of the entry, 32 raw bytes each.
        receipt: the network's own evidence.
        root: the record root.
        size: the size of the log.
        status: how far the network is.
    """

    commit: str
    digest: Sha256Digest
    index: int
    network: str
    path: tuple[bytes, ...]
    receipt: dict[str, Json]
    root: Digest
    size: int
    status: Status

    def to_json(self) -> dict[str, Json]:
        """Returns the line as a JSON object."""
        return {
            "commit": self.commit,
            "digest": str(self.digest),
            "gitprov": 1,
            "index": self.index,
            "network": self.network,
            "path": [value.hex() for value in self.path],
            "receipt": self.receipt,
            "root": str(self.root),
            "size": self.size,
            "status": self.status,
            "type": "anchor",
        }


@dataclass(frozen=True)
class StatementLine:
    """That a root which is no record's went into the log: a run's stage, a hash.

    Attributes:
        commit: the commit that was checked out.
        name: what it is the root of: `run/<id>/before`, `hash/<hex>`.
        root: the root in the run tree.
        leaves: those under it, where nothing else keeps them.
    """

    commit: str
    name: str
    root: Digest
    leaves: tuple[dict[str, Json], ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Returns the line as a JSON object."""
        return {
            "commit": self.commit,
            "gitprov": 1,
            "leaves": [*self.leaves],
            "name": self.name,
            "root": str(self.root),
            "type": "statement",
        }


@dataclass(frozen=True)
class StatementAnchorLine:
    """That a network witnessed a head of the log that covers a statement's root."""

    anchor: AnchorLine

    def to_json(self) -> dict[str, Json]:
        """Returns the line as a JSON object."""
        return {**self.anchor.to_json(), "type": "statement-anchor"}


@dataclass(frozen=True)
class UnknownLine:
    """A line of a type that this version does not know: kept and reported, never dropped."""

    raw: bytes


@dataclass(frozen=True)
class MalformedLine:
    """A line that is not in the format; kept as it is, and reported."""

    raw: bytes
    reason: str


NoteLine = (
    RecordLine | AnchorLine | StatementLine | StatementAnchorLine | UnknownLine | MalformedLine
)


def parse_line(raw: bytes) -> NoteLine:
    """Parses one line without its newline; never raises."""
    try:
        value = loads(raw, what="a note's line", limit=MAX_LINE_BYTES)
        if not isinstance(value, dict):
            raise MalformedError("a note's line is not a JSON object")
        if value.get("type") == "record":
            return _parse_record(value)
        if value.get("type") == "anchor":
            return _parse_anchor(value, "anchor")
        if value.get("type") == "statement":
            return _parse_statement(value)
        if value.get("type") == "statement-anchor":
            return StatementAnchorLine(_parse_anchor(value, "statement-anchor"))
    except MalformedError as exc:
        return MalformedLine(raw, str(exc))
    return UnknownLine(raw)


def parse_note(data: bytes) -> tuple[NoteLine, ...]:
    """Parses a note; empty lines, which git's union merge leaves, are passed over.

    Raises:
        MalformedError: the note as a whole is too large.
    """
    if len(data) > MAX_NOTE_BYTES:
        raise MalformedError(f"a note is larger than {MAX_NOTE_BYTES} bytes")
    return tuple(parse_line(raw) for raw in data.split(b"\n") if raw)


def format_line(line: NoteLine) -> bytes:
    """Returns one line without its newline. `format_line(parse_line(b)) == b`."""
    if isinstance(line, (UnknownLine, MalformedLine)):
        return line.raw
    return dumps(line.to_json())


def format_note(lines: Iterable[NoteLine]) -> bytes:
    """Returns the note: each line once, sorted by its bytes."""
    return b"".join(raw + b"\n" for raw in sorted({format_line(line) for line in lines}))


def _parse_record(value: Json) -> RecordLine:
    fields = Fields(value, what="a record line")
    fields.constant("type", "record")
    fields.constant("gitprov", 1)
    line = RecordLine(
        commit=check_commit_id(fields.text("commit"), what="a record line"),
        record=Record.from_json(fields.array("leaves")),
        root=Digest.parse(fields.text("root")),
    )
    fields.end()
    return line


def _parse_statement(value: Json) -> StatementLine:
    fields = Fields(value, what="a statement line")
    fields.constant("type", "statement")
    fields.constant("gitprov", 1)
    name = fields.text("name")
    if not _NAME.fullmatch(name):
        raise MalformedError(f"a statement line: nothing is named {name[:100]!r}")
    leaves = tuple(leaf for leaf in fields.array("leaves") if isinstance(leaf, dict))
    line = StatementLine(
        commit=check_commit_id(fields.text("commit"), what="a statement line"),
        name=name,
        root=Digest.parse(fields.text("root")),
        leaves=leaves,
    )
    fields.end()
    if len(leaves) != len(cast("list[Json]", cast("dict[str, Json]", value)["leaves"])):
        raise MalformedError("a statement line: a leaf is no object")
    kind, _, rest = name.partition("/")
    if kind == "hash" and [(leaf.get("type"), leaf.get("value")) for leaf in leaves] != [
        ("hash", rest)
    ]:
        raise MalformedError("a statement line: its leaf is not of the hash in its name")
    if leaves and line.root.raw != root(RUN, [RUN.leaf(dumps(leaf)) for leaf in leaves]):
        raise MalformedError("a statement line: its leaves do not give its root")
    return line


def _parse_anchor(value: Json, kind: str) -> AnchorLine:
    fields = Fields(value, what="an anchor line")
    fields.constant("type", kind)
    fields.constant("gitprov", 1)
    network = fields.text("network")
    if not _NETWORK.fullmatch(network):
        raise MalformedError(f"an anchor line: no network is named {network[:40]!r}")
    line = AnchorLine(
        commit=check_commit_id(fields.text("commit"), what="an anchor line"),
        digest=Sha256Digest.parse(fields.text("digest")),
        index=fields.integer("index"),
        network=network,
        path=_parse_path(fields.array("path")),
        receipt=fields.object("receipt"),
        root=Digest.parse(fields.text("root")),
        size=fields.integer("size", minimum=1),
        status=cast("Status", fields.text("status", one_of=STATUSES)),
    )
    fields.end()
    return line


def _parse_path(values: list[Json]) -> tuple[bytes, ...]:
    if len(values) > MAX_PATH:
        raise MalformedError(f"an inclusion proof has more than {MAX_PATH} nodes")
    path: list[bytes] = []
    for value in values:
        if not isinstance(value, str) or not _HEX32.fullmatch(value):
            raise MalformedError("an inclusion proof has a node that is not 64 hex digits")
        path.append(bytes.fromhex(value))
    return tuple(path)
