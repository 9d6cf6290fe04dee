"""`gitprov demo`, played once as a user plays it; and what it says when a step fails."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn")

from gitprov.demo import story
from gitprov.demo.stage import Stage, StoryStopped

_NAMED = (
    "fsck names data/3/0013.png",
    "verify --deep names data/3/0013.png",
    "verify names data/7/0017.png",
    "the pre-commit hook refuses to commit it",
    "verify names the leaf that was changed, data",
    "verify names both new commits: their notes speak of other commits",
    "the new records are in no log that counts: the policy pins the owner's key",
)


@pytest.mark.slow
def test_the_story_holds_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gitprov", "demo"],
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✗ FAIL     record-matches" in done.stdout
    assert "\n    ✗ " not in done.stdout
    assert "\x1b" not in done.stdout
    for sentence in _NAMED:
        assert f"✓ {sentence}\n" in done.stdout
    steps = re.findall(r"^ ?(\d+)\. ", done.stdout, re.MULTILINE)
    assert steps == [str(number) for number in range(1, len(story.STEPS) + 1)]
    assert list(tmp_path.iterdir()) == []


def test_a_claim_that_does_not_hold_fails_the_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(stage: Stage) -> None:
        stage.claim("water flows uphill", holds=False)

    monkeypatch.setattr(story, "STEPS", (("A claim", wrong), ("Nothing", lambda _: None)))
    assert story.run_demo(keep=False) is False
    assert "0 of 1 claims held" in capsys.readouterr().out


def test_a_command_with_another_exit_code_stops_the_story(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(stage: Stage) -> None:
        stage.gitprov(".", "status")

    def never(stage: Stage) -> None:
        raise AssertionError("the story went on")

    monkeypatch.setattr(story, "STEPS", (("No repository", wrong), ("Never", never)))
    assert story.run_demo(keep=False) is False
    out = capsys.readouterr().out
    assert ".$ gitprov status" in out
    assert "gitprov: error:" in out
    assert "The story stopped in step 1 of 2." in out


def test_a_stage_without_utf8_prints_ascii(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = Stage(str(tmp_path), ascii_only=True)
    stage.claim("a → b, 2 × 3 … ✓ é", holds=True)
    assert capsys.readouterr().out == "    + a -> b, 2 x 3 ... + ?\n"


def test_the_stage_shows_commands_as_they_are_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = Stage(str(tmp_path), ascii_only=False)
    stage.git(".", "init", "--quiet")
    stage.git(".", "config", "user.name", "A B")
    with pytest.raises(StoryStopped):
        stage.git(".", "rev-parse", "--verify", "--quiet", "HEAD~1")
    out = capsys.readouterr().out
    assert ".$ git config user.name 'A B'\n" in out
    assert ".$ git rev-parse --verify --quiet HEAD~1\n" in out
