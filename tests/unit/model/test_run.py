"""A run's file is written in one way, and says nothing that its leaves do not give."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitprov.core.canonical import Json
from gitprov.core.digest import Digest
from gitprov.errors import MalformedError, VerificationError
from gitprov.model.run import Leaf, Run, check_run, format_run, parse_run

_VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
_LEAVES = st.dictionaries(st.text(max_size=8), _VALUES, max_size=4).map(
    lambda fields: {**fields, "type": "epoch"}
)


ID = "20261126T132000Z-3f9a2c"
FIRST: Leaf = {
    "type": "run",
    "id": ID,
    "commit": "9" * 40,
    "text": 'a "],\n"leaves":[\n',
}


def _ended(before: list[Leaf], between: list[Leaf], outcome: str = "completed") -> Run:
    run = Run(ID)
    for leaf in [FIRST, *before]:
        run = run.with_leaf(leaf)
    run = run.with_stage("before")
    for leaf in between:
        run = run.with_leaf(leaf)
    run = run.with_leaf({"type": "end", "outcome": outcome}).with_stage("after")
    return replace(run, outcome="completed" if outcome == "completed" else "failed")


@given(st.lists(_LEAVES, max_size=5), st.lists(_LEAVES, max_size=5))
def test_a_run_is_read_as_it_was_written_and_holds(before: list[Leaf], between: list[Leaf]) -> None:
    run = _ended(before, between)
    data = format_run(run)
    assert parse_run(data) == run
    assert format_run(parse_run(data)) == data
    check_run(run)


@given(st.data())
def test_no_byte_of_a_run_can_be_changed_unnoticed(data: st.DataObject) -> None:
    good = format_run(_ended([], [{"type": "epoch", "epoch": 1, "metrics": {"loss": 0.5}}]))
    at = data.draw(st.integers(0, len(good) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != good[at]))
    bad = good[:at] + bytes([other]) + good[at + 1 :]
    try:
        run = parse_run(bad)
    except MalformedError:
        return
    if run.id != _ended([], []).id:
        return  # the id is the file's name; statements hold it
    with pytest.raises(VerificationError):
        check_run(run)


def test_leaves_stand_on_lines_of_their_own() -> None:
    lines = format_run(_ended([], [])).decode().splitlines()
    assert [line[:1] for line in lines] == ["{", "{", "{", "]"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"type":"run"}\n', b'"type":"run"}'),
        (b'"type":"run"}\n', b'"type":"run"}\n\n'),
        (b",\n{", b",{"),
        (b'"gitprov":1', b'"gitprov":2'),
        (b'"stage":"before"', b'"stage":"after"'),
        (b'"size":1', b'"size":9'),
        (b'"size":1', b'"size":0'),
        (b'"consistency":[', b'"consistency":["' + b"0" * 64 + b'",'),
        (b'"gitprov":1', b'"extra":1,"gitprov":1'),
        (b'"id":"2026', b'"id":"../2026'),
    ],
)
def test_a_second_spelling_is_refused(old: bytes, new: bytes) -> None:
    data = format_run(_ended([], []))
    assert data.count(old) >= 1
    with pytest.raises(MalformedError):
        parse_run(data.replace(old, new, 1))


def test_results_of_another_run_do_not_fit() -> None:
    mine, other = _ended([], []), _ended([], [{"type": "results", "value": 1}])
    with pytest.raises(VerificationError):
        check_run(replace(mine, leaves=other.leaves))


def test_an_outcome_that_no_leaf_says_is_found_out() -> None:
    failed = _ended([], [], outcome="failed")
    with pytest.raises(VerificationError, match="completed"):
        check_run(replace(failed, outcome="completed"))
    with pytest.raises(VerificationError, match="no stage after"):
        check_run(Run(ID, (FIRST,), outcome="completed"))


@pytest.mark.parametrize(
    "leaves",
    [
        (),
        ({"type": "epoch"},),
        ({**FIRST, "id": "another"},),
        ({**FIRST, "commit": None},),
        ({**FIRST, "commit": "HEAD"},),
        (FIRST, FIRST),
        ({"type": "epoch"}, FIRST),
        (FIRST, {"type": "results", "value": 1}),
        (FIRST, {"type": "end", "outcome": "completed"}),
    ],
)
def test_a_run_that_does_not_say_which_it_is_or_ends_too_early_is_refused(
    leaves: tuple[Leaf, ...],
) -> None:
    with pytest.raises(VerificationError):
        check_run(Run(ID, leaves, outcome="interrupted"))


@given(st.integers(1, 4), st.integers(1, 4))
def test_stages_of_any_size_are_read_or_refused(before: int, after: int) -> None:
    data = format_run(_ended([], [{"type": "epoch"}])).decode()
    data = data.replace('"size":1', "BEFORE").replace('"size":3', f'"size":{after}')
    data = data.replace("BEFORE", f'"size":{before}')
    try:
        run = parse_run(data.encode())
        check_run(run)
    except (MalformedError, VerificationError):
        assert (before, after) != (1, 3)
    else:
        assert (before, after) == (1, 3)


def test_a_stage_of_another_root_is_found_out() -> None:
    run = _ended([], [])
    forged = replace(run.stages[0], root=Digest.of(b"another"))
    with pytest.raises(VerificationError):
        check_run(replace(run, stages=(forged, run.stages[1])))
