"""The record: what one commit binds, as the leaves of one Merkle tree (docs/formats.md)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal, Self, cast

from gitprov.core.canonical import Fields, Json, dumps
from gitprov.core.digest import Digest
from gitprov.core.merkle import RECORD, root
from gitprov.core.paths import RepoPath
from gitprov.errors import MalformedError
from gitprov.model.pointer import MAX_COUNT, ArtifactKind, EntryType, Pointer

ObjectFormat = Literal["sha1", "sha256"]

MAX_LEAVES = 100_000
"""A record with more leaves than this is refused."""

_HEX_LENGTH = {"sha1": 40, "sha256": 64}
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.ASCII)


def check_commit_id(text: str, *, what: str) -> str:
    """Returns the text when it is a full object id of git in lowercase hex."""
    if not _COMMIT.fullmatch(text):
        raise MalformedError(f"{what}: not a commit id: {text[:80]!r}")
    return text


@dataclass(frozen=True, slots=True)
class CodeLeaf:
    """The code: the commit object and the tree below it, bound by BLAKE3 as well as by git."""

    object_format: ObjectFormat
    commit: str
    commit_blake3: Digest
    tree_blake3: Digest

    def to_json(self) -> dict[str, Json]:
        """Returns the leaf as a JSON object."""
        return {
            "commit": self.commit,
            "commit_blake3": str(self.commit_blake3),
            "object_format": self.object_format,
            "tree_blake3": str(self.tree_blake3),
            "type": "code",
        }

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Parses `to_json`'s form."""
        fields = Fields(value, what="a code leaf")
        fields.constant("type", "code")
        object_format = cast(
            "ObjectFormat", fields.text("object_format", one_of=tuple(_HEX_LENGTH))
        )
        commit = check_commit_id(fields.text("commit"), what="a code leaf")
        if len(commit) != _HEX_LENGTH[object_format]:
            raise MalformedError(f"a code leaf: {commit} is not an id of {object_format}")
        leaf = cls(
            object_format=object_format,
            commit=commit,
            commit_blake3=Digest.parse(fields.text("commit_blake3")),
            tree_blake3=Digest.parse(fields.text("tree_blake3")),
        )
        fields.end()
        return leaf


@dataclass(frozen=True, slots=True)
class ArtifactLeaf:
    """One artifact; `path` is its path in the repository, UTF-8."""

    path: str
    kind: ArtifactKind
    entry: EntryType
    root: Digest
    size: int
    files: int
    weights: Digest | None = None

    @classmethod
    def of(cls, folder: str, pointer: Pointer) -> Self:
        """Returns the leaf of a pointer that lies in a folder ("" for the top)."""
        return cls(
            path=f"{folder}/{pointer.path}" if folder else pointer.path,
            kind=pointer.kind,
            entry=pointer.type,
            root=pointer.root,
            size=pointer.size,
            files=pointer.files,
            weights=pointer.weights,
        )

    def to_json(self) -> dict[str, Json]:
        """Returns the leaf as a JSON object."""
        value: dict[str, Json] = {
            "entry": self.entry,
            "files": self.files,
            "kind": self.kind,
            "path": self.path,
            "root": str(self.root),
            "size": self.size,
            "type": "artifact",
        }
        if self.weights is not None:
            value["weights"] = str(self.weights)
        return value

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Parses `to_json`'s form."""
        fields = Fields(value, what="an artifact leaf")
        fields.constant("type", "artifact")
        leaf = cls(
            path=fields.text("path"),
            kind=cast("ArtifactKind", fields.text("kind", one_of=("data", "model"))),
            entry=cast("EntryType", fields.text("entry", one_of=("dir", "file", "exec"))),
            root=Digest.parse(fields.text("root")),
            size=fields.integer("size"),
            files=fields.integer("files"),
            weights=Digest.parse(fields.text("weights")) if fields.has("weights") else None,
        )
        fields.end()
        if max(leaf.size, leaf.files) > MAX_COUNT:
            raise MalformedError("an artifact leaf: 'size' or 'files' is too large")
        return leaf


@dataclass(frozen=True)
class Record:
    """The leaves of one commit, code first, then the artifacts by the bytes of their paths."""

    code: CodeLeaf
    artifacts: tuple[ArtifactLeaf, ...]

    @classmethod
    def of(cls, code: CodeLeaf, artifacts: Sequence[ArtifactLeaf]) -> Self:
        """Sorts the artifacts.

        Raises:
            MalformedError: a path is refused, two have one path, or one lies inside another.
        """
        for leaf in artifacts:
            # git allows folder names that `check_name` does not.
            if not RepoPath.parse(leaf.path.encode("utf-8", "surrogatepass")).raw:
                raise MalformedError("an artifact leaf: 'path' is empty")
        ordered = tuple(sorted(artifacts, key=lambda leaf: leaf.path.encode()))
        # With the separator as the smallest character, what lies inside an artifact comes next.
        paths = sorted(leaf.path.replace("/", "\0") for leaf in ordered)
        for outer, path in pairwise(paths):
            if path == outer:
                raise MalformedError("a record names an artifact twice")
            if path.startswith(outer + "\0"):
                inner, around = path.replace("\0", "/"), outer.replace("\0", "/")
                raise MalformedError(f"the artifact {inner!r} lies inside the artifact {around!r}")
        return cls(code, ordered)

    @property
    def leaves(self) -> tuple[CodeLeaf | ArtifactLeaf, ...]:
        """All leaves in their order."""
        return (self.code, *self.artifacts)

    @cached_property
    def leaf_hashes(self) -> list[bytes]:
        """The hashes of the leaves' canonical JSON."""
        return [RECORD.leaf(dumps(leaf.to_json())) for leaf in self.leaves]

    @cached_property
    def root(self) -> Digest:
        """The record root."""
        return Digest(root(RECORD, self.leaf_hashes))

    def to_json(self) -> list[Json]:
        """Returns the leaves as JSON objects."""
        return [leaf.to_json() for leaf in self.leaves]

    @classmethod
    def from_json(cls, value: list[Json]) -> Self:
        """Parses `to_json`'s form; the order must be the canonical one."""
        if not 1 <= len(value) <= MAX_LEAVES:
            raise MalformedError(f"a record has from 1 to {MAX_LEAVES} leaves, not {len(value)}")
        code = CodeLeaf.from_json(value[0])
        record = cls.of(code, [ArtifactLeaf.from_json(item) for item in value[1:]])
        if record.to_json() != value:
            raise MalformedError("a record's leaves are not in order")
        return record
