"""`.gitprovignore`: git's own ignore rules, in the repository's root and in any folder below it.

The patterns are translated here and not by pathspec: git's `wildmatch` works on bytes, knows POSIX
classes and has corners that pathspec does not share, and pathspec costs the pre-commit hook 27 ms.
`tests/property/test_scan.py` holds this file against `git check-ignore`.
"""

import errno
import os
import re
import stat
import string
from typing import NamedTuple, Self

from gitprov.core.paths import RepoPath, show
from gitprov.errors import EnvironmentFault, MalformedError

IGNORE_NAME = b".gitprovignore"

MAX_IGNORE_BYTES = 1 << 20
"""An ignore file larger than this is refused."""

_SPECIAL = re.compile(rb"[*?\[\\]")

_CLASSES: dict[bytes, bytes] = {
    b"alnum": (string.ascii_letters + string.digits).encode(),
    b"alpha": string.ascii_letters.encode(),
    b"blank": b" \t",
    b"cntrl": bytes([*range(32), 127]),
    b"digit": string.digits.encode(),
    b"graph": bytes(range(33, 127)),
    b"lower": string.ascii_lowercase.encode(),
    b"print": bytes(range(32, 127)),
    b"punct": string.punctuation.encode(),
    b"space": b" \t\n\r",
    b"upper": string.ascii_uppercase.encode(),
    b"xdigit": string.hexdigits.encode(),
}


class Match(NamedTuple):
    """The line that decides about a path.

    Attributes:
        source: the ignore file, relative to the repository.
        line: its line number, from 1.
        pattern: the line as it is written.
        ignored: False when the line begins with "!".
    """

    source: bytes
    line: int
    pattern: bytes
    ignored: bool


class _Line(NamedTuple):
    number: int
    text: bytes
    negated: bool
    only_folders: bool
    regex: bytes


class Rules:
    """The lines of one ignore file on top of those above it; the deeper file wins."""

    __slots__ = ("_any", "_compiled", "_lines", "_prefix", "_up", "source")

    def __init__(self, up: "Rules | None", folder: bytes, lines: list[_Line]) -> None:
        self._up = up
        self._prefix = len(folder) + 1 if folder else 0
        self._lines = lines
        self._any = re.compile(b"|".join(b"(?:" + line.regex + b")" for line in lines), re.DOTALL)
        self._compiled: dict[int, re.Pattern[bytes]] = {}
        self.source = folder + b"/" + IGNORE_NAME if folder else IGNORE_NAME

    @classmethod
    def parse(cls, up: "Rules | None", folder: bytes, data: bytes) -> "Self | Rules | None":
        """Returns the rules inside a folder, whose path is relative to the repository."""
        lines = []
        for number, text in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
            line = _parse_line(number, text.removesuffix(b"\r"))
            if line is not None:
                lines.append(line)
        return cls(up, folder, lines) if lines else up

    def match(self, path: bytes, *, is_folder: bool) -> Match | None:
        """Returns the line that decides about this very path; folders above it are not asked."""
        below = path[self._prefix :]
        if self._any.fullmatch(below):
            for index in range(len(self._lines) - 1, -1, -1):
                line = self._lines[index]
                if line.only_folders and not is_folder:
                    continue
                regex = self._compiled.get(index)
                if regex is None:
                    regex = self._compiled[index] = re.compile(line.regex, re.DOTALL)
                if regex.fullmatch(below):
                    return Match(self.source, line.number, line.text, not line.negated)
        return self._up.match(path, is_folder=is_folder) if self._up is not None else None

    def ignores(self, path: bytes, *, is_folder: bool) -> bool:
        """Whether this very path is ignored; a walk that prunes folders needs to ask no more."""
        found = self.match(path, is_folder=is_folder)
        return found is not None and found.ignored


