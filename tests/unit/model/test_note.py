"""Notes: sorted lines, union merges, nothing dropped, nothing hostile believed."""

import subprocess
from pathlib import Path

import pytest

from gitprov.core.canonical import Json, dumps
from gitprov.core.digest import Digest, Sha256Digest
from gitprov.core.merkle import RUN, root
from gitprov.errors import MalformedError
from gitprov.model.note import (
    MAX_LINE_BYTES,
    MAX_NOTE_BYTES,
    MAX_PATH,
    AnchorLine,
    MalformedLine,
    RecordLine,
    StatementAnchorLine,
    StatementLine,
    UnknownLine,
    format_line,
    format_note,
    parse_line,
    parse_note,
)
from gitprov.model.record import ArtifactLeaf, CodeLeaf, Record

COMMIT = "a" * 40
D = Digest.of(b"x")
RECORD = Record.of(CodeLeaf("sha1", COMMIT, D, D), [ArtifactLeaf("data", "data", "dir", D, 1, 1)])
LINE = RecordLine(COMMIT, RECORD, RECORD.root)
ANCHOR = AnchorLine(
    commit=COMMIT,
    digest=Sha256Digest(bytes(32)),
    index=41,
    network="ethereum",
    path=(bytes(32), b"\x01" * 32),
    receipt={"block": 5, "tx": "0x00"},
    root=RECORD.root,
    size=42,
    status="final",
)


def changed(line: RecordLine | AnchorLine, **fields: Json) -> bytes:
    return dumps({**line.to_json(), **fields})


def without(line: RecordLine | AnchorLine, field: str) -> bytes:
    value = line.to_json()
    del value[field]
    return dumps(value)


def test_lines_are_read_back() -> None:
    for line in (LINE, ANCHOR):
        assert parse_line(format_line(line)) == line


LEAF: dict[str, Json] = {"type": "hash", "value": "0" * 64}
STATED = StatementLine(COMMIT, "run/x/before", D)
HASHED = StatementLine(
    COMMIT, "hash/" + "0" * 64, Digest(root(RUN, [RUN.leaf(dumps(LEAF))])), (LEAF,)
)


def test_statements_are_read_back() -> None:
    for line in (STATED, HASHED, StatementAnchorLine(ANCHOR)):
        assert parse_line(format_line(line)) == line


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "run"},
        {"name": "../x"},
        {"name": "run/a/b/c"},
        {"name": "run/\u202e/before"},
        {"leaves": [1]},
        {"leaves": [{"type": "another"}]},
        {"leaves": []},
        {"name": "hash/" + "1" * 64},
        {"root": "sha256:" + "0" * 64},
        {"commit": "HEAD"},
        {"gitprov": 2},
        {"more": 1},
    ],
)
def test_a_wrong_statement_is_kept_and_reported(fields: dict[str, Json]) -> None:
    raw = dumps({**HASHED.to_json(), **fields})
    line = parse_line(raw)
    assert isinstance(line, MalformedLine)
    assert format_line(line) == raw


def test_a_note_is_sorted_and_every_line_is_there_once() -> None:
    note = format_note([LINE, ANCHOR, LINE])
    assert note == b"".join(sorted([format_line(LINE) + b"\n", format_line(ANCHOR) + b"\n"]))
    assert format_note(parse_note(note)) == note


def test_the_empty_note_has_no_lines() -> None:
    assert parse_note(b"") == ()
    assert format_note([]) == b""


def test_empty_lines_and_a_missing_last_newline_are_passed_over() -> None:
    raw = format_line(LINE)
    assert parse_note(b"\n" + raw + b"\n\n" + raw) == (LINE, LINE)


def test_a_line_of_an_unknown_type_is_kept_as_it_is() -> None:
    raw = b'{"type":"review","who":"ada"}'
    assert parse_line(raw) == UnknownLine(raw)
    assert format_note([UnknownLine(raw)]) == raw + b"\n"
    assert parse_line(b"{}") == UnknownLine(b"{}")
    assert parse_line(b'{"type":["record"]}') == UnknownLine(b'{"type":["record"]}')


