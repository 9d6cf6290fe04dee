"""Reports as Markdown, read back by a CommonMark parser."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from gitprov.model.report import Report, Verdict
from gitprov.render.to_markdown import MAX_CHARS, escape, to_markdown
from tests.unit.render.support import FAILING, HOSTILE, PASSING, REPORTS, UNTOLD, golden

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def inline_types(text: str) -> set[str]:
    """The kinds of markup inside the text of one paragraph or cell."""
    (token,) = [token for token in PARSER.parse(text) if token.type == "inline"]
    return {child.type for child in token.children or ()}


@pytest.mark.parametrize("name", REPORTS)
def test_the_markdown_is_the_one_that_was_looked_at(name: str) -> None:
    assert to_markdown(REPORTS[name]) == golden(f"{name}.md")


@given(st.text(min_size=1).filter(str.strip))
def test_escaped_text_is_nothing_but_text(text: str) -> None:
    assert inline_types(f"x{escape(text)}") <= {"text", "text_special"}


@pytest.mark.parametrize(
    "text",
    [
        "**b**",
        "`c`",
        "[a](http://b)",
        "![a](http://b)",
        "<img src=x onerror=y>",
        "<!-- x",
        "a | b",
        "~~x~~",
        "# h",
        "$x$",
        "&lt;",
        HOSTILE,
    ],
)
def test_markup_from_the_repository_stays_text(text: str) -> None:
    table = f"| a |\n|---|\n| {escape(text)} |\n"
    rows = [token for token in PARSER.parse(table) if token.type == "tr_open"]
    cells = [token for token in PARSER.parse(table) if token.type == "td_open"]
    assert (len(rows), len(cells)) == (2, 1)
    assert not re.search(r"<(?!/?(table|thead|tbody|tr|th|td)\b)", PARSER.render(table))


def test_nobody_is_mentioned_and_nothing_is_linked() -> None:
    shown = PARSER.render(escape("@admin #12 https://evil.example www.evil.example"))
    for start in ("@admin", "#12", "https://", "www."):
        assert start not in shown


def test_a_digest_can_be_copied() -> None:
    assert PARSER.render(escape("blake3:00ff")) == "<p>blake3:00ff</p>\n"


def test_of_several_commits_those_that_pass_share_a_table() -> None:
    shown = to_markdown(REPORTS["many"])
    assert shown.count("the code and 1 artifact") == 0
    assert shown.count("| `9263b9f99b61` |") == 2
    assert "4 commits: 2 pass, 1 fail, 1 unknown" in shown


def test_a_stricter_verdict_stands_in_the_headline() -> None:
    assert to_markdown(Report((UNTOLD,)), verdict=Verdict.FAIL).startswith("### ✗ gitprov: FAIL")


def test_a_report_that_is_too_long_for_a_comment_is_counted() -> None:
    findings = FAILING.findings * 400
    shown = to_markdown(Report((replace(FAILING, findings=findings), PASSING)))
    assert len(shown) < MAX_CHARS + 500
    assert re.search(r"… and [\d,]+ more lines", shown)
    assert shown.startswith("### ✗ gitprov: FAIL")
