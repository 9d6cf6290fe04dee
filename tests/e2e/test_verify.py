"""`gitprov verify` on a repository where nothing is wrong, and with damaged data."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from blake3 import blake3

from tests.e2e.story import Story, gitprov, ok
from tests.support.repos import commit, git, many_commits, write

CHECKS = ["record-present", "record-matches", "artifacts", "artifacts", "log", "anchor:tlog"]


def test_a_commit_where_nothing_is_wrong_passes_every_check(told: Story) -> None:
    ran = told.verify()
    (one,) = ran.json["commits"]
    assert one["commit"] == told.head
    assert [finding["check"] for finding in one["findings"]] == [*CHECKS, "policy"]
    assert {finding["verdict"] for finding in one["findings"]} == {"pass", "skip"}
    assert one["root"] == next(ln["root"] for ln in told.note() if ln["type"] == "record")


def test_the_json_is_the_schema_of_the_design_and_nothing_else(told: Story) -> None:
    ran = told.verify("--all")
    assert list(ran.json) == ["schema", "verdict", "commits"]
    assert ran.json["schema"] == "gitprov/verify/v1"
    for one in ran.json["commits"]:
        assert list(one) == ["commit", "root", "verdict", "findings"]
        for finding in one["findings"]:
            assert list(finding) == ["check", "verdict", "subject", "detail"]
    assert ran.out.count("\n") == 1


def test_a_range_is_checked_commit_by_commit(told: Story) -> None:
    ran = told.verify("HEAD~2..HEAD")
    assert [one["commit"] for one in ran.json["commits"]] == [told.head, told.first]
    assert ran.code == 0


def test_several_revisions_are_checked_once_each(told: Story) -> None:
    ran = told.verify("HEAD~1", "main", "HEAD")
    assert [one["commit"] for one in ran.json["commits"]] == [told.first, told.head]


def test_an_empty_range_has_nothing_to_check_and_cannot_be_told(told: Story) -> None:
    ran = gitprov(told.repo, "verify", "HEAD..HEAD")
    assert ran.code == 3
    assert "there was nothing to check" in ran.out


def test_all_leaves_out_and_counts_what_was_made_before_gitprov(told: Story) -> None:
    ran = told.verify("--all")
    assert [one["commit"] for one in ran.json["commits"]] == [told.head, told.first]
    assert ran.code == 0
    assert "1 commit from before gitprov" in ran.err
    text = gitprov(told.repo, "verify", "--all")
    assert "left out: 1 commit from before gitprov was here" in text.out.splitlines()


def test_a_commit_from_before_that_is_asked_for_by_name_has_no_record(told: Story) -> None:
    ran = told.verify(told.before)
    assert "record-present" in ran.failed()


def test_taking_gitprov_out_again_does_not_take_a_commit_out_of_all(story: Story) -> None:
    git(story.repo, "rm", "--quiet", ".gitprov.yaml", "data.prov", "model.safetensors.prov")
    git(story.repo, "-c", "core.hooksPath=/none", "commit", "--quiet", "-m", "Hide")
    hidden = git(story.repo, "rev-parse", "HEAD")
    ran = story.verify("--all")
    assert [one["commit"] for one in ran.json["commits"] if one["verdict"] == "fail"] == [hidden]


def test_a_repository_without_any_trace_of_gitprov_cannot_be_told(tmp_path: Path) -> None:
    repo = tmp_path / "r"
    repo.mkdir()
    git(repo, "init", "--quiet", "-b", "main")
    many_commits(repo, 3)
    ran = gitprov(repo, "verify", "--all")
    assert ran.code == 3
    assert "left out: 3 commits" in ran.out
    assert "no commit was made with gitprov yet" in ran.out


def test_a_changed_file_in_the_worktree_is_named(story: Story) -> None:
    (story.repo / "data/train/2.png").write_bytes(b"2wo")
    (story.repo / "data/new").write_bytes(b"")
    (story.repo / "data/test/1.png").unlink()
    ran = story.verify()
    assert ran.failed() == {
        "artifacts": "data: 3 files differ: modified data/train/2.png; added data/new; "
        "deleted data/test/1.png\n"
    }


def test_the_worktree_says_nothing_about_an_older_commit(story: Story) -> None:
    (story.repo / "data/train/2.png").write_bytes(b"2wo")
    assert story.verify("HEAD~1").code == 0


def test_data_that_is_not_checked_out_is_skipped_and_hashed_when_it_is_required(
    story: Story,
) -> None:
    ran = story.verify("HEAD~1")
    assert [f[0] for f in ran.findings("skip")].count("artifacts") == 2
    ran = story.verify("HEAD~1", "--require-data")
    assert ran.code == 0
    assert [f[2].partition(", ")[2] for f in ran.findings("pass") if f[0] == "artifacts"] == [
        "hashed again and as recorded; not checked out"
    ] * 2


def test_what_cannot_be_told_is_a_failure_under_strict(story: Story) -> None:
    (blob,) = (path for path in story.data_dir.glob("objects/*/*") if path.is_file())
    blob.unlink()
    assert story.verify("HEAD~1", "--require-data").code == 3
    ran = gitprov(story.repo, "verify", "HEAD~1", "--require-data", "--strict")
    assert ran.code == 1
    assert "and that was demanded" in ran.out


def test_a_flipped_byte_in_a_big_blob_is_named_by_deep(story: Story) -> None:
    (blob,) = (path for path in story.data_dir.glob("objects/*/*") if path.is_file())
    _flip(blob, 1000)
    assert story.verify().code == 0
    ran = story.verify("--deep")
    assert ran.failed() == {
        "artifacts": "model.safetensors: 1 file differs: damaged in the store: model.safetensors\n"
    }


def test_a_flipped_byte_in_a_pack_is_named_by_deep(story: Story) -> None:
    pack, at = next(
        (path, found)
        for path in story.data_dir.glob("packs/*.pack")
        if (found := path.read_bytes().find(b"three")) >= 0
    )
    _flip(pack, at)
    ran = story.verify("--deep")
    assert ran.failed() == {
        "artifacts": "data: 1 file differs: damaged in the store: data/test/1.png\n"
    }


def test_a_flipped_byte_in_a_manifest_is_named_by_deep(story: Story) -> None:
    pack, at = next(
        (path, found)
        for path in story.data_dir.glob("packs/*.pack")
        if (found := path.read_bytes().find(b"\xc4\x051.png")) >= 0
    )
    _flip(pack, at + 3)
    ran = story.verify("--deep")
    assert "damaged in the store: data" in ran.failed()["artifacts"]


@pytest.mark.parametrize(
    "poison",
    [
        "UPDATE git_blobs SET digest = zeroblob(32)",
        "UPDATE git_trees SET root = zeroblob(32)",
        "UPDATE git_trees SET artifacts = ''",
    ],
)
def test_a_poisoned_cache_cannot_deceive_deep(story: Story, poison: str) -> None:
    with closing(sqlite3.connect(story.data_dir / "cache.db")) as cache, cache:
        cache.execute("DELETE FROM git_trees" if "git_blobs" in poison else "SELECT 1")
        cache.execute(poison)
    assert story.verify("--deep").code == 0


def test_a_poisoned_cache_never_makes_a_forged_record_pass_under_deep(story: Story) -> None:
    """Whoever can write the cache makes a forged note look right, but not to --deep."""
    forged = "blake3:" + 64 * "0"
    story.edit_note("record", lambda line: line["leaves"][0].update(tree_blake3=forged))
    with closing(sqlite3.connect(story.data_dir / "cache.db")) as cache, cache:
        cache.execute("UPDATE git_trees SET root = zeroblob(32)")
    ran = story.verify("--deep")
    assert ran.code == 1
    assert "record-matches" in ran.failed()


def test_a_poisoned_stat_cache_is_found_out_by_deep(story: Story) -> None:
    """A stat cache that calls a changed file unchanged: the plain run believes it, deep reads."""
    file = story.repo / "data/train/2.png"
    ok(story.repo, "status")
    assert story.verify().code == 0
    before = file.stat()
    file.write_bytes(b"2wo")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with closing(sqlite3.connect(story.data_dir / "cache.db")) as cache, cache:
        rows = cache.execute("SELECT worktree, path, data FROM folders").fetchall()
        for worktree, path, data in rows:
            changed = _with_ctime(data, before.st_ctime_ns, file.stat().st_ctime_ns)
            cache.execute(
                "UPDATE folders SET data = ? WHERE worktree = ? AND path = ?",
                (changed, worktree, path),
            )
    assert "modified data/train/2.png" in story.verify("--deep").failed()["artifacts"]


def _with_ctime(row: bytes, old: int, new: int) -> bytes:
    body = row[16:].replace(old.to_bytes(8, "little"), new.to_bytes(8, "little"))
    return bytes(blake3(body).digest(16)) + body


def test_a_policy_that_is_not_met_fails_and_one_that_is_met_passes(story: Story) -> None:
    _policy(story, "policy:\n  required: [tlog]\n")
    assert story.verify().code == 0
    _policy(story, "policy:\n  required: [tlog, ethereum]\n")
    assert "no final anchor that holds on ethereum" in story.verify().failed()["policy"]


def test_a_key_that_the_policy_does_not_pin_does_not_count(story: Story) -> None:
    other = "gitprov/x/56475aa75463474c+fd6465ce+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
    _policy(story, f"policy:\n  required: [tlog]\n  tlog:\n    keys: [{_known(other)}]\n")
    ran = story.verify()
    assert "a key that the policy does not trust" in ran.failed()["anchor:tlog"]
    own = (story.data_dir / "log.pub").read_text().strip()
    _policy(story, f"policy:\n  required: [tlog]\n  tlog:\n    keys: [{own}]\n")
    assert story.verify().code == 0


def _known(key: str) -> str:
    return key.replace("gitprov/x/", "gitprov/demo/")


def test_a_branch_that_weakens_its_own_policy_is_judged_by_the_trusted_one(story: Story) -> None:
    strict = "gitprov: 1\nname: work\npolicy:\n  required: [tlog]\n"
    commit(story.repo, {".gitprov.yaml": strict}, "Require the log")
    ok(story.repo, "anchor")
    git(story.repo, "checkout", "--quiet", "-b", "sly")
    commit(story.repo, {".gitprov.yaml": "gitprov: 1\nname: work\n"}, "Weaken the policy")
    assert story.verify().code == 0
    ran = story.verify("main..HEAD", "--policy-from", "main")
    assert ran.failed() == {"policy": ": required tlog: no final anchor that holds on tlog\n"}


def test_a_policy_from_a_revision_that_has_none_is_empty(told: Story) -> None:
    ran = told.verify("--policy-from", told.before)
    assert ("policy", "", "the policy requires no network") in ran.findings("skip")


def test_a_policy_with_a_mistake_is_an_error_that_names_it(story: Story) -> None:
    _policy(story, "policy:\n  requird: [tlog]\n")
    ran = gitprov(story.repo, "verify")
    assert ran.code == 2
    assert "unknown key 'requird' in policy" in ran.err
    assert "did you mean 'required'?" in ran.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["verify", "nowhere"], "there is no commit 'nowhere'"),
        (["verify", "HEAD..nowhere"], "nowhere"),
        (["verify", "--all", "HEAD"], "give revisions or --all, not both"),
        (["verify", "--policy-from", "nowhere"], "there is no commit 'nowhere'"),
        (["verify", "--", "--upload-pack=x"], "not a revision: '--upload-pack=x'"),
    ],
)
def test_wrong_usage_is_told_apart_from_a_verdict(told: Story, args: list[str], said: str) -> None:
    ran = gitprov(told.repo, *args)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_a_submodule_and_a_merge_are_part_of_what_is_verified(story: Story) -> None:
    git(story.repo, "checkout", "--quiet", "-b", "side", "HEAD~1")
    commit(story.repo, {"side.py": "1\n"}, "Aside")
    git(story.repo, "checkout", "--quiet", "main")
    git(story.repo, "merge", "--quiet", "--no-edit", "side")
    ok(story.repo, "record")
    assert story.verify("--all").code == 0


def _policy(story: Story, text: str) -> None:
    write(story.repo, {".gitprov.yaml": f"gitprov: 1\nname: work\n{text}"})


def _flip(path: Path, at: int) -> None:
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