@pytest.mark.parametrize(
    "raw",
    [
        b"signed-off-by: ada",
        b"[]",
        b"1",
        b"null",
        b"\xff",
        b'{"type": "record"}',
        b'{"type":"record"}',
        b'{"type":"anchor"}',
        b'{"type":"record","type":"anchor"}',
        b"[" * 100_000,
        b"9" * 5000,
        b'"' + b"a" * MAX_LINE_BYTES + b'"',
        b"<<<<<<< ours",
        format_line(LINE) + b"\r",
        b" " + format_line(LINE),
        changed(LINE, gitprov=2),
        changed(LINE, gitprov=True),
        without(LINE, "gitprov"),
        changed(LINE, extra=1),
        changed(LINE, commit="HEAD"),
        changed(LINE, commit="../" + "a" * 37),
        changed(LINE, leaves=[]),
        changed(LINE, leaves={}),
        changed(LINE, leaves=[1]),
        changed(LINE, root="sha256:" + "0" * 64),
        changed(ANCHOR, network="Ethereum"),
        changed(ANCHOR, network=""),
        changed(ANCHOR, network="../x"),
        changed(ANCHOR, network="a" * 33),
        changed(ANCHOR, status="done"),
        changed(ANCHOR, index=-1),
        changed(ANCHOR, index=1.5),
        changed(ANCHOR, index="1"),
        changed(ANCHOR, size=0),
        changed(ANCHOR, digest="blake3:" + "0" * 64),
        changed(ANCHOR, path=["0" * 63]),
        changed(ANCHOR, path=["A" * 64]),
        changed(ANCHOR, path=[0]),
        changed(ANCHOR, path=["0" * 64] * (MAX_PATH + 1)),
        changed(ANCHOR, path="0" * 64),
        changed(ANCHOR, receipt=[]),
        changed(ANCHOR, receipt=None),
        without(ANCHOR, "receipt"),
        changed(ANCHOR, leaves=[]),
    ],
    ids=lambda raw: repr(raw[:30]),
)
def test_a_line_that_is_not_in_the_format_is_kept_and_says_why(raw: bytes) -> None:
    line = parse_line(raw)
    assert isinstance(line, MalformedLine)
    assert line.raw == raw
    assert line.reason
    assert len(line.reason) < 400
    assert format_line(line) == raw


def test_one_bad_line_does_not_hide_the_others() -> None:
    note = b"garbage\n" + format_note([LINE, ANCHOR])
    kinds = {type(line) for line in parse_note(note)}
    assert kinds == {MalformedLine, RecordLine, AnchorLine}


def test_a_note_over_the_limit_is_refused() -> None:
    with pytest.raises(MalformedError, match="larger than"):
        parse_note(b"\n" * (MAX_NOTE_BYTES + 1))


def test_the_root_of_a_line_is_what_it_says_even_if_it_is_a_lie() -> None:
    lie = RecordLine(COMMIT, RECORD, Digest(bytes(32)))
    read = parse_line(format_line(lie))
    assert isinstance(read, RecordLine)
    assert read.root != read.record.root


def test_gits_union_merge_of_two_notes_is_their_union(tmp_path: Path) -> None:
    def git(*arguments: str, data: bytes = b"") -> bytes:
        command = ["git", "-C", str(tmp_path), *arguments]
        return subprocess.run(command, input=data, check=True, capture_output=True).stdout

    git("init", "-q")
    commit = git("commit-tree", git("mktree").decode().strip(), "-m", "x").decode().strip()
    pending = parse_line(changed(ANCHOR, status="pending"))
    ours, theirs = format_note([LINE, ANCHOR]), format_note([LINE, pending])
    for ref, note in (("ours", ours), ("theirs", theirs)):
        blob = git("hash-object", "-w", "--stdin", data=note).decode().strip()
        git("notes", f"--ref={ref}", "add", "-C", blob, commit)
    git("notes", "--ref=ours", "merge", "-s", "cat_sort_uniq", "refs/notes/theirs")
    assert git("notes", "--ref=ours", "show", commit) == format_note([LINE, ANCHOR, pending])
