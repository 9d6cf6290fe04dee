"""Pointers: the documented bytes, every deviation refused, YAML's traps."""

from dataclasses import replace

import pytest
import yaml

from gitprov.core.digest import Digest
from gitprov.errors import MalformedError
from gitprov.model.pointer import MAX_COUNT, MAX_POINTER_BYTES, Pointer, kind_for
from gitprov.model.yaml_scalar import read_scalar, write_scalar

ROOT = Digest.of(b"root")
WEIGHTS = Digest.of(b"weights")
DATA = Pointer("data", "data", "dir", ROOT, 409600000, 100000)
MODEL = Pointer("model.safetensors", "model", "file", ROOT, 12, 1, WEIGHTS)
TEXT = f"""\
gitprov: 1
path: data
kind: data
type: dir
root: {ROOT}
size: 409600000
files: 100000
"""


def named(name: str) -> Pointer:
    return Pointer(name, "data", "dir", ROOT, 0, 0)


def test_a_pointer_is_the_documented_yaml() -> None:
    assert DATA.to_bytes() == TEXT.encode()
    assert Pointer.parse(TEXT.encode()) == DATA


def test_a_model_has_its_weights_in_an_eighth_line() -> None:
    data = MODEL.to_bytes()
    assert data.endswith(f"files: 1\nweights: {WEIGHTS}\n".encode())
    assert Pointer.parse(data) == MODEL


@pytest.mark.parametrize(
    "pointer",
    [
        replace(MODEL, type="dir"),
        replace(MODEL, kind="data"),
    ],
)
def test_nothing_but_a_model_in_one_file_has_weights(pointer: Pointer) -> None:
    with pytest.raises(MalformedError, match="only a model in one file"):
        Pointer.parse(pointer.to_bytes())
    other = replace(pointer, weights=None)
    assert Pointer.parse(other.to_bytes()) == other


@pytest.mark.parametrize("path", ["model.SafeTensors", "model.pt", "model"])
def test_its_name_does_not_matter(path: str) -> None:
    pointer = replace(MODEL, path=path, type="exec")
    assert Pointer.parse(pointer.to_bytes()) == pointer


def changed(old: str, new: str) -> bytes:
    assert old in TEXT
    return TEXT.replace(old, new).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "seven or eight lines"),
        (TEXT[:-1].encode(), "seven or eight lines"),
        ((TEXT + "\n").encode(), "line 8"),
        ((TEXT + "extra: 1\n").encode(), "line 8"),
        ((TEXT + f"weights: {ROOT}\nextra: 1\n").encode(), "seven or eight lines"),
        ((TEXT + "# comment\n").encode(), "line 8"),
        (("---\n" + TEXT).encode(), "line 1"),
        (("\ufeff" + TEXT).encode(), "line 1"),
        (TEXT.replace("\n", "\r\n").encode(), "line 1"),
        (TEXT.encode("utf-16"), "not UTF-8"),
        (TEXT.encode() + b"\xff", "not UTF-8"),
        (changed("gitprov: 1", "gitprov: 2"), "line 1"),
        (changed("gitprov: 1", "gitprov: 01"), "line 1"),
        (changed("gitprov: 1", "gitprov: '1'"), "line 1"),
        (changed("gitprov: 1", "gitprov:  1"), "line 1"),
        (changed("gitprov: 1", "gitprov: 1 "), "line 1"),
        (changed("gitprov: 1", "gitprov : 1"), "line 1"),
        (changed("path: data\nkind: data\n", "kind: data\npath: data\n"), "line 2"),
        (changed("kind: data\n", ""), "seven or eight lines"),
        (changed("path: data\n", "path: data\npath: data\n"), "line 3"),
        (changed("kind: data", "kind: Data"), "line 3"),
        (changed("kind: data", "kind: images"), "line 3"),
        (changed("type: dir", "type: link"), "line 4"),
        (changed("blake3:", "sha256:"), "not a blake3 digest"),
        (changed(ROOT.hex, ROOT.hex.upper()), "not a blake3 digest"),
        (changed(ROOT.hex, ROOT.hex[1:]), "not a blake3 digest"),
        (changed("409600000", "-1"), "line 6"),
        (changed("409600000", "+1"), "line 6"),
        (changed("409600000", "01"), "line 6"),
        (changed("409600000", "1_000"), "line 6"),
        (changed("409600000", "1e3"), "line 6"),
        (changed("409600000", "0x10"), "line 6"),
        (changed("409600000", "\u0661"), "line 6"),
        (changed("409600000", ""), "line 6"),
        (changed("409600000", str(MAX_COUNT + 1)), "line 6"),
        (changed("409600000", "9" * 3000), "line 6"),
        (changed("100000", "1.0"), "line 7"),
        (changed("type: dir", "type: file"), "line 7"),
        (changed("type: dir", "type: exec"), "line 7"),
        (changed("path: data", "path: 'data'"), "canonical spelling"),
        (changed("path: data", 'path: "data"'), "canonical spelling"),
        (changed("path: data", 'path: "d\\x61ta"'), "canonical spelling"),
        (changed("path: data", "path:  data"), "canonical spelling"),
        (changed("path: data", "path: data "), "canonical spelling"),
        (changed("path: data", "path: data # comment"), "canonical spelling"),
        (changed("path: data", "path: !!str data"), "canonical spelling"),
        (changed("path: data", "path: &anchor data"), "canonical spelling"),
        (changed("path: data", "path: a/b"), "line 2"),
        (changed("path: data", "path: /etc"), "line 2"),
        (changed("path: data", "path: .."), "line 2"),
        (changed("path: data", "path: ."), "line 2"),
        (changed("path: data", "path: .git"), "line 2"),
        (changed("path: data", "path: git~1"), "line 2"),
        (changed("path: data", "path: ''"), "line 2"),
        (changed("path: data", 'path: "a\\0b"'), "line 2"),
        (changed("path: data", 'path: "a\\nb"'), "line 2"),
        (changed("path: data", 'path: "\\ud800"'), "line 2"),
        (changed("path: data", "path: " + "a" * 256), "line 2"),
        (changed("path: data", "path: "), "not a YAML string"),
        (changed("path: data", "path: yes"), "not a YAML string"),
        (changed("path: data", "path: null"), "not a YAML string"),
        (changed("path: data", "path: ~"), "not a YAML string"),
        (changed("path: data", "path: 1"), "not a YAML string"),
        (changed("path: data", "path: 2001-01-01"), "not a YAML string"),
        (changed("path: data", "path: [data]"), "not a YAML string"),
        (changed("path: data", "path: {data: 1}"), "not a YAML string"),
        (changed("path: data", "path: a: b"), "not a YAML string"),
        (changed("path: data", "path: *anchor"), "not a YAML string"),
        (b"a" * (MAX_POINTER_BYTES + 1), "larger than"),
        (b"\n" * MAX_POINTER_BYTES, "lines"),
        (b"<<<<<<< HEAD\n" + TEXT.encode(), "line 1"),
    ],
)
def test_a_deviation_is_refused_and_its_line_named(data: bytes, why: str) -> None:
    with pytest.raises(MalformedError, match=why) as caught:
        Pointer.parse(data)
    assert len(str(caught.value)) < 1200