def read_rules(up: Rules | None, folder: bytes, folder_fd: int) -> Rules | None:
    """Returns the rules inside an open folder: those from above, and its own file's.

    Raises:
        MalformedError: the ignore file is a symlink, or larger than `MAX_IGNORE_BYTES`.
        EnvironmentFault: it cannot be read.
    """
    source = show(folder + b"/" + IGNORE_NAME if folder else IGNORE_NAME)
    try:
        fd = os.open(
            IGNORE_NAME,
            os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK,
            dir_fd=folder_fd,
        )
    except FileNotFoundError:
        return up
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise MalformedError(
                f"{source} is a symbolic link, which is not followed", hint="make it a file"
            ) from None
        raise EnvironmentFault(f"cannot read {source}: {exc.strerror}") from exc
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return up
        data = b""
        while len(data) <= MAX_IGNORE_BYTES and (part := os.read(fd, MAX_IGNORE_BYTES + 1)):
            data += part
    except OSError as exc:
        raise EnvironmentFault(f"cannot read {source}: {exc.strerror}") from exc
    finally:
        os.close(fd)
    if len(data) > MAX_IGNORE_BYTES:
        raise MalformedError(f"{source} is larger than {MAX_IGNORE_BYTES} bytes")
    return Rules.parse(up, folder, data)


def explain(root: str, path: RepoPath) -> Match | None:
    """Returns the line by which a path is ignored or kept, as `git check-ignore -v` would.

    A folder above it that is ignored decides, because nothing below it is looked at.

    Args:
        root: the worktree.
        path: a path inside it; it need not exist.
    """
    rules: Rules | None = None
    found: Match | None = None
    folder = b""
    try:
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise EnvironmentFault(f"cannot read {root}: {exc.strerror}") from exc
    try:
        for name in path.parts:
            if fd >= 0:
                rules = read_rules(rules, folder, fd)
            folder = folder + b"/" + name if folder else name
            below = _open_folder(name, fd) if fd >= 0 else -1
            is_folder = below >= 0 or folder != path.raw
            if fd >= 0:
                os.close(fd)
            fd = below
            found = rules.match(folder, is_folder=is_folder) if rules is not None else None
            if found is not None and found.ignored:
                return found
        return found
    finally:
        if fd >= 0:
            os.close(fd)


def _open_folder(name: bytes, fd: int) -> int:
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    except OSError:
        return -1


def _parse_line(number: int, text: bytes) -> _Line | None:
    pattern = _without_trailing_spaces(text.partition(b"\0")[0])
    if not pattern or pattern.startswith(b"#"):
        return None
    negated = pattern.startswith(b"!")
    pattern = pattern[negated:]
    only_folders = pattern.endswith(b"/")
    if only_folders:
        pattern = pattern[:-1]
    if b"/" in pattern:
        pattern = pattern.removeprefix(b"/")
        # git compares the part before the first special character by itself, and matches the rest
        # as a pattern of its own: so in "foo**/bar" the stars stand at a beginning.
        special = _SPECIAL.search(pattern)
        literal = pattern[: special.start()] if special else pattern
        rest = _translate(pattern[len(literal) :])
        regex = None if rest is None else re.escape(literal) + rest
    else:
        rest = _translate(pattern) if pattern else None
        regex = None if rest is None else b"(?:.*/)?" + rest
    if regex is None:
        return None
    return _Line(number, text, negated, only_folders, regex)


def _without_trailing_spaces(text: bytes) -> bytes:
    end = len(text)
    while end and text[end - 1 : end] == b" ":
        end -= 1
    backslashes = len(text[:end]) - len(text[:end].rstrip(b"\\"))
    return text[: end + 1] if backslashes % 2 and end < len(text) else text[:end]


_STAR, _SLASH, _FOLDERS, _SOME_FOLDERS, _REST = b"*", b"/", b"**/", b"**\\/", b"**"


