"""The laws of every format: read what was written, write what was read, refuse all else calmly."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from gitprov.core.canonical import Json, dumps, loads
from gitprov.core.digest import Digest, Sha256Digest
from gitprov.core.paths import check_name
from gitprov.errors import MalformedError, VerificationError
from gitprov.model.entry import Entry
from gitprov.model.manifest import Manifest
from gitprov.model.note import (
    STATUSES,
    AnchorLine,
    NoteLine,
    RecordLine,
    StatementAnchorLine,
    StatementLine,
    format_line,
    format_note,
    parse_line,
    parse_note,
)
from gitprov.model.pointer import MAX_COUNT, ArtifactKind, EntryType, Pointer
from gitprov.model.record import ArtifactLeaf, CodeLeaf, Record
from gitprov.model.signed_note import SignerKey, TreeHead, VerifierKey, open_note

# ---------------------------------------------------------------- strategies


def _allowed(name: str) -> bool:
    try:
        check_name(name.encode())
    except MalformedError:
        return False
    return True


def _printable(**categories: Any) -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs", "Cc"], **categories), min_size=1)


# Indicators of YAML, words, numbers and dates, beside any printable text.
NAMES = st.one_of(
    _printable(max_codepoint=127),
    _printable(),
    st.text("-?:,[]{}#&*!|>'\"%@`~ .=<0123456789eE_+xobyYnN\u2028\u2029\ufeff\u00a0", min_size=1),
    st.sampled_from(["yes", "No", "ON", "null", "~", "True", "1", "0x1", "1_0", "1e3", ".inf"]),
    st.sampled_from(["2001-01-01", "12:30:45", "0o7", "---", "...", "<<", "=", "y", "a: b", "- a"]),
    st.from_regex(r"[A-Za-z0-9_]+([.-][A-Za-z0-9_]+){0,3}", fullmatch=True),
).filter(_allowed)
DIGESTS = st.binary(min_size=32, max_size=32).map(Digest)
COUNTS = st.one_of(st.integers(0, 3), st.integers(0, MAX_COUNT), st.just(MAX_COUNT))
KINDS: st.SearchStrategy[ArtifactKind] = st.sampled_from(("data", "model"))
TYPES: st.SearchStrategy[EntryType] = st.sampled_from(("dir", "file", "exec"))


@st.composite
def pointers(draw: st.DrawFn) -> Pointer:
    kind, use = draw(TYPES), draw(KINDS)
    weights = draw(st.none() | DIGESTS) if kind != "dir" and use == "model" else None
    name = draw(NAMES) if weights is None else "model.SafeTensors"
    return Pointer(
        path=name,
        kind=use,
        type=kind,
        root=draw(DIGESTS),
        size=draw(COUNTS),
        files=draw(COUNTS) if kind == "dir" else 1,
        weights=weights,
    )


ENTRIES = st.builds(
    Entry,
    NAMES.map(str.encode),
    st.sampled_from("fxld"),
    st.binary(min_size=32, max_size=32),
    st.integers(0, (1 << 63) - 1),
)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    entries = draw(st.lists(ENTRIES, max_size=8))
    try:
        return Manifest.of(entries)
    except MalformedError:
        assume(condition=False)
        raise


CODE = st.one_of(
    st.builds(CodeLeaf, st.just("sha1"), st.just("ab" * 20), DIGESTS, DIGESTS),
    st.builds(CodeLeaf, st.just("sha256"), st.just("cd" * 32), DIGESTS, DIGESTS),
)


@st.composite
def records(draw: st.DrawFn) -> Record:
    leaves = [
        ArtifactLeaf.of(draw(st.sampled_from(["", "a", "a/b", "\u00fc x"])), pointer)
        for pointer in draw(st.lists(pointers(), max_size=4))
    ]
    try:
        return Record.of(draw(CODE), leaves)
    except MalformedError:
        assume(condition=False)
        raise


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
JSON: st.SearchStrategy[Json] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_COUNT, MAX_COUNT)
    | st.floats(-1e15, 1e15).map(lambda x: int(x) if x.is_integer() else x)
    | st.floats(1e21, 1e300)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
RECORD_LINES = st.builds(RecordLine, st.just("ab" * 20), records(), DIGESTS)
ANCHOR_LINES = st.builds(
    AnchorLine,
    commit=st.just("ab" * 20),
    digest=st.binary(min_size=32, max_size=32).map(Sha256Digest),
    index=COUNTS,
    network=st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True),
    path=st.lists(st.binary(min_size=32, max_size=32), max_size=5).map(tuple),
    receipt=st.dictionaries(TEXT, JSON, max_size=3),
    root=DIGESTS,
    size=st.integers(1, MAX_COUNT),
    status=st.sampled_from(STATUSES),
)
STATEMENT_LINES = st.builds(
    StatementLine,
    commit=st.just("ab" * 20),
    name=st.from_regex(r"run/[0-9A-Za-z._-]{1,80}/(before|after)", fullmatch=True),
    root=DIGESTS,
)
LINES: st.SearchStrategy[NoteLine] = (
    RECORD_LINES | ANCHOR_LINES | STATEMENT_LINES | ANCHOR_LINES.map(StatementAnchorLine)
)
KEY_NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"], exclude_characters="+"),
    min_size=1,
    max_size=40,
)
KEYS = st.builds(SignerKey, KEY_NAMES, st.binary(min_size=32, max_size=32))
HEADS = st.builds(
    TreeHead,
    KEY_NAMES,
    st.integers(0, 10**18),
    st.binary(min_size=32, max_size=32).map(Sha256Digest),
)


# ---------------------------------------------------------------- written is read, read is written


@given(pointers())
def test_a_pointer_is_read_back(pointer: Pointer) -> None:
    assert Pointer.parse(pointer.to_bytes()) == pointer


@given(pointers())
def test_a_pointer_is_exactly_what_pyyaml_writes_and_reads(pointer: Pointer) -> None:
    values: dict[str, object] = {
        "gitprov": 1,
        "path": pointer.path,
        "kind": pointer.kind,
        "type": pointer.type,
        "root": str(pointer.root),
        "size": pointer.size,
        "files": pointer.files,
    }
    if pointer.weights is not None:
        values["weights"] = str(pointer.weights)
    dumped = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=99999)
    assert pointer.to_bytes() == dumped.encode()
    assert yaml.safe_load(pointer.to_bytes()) == values


@given(manifests())
def test_a_manifest_is_read_back(manifest: Manifest) -> None:
    again = Manifest.parse(manifest.to_bytes())
    assert again == manifest
    assert again.to_bytes() == manifest.to_bytes()
    assert again.root == manifest.root


@given(manifests(), st.randoms())
def test_a_manifest_does_not_depend_on_the_order_it_was_given(manifest: Manifest, r: Any) -> None:
    shuffled = list(manifest.entries)
    r.shuffle(shuffled)
    assert Manifest.of(shuffled) == manifest


@given(manifests(), manifests())
def test_two_manifests_share_a_root_only_if_they_are_equal(a: Manifest, b: Manifest) -> None:
    assert (a.root == b.root) == (a.entries == b.entries)


@given(records())
def test_a_record_is_read_back_and_keeps_its_root(record: Record) -> None:
    value = loads(dumps(record.to_json()), what="a record")
    assert isinstance(value, list)
    again = Record.from_json(value)
    assert again == record
    assert again.root == record.root


@given(JSON)
def test_canonical_json_is_read_back(value: Json) -> None:
    data = dumps(value)
    assert loads(data, what="it") == value
    assert dumps(loads(data, what="it")) == data


@given(LINES)
def test_a_notes_line_is_read_back(line: NoteLine) -> None:
    raw = format_line(line)
    assert b"\n" not in raw
    assert parse_line(raw) == line


@given(st.lists(LINES, max_size=4), st.lists(LINES, max_size=4))
def test_merging_notes_is_a_union(a: list[NoteLine], b: list[NoteLine]) -> None:
    merged = format_note([*parse_note(format_note(a)), *parse_note(format_note(b))])
    assert merged == format_note([*b, *a, *b])
    assert format_note(parse_note(merged)) == merged


@given(st.lists(st.binary(max_size=30).filter(lambda raw: b"\n" not in raw), max_size=6))
def test_no_line_of_a_note_is_ever_dropped(raws: list[bytes]) -> None:
    note = b"".join(raw + b"\n" for raw in sorted({raw for raw in raws if raw}))
    assert format_note(parse_note(note)) == note


@given(HEADS)
def test_a_tree_head_is_read_back(head: TreeHead) -> None:
    assert TreeHead.parse(head.to_text()) == head


@given(KEYS, HEADS)
def test_a_key_is_read_back_and_opens_what_it_signed(key: SignerKey, head: TreeHead) -> None:
    assert SignerKey.parse(key.to_text()) == key
    assert VerifierKey.parse(str(key.verifier)) == key.verifier
    assert open_note(key.sign(head), [key.verifier]) == head


@given(st.binary(min_size=32, max_size=32))
def test_a_digest_is_read_back(raw: bytes) -> None:
    assert Digest.parse(str(Digest(raw))) == Digest(raw)
    assert Sha256Digest.parse(str(Sha256Digest(raw))) == Sha256Digest(raw)


# ---------------------------------------------------------------- damage never crashes a parser


KEY = SignerKey("gitprov/repo/0011223344556677", bytes(range(32)))
POINTER = Pointer("it's \u00fc", "model", "file", Digest(bytes(32)), 7, 1)
RECORD = Record.of(
    CodeLeaf("sha1", "ab" * 20, Digest(bytes(32)), Digest(bytes(32))),
    [ArtifactLeaf.of("a", replace(POINTER, path="b"))],
)
ANCHOR = AnchorLine(
    "ab" * 20,
    Sha256Digest(bytes(32)),
    0,
    "tlog",
    (bytes(32),),
    {"checkpoint": "x"},
    RECORD.root,
    2,
    "final",
)


def pointer_again(data: bytes) -> bytes:
    return Pointer.parse(data).to_bytes()


def manifest_again(data: bytes) -> bytes:
    return Manifest.parse(data).to_bytes()


def json_again(data: bytes) -> bytes:
    return dumps(loads(data, what="it"))


def line_again(data: bytes) -> bytes:
    return format_line(parse_line(data))


def head_again(data: bytes) -> bytes:
    try:
        return KEY.sign(open_note(data.decode(), [KEY.verifier])).encode()
    except UnicodeDecodeError:
        raise MalformedError("not UTF-8") from None


def key_again(data: bytes) -> bytes:
    return str(VerifierKey.parse(data.decode("utf-8", "surrogateescape"))).encode()


SAMPLES: dict[str, tuple[Callable[[bytes], bytes], bytes]] = {
    "pointer": (pointer_again, POINTER.to_bytes()),
    "manifest": (
        manifest_again,
        Manifest.of([Entry(b"a", "f", bytes(32), 300), Entry(b"b", "d", bytes(32), 0)]).to_bytes(),
    ),
    "json": (json_again, dumps({"a": [1, "\u00fc", None, 1.5], "b": {"c": True}})),
    "record line": (line_again, format_line(RecordLine("ab" * 20, RECORD, RECORD.root))),
    "anchor line": (line_again, format_line(ANCHOR)),
    "signed note": (head_again, KEY.sign(TreeHead(KEY.name, 3, Sha256Digest(bytes(32)))).encode()),
    "key": (key_again, str(KEY.verifier).encode()),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_every_flipped_bit_is_refused_or_is_another_value_spelled_canonically(name: str) -> None:
    again, sample = SAMPLES[name]
    assert again(sample) == sample
    for position in range(len(sample)):
        for bit in range(8):
            changed = bytearray(sample)
            changed[position] ^= 1 << bit
            try:
                assert again(bytes(changed)) == changed
            except VerificationError:
                continue


@pytest.mark.parametrize("name", SAMPLES)
def test_every_cut_is_refused(name: str) -> None:
    again, sample = SAMPLES[name]
    for end in range(len(sample)):
        if name in {"record line", "anchor line"}:
            assert again(sample[:end]) == sample[:end]
            continue
        with pytest.raises(VerificationError):
            again(sample[:end])


@pytest.mark.parametrize("name", SAMPLES)
@given(data=st.data())
def test_spliced_and_random_bytes_never_crash_a_parser(name: str, data: st.DataObject) -> None:
    again, sample = SAMPLES[name]
    start = data.draw(st.integers(0, len(sample)))
    end = data.draw(st.integers(start, len(sample)))
    middle = data.draw(st.binary(max_size=40) | st.text(max_size=20).map(lambda t: t.encode()))
    changed = sample[:start] + middle + sample[end:]
    try:
        assert again(changed) == changed
    except VerificationError:
        assert changed != sample
