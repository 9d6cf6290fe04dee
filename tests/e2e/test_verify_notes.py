"""`gitprov verify` against every way of tampering with a note, a record, a pointer, a commit."""

import base64
import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.story import Story, gitprov, ok
from tests.support.repos import commit, git

Line = dict[str, Any]
OTHER = "blake3:" + 64 * "5"


def _code(key: str, value: str) -> Callable[[Line], None]:
    return lambda line: line["leaves"][0].update({key: value})


def _artifact(key: str, value: object) -> Callable[[Line], None]:
    return lambda line: line["leaves"][1].update({key: value})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda line: line.update(root=OTHER), "root: recorded root blake3:5555"),
        (_code("tree_blake3", OTHER), "code: recorded tree blake3:5555"),
        (_code("commit_blake3", OTHER), "code: recorded blake3:5555"),
        (_code("object_format", "sha256"), "malformed"),
        (_code("commit", 40 * "1"), "code: recorded commit 1111"),
        (_artifact("root", OTHER), "data: recorded blake3:5555"),
        (_artifact("size", 1), "data: recorded size 1, the commit gives"),
        (_artifact("files", 99), "data: recorded files 99, the commit gives 5"),
        (_artifact("kind", "model"), "data: recorded kind model, the commit gives data"),
        (_artifact("path", "datb"), "datb: recorded"),
        (_artifact("entry", "file"), "data: recorded entry file, the commit gives dir"),
        (_artifact("weights", OTHER), "data: recorded weights blake3:5555"),
        (lambda line: line["leaves"].pop(), "model.safetensors: not recorded, but the commit has"),
        (lambda line: line["leaves"].reverse(), "malformed"),
        (lambda line: line["leaves"].append(line["leaves"][-1]), "malformed"),
        (lambda line: line.update(gitprov=2), "malformed"),
        (lambda line: line.update(extra=1), "malformed"),
        (lambda line: line.pop("root"), "malformed"),
    ],
)  # fmt: skip
def test_a_changed_field_of_the_record_is_found(
    story: Story, change: Callable[[Line], None], said: str
) -> None:
    story.edit_note("record", change)
    ran = story.verify()
    failed = ran.failed()
    if said == "malformed":
        assert "a line of the note is malformed" in failed["record-matches"]
    else:
        assert said in failed["record-matches"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda line: line.update(index=0), "does not lead from the record root"),
        (lambda line: line.update(index=2), "does not lead from the record root"),
        (lambda line: line.update(size=1, index=0, path=[]), "does not lead"),
        (lambda line: line.update(size=3), "does not"),
        (lambda line: line.update(path=[64 * "a"]), "does not lead from the record root"),
        (lambda line: line.update(path=[]), "does not lead from the record root"),
        (lambda line: line.update(digest="sha256:" + 64 * "a"), "does not lead"),
        (lambda line: line.update(root=OTHER), "it witnesses blake3:5555"),
        (lambda line: line.update(status="pending"), "a signed head is final at once"),
        (lambda line: line.update(commit=40 * "1"), "names this commit's record root"),
        (lambda line: line["receipt"].update(checkpoint="x"), "signed head does not hold"),
        (lambda line: line["receipt"].update(more=1), "signed head does not hold"),
    ],
)
def test_a_changed_field_of_an_anchor_line_is_found(
    story: Story, change: Callable[[Line], None], said: str
) -> None:
    story.edit_note("anchor", change)
    assert said in story.verify().failed()["anchor:tlog"]


def test_a_forged_signature_on_a_signed_head_is_found(story: Story) -> None:
    def forge(line: Line) -> None:
        head, _, signature = line["receipt"]["checkpoint"].rstrip("\n").rpartition(" ")
        raw = bytearray(base64.b64decode(signature))
        raw[-1] ^= 1
        line["receipt"]["checkpoint"] = f"{head} {base64.b64encode(raw).decode()}\n"

    story.edit_note("anchor", forge)
    assert "no signature" in story.verify().failed()["anchor:tlog"]


def test_an_anchor_of_another_network_is_unknown_not_passed(story: Story) -> None:
    story.edit_note("anchor", lambda line: line.update(network="dogecoin", receipt={"tx": "00"}))
    ran = story.verify()
    assert ran.code == 3
    assert ("anchor:dogecoin", "") in {finding[:2] for finding in ran.findings("unknown")}


def test_a_note_that_was_copied_to_another_commit_does_not_count(story: Story) -> None:
    story.set_note(story.raw_note("HEAD~1") + "\n")
    failed = story.verify().failed()
    assert f"only the record of another commit, {story.first[:12]}" in failed["record-present"]
    assert f"a record of the commit {story.first[:12]} was copied" in failed["record-matches"]