def test_a_conflict_in_a_pointer_says_how_pointers_are_written() -> None:
    conflict = TEXT.replace("path: data\n", "<<<<<<< a\npath: data\n=======\n>>>>>>> b\n")
    with pytest.raises(MalformedError) as caught:
        Pointer.parse(conflict.encode())
    assert caught.value.hint is not None
    assert "gitprov add" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "!!bool x",
        '!!int ""',
        '!!float ""',
        "!!timestamp x",
        "a: !!bool x",
        "[!!int '']",
        "!!python/object/apply:os.system [id]",
        "!!binary x",
        '"\\UFFFFFFFF"',
        '"\\U00110000"',
        "&a [*a, *a]",
        "*undefined",
        "<<",
        "=",
        "%YAML 9.9",
        "--- a\n--- b",
        "[" * 4000,
        "{a: " * 1000,
        "- " * 2000,
        "? " * 2000,
        "2001-99-99",
        "0x_",
        "\x00",
        "\ud800",
        "`",
        "@",
        "'open",
        '"\\',
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_hostile_yaml_is_refused_and_never_crashes(text: str) -> None:
    with pytest.raises(MalformedError, match="not a YAML string"):
        read_scalar(text)


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("data", "data"),
        ("model-1.2.pt", "model-1.2.pt"),
        ("my data", "my data"),
        ("yes", "'yes'"),
        ("NULL", "'NULL'"),
        ("on", "'on'"),
        ("12", "'12'"),
        ("1e3", "1e3"),
        ("1.5", "'1.5'"),
        ("0x1F", "'0x1F'"),
        ("1:30", "'1:30'"),
        ("2001-01-01", "'2001-01-01'"),
        (".5", "'.5'"),
        ("~", "'~'"),
        ("=", "'='"),
        ("<<", "'<<'"),
        ("---", "'---'"),
        ("- a", "'- a'"),
        ("-a", "-a"),
        ("a: b", "'a: b'"),
        ("a #b", "'a #b'"),
        ("#a", "'#a'"),
        ("it's", "it's"),
        ("'a'", "'''a'''"),
        ('"a"', "'\"a\"'"),
        (" a", "' a'"),
        ("a ", "'a '"),
        ("[a]", "'[a]'"),
        ("{a}", "'{a}'"),
        ("*a", "'*a'"),
        ("&a", "'&a'"),
        ("!a", "'!a'"),
        ("%a", "'%a'"),
        ("@a", "'@a'"),
        ("`a", "'`a'"),
        ("|", "'|'"),
        ("\u00fc.csv", "\u00fc.csv"),
        ("\U0001f600", "\U0001f600"),
        ("\ufeffa", '"\\uFEFFa"'),
        ("\ufffe", '"\\uFFFE"'),
    ],
)
def test_a_name_is_spelled_as_pyyamls_safe_dumper_spells_it(name: str, spelled: str) -> None:
    data = named(name).to_bytes()
    assert data.split(b"\n")[1].decode() == f"path: {spelled}"
    assert Pointer.parse(data) == named(name)
    assert yaml.safe_load(data)["path"] == name


def test_a_line_separator_inside_a_name_does_not_break_the_line() -> None:
    pointer = named("a\u2028b\u2029c")
    assert Pointer.parse(pointer.to_bytes()) == pointer
    assert read_scalar(write_scalar(pointer.path)) == pointer.path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("model.pt", "model"),
        ("MODEL.SafeTensors", "model"),
        ("a.b.onnx", "model"),
        ("data.csv", "data"),
        ("pt", "data"),
        (".pt", "data"),
        ("model.pt.txt", "data"),
        ("dir", "data"),
    ],
)
def test_the_kind_follows_from_the_ending(name: str, kind: str) -> None:
    assert kind_for(name) == kind
