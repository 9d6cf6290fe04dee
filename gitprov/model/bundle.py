"""The file that `gitprov prove` writes: one file of an artifact, bound to a head of the log.

Every value in it is covered by a digest or a signature, or compared with one that is. Places in
the trees of manifests and records are given as sides (`L…`, `R…`), not as index and size: RFC
9162's size is bound by a signed head only, and these trees have none.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self, TypeVar, cast

from gitprov.core.canonical import Fields, Json, dumps, loads
from gitprov.core.digest import Digest
from gitprov.core.merkle import MANIFEST, RECORD, TreeHash, largest_power_below, subtree_of
from gitprov.core.paths import RepoPath
from gitprov.errors import MalformedError, UsageError
from gitprov.model.entry import Entry, leaf_hashes
from gitprov.model.manifest import Manifest
from gitprov.model.note import AnchorLine, parse_line
from gitprov.model.record import ArtifactLeaf, CodeLeaf, Record
from gitprov.model.signed_note import VerifierKey

SCHEMA = "gitprov/proof/v1"

MAX_BUNDLE_BYTES = 16 << 20
"""A proof larger than this is refused before it is parsed."""

MAX_STEPS = 64
MAX_LEVELS = 512
MAX_ANCHORS = 256

FileKind = Literal["f", "x", "l"]
LeafT = TypeVar("LeafT", ArtifactLeaf, CodeLeaf)

_STEP = re.compile(r"[LR][0-9a-f]{64}", re.ASCII)


class Step(NamedTuple):
    """One step towards a root: the sibling's hash, and the side on which it stands."""

    side: Literal["L", "R"]
    sibling: bytes


Route = tuple[Step, ...]


def follow(tree: TreeHash, leaf_hash: bytes, route: Route) -> bytes:
    """Returns the root that a leaf's route leads to."""
    value = leaf_hash
    for side, sibling in route:
        value = tree.node(sibling, value) if side == "L" else tree.node(value, sibling)
    return value


def route_to(tree: TreeHash, hashes: Sequence[bytes], index: int) -> Route:
    """Returns the route of one leaf; `follow` leads from it to `merkle.root(tree, hashes)`."""
    subtree = subtree_of(tree, hashes)
    steps: list[Step] = []
    start, end = 0, len(hashes)
    while end - start > 1:
        middle = start + largest_power_below(end - start)
        if index < middle:
            steps.append(Step("R", subtree(middle, end)))
            end = middle
        else:
            steps.append(Step("L", subtree(start, middle)))
            start = middle
    return tuple(reversed(steps))


@dataclass(frozen=True, slots=True)
class FileEntry:
    """What is proven of the file: its kind, digest and size."""

    kind: FileKind
    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class Level:
    """One directory on the way up: its manifest root, its size, and how the entry leads to it."""

    root: Digest
    size: int
    route: Route


