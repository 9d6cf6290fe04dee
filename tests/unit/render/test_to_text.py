"""Reports as text."""

from dataclasses import replace

import pytest

from gitprov.model.report import Report, Verdict
from gitprov.render.to_text import to_text
from tests.unit.render.support import FAILING, HOSTILE, PASSING, REPORTS, UNTOLD, golden


@pytest.mark.parametrize("name", REPORTS)
def test_the_text_is_the_one_that_was_looked_at(name: str) -> None:
    assert to_text(REPORTS[name]) == golden(f"{name}.txt")


def test_the_text_in_ascii_is_the_one_that_was_looked_at() -> None:
    assert to_text(REPORTS["many"], ascii_only=True) == golden("many.ascii.txt")


def test_the_text_in_colour_is_the_one_that_was_looked_at() -> None:
    shown = to_text(REPORTS["failing"], colour=True).replace("\x1b", "ESC")
    assert shown == golden("failing.colour.txt")


def test_there_is_no_colour_unless_asked_for() -> None:
    assert all("\x1b" not in to_text(report) for report in REPORTS.values())


def test_nothing_from_the_repository_steers_the_terminal() -> None:
    for ascii_only in (False, True):
        shown = to_text(REPORTS["hostile"], ascii_only=ascii_only)
        assert all(line.isprintable() for line in shown.split("\n"))
        assert len(shown.split("\n")) == len(to_text(Report((FAILING,))).split("\n")) - 3


def test_lone_surrogates_are_shown_and_not_raised() -> None:
    odd = Report((replace(PASSING, subject="\ud800 \udcff"),))
    assert "\\xed\\xa0\\x80 \\xed\\xb3\\xbf" in to_text(odd)


def test_ascii_is_ascii() -> None:
    assert all(to_text(report, ascii_only=True).isascii() for report in REPORTS.values())


def test_each_check_takes_one_line_with_mark_word_and_subject() -> None:
    lines = to_text(REPORTS["failing"]).split("\n")
    assert lines[2] == "  ✓ PASS     record-present   the note holds a record of this commit"
    assert lines[4].startswith("  ✗ FAIL     artifacts        data: 2 files: modified data/")


def test_of_several_commits_those_that_pass_take_one_line() -> None:
    shown = to_text(Report((PASSING, UNTOLD)))
    assert "✓ PASS     9263b9f99b61  Add the training data" in shown
    assert "the code and 1 artifact" not in shown
    assert "no notes of gitprov are here" in shown
    assert "2 commits: 1 pass, 1 unknown" in shown


def test_the_last_line_says_the_verdict_in_words() -> None:
    assert to_text(REPORTS["passing"]).endswith("✓ PASS: everything that was checked holds")
    assert to_text(REPORTS["failing"]).endswith("✗ FAIL: this does not hold")
    assert to_text(REPORTS["empty"]) == "? UNKNOWN: there was nothing to check"


def test_a_stricter_verdict_is_shown_with_its_reason() -> None:
    shown = to_text(Report((UNTOLD,)), verdict=Verdict.FAIL)
    assert shown.endswith("✗ FAIL: not everything could be checked, and that was demanded")


def test_hostile_text_is_still_recognisable() -> None:
    assert "\\x1b[2J" in to_text(REPORTS["hostile"])
    assert "\\u202e" in to_text(REPORTS["hostile"])
    assert HOSTILE not in to_text(REPORTS["hostile"])
