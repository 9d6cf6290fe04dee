"""`gitprov record`, `anchor` and `log` on real repositories."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.story import Ran, Story, gitprov, ok
from tests.support.repos import clone, commit, git, make_repo, many_commits


def test_the_log_shows_what_is_recorded_newest_first(told: Story) -> None:
    lines = ok(told.repo, "log").out.splitlines()
    assert lines[0] == f"{told.head[:12]} Train on it"
    assert re.fullmatch(r"  root    blake3:[0-9a-f]{64}", lines[1])
    assert re.fullmatch(r"  data +data .* 5 files  [0-9a-f]{16}", lines[2])
    assert re.fullmatch(r"  model +model\.safetensors +293 KiB +[0-9a-f]{16}", lines[3])
    assert lines[4] == "  anchor  tlog: final, entry 1 under the head of size 2"
    assert lines[-2:] == [f"{told.before[:12]} Before gitprov", "  not recorded"]


def test_the_log_as_json_says_the_same(told: Story) -> None:
    value = ok(told.repo, "log", "--json").json
    assert value["schema"] == "gitprov/log/v1"
    first, second, third = value["commits"]
    assert [first["commit"], second["commit"]] == [told.head, told.first]
    assert first["anchors"] == [{"index": 1, "network": "tlog", "size": 2, "status": "final"}]
    assert [leaf["path"] for leaf in first["artifacts"]] == ["data", "model.safetensors"]
    assert (third["root"], third["anchors"], third["artifacts"]) == (None, [], [])


def test_the_log_can_be_limited_to_revisions_and_a_number(told: Story) -> None:
    assert len(ok(told.repo, "log", "-n", "1", "--json").json["commits"]) == 1
    ran = ok(told.repo, "log", "HEAD~1..HEAD", "--json")
    assert [item["commit"] for item in ran.json["commits"]] == [told.head]
    assert gitprov(told.repo, "log", "nowhere").code == 2


def test_a_reader_that_goes_away_ends_it_quietly_and_not_with_a_verdict(told: Story) -> None:

    command = f"{sys.executable} -m gitprov log | true"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], cwd=told.repo, capture_output=True
    )
    assert (done.returncode, done.stderr) == (141, b"")  # as git does


def test_the_keys_of_the_logs_are_shown_for_the_policy(told: Story) -> None:
    public = (told.data_dir / "log.pub").read_text().strip()
    assert public in ok(told.repo, "log", "--keys").out
    logs = ok(told.repo, "log", "--keys", "--json").json["logs"]
    assert logs[0]["own"] is True
    assert {log["key"] for log in logs} == {public}
    assert logs[0]["size"] == 2


def test_recording_again_changes_nothing(story: Story) -> None:
    before = story.raw_note()
    ran = ok(story.repo, "record", "--json").json
    assert [item["new"] for item in ran["commits"]] == [False]
    assert "already recorded" in ok(story.repo, "record").out
    assert story.raw_note() == before


def test_recording_everything_reaches_every_branch_and_tag(story: Story) -> None:
    git(story.repo, "config", "core.hooksPath", "/nowhere")
    git(story.repo, "checkout", "--quiet", "--orphan", "other")
    git(story.repo, "rm", "-rfq", "--cached", ".")
    aside = commit(story.repo, {"x.py": "1\n"}, "Aside")
    git(story.repo, "tag", "aside")
    git(story.repo, "checkout", "--quiet", "-f", "main")
    git(story.repo, "branch", "--quiet", "-D", "other")
    ran = ok(story.repo, "record", "--all", "--json").json
    new = [item["commit"] for item in ran["commits"] if item["new"]]
    assert sorted(new) == sorted([aside, story.before])
    assert (
        "recorded 0 commits; 4 commits had a record already"
        in ok(story.repo, "record", "--all").out
    )


def test_a_range_is_recorded_oldest_first(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    commits = many_commits(repo, 5)
    ran = ok(repo, "record", "main~3..main", "--json").json
    assert [item["commit"] for item in ran["commits"]] == commits[2:]
    assert ran["commit"] == commits[-1]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["record", "--all", "HEAD"], "give a revision or --all, not both"),
        (["record", "nowhere"], "there is no commit 'nowhere'"),
        (["record", "HEAD..HEAD"], "there is no commit in HEAD..HEAD"),
        (["record", "--", "--output=x"], "not a revision: '--output=x'"),
    ],
)
def test_what_cannot_be_recorded_is_said(told: Story, args: list[str], said: str) -> None:
    ran = gitprov(told.repo, *args)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_anchoring_again_changes_nothing(story: Story) -> None:
    tips = git(story.repo, "for-each-ref")
    assert ok(story.repo, "anchor", "--json").json["commits"] == []
    assert "nothing to do" in ok(story.repo, "anchor").out
    assert git(story.repo, "for-each-ref") == tips


def test_anchoring_covers_what_is_new_and_only_that(story: Story) -> None:
    made = commit(story.repo, {"train.py": "3\n"}, "Go on")
    ran = ok(story.repo, "anchor", "--json").json
    assert (ran["schema"], ran["commits"], ran["size"]) == ("gitprov/anchor/v1", [made], 3)
    assert len([line for line in story.note(story.first) if line["type"] == "anchor"]) == 1


def test_anchoring_an_empty_log_says_what_to_do_first(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    ran = gitprov(repo, "anchor")
    assert ran.code == 3
    assert "`gitprov record HEAD`" in ran.err


def test_anchoring_without_the_private_key_is_not_possible_and_says_so(story: Story) -> None:
    commit(story.repo, {"train.py": "3\n"}, "Go on")
    (story.data_dir / "log.key").unlink()
    ran = gitprov(story.repo, "anchor")
    assert ran.code == 3
    assert "the private key of this clone's log is gone" in ran.err


def test_a_private_key_that_others_may_read_is_refused(story: Story) -> None:
    commit(story.repo, {"train.py": "3\n"}, "Go on")
    (story.data_dir / "log.key").chmod(0o644)
    ran = gitprov(story.repo, "anchor")
    assert ran.code == 1
    assert "chmod 600" in ran.err


def test_two_thousand_commits_are_recorded_anchored_and_verified_in_one_go(
    tmp_path: Path,
) -> None:
    repo = make_repo(tmp_path / "r")
    commits = many_commits(repo, 2000)
    assert len(ok(repo, "record", "--all", "--json").json["commits"]) == 2000
    assert len(ok(repo, "anchor", "--json").json["commits"]) == 2000
    ran = ok(repo, "verify", "--all", "--json")
    assert [one["commit"] for one in ran.json["commits"]] == commits[::-1]
    assert "2,000 commits: 2000 pass" in ok(repo, "verify", "--all").out


def test_two_clones_keep_two_logs_and_each_verifies_the_other(story: Story, tmp_path: Path) -> None:
    other = clone(story.origin, tmp_path / "other")
    ok(other, "init")
    theirs = commit(other, {"theirs.py": "1\n"}, "Theirs")
    git(other, "push", "--quiet")
    git(story.repo, "pull", "--quiet")
    assert git(story.repo, "rev-parse", "HEAD") == theirs
    ran = story.verify()
    assert ran.code == 0, ran
    logs = ok(story.repo, "log", "--keys", "--json").json["logs"]
    assert len({log["id"] for log in logs}) == 2


def test_no_command_ever_prints_the_private_key(story: Story) -> None:
    secret = (story.data_dir / "log.key").read_text().strip()
    key = secret.split("+", 4)[4]  # base64, which may hold a + itself
    halves = [secret, key, key[4:24]]
    commit(story.repo, {"train.py": "3\n"}, "Go on")
    damaged = json.dumps({"not": "a key"})
    commands = [
        ["init"], ["init", "--json"], ["doctor"], ["doctor", "--json"], ["anchor", "--json"],
        ["log", "--keys"], ["log", "--keys", "--json"], ["log"], ["verify"], ["record"],
        ["--debug", "verify", "nowhere"], ["log", "--check", "origin"], ["status"], ["gc"],
        ["fsck"], ["add", ".git/gitprov/log.key"], ["prove", ".git/gitprov/log.key"],
    ]  # fmt: skip
    for args in commands:
        ran = gitprov(story.repo, *args) if "--debug" not in args else _debug(story, args)
        assert not any(half in ran.out + ran.err for half in halves), args
    path = story.data_dir / "log.key"
    path.write_text(secret[:-8] + damaged)
    for args in (["anchor"], ["doctor"], ["init"]):
        ran = gitprov(story.repo, *args)
        assert not any(half in ran.out + ran.err for half in halves[1:]), args
    path.write_text(secret + "\n")
    for ref in git(story.repo, "for-each-ref", "--format=%(refname)").splitlines():
        for name in git(story.repo, "ls-tree", "-r", "--format=%(objectname)", ref).split():
            assert halves[2] not in git(story.repo, "cat-file", "-p", name), ref


def _debug(story: Story, args: list[str]) -> Ran:

    done = subprocess.run(
        [sys.executable, "-m", "gitprov", *args], cwd=story.repo, capture_output=True, text=True
    )
    assert "Traceback" in done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


def test_doctor_finds_nothing_wrong_in_a_good_repository(story: Story) -> None:
    ran = ok(story.repo, "doctor", "--json").json
    states = {check["name"]: check["state"] for check in ran["checks"]}
    assert "fail" not in states.values()
    assert {"gitprov", "git", "configuration", "hooks", "log", "store"} <= set(states)
    assert states["remote origin"] == "ok"


def test_doctor_names_what_is_wrong_and_what_to_run(story: Story) -> None:
    (story.data_dir / "log.key").unlink()
    (story.repo / ".git/hooks/post-commit").unlink()
    shutil.rmtree(story.origin)
    ran = gitprov(story.repo, "doctor", "--json")
    checks = {check["name"]: check for check in ran.json["checks"]}  # of two hooks, the last
    assert ran.code == 4
    assert checks["log"]["state"] == "fail"
    assert checks["hooks"]["detail"] == "absent: post-commit"
    assert checks["hooks"]["hint"] == "gitprov install"
    assert checks["remote origin"]["detail"] == "does not answer"


def test_doctor_says_which_remotes_for_data_answer(story: Story, tmp_path: Path) -> None:
    ok(story.repo, "remote", "add", "nas", str(tmp_path / "nas"))
    ok(story.repo, "remote", "add", "gone", "ssh://127.0.0.1:1/x")
    checks = {one["name"]: one for one in ok(story.repo, "doctor", "--json").json["checks"]}
    assert checks["chunks"]["detail"].startswith("large files are cut by ")
    assert checks["data remote nas"]["state"] == "ok"
    assert "it answers; nothing was pushed to" in checks["data remote nas"]["detail"]
    assert checks["data remote gone"]["state"] == "warn"


def test_doctor_goes_on_when_the_configuration_is_broken(story: Story) -> None:
    (story.repo / ".gitprov.yaml").write_text("gitprov: 1\nstor: {}\n")
    ran = gitprov(story.repo, "doctor")
    assert ran.code in {2, 4}
    assert "unknown key stor" in ran.out + ran.err