@dataclass(frozen=True, slots=True)
class Bundle:
    """A self-contained proof. `parse(b.to_bytes()) == b`.

    Attributes:
        path: the file's path in the repository.
        file: its entry.
        manifest: the directories from the one that holds the file up to the artifact; none when
            the artifact is the file.
        artifact: the artifact's leaf in the record, `artifact_route` leads from it to the root.
        code: the code leaf, `code_route` leads from it to the same root.
        anchors: the anchor lines of the record.
        vkeys: the public keys of the logs that signed, one for each.
    """

    path: RepoPath
    file: FileEntry
    manifest: tuple[Level, ...]
    artifact: ArtifactLeaf
    artifact_route: Route
    code: CodeLeaf
    code_route: Route
    anchors: tuple[AnchorLine, ...]
    vkeys: tuple[VerifierKey, ...]

    @property
    def root(self) -> Digest:
        """The record root that the artifact's leaf leads to."""
        hashed = RECORD.leaf(dumps(self.artifact.to_json()))
        return Digest(follow(RECORD, hashed, self.artifact_route))

    @classmethod
    def build(
        cls,
        path: RepoPath,
        manifests: Sequence[Manifest],
        record: Record,
        anchors: Sequence[AnchorLine],
        *,
        vkeys: Sequence[VerifierKey] = (),
    ) -> Self:
        """Makes the proof of one file.

        Args:
            path: the file's path in the repository.
            manifests: the directories from the artifact down to the one that holds the file;
                none when the artifact is the file.
            record: the commit's record.
            anchors: the lines to put in.
            vkeys: the keys of the logs that signed them.

        Raises:
            UsageError: the path is not a file of an artifact of this record.
        """
        index, artifact = _artifact_of(path, record)
        names = path.parts[len(artifact.path.split("/")) :]
        if len(names) != len(manifests):
            raise UsageError(f"'{path}' is not a file of the artifact '{artifact.path}'")
        levels: list[Level] = []
        kind: FileKind = "x" if artifact.entry == "exec" else "f"
        file = FileEntry(kind, artifact.root, artifact.size)
        for depth, (name, manifest) in enumerate(zip(names, manifests, strict=True)):
            entry = manifest.get(name)
            is_last = depth == len(names) - 1
            if entry is None or (entry.kind == "d") is is_last:
                raise UsageError(f"'{path}' is not a file of the artifact '{artifact.path}'")
            route = route_to(MANIFEST, leaf_hashes(manifest.entries), manifest.entries.index(entry))
            levels.append(Level(manifest.root, manifest.size, route))
            if is_last:
                file = FileEntry(cast("FileKind", entry.kind), Digest(entry.digest), entry.size)
        return cls(
            path=path,
            file=file,
            manifest=tuple(reversed(levels)),
            artifact=artifact,
            artifact_route=route_to(RECORD, record.leaf_hashes, index),
            code=record.code,
            code_route=route_to(RECORD, record.leaf_hashes, 0),
            anchors=tuple(anchors),
            vkeys=tuple(vkeys),
        )

    def to_json(self) -> dict[str, Json]:
        """Returns the proof as a JSON object."""
        return {
            "anchors": [line.to_json() for line in self.anchors],
            "artifact": {"leaf": self.artifact.to_json(), "route": _route(self.artifact_route)},
            "code": {"leaf": self.code.to_json(), "route": _route(self.code_route)},
            "file": {
                "digest": str(self.file.digest),
                "kind": self.file.kind,
                "size": self.file.size,
            },
            "keys": [str(key) for key in self.vkeys],
            "manifest": [
                {"root": str(level.root), "route": _route(level.route), "size": level.size}
                for level in self.manifest
            ],
            "path": self.path.raw.decode("utf-8"),
            "schema": SCHEMA,
        }

    def to_bytes(self) -> bytes:
        """Returns the canonical JSON, without a newline at the end."""
        return dumps(self.to_json())

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parses `to_bytes`' form.

        Raises:
            MalformedError: too large, not canonical, an unknown or missing field, a bad name.
        """
        what = "a proof"
        fields = Fields(loads(data, what=what, limit=MAX_BUNDLE_BYTES), what=what)
        fields.constant("schema", SCHEMA)
        artifact, artifact_route = _leaf(fields.object("artifact"), ArtifactLeaf.from_json)
        code, code_route = _leaf(fields.object("code"), CodeLeaf.from_json)
        _parse_path(artifact.path)
        bundle = cls(
            path=_parse_path(fields.text("path")),
            file=_parse_file(fields.object("file")),
            manifest=tuple(map(_parse_level, _bounded(fields, "manifest", MAX_LEVELS))),
            artifact=artifact,
            artifact_route=artifact_route,
            code=code,
            code_route=code_route,
            anchors=tuple(map(_parse_anchor, _bounded(fields, "anchors", MAX_ANCHORS))),
            vkeys=tuple(map(_parse_key, _bounded(fields, "keys", MAX_ANCHORS))),
        )
        fields.end()
        return bundle

    def entries(self) -> tuple[Entry, ...]:
        """Returns the entry that stands in each directory of `manifest`, the file's first.

        Raises:
            MalformedError: the path does not lie that deep inside the artifact.
        """
        top = RepoPath.parse(self.artifact.path.encode())
        below = self.path.below(top).split(b"/") if self.path != top else []
        if not top.contains(self.path) or len(below) != len(self.manifest):
            raise MalformedError(f"'{self.path}' is not a file of '{self.artifact.path}'")
        if not below:
            return ()
        names = tuple(reversed(below))
        file = Entry(names[0], self.file.kind, self.file.digest.raw, self.file.size)
        folders = zip(names[1:], self.manifest, strict=False)
        return (file, *(Entry(name, "d", it.root.raw, it.size) for name, it in folders))


def _artifact_of(path: RepoPath, record: Record) -> tuple[int, ArtifactLeaf]:
    for index, artifact in enumerate(record.artifacts, start=1):
        if RepoPath(artifact.path.encode()).contains(path):
            return index, artifact
    raise UsageError(f"'{path}' is in no artifact of the commit {record.code.commit[:12]}")


def _route(route: Route) -> list[Json]:
    return [side + sibling.hex() for side, sibling in route]


def _parse_route(values: list[Json]) -> Route:
    if len(values) > MAX_STEPS:
        raise MalformedError(f"a proof: a route has more than {MAX_STEPS} steps")
    steps: list[Step] = []
    for value in values:
        if not isinstance(value, str) or not _STEP.fullmatch(value):
            raise MalformedError("a proof: a step is L or R and 64 hex digits")
        steps.append(Step("L" if value[0] == "L" else "R", bytes.fromhex(value[1:])))
    return tuple(steps)


def _leaf(value: Json, parse: Callable[[Json], LeafT]) -> tuple[LeafT, Route]:
    fields = Fields(value, what="a proof's leaf")
    leaf, route = parse(fields.object("leaf")), _parse_route(fields.array("route"))
    fields.end()
    return leaf, route


def _bounded(fields: Fields, key: str, most: int) -> list[Json]:
    values = fields.array(key)
    if len(values) > most:
        raise MalformedError(f"a proof has more than {most} {key}")
    return values


def _parse_path(text: str) -> RepoPath:
    path = RepoPath.parse(text.encode("utf-8", "surrogatepass"))
    if not path.raw:
        raise MalformedError("a proof has an empty path")
    return path


def _parse_file(value: Json) -> FileEntry:
    fields = Fields(value, what="a proof's file")
    entry = FileEntry(
        kind=cast("FileKind", fields.text("kind", one_of=("f", "x", "l"))),
        digest=Digest.parse(fields.text("digest")),
        size=fields.integer("size"),
    )
    fields.end()
    return entry


def _parse_level(value: Json) -> Level:
    fields = Fields(value, what="a proof's directory")
    level = Level(
        root=Digest.parse(fields.text("root")),
        size=fields.integer("size"),
        route=_parse_route(fields.array("route")),
    )
    fields.end()
    return level


def _parse_anchor(value: Json) -> AnchorLine:
    line = parse_line(dumps(value))
    if not isinstance(line, AnchorLine):
        raise MalformedError("a proof's anchor is not an anchor line")
    return line


def _parse_key(value: Json) -> VerifierKey:
    if not isinstance(value, str):
        raise MalformedError("a proof's key is not a string")
    return VerifierKey.parse(value)
