"""CI: a fresh clone brings what the verdict needs, and says what it could not look at."""

from pathlib import Path

import pytest

from tests.e2e.test_transfer_notes import add_data, add_remote
from tests.support.cli import gitprov, ok, refused
from tests.support.repos import bare, clone, git, make_repo


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A git remote with two commits of data and a policy; the data lies in a folder beside it."""
    origin = bare(tmp_path / "origin.git")
    repo = make_repo(tmp_path / "ada")
    git(repo, "remote", "add", "origin", str(origin))
    ok(repo, "init", "--no-hooks", "--quiet")
    with (repo / ".gitprov.yaml").open("a") as file:
        file.write("policy:\n  required: [tlog]\n")
    git(repo, "add", ".gitprov.yaml")
    add_remote(repo)
    for text in ("one", "two"):
        add_data(repo, text)
    ok(repo, "push", "--all", "--quiet")
    git(repo, "push", "-q", "origin", "main")
    return origin


def require_data(origin: Path) -> None:
    """Makes the policy ask for the data, in a third commit."""
    repo = origin.parent / "ada"
    text = (repo / ".gitprov.yaml").read_text()
    (repo / ".gitprov.yaml").write_text(text + "  require_data: true\n")
    git(repo, "add", ".gitprov.yaml")
    add_data(repo, "three")
    ok(repo, "push", "--quiet")
    git(repo, "push", "-q", "origin", "main")


def verdicts(repo: Path, check: str, *args: str) -> list[str]:
    report = gitprov(repo, "verify", "--json", *args).json
    found = [f for one in report["commits"] for f in one["findings"] if f["check"] == check]
    return [f["verdict"] for f in found]


def test_a_clone_with_pointers_only_verifies_what_it_can(origin: Path) -> None:
    ci = clone(origin, origin.parent / "ci")
    assert verdicts(ci, "policy") == ["fail"]
    ended = ok(ci, "pull", "--for-verify")
    assert ended.out == "no data is required\nfetched notes and log from origin\n"
    assert ok(ci, "verify", "HEAD~1..HEAD", "--json").json["verdict"] == "pass"
    assert verdicts(ci, "artifacts") == ["skip"]
    assert git(ci, "status", "--porcelain") == ""
    assert not (ci / "data").exists()


def test_a_policy_that_requires_data_gets_the_data_of_these_commits_only(origin: Path) -> None:
    require_data(origin)
    ci = clone(origin, origin.parent / "ci")
    add_remote(ci)
    planned = ok(ci, "pull", "--for-verify", "--dry-run", "--json").json
    assert (planned["objects"], planned["notes"]) == (4, None)
    assert verdicts(ci, "artifacts") == ["unknown"]
    brought = ok(ci, "pull", "--for-verify", "HEAD", "--json").json
    assert brought["objects"] == 4  # the manifest came with the dry run, which went by it
    assert brought["files"] == 0
    assert ok(ci, "verify", "--json").json["verdict"] == "pass"
    assert verdicts(ci, "artifacts") == ["pass"]
    assert not (ci / "data").exists()
    assert git(ci, "status", "--porcelain") == ""


def test_the_policy_of_a_trusted_revision_says_what_is_needed(origin: Path) -> None:
    require_data(origin)
    ci = clone(origin, origin.parent / "ci")
    done = ok(ci, "pull", "--for-verify", "HEAD", "--policy-from", "HEAD~1", "--json").json
    assert (done["remote"], done["objects"], done["commits"]) == (None, 0, 1)


def test_data_that_nobody_pushed_leaves_the_verdict_open(origin: Path) -> None:
    require_data(origin)
    for pack in [*(origin.parent / "nas" / "index").iterdir()]:
        pack.unlink()
    ci = clone(origin, origin.parent / "ci")
    add_remote(ci)
    ended = gitprov(ci, "pull", "--for-verify")
    assert ended.code == 3
    assert "neither here nor there" in ended.err
    assert gitprov(ci, "verify").code == 3


def test_a_shallow_clone_judges_its_commit_and_names_what_it_lacks(origin: Path) -> None:
    ci = clone(f"file://{origin}", origin.parent / "ci", "--depth", "1")
    ended = ok(ci, "pull", "--for-verify")
    assert "shallow" not in ended.err
    ok(ci, "verify")
    ended = ok(ci, "verify", "--all")
    assert "this clone is shallow: commits that it lacks were not looked at" in ended.err
    assert "git fetch --unshallow" in ended.err
    refused(ci, "pull", "--for-verify", "HEAD~1..HEAD", code=2, says="HEAD~1")
    assert "--unshallow" in gitprov(ci, "verify", "HEAD~1..HEAD").err


def test_what_makes_no_sense_together_is_refused(origin: Path) -> None:
    ci = clone(origin, origin.parent / "ci")
    says = "--for-verify brings notes and writes no file of the worktree"
    refused(ci, "pull", "--for-verify", "--no-notes", code=2, says=says)
    refused(ci, "pull", "--for-verify", "--force", code=2, says=says)
    refused(ci, "pull", "--policy-from", "HEAD", code=2, says="--policy-from is for --for-verify")
    refused(ci, "pull", "--for-verify", "nothing", code=2, says="there is no commit 'nothing'")
    git(ci, "remote", "remove", "origin")
    refused(ci, "pull", "--for-verify", code=2, says="no git remote is known")
