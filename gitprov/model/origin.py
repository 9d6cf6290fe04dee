"""The origin: the small YAML file that says where an imported artifact comes from.

It lies beside the artifact's pointer and is tracked by git, so the code leaf of every record binds
it (docs/formats.md section 14). It is read and written line by line, as pointers are.
"""

from dataclasses import dataclass
from typing import Literal, Self, cast

from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath
from gitprov.errors import MalformedError
from gitprov.model.record import check_commit_id

ENDING = ".origin"
"""What the name of an origin has behind the name of its pointer."""

MAX_ORIGIN_BYTES = 16 << 10

OriginKind = Literal["artifact", "part", "code"]

_KEYS = ("gitprov", "url", "rev", "commit", "path", "kind", "root", "record")
_KINDS = ("artifact", "part", "code")
_MAX_URL = 1000
_MAX_REV = 255


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an artifact comes from. `parse(o.to_bytes()) == o`, and back.

    Attributes:
        url: the address of that repository, without any secret; a relative path begins at the top
            of the repository that imported.
        rev: the revision that was asked for, and that `gitprov update` follows; `HEAD` where none
            was.
        commit: the full id of the commit that it meant.
        path: what was imported, its path there.
        kind: an artifact, a part of one, or a file of the code.
        root: of what was imported: a manifest's root, or a file's digest.
        record: the record root of that commit, against which that repository's notes and anchors
            can be held.
    """

    url: str
    rev: str
    commit: str
    path: RepoPath
    kind: OriginKind
    root: Digest
    record: Digest

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parses an origin; only the one canonical spelling passes.

        Raises:
            MalformedError: it says which line is wrong.
        """
        from gitprov.model.yaml_scalar import read_scalar  # PyYAML costs 16 ms to import

        if len(data) > MAX_ORIGIN_BYTES:
            raise MalformedError(f"an origin is larger than {MAX_ORIGIN_BYTES} bytes")
        try:
            lines = data.decode("utf-8").split("\n")
        except UnicodeDecodeError:
            raise MalformedError("an origin is not UTF-8") from None
        if lines.pop() or len(lines) != len(_KEYS):
            raise MalformedError(f"an origin has {len(_KEYS)} lines")
        values: dict[str, str] = {}
        for number, (line, key) in enumerate(zip(lines, _KEYS, strict=True), start=1):
            found, colon, value = line.partition(": ")
            if found != key or not colon:
                raise MalformedError(f"line {number} of an origin must be '{key}: …'")
            values[key] = value
        if values["gitprov"] != "1":
            raise MalformedError("an origin of a version that this gitprov does not read")
        if values["kind"] not in _KINDS:
            raise MalformedError(f"line 6 of an origin must say {' or '.join(_KINDS)}")
        origin = cls(
            url=_checked(read_scalar(values["url"]), "url", _MAX_URL),
            rev=_checked(read_scalar(values["rev"]), "rev", _MAX_REV),
            # A quoted one is text for YAML, too: 40 digits would be a number.
            commit=check_commit_id(read_scalar(values["commit"]), what="an origin"),
            path=_path(read_scalar(values["path"])),
            kind=cast("OriginKind", values["kind"]),
            root=Digest.parse(values["root"]),
            record=Digest.parse(values["record"]),
        )
        if origin.to_bytes() != data:
            raise MalformedError("an origin is not in its canonical spelling")
        return origin

    def to_bytes(self) -> bytes:
        """Returns the file's bytes.

        Raises:
            MalformedError: a value is one that no reader would take.
        """
        from gitprov.model.yaml_scalar import write_scalar  # as above

        url, rev = _checked(self.url, "url", _MAX_URL), _checked(self.rev, "rev", _MAX_REV)
        lines = [
            "gitprov: 1",
            f"url: {write_scalar(url)}",
            f"rev: {write_scalar(rev)}",
            f"commit: {write_scalar(self.commit)}",
            f"path: {write_scalar(self.path.raw.decode('utf-8'))}",
            f"kind: {self.kind}",
            f"root: {self.root}",
            f"record: {self.record}",
        ]
        data = ("\n".join(lines) + "\n").encode()
        if len(data) > MAX_ORIGIN_BYTES:
            raise MalformedError(f"an origin would be larger than {MAX_ORIGIN_BYTES} bytes")
        return data


def _checked(text: str, key: str, most: int) -> str:
    if not text or text.startswith("-") or not text.isprintable() or len(text) > most:
        raise MalformedError(f"the {key} of an origin is refused: {text[:80]!r}")
    return text


def _path(text: str) -> RepoPath:
    try:
        path = RepoPath.parse(text.encode())
    except UnicodeEncodeError:
        raise MalformedError(f"the path of an origin is refused: {text[:80]!r}") from None
    if not path.raw:
        raise MalformedError("the path of an origin is empty")
    return path
