"""Origins: the documented bytes, every deviation refused."""

import pytest

from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath
from gitprov.errors import MalformedError
from gitprov.model.origin import MAX_ORIGIN_BYTES, Origin

ROOT, RECORD = Digest.of(b"root"), Digest.of(b"record")
COMMIT = "0ead9a4452fa2bfe90c1145dcafabfd332f6ce9a"
ORIGIN = Origin(
    "https://example.org/team/data.git",
    "main",
    COMMIT,
    RepoPath(b"images/train"),
    "part",
    ROOT,
    RECORD,
)
TEXT = f"""\
gitprov: 1
url: https://example.org/team/data.git
rev: main
commit: {COMMIT}
path: images/train
kind: part
root: {ROOT}
record: {RECORD}
"""


def with_line(number: int, line: str) -> bytes:
    lines = TEXT.split("\n")
    lines[number - 1] = line
    return "\n".join(lines).encode()


def test_an_origin_is_the_documented_yaml() -> None:
    assert ORIGIN.to_bytes() == TEXT.encode()
    assert Origin.parse(TEXT.encode()) == ORIGIN


@pytest.mark.parametrize(
    ("url", "rev", "commit", "path"),
    [
        ("../other", "HEAD", "1" * 40, "a"),
        ("git@example.org:team/data", "12", "0" * 63 + "1", "ü/it's"),
        ("ssh://h:22/x: y", "yes", "1e" + "3" * 38, "#a"),
    ],
)
def test_what_yaml_would_read_otherwise_is_quoted(
    url: str, rev: str, commit: str, path: str
) -> None:
    origin = Origin(url, rev, commit, RepoPath(path.encode()), "code", ROOT, RECORD)
    assert Origin.parse(origin.to_bytes()) == origin


@pytest.mark.parametrize(
    "data",
    [
        b"",
        TEXT.encode()[:-1],
        TEXT.encode() + b"\n",
        TEXT.encode() + TEXT.encode(),
        TEXT.replace("\n", "\r\n").encode(),
        b"\xff" + TEXT.encode(),
        with_line(1, "gitprov: 2"),
        with_line(2, "url: 'https://example.org/team/data.git'"),
        with_line(2, "url: --upload-pack=x"),
        with_line(2, "url: ''"),
        with_line(2, 'url: "a\\x1bb"'),
        with_line(2, "url: " + "x" * 1001),
        with_line(3, "rev: -x"),
        with_line(3, "rev: 12"),
        with_line(3, "rev: [a]"),
        with_line(3, "rev: !!python/name:os.system x"),
        with_line(3, "rev: main # comment"),
        with_line(4, "commit: main"),
        with_line(4, "commit: " + COMMIT.upper()),
        with_line(5, "path: ../x"),
        with_line(5, "path: /x"),
        with_line(5, "path: a//b"),
        with_line(5, "path: .git/config"),
        with_line(5, "path: ''"),
        with_line(6, "kind: other"),
        with_line(7, "root: " + str(ROOT).upper()),
        with_line(8, "records: " + str(RECORD)),
        with_line(8, ""),
        b"#" * (MAX_ORIGIN_BYTES + 1),
    ],
)
def test_every_deviation_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        Origin.parse(data)


def test_what_no_reader_would_take_is_not_written() -> None:
    path = RepoPath("/".join(["\ufeff" * 80] * 16).encode())
    for origin in (
        Origin("-x", "main", COMMIT, RepoPath(b"a"), "code", ROOT, RECORD),
        Origin("x", "a\nb", COMMIT, RepoPath(b"a"), "code", ROOT, RECORD),
    ):
        with pytest.raises(MalformedError):
            origin.to_bytes()
    # The longest path there may be, each character escaped, still has room.
    long = Origin("x" * 1000, "y" * 255, COMMIT, path, "code", ROOT, RECORD)
    assert Origin.parse(long.to_bytes()) == long
