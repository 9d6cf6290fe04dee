"""Names and paths that are safe to write on any machine (DESIGN section 5).

The names that git itself refuses come from git's t1014-read-tree-confusing.sh and the CVEs behind
it (CVE-2014-9390, CVE-2019-1351 to -1354, CVE-2021-21300, CVE-2024-32002).
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from gitprov.errors import MalformedError

MAX_NAME_BYTES = 255
"""The longest name that common file systems keep."""

MAX_PATH_BYTES = 4096
"""The longest path, Linux' PATH_MAX."""

MAX_DEPTH = 400
"""The most components of a path: folders nested deeper are somebody's attack, not a dataset."""

# One pass over all names of a directory joined by "/": plain ASCII, no dot in front, and neither
# of the letters that begin a spelling of ".git" or "git~1".
_PLAIN = re.compile(rb"(?:[A-FH-Za-fh-z0-9_(+=@#,-][A-Za-z0-9_.()+=@#, -]{0,200}/)*")

# Code points that HFS+ ignores in names (git's utf8.c, next_hfs_char).
_HFS_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_GIT_SHORT = re.compile(r"git~[0-9]+|gi[0-9a-f]{4}~[0-9]+")


def show(path: bytes) -> str:
    """Returns a printable form: UTF-8 where it is printable, escapes for everything else.

    No two paths have the same form.
    """
    text = path.decode("utf-8", "surrogateescape")
    return "".join(c if c.isprintable() and c != "\\" else _escape(c) for c in text)


def printable(text: str) -> str:
    """Returns a message that cannot steer a terminal: one line, whatever was put into it.

    Unlike `show` it leaves backslashes alone, so names that are escaped already stay as they are.
    """
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as surrogateescape keeps it
        return f"\\x{code - 0xDC00:02x}"
    if 0x80 <= code <= 0xFF:  # unicode_escape would write it like a byte that is not UTF-8
        return f"\\u{code:04x}"
    return char.encode("unicode_escape").decode("ascii")


def check_name(name: bytes) -> None:
    """Checks one path component.

    Raises:
        MalformedError: the name is refused; the message shows it escaped and says why.
    """
    reason = _refusal(name)
    if reason:
        raise MalformedError(
            f"the name '{show(name)}' is refused: {reason}",
            hint="rename it, or exclude it with a line in .gitprovignore",
        )


def check_names(names: Sequence[bytes]) -> None:
    """Checks all names of one directory, alone and against each other.

    Raises:
        MalformedError: one is refused, or two are equal or collide by case or normalisation.
    """
    joined = b"/".join(names) + b"/" if names else b""
    if _PLAIN.fullmatch(joined):
        keys: list[bytes] | list[str] = joined.lower().split(b"/")[:-1]
        if len(keys) != len(names):  # a "/" inside a name splits it into more
            for name in names:
                check_name(name)
    else:
        for name in names:
            check_name(name)
        keys = [_folded(name) for name in names]
    if len(set(keys)) != len(names):
        _name_collision(names)


def collide(one: bytes, other: bytes) -> bool:
    """Whether two valid names are one where case or Unicode normalisation is ignored."""
    return _folded(one) == _folded(other)


def _name_collision(names: Sequence[bytes]) -> None:
    seen: dict[str, bytes] = {}
    for name in names:
        folded = _folded(name)
        other = seen.get(folded)
        if other == name:
            raise MalformedError(f"the name '{show(name)}' occurs twice")
        if other is not None:
            raise MalformedError(
                f"the names '{show(other)}' and '{show(name)}' collide on a file system that "
                "ignores case or Unicode normalisation",
                hint="rename one of them",
            )
        seen[folded] = name


def _folded(name: bytes) -> str:
    text = unicodedata.normalize("NFD", name.decode("utf-8"))
    return unicodedata.normalize("NFC", text.casefold())


def _refusal(name: bytes) -> str | None:
    if not name or name in {b".", b".."}:
        return "it is empty, '.' or '..'"
    if len(name) > MAX_NAME_BYTES:
        return f"it is longer than {MAX_NAME_BYTES} bytes"
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        return "it is not UTF-8"
    if "/" in text or "\\" in text:
        return "it contains a slash or backslash"
    if any(unicodedata.category(char) == "Cc" for char in text):
        return "it contains a control character"
    if is_git_spelling(text):
        return "it is a spelling of '.git'"
    return None


def is_git_spelling(name: str) -> bool:
    """Whether some file system would open `.git` under this name.

    Folded: case, HFS+'s ignorable code points, trailing dots and spaces, an NTFS stream suffix,
    and the short names `git~1` and `gi<hash>~1`.
    """
    plain = _HFS_IGNORED.sub("", name).casefold()
    plain = plain.partition(":")[0].rstrip(". ")
    return plain == ".git" or bool(_GIT_SHORT.fullmatch(plain))


@dataclass(frozen=True, slots=True, order=True)
class RepoPath:
    """A path inside the repository: bytes, components joined by "/", the root is empty."""

    raw: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Parses and checks; `parse(p.raw) == p`.

        Raises:
            MalformedError: a component is refused, or the path is too long.
        """
        if len(raw) > MAX_PATH_BYTES:
            raise MalformedError(f"a path is longer than {MAX_PATH_BYTES} bytes")
        if raw.count(b"/") >= MAX_DEPTH:
            raise MalformedError(f"a path has more than {MAX_DEPTH} components")
        if raw and not _PLAIN.fullmatch(raw + b"/"):
            for part in raw.split(b"/"):
                check_name(part)
        return cls(raw)

    @property
    def parts(self) -> tuple[bytes, ...]:
        """The components; none for the root."""
        return tuple(self.raw.split(b"/")) if self.raw else ()

    @property
    def name(self) -> bytes:
        """The last component; empty for the root."""
        return self.raw.rpartition(b"/")[2]

    @property
    def parent(self) -> "RepoPath":
        """The path without its last component."""
        return RepoPath(self.raw.rpartition(b"/")[0])

    def __truediv__(self, name: bytes) -> "RepoPath":
        """The path of something in this folder; the name is not checked again."""
        return RepoPath(self.raw + b"/" + name if self.raw else name)

    def ancestors(self) -> Iterator["RepoPath"]:
        """Yields the folders above it, nearest first, the root last."""
        path = self
        while path.raw:
            path = path.parent
            yield path

    def contains(self, other: "RepoPath") -> bool:
        """Whether the other path is this one or lies below it."""
        return not self.raw or other.raw == self.raw or other.raw.startswith(self.raw + b"/")

    def below(self, ancestor: "RepoPath") -> bytes:
        """The rest of the path below an ancestor, "" for the ancestor itself."""
        if not ancestor.raw:
            return self.raw
        return self.raw[len(ancestor.raw) + 1 :]

    def __str__(self) -> str:
        """The printable form."""
        return show(self.raw) or "."
