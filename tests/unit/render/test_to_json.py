"""Reports as JSON."""

import json

import pytest

from gitprov.model.report import CommitReport, Finding, Report, Verdict
from gitprov.render.to_json import to_json
from tests.unit.render.support import HOSTILE, REPORTS, ROOT, UNTOLD, golden


@pytest.mark.parametrize("name", REPORTS)
def test_the_json_is_the_one_that_was_looked_at(name: str) -> None:
    assert to_json(REPORTS[name]) == golden(f"{name}.json")


def test_the_object_has_the_fields_of_the_schema_in_their_order_and_no_more() -> None:
    value = json.loads(to_json(REPORTS["failing"]))
    assert list(value) == ["schema", "verdict", "commits"]
    assert (value["schema"], value["verdict"]) == ("gitprov/verify/v1", "fail")
    (commit,) = value["commits"]
    assert list(commit) == ["commit", "root", "verdict", "findings"]
    assert commit["root"] == str(ROOT)
    assert list(commit["findings"][0]) == ["check", "verdict", "subject", "detail"]


def test_the_schema_names_the_verb() -> None:
    assert json.loads(to_json(Report(()), verb="check"))["schema"] == "gitprov/check/v1"


def test_a_commit_without_a_root_has_null() -> None:
    assert json.loads(to_json(Report((UNTOLD,))))["commits"][0]["root"] is None


def test_a_stricter_verdict_leaves_the_commits_own_alone() -> None:
    value = json.loads(to_json(Report((UNTOLD,)), verdict=Verdict.FAIL))
    assert (value["verdict"], value["commits"][0]["verdict"]) == ("fail", "unknown")


def test_text_from_the_repository_comes_back_as_it_was_and_cannot_steer_a_terminal() -> None:
    text = to_json(REPORTS["hostile"])
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text)["commits"][0]["findings"][0]["subject"] == HOSTILE


def test_lone_surrogates_are_written() -> None:
    odd = Finding("log", Verdict.FAIL, "\ud800", "")
    report = Report((CommitReport("a" * 40, "", None, (odd,)),))
    assert json.loads(to_json(report))["commits"][0]["findings"][0]["subject"] == "\ud800"
