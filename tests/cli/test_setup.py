"""`gitprov init`, `install`, `uninstall`: what they set up, and that they may be repeated."""

from pathlib import Path

import pytest

from tests.e2e.story import gitprov, ok
from tests.support.repos import bare, clone, commit, git, make_repo, write

HOOKS = ["pre-commit", "post-commit", "post-rewrite", "pre-push", "post-checkout", "post-merge"]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "my repo")


def _installed(repo: Path) -> list[str]:
    return [name for name in HOOKS if (repo / ".git/hooks" / name).exists()]


def test_init_sets_everything_up_and_says_what_it_did(repo: Path) -> None:
    ran = ok(repo, "init")
    assert [line.split()[0] for line in ran.out.splitlines()] == [
        "configuration", "log", "hooks", "next",
    ]  # fmt: skip
    assert (repo / ".gitprov.yaml").exists()
    assert git(repo, "diff", "--cached", "--name-only") == ".gitprov.yaml"
    assert (repo / ".git/gitprov/log.key").stat().st_mode & 0o777 == 0o600
    assert _installed(repo) == HOOKS


def test_init_may_be_repeated_and_keeps_what_is_there(repo: Path) -> None:
    ok(repo, "init")
    key = (repo / ".git/gitprov/log.key").read_bytes()
    write(repo, {".gitprov.yaml": "gitprov: 1\nname: mine\n"})
    ran = ok(repo, "init", "--json").json
    assert ran["config_written"] is False
    assert (repo / ".gitprov.yaml").read_text() == "gitprov: 1\nname: mine\n"
    assert (repo / ".git/gitprov/log.key").read_bytes() == key
    assert "kept as it is" in ok(repo, "init").out


def test_init_without_hooks_installs_none_and_install_brings_them_later(repo: Path) -> None:
    ran = ok(repo, "init", "--no-hooks")
    assert "not installed" in ran.out
    assert _installed(repo) == []
    assert list(ok(repo, "install", "--json").json["hooks"]) == HOOKS
    assert _installed(repo) == HOOKS


def test_uninstall_takes_the_hooks_away_and_leaves_the_evidence(repo: Path) -> None:
    ok(repo, "init")
    commit(repo, {"a": "1"}, "One")
    assert sorted(ok(repo, "uninstall", "--json").json["removed"]) == sorted(HOOKS)
    assert _installed(repo) == []
    assert "no hook of gitprov is installed" in ok(repo, "uninstall").out
    assert gitprov(repo, "verify").code == 0


def test_a_foreign_hook_is_kept_runs_first_and_comes_back(repo: Path) -> None:
    hook = repo / ".git/hooks/post-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho ran > ran\n")
    hook.chmod(0o755)
    assert "post-commit (after yours)" in ok(repo, "init").out
    commit(repo, {"a": "1"}, "One")
    assert (repo / "ran").exists()
    assert gitprov(repo, "verify").code == 0
    ok(repo, "uninstall")
    assert hook.read_text() == "#!/bin/sh\necho ran > ran\n"


def test_init_in_a_clone_fetches_notes_and_logs_and_from_then_on_git_fetch_does(
    tmp_path: Path, repo: Path
) -> None:
    origin = bare(tmp_path / "origin.git")
    git(repo, "remote", "add", "origin", str(origin))
    ok(repo, "init")
    commit(repo, {"a": "1"}, "One")
    git(repo, "push", "--quiet", "-u", "origin", "main")
    other = clone(origin, tmp_path / "clone")
    ran = ok(other, "init")
    assert "brings notes and logs of origin" in ran.out
    assert gitprov(other, "verify").code == 0
    commit(repo, {"a": "2"}, "Two")
    git(repo, "push", "--quiet")
    git(other, "pull", "--quiet")
    assert gitprov(other, "verify").code == 0


def test_a_remote_that_does_not_answer_is_a_warning_not_a_failure(
    tmp_path: Path, repo: Path
) -> None:
    git(repo, "remote", "add", "origin", str(tmp_path / "nowhere.git"))
    ran = ok(repo, "init")
    assert "gitprov: warning: notes and logs of origin could not be fetched" in ran.err


def test_several_repositories_share_a_store(tmp_path: Path, repo: Path) -> None:
    store = tmp_path / "store"
    other = make_repo(tmp_path / "other")
    for one in (repo, other):
        ok(one, "init", "--store", str(store))
        write(one, {"data/x": bytes(300_000)})
        ok(one, "add", "data")
    assert len([path for path in store.glob("objects/*/*") if path.is_file()]) == 1
    assert not (repo / ".git/gitprov/objects").exists()
    ok(repo, "init", "--store", str(store))
    ran = gitprov(repo, "init", "--store", str(tmp_path / "third"))
    assert ran.code == 2
    assert "store.path" in ran.err


def test_a_store_is_shared_from_the_beginning_or_not_at_all(tmp_path: Path, repo: Path) -> None:
    ok(repo, "init")
    write(repo, {"data/x": "1"})
    ok(repo, "add", "data")
    ran = gitprov(repo, "init", "--store", str(tmp_path / "store"))
    assert ran.code == 2
    assert "has a store of its own already" in ran.err


def test_the_tracked_configuration_may_not_choose_folders(repo: Path) -> None:
    ok(repo, "init")
    write(repo, {".gitprov.yaml": "gitprov: 1\nstore:\n  path: /etc\n"})
    ran = gitprov(repo, "verify")
    assert ran.code == 2
    assert "may not set store.path" in ran.err
    assert "gitprov init --store" in ran.err


@pytest.mark.parametrize("command", ["init", "install"])
def test_a_bare_repository_and_no_repository_are_told(tmp_path: Path, command: str) -> None:
    (tmp_path / "none").mkdir()
    ran = gitprov(tmp_path / "none", command)
    assert (ran.code, ran.out) == (2, "")
    assert "not a git repository" in ran.err
    ran = gitprov(bare(tmp_path / "bare.git"), command)
    assert ran.code in {0, 2}
    assert ran.code == 0 or "bare" in ran.err


def test_quiet_prints_nothing(repo: Path) -> None:
    for command in ("init", "install", "uninstall"):
        ran = ok(repo, command, "--quiet")
        assert (ran.out, ran.err) == ("", "")