def test_copied_lines_beside_the_right_ones_are_named_and_do_no_harm(story: Story) -> None:
    story.set_note(story.note() + story.note("HEAD~1"))
    ran = story.verify()
    assert ran.code == 0
    assert any("was copied here" in detail for _, _, detail in ran.findings("skip"))


def test_a_note_that_was_removed_is_missed(story: Story) -> None:
    git(story.repo, "notes", "--ref=gitprov", "remove", "HEAD")
    story.forget_remote()
    failed = story.verify().failed()
    assert "no note holds a record of this commit" in failed["record-present"]


def test_all_notes_removed_cannot_be_told_and_says_what_to_run(story: Story) -> None:
    git(story.repo, "update-ref", "-d", "refs/notes/gitprov")
    story.forget_remote()
    ran = story.verify()
    assert ran.code == 3
    assert any("gitprov init" in detail for _, _, detail in ran.findings("unknown"))


def test_a_second_record_of_the_same_commit_is_found(story: Story) -> None:
    lines = story.note()
    second = copy.deepcopy(next(line for line in lines if line["type"] == "record"))
    second["leaves"][1]["root"] = OTHER
    second["root"] = OTHER
    story.set_note([*lines, second])
    failed = story.verify().failed()
    assert "the note holds 2 different records of this commit" in failed["record-matches"]


def test_a_line_that_is_no_json_is_found_and_the_rest_is_judged(story: Story) -> None:
    story.set_note(f"nonsense\n{story.raw_note()}\n")
    failed = story.verify().failed()
    assert list(failed) == ["record-matches"]
    assert "a line of the note is malformed" in failed["record-matches"]


def test_a_line_of_a_future_type_is_kept_and_makes_it_unknown(story: Story) -> None:
    story.set_note([*story.note(), {"gitprov": 1, "type": "from-the-future"}])
    ran = story.verify()
    assert ran.code == 3
    ok(story.repo, "record")
    assert "from-the-future" in story.raw_note()


def test_a_rewritten_commit_has_no_record_and_no_anchor_of_its_own(story: Story) -> None:
    note = story.raw_note()
    hooks = ("-c", "core.hooksPath=/nowhere")
    git(story.repo, *hooks, "commit", "--quiet", "--amend", "-m", "Rewritten")
    assert "record-present" in story.verify().failed()
    story.set_note(note + "\n")  # as notes.rewriteRef would
    failed = story.verify().failed()
    assert "only the record of another commit" in failed["record-present"]


def test_a_pointer_that_changed_without_a_record_is_named(story: Story) -> None:
    """The note names the new commit, but the record is one of the old data."""
    pointer = (story.repo / "data.prov").read_text()
    other = pointer.replace(pointer.split("root: ")[1][:71], OTHER)
    git(story.repo, "config", "core.hooksPath", "/nowhere")
    made = commit(story.repo, {"data.prov": other}, "Change the pointer")
    git(story.repo, "config", "--unset", "core.hooksPath")
    line = next(line for line in story.note(story.head) if line["type"] == "record")
    line["commit"] = line["leaves"][0]["commit"] = made
    story.set_note([line])
    failed = story.verify().failed()
    assert f"data: recorded {line['leaves'][1]['root']}" in failed["record-matches"]
    assert OTHER in failed["record-matches"]


def test_a_commit_with_a_pointer_that_is_nonsense_gives_no_record(story: Story) -> None:
    git(story.repo, "config", "core.hooksPath", "/nowhere")
    commit(story.repo, {"data.prov": "gitprov: 1\npath: ../../etc\n"}, "Break the pointer")
    ran = story.verify()
    assert ran.code == 1
    told = gitprov(story.repo, "record")
    assert told.code == 1
    assert "the pointer data.prov is not well formed" in told.err


def test_a_huge_note_is_refused_and_named(story: Story) -> None:
    story.set_note((story.raw_note() + "\n") + "x" * (17 << 20) + "\n")
    ran = gitprov(story.repo, "verify", "--json")
    assert ran.code == 1
    assert "larger than" in ran.out


def test_control_characters_in_a_note_never_reach_the_terminal(story: Story) -> None:
    story.edit_note("record", _artifact("path", "\x1b[2J\u202ex"))
    for form in ("text", "markdown"):
        ran = gitprov(story.repo, "verify", "--format", form)
        assert ran.code == 1
        assert "\x1b" not in ran.out
        assert "\u202e" not in ran.out