def _tokens(pattern: bytes) -> list[bytes] | None:
    """Splits a pattern into stars, slashes and regular expressions of one byte each.

    None when it can never match (a bracket that does not end, a lone backslash).
    """
    tokens: list[bytes] = []
    i = 0
    while i < len(pattern):
        char = pattern[i : i + 1]
        if char == b"*":
            end = i
            while pattern[end : end + 1] == b"*":
                end += 1
            token, i = _star(pattern, i, end)
            tokens.append(token)
        elif char == b"?":
            tokens.append(b"[^/]")
            i += 1
        elif char == b"[":
            bracket = _bracket(pattern, i + 1)
            if bracket is None:
                return None
            token, i = bracket
            tokens.append(token)
        else:
            if char == b"\\":
                i += 1
                char = pattern[i : i + 1]
                if not char:
                    return None
            tokens.append(_SLASH if char == b"/" else re.escape(char))
            i += 1
    return tokens


def _star(pattern: bytes, start: int, end: int) -> tuple[bytes, int]:
    at_beginning = start == 0 or pattern[start - 1 : start] == b"/"
    if end - start > 1 and at_beginning:
        if end == len(pattern):
            return _REST, end
        if pattern[end : end + 1] == b"/":
            return _FOLDERS, end + 1
        if pattern[end : end + 2] == b"\\/":
            return _SOME_FOLDERS, end + 2
    return _STAR, end


def _bracket(pattern: bytes, i: int) -> tuple[bytes, int] | None:  # noqa: C901 - wildmatch.c's loop
    negated = pattern[i : i + 1] in {b"!", b"^"}
    i += negated
    members: set[int] = set()
    previous = -1
    first = True
    while True:
        if i >= len(pattern):
            return None
        char = pattern[i]
        if char == ord("]") and not first:
            break
        first = False
        if char == ord("\\"):
            i += 1
            if i >= len(pattern):
                return None
            previous = pattern[i]
            members.add(previous)
        elif char == ord("-") and previous >= 0 and pattern[i + 1 : i + 2] not in {b"", b"]"}:
            i += 1
            if pattern[i] == ord("\\"):
                i += 1
                if i >= len(pattern):
                    return None
            members.update(range(previous, pattern[i] + 1))
            previous = -1
        elif pattern[i : i + 2] == b"[:":
            end = pattern.find(b"]", i + 2)
            if end < 0:
                return None
            if end > i + 2 and pattern[end - 1] == ord(":"):
                named = _CLASSES.get(pattern[i + 2 : end - 1])
                if named is None:
                    return None
                members.update(named)
                i = end
                previous = -1
            else:
                previous = char
                members.add(char)
        else:
            previous = char
            members.add(char)
        i += 1
    chosen = (set(range(1, 256)) - members if negated else members) - {ord("/")}
    if not chosen:
        return None
    return b"[" + b"".join(b"\\x%02x" % value for value in sorted(chosen)) + b"]", i + 1


def _translate(pattern: bytes) -> bytes | None:
    """Returns the regular expression of a pattern.

    The pattern may be hostile, so the stars must not backtrack against each other: what follows a
    star up to the next one (or through the next slash) is taken at its first fit and kept, in an
    atomic group; a later fit could never help, because the next star takes up any difference.
    """
    tokens = _tokens(pattern)
    if tokens is None:
        return None
    blocks: list[list[bytes]] = [[]]
    for token in tokens:
        if token in {_FOLDERS, _SOME_FOLDERS}:
            blocks.append([token])
        else:
            blocks[-1].append(token)
    out = _block(blocks[0])
    for number, (head, *rest) in enumerate(blocks[1:], 2):
        body = (b"(?:.*?/)??" if head == _FOLDERS else b"(?:.*?/)") + _block(rest)
        out += b"(?>" + body + b")" if number < len(blocks) else body
    return out


def _block(tokens: list[bytes]) -> bytes:
    out = b""
    i = 0
    while i < len(tokens):
        token = tokens[i]
        i += 1
        if token == _REST:
            out += b".*"
        elif token == _STAR:
            start = i
            while i < len(tokens) and tokens[i] not in {_STAR, _REST}:
                i += 1
                if tokens[i - 1] == _SLASH:
                    break
            piece = b"".join(tokens[start:i])
            out += b"(?>[^/]*?" + piece + b")" if i < len(tokens) else b"[^/]*" + piece
        else:
            out += token
    return out
