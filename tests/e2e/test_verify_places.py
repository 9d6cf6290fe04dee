"""`gitprov verify` where repositories are unlike the one that made the records."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.story import Story, gitprov, ok, tell
from tests.support.repos import clone, commit, git


def test_a_fresh_clone_cannot_tell_and_says_what_to_run(told: Story, tmp_path: Path) -> None:
    other = clone(told.origin, tmp_path / "clone")
    ran = gitprov(other, "verify", "--json")
    assert ran.code == 3
    unknown = {check: detail for check, _, detail in ran.findings("unknown")}
    assert "`gitprov init` fetches" in unknown["record-present"]
    assert "`gitprov init` fetches" in unknown["log"]
    assert gitprov(other, "verify", "--strict").code == 1


def test_after_init_a_clone_verifies_without_the_data(told: Story, tmp_path: Path) -> None:
    other = clone(told.origin, tmp_path / "clone")
    ok(other, "init")
    ran = gitprov(other, "verify", "--json")
    assert ran.code == 0, ran
    skipped = [finding for finding in ran.findings("skip") if finding[0] == "artifacts"]
    assert all("its data is not here" in detail for _, _, detail in skipped)
    assert len(skipped) == 2
    assert gitprov(other, "verify", "--require-data").code == 3
    assert gitprov(other, "verify", "--all").code == 0


def test_a_clone_whose_fetched_notes_were_tampered_with_fails(story: Story, tmp_path: Path) -> None:
    story.edit_note("record", lambda line: line["leaves"][1].update(size=1))
    git(story.repo, "push", "--quiet", "--no-verify", "--force", "origin", "refs/notes/gitprov")
    other = clone(story.origin, tmp_path / "clone")
    ok(other, "init")
    ran = gitprov(other, "verify", "--json")
    assert "data: recorded size 1" in ran.failed()["record-matches"]


def test_a_shallow_clone_verifies_the_commits_that_it_has(told: Story, tmp_path: Path) -> None:
    other = clone(f"file://{told.origin}", tmp_path / "shallow", "--depth=1")
    ok(other, "init")
    assert gitprov(other, "verify").code == 0
    ran = gitprov(other, "verify", "HEAD~1")
    assert ran.code == 2
    assert "git fetch --unshallow" in ran.err
    assert gitprov(other, "verify", "--all").code == 0


def test_a_partial_clone_fetches_what_it_lacks_and_verifies(told: Story, tmp_path: Path) -> None:
    git(told.origin, "config", "uploadpack.allowFilter", "true")
    other = clone(f"file://{told.origin}", tmp_path / "partial", "--filter=blob:none")
    ok(other, "init")
    assert gitprov(other, "verify", "--all").code == 0


def test_a_partial_clone_cut_off_from_its_remote_cannot_tell(story: Story, tmp_path: Path) -> None:
    git(story.origin, "config", "uploadpack.allowFilter", "true")
    other = clone(f"file://{story.origin}", tmp_path / "partial", "--filter=blob:none")
    ok(other, "init", "--no-hooks")
    shutil.rmtree(story.origin)
    ran = gitprov(other, "verify", "HEAD~1", "--json")
    assert ran.code == 3, ran
    assert any("cannot be read here" in detail for _, _, detail in ran.findings("unknown"))


def test_a_bare_repository_verifies_its_branches(story: Story) -> None:
    ran = gitprov(story.origin, "verify", "--all", "--json")
    assert ran.code == 0, ran
    assert len(ran.json["commits"]) == 2
    assert gitprov(story.origin, "verify", "main").code == 0


def test_a_linked_worktree_shares_records_log_and_store(story: Story) -> None:
    linked = story.top / "linked"
    git(story.repo, "worktree", "add", "--quiet", str(linked), "HEAD~1")
    assert gitprov(linked, "verify", "--deep", "--require-data").code == 0
    ok(linked, "checkout")
    ran = gitprov(linked, "verify", "--json")
    assert all("in the worktree" in d for c, _, d in ran.findings("pass") if c == "artifacts")
    (linked / "data/train/1.png").write_bytes(b"1")
    assert gitprov(linked, "verify").code == 1
    assert story.verify().code == 0


def test_a_detached_head_is_a_commit_like_any_other(story: Story) -> None:
    git(story.repo, "checkout", "--quiet", "--detach", "HEAD~1")
    assert story.verify().json["commits"][0]["commit"] == story.first
    commit(story.repo, {"a.py": "1\n"}, "On no branch")
    ran = story.verify("--all")
    assert len(ran.json["commits"]) == 3
    assert ran.code == 0


def test_a_tag_that_is_an_object_names_its_commit(story: Story) -> None:
    git(story.repo, "tag", "-a", "-m", "One", "v1.0", "HEAD~1")
    assert story.verify("v1.0").json["commits"][0]["commit"] == story.first


def test_a_sha256_repository_verifies(tmp_path: Path) -> None:
    story = tell(tmp_path, object_format="sha256")
    assert len(story.head) == 64
    assert story.verify("--all", "--deep").code == 0


def test_a_subfolder_and_another_folder_with_dash_c_are_good_places(told: Story) -> None:
    assert gitprov(told.repo / "data/train", "verify").code == 0
    assert gitprov(told.top, "-C", "work", "verify").code == 0


def test_git_replace_cannot_make_one_commit_pose_as_another(story: Story) -> None:
    git(story.repo, "replace", story.head, story.first)
    ran = story.verify()
    assert ran.code == 0
    assert ran.json["commits"][0]["commit"] == story.head


def test_outside_any_repository_the_error_says_so(tmp_path: Path) -> None:
    ran = gitprov(tmp_path, "verify")
    assert ran.code == 2
    assert "not a git repository" in ran.err
    assert "`git init` makes one" in ran.err


def test_a_repository_without_commits_has_no_head(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    ran = gitprov(tmp_path, "verify")
    assert ran.code == 2
    assert "there is no commit 'HEAD'" in ran.err


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_a_hostile_subject_cannot_steer_a_terminal_or_a_page(story: Story, form: str) -> None:
    commit(story.repo, {"a": "1"}, "\x1b[31m<script>@everyone ![x](http://e) `|` \u202e")
    ran = gitprov(story.repo, "verify", "--format", form)
    assert ran.code == 0
    assert "\x1b" not in ran.out
    assert "\u202e" not in ran.out
    if form == "markdown":
        assert "<script>" not in ran.out
        assert "@everyone" not in ran.out
        assert "![x]" not in ran.out


def test_a_hostile_branch_and_file_name_are_shown_escaped(story: Story) -> None:
    (story.repo / "data/\x1b[31mred").write_bytes(b"")
    ran = gitprov(story.repo, "verify")
    assert ran.code == 1
    assert "\x1b" not in ran.out
    assert "\\x1b[31mred" in ran.out


def test_a_terminal_gets_colour_unless_no_color_is_set(told: Story) -> None:
    script = shutil.which("script")
    if script is None:
        pytest.skip("needs script(1) for a terminal")

    def seen(**env: str) -> bytes:
        command = f"{sys.executable} -m gitprov verify"
        done = subprocess.run(
            [script, "-qec", command, "/dev/null"],
            cwd=told.repo, capture_output=True, env={**os.environ, **env}, check=False,
        )  # fmt: skip
        return done.stdout

    assert b"\x1b[32m" in seen()
    assert b"\x1b" not in seen(NO_COLOR="1")
