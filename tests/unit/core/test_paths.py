"""Names: what git and other file systems choke on is refused; everything printable is not."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitprov.core.paths import (
    MAX_NAME_BYTES,
    MAX_PATH_BYTES,
    RepoPath,
    check_name,
    check_names,
    is_git_spelling,
    show,
)
from gitprov.errors import MalformedError

# The cases of git's t1014-read-tree-confusing.sh, and of the CVEs in gitprov/core/paths.py.
HOSTILE = [
    b".",
    b"..",
    b"",
    b".git",
    b".GIT",
    b".Git",
    b".gIt",
    "\u200c.Git".encode(),
    ".gI\u200cT".encode(),
    ".GiT\u200c".encode(),
    ".g\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202eit".encode(),
    "\ufeff.git".encode(),
    ".g\u206ait\u206f".encode(),
    b"git~1",
    b"GIT~1",
    b"git~2",
    b"git~1 ",
    b"git~1.",
    b"gi7eba~1",
    b".git ",
    b".git.",
    b".git. .",
    b".git. ",
    b".git...:alternate-stream",
    b".git::$INDEX_ALLOCATION",
    b".git:stream",
    b".\\.GIT\\foobar",
    b".git\\foobar",
    b"..\\outside",
    b"a\\b",
    b"\\\\server\\share",
    b"a/b",
    b"/",
    b"/etc",
    b"a/",
    b"nul\x00byte",
    b"new\nline",
    b"carriage\r",
    b"tab\t",
    b"\x1b[2Jclear",
    b"bell\x07",
    b"delete\x7f",
    "c1\x85control".encode(),
    b"\xff\xfe",
    b"latin-1 \xe9",
    b"overlong \xc0\xaf",
    b"surrogate \xed\xa0\x80",
    b"cut short \xc3",
    b"a" * (MAX_NAME_BYTES + 1),
    "\u00e9".encode() * 128,
]

HARMLESS = [
    b"a",
    b"g",
    b"git",
    b".gitignore",
    b".gitattributes",
    b".github",
    b".gi",
    b"git~",
    b"x.git",
    b"git~1x",
    b"...",
    b"..a",
    b" leading and trailing ",
    b"trailing.",
    b"C:",
    b"NUL",
    b"-rf",
    b"--",
    b"~",
    b"#",
    b"!important",
    b"'single' \"double\"",
    b"$(rm -rf ~)",
    b"`id`",
    b"*?[]",
    b"a;b|c&d",
    b"%41",
    "\u00fc\u00e9\u00e8".encode(),
    "\u65e5\u672c\u8a9e".encode(),
    "\U0001f600".encode(),
    "e\u0301".encode(),
    "\u00a0".encode(),
    "\u2028".encode(),
    "\u05d0\u05d1".encode(),
    b"a" * MAX_NAME_BYTES,
]


@pytest.mark.parametrize("name", HOSTILE, ids=show)
def test_a_hostile_name_is_refused_and_shown_escaped(name: bytes) -> None:
    with pytest.raises(MalformedError, match="is refused") as caught:
        check_name(name)
    assert str(caught.value).isprintable()
    assert f"'{show(name)}'" in str(caught.value)
    assert caught.value.hint is not None


@pytest.mark.parametrize("name", HOSTILE, ids=show)
def test_a_hostile_name_is_refused_among_harmless_ones(name: bytes) -> None:
    for names in ([name], [b"a", name], [name, b"z"], ["\u00fc".encode(), name, b"z"]):
        with pytest.raises(MalformedError):
            check_names(names)


@pytest.mark.parametrize("name", HOSTILE, ids=show)
def test_a_hostile_name_is_refused_inside_a_path(name: bytes) -> None:
    if name == b"a/b":
        return  # as a path it is two harmless names
    for raw in (b"data/" + name, b"data/" + name + b"/x"):
        with pytest.raises(MalformedError):
            RepoPath.parse(raw)


@pytest.mark.parametrize("name", HARMLESS, ids=show)
def test_any_other_printable_name_is_fine(name: bytes) -> None:
    check_name(name)
    check_names([name])
    check_names([b"a first one", name, b"z"] if name != b"a first one" else [])
    assert RepoPath.parse(b"x/" + name).name == name


@pytest.mark.parametrize(
    "names",
    [
        (b"README", b"readme"),
        (b"a.txt", b"b", b"A.TXT"),
        (b".hidden", b".Hidden"),
        ("\u00e9".encode(), "e\u0301".encode()),
        ("\u00c9".encode(), "e\u0301".encode()),
        ("stra\u00dfe".encode(), b"STRASSE"),
        ("\u03c3".encode(), "\u03c2".encode()),
        ("\u212b".encode(), "\u00e5".encode()),
        ("\uac00".encode(), "\u1100\u1161".encode()),
    ],
    ids=lambda names: " ".join(map(show, names)),
)
def test_names_that_a_file_system_may_hold_for_one_collide(names: tuple[bytes, ...]) -> None:
    for order in (names, names[::-1]):
        with pytest.raises(MalformedError, match="collide"):
            check_names(order)


@pytest.mark.parametrize("name", [b"a", b"abc", b".a", "\u00fc".encode()], ids=show)
def test_a_name_that_occurs_twice_is_refused(name: bytes) -> None:
    # CPython keeps one object for every single byte, so "the same object" proves nothing.
    with pytest.raises(MalformedError, match="occurs twice"):
        check_names([name, name])
    with pytest.raises(MalformedError, match="occurs twice"):
        check_names([bytes(bytearray(name)), b"b", bytes(bytearray(name))])


def test_a_directory_without_names_is_fine() -> None:
    check_names([])


@given(st.lists(st.binary(min_size=1, max_size=12), max_size=5))
def test_checking_together_agrees_with_checking_alone(names: list[bytes]) -> None:
    try:
        check_names(names)
    except MalformedError:
        return
    for name in names:
        check_name(name)
    assert len({name.lower() for name in names}) == len(names)


@given(st.text(alphabet=".gGiItT~1 \u200c:\\", max_size=8))
def test_what_looks_like_git_after_folding_never_passes(text: str) -> None:
    plain = text.replace("\u200c", "").lower().partition(":")[0].rstrip(". ")
    assert is_git_spelling(text) == bool(re.fullmatch(r"\.git|git~[0-9]+", plain))


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_the_shown_form_is_printable_and_tells_any_two_names_apart(a: bytes, b: bytes) -> None:
    assert show(a).isprintable()
    assert (show(a) == show(b)) == (a == b)


def test_a_byte_and_the_letter_of_that_number_are_shown_differently() -> None:
    assert show(b"\xa0") == "\\xa0"
    assert show("\xa0".encode()) == "\\u00a0"
    assert show(b"a\nb\\c") == "a\\nb\\\\c"
    assert show("\u00fc".encode()) == "\u00fc"


class TestRepoPath:
    """A path in the repository."""

    def test_it_knows_its_parts(self) -> None:
        path = RepoPath.parse(b"data/train/a.png")
        assert path.parts == (b"data", b"train", b"a.png")
        assert path.name == b"a.png"
        assert path.parent == RepoPath(b"data/train")
        assert [str(up) for up in path.ancestors()] == ["data/train", "data", "."]
        assert RepoPath(b"data") / b"train" / b"a.png" == path

    def test_the_root_is_empty(self) -> None:
        root = RepoPath.parse(b"")
        assert root.parts == ()
        assert root.name == b""
        assert root / b"a" == RepoPath(b"a")
        assert str(root) == "."
        assert [*root.ancestors()] == []

    def test_it_contains_itself_and_what_lies_below_and_no_neighbour(self) -> None:
        data = RepoPath(b"data")
        assert data.contains(data)
        assert data.contains(RepoPath(b"data/x"))
        assert not data.contains(RepoPath(b"data2"))
        assert not data.contains(RepoPath(b""))
        assert RepoPath(b"").contains(data)
        assert RepoPath(b"data/x/y").below(data) == b"x/y"
        assert data.below(data) == b""
        assert data.below(RepoPath(b"")) == b"data"

    @pytest.mark.parametrize("raw", [b"/a", b"a/", b"a//b", b"a/../b", b"./a", b"/", b"a/./b"])
    def test_a_path_that_leaves_or_repeats_is_refused(self, raw: bytes) -> None:
        with pytest.raises(MalformedError):
            RepoPath.parse(raw)

    def test_a_path_has_a_longest_length(self) -> None:
        RepoPath.parse((b"a" * 100 + b"/") * 40 + b"b")
        with pytest.raises(MalformedError, match=f"longer than {MAX_PATH_BYTES}"):
            RepoPath.parse((b"a" * 100 + b"/") * 41)
