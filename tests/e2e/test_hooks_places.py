"""Hooks where git keeps them: worktrees, hook folders, foreign hooks, odd set-ups."""

import os
import sys
from pathlib import Path

import pytest

from tests.e2e.hook_repos import (
    change_code,
    change_data,
    clone,
    data,
    everything_holds,
    gitprov,
    head,
    holds,
    hook_file,
    is_recorded,
    make,
    run,
)
from tests.support.repos import bare, git, make_repo, write

NAMES = ("pre-commit", "post-commit", "post-rewrite", "pre-push", "post-checkout", "post-merge")


# ---------------------------------------------------------------- worktrees


def test_a_linked_worktree_gets_its_own_data(repo: Path, tmp_path: Path) -> None:
    change_data(repo, "two")
    tree = tmp_path / "linked tree"
    ran = run(repo, "git", "worktree", "add", "-q", tree, "-b", "old", "HEAD~1")
    assert "restored data" in ran.err
    assert (data(tree), data(repo)) == ("one", "two")
    holds(tree)
    holds(repo)


def test_commits_in_a_linked_worktree_are_recorded(repo: Path, tmp_path: Path) -> None:
    tree = tmp_path / "linked tree"
    run(repo, "git", "worktree", "add", "-q", tree, "-b", "side")
    change_code(tree, "side")
    change_data(tree, "side")
    run(tree, "git", "commit", "-q", "--amend", "-m", "again")
    everything_holds(tree)
    assert data(repo) == "one"
    write(tree, {"data/a.txt": "changed"})
    ran = run(tree, "git", "commit", "-q", "--allow-empty", "-m", "x", code=1)
    assert "data is not what" in ran.err
    run(repo, "git", "merge", "-q", "side")
    assert data(repo) == "side"
    everything_holds(repo)


def test_a_rebase_in_a_linked_worktree_is_recorded(repo: Path, tmp_path: Path) -> None:
    tree = tmp_path / "linked tree"
    run(repo, "git", "worktree", "add", "-q", tree, "-b", "side")
    change_code(tree, "side", path="side.py")
    change_data(repo, "two")
    run(tree, "git", "rebase", "-q", "main")
    assert data(tree) == "two"
    everything_holds(tree)


# ---------------------------------------------------------------- core.hooksPath


@pytest.mark.parametrize("where", ["hooks", "my hooks/here", "absolute"])
def test_hooks_live_where_core_hooks_path_says(tmp_path: Path, where: str) -> None:
    repo = make_repo(tmp_path / "r")
    folder = tmp_path / "elsewhere" if where == "absolute" else repo / where
    hook_file(folder / "post-commit", "touch ran-before")
    git(repo, "config", "core.hooksPath", str(folder) if where == "absolute" else where)
    gitprov(repo, "init")
    assert set(NAMES) <= {path.name for path in folder.iterdir()}
    write(repo, {"sub/x": "x"})
    git(repo, "add", "sub")
    run(repo / "sub", "git", "commit", "-qm", "one")
    assert (repo / "ran-before").exists()
    everything_holds(repo)


def test_hooks_in_a_tracked_folder_work_in_a_linked_worktree(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    git(repo, "config", "core.hooksPath", ".hooks")
    gitprov(repo, "init")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "hooks")
    run(repo, "git", "worktree", "add", "-q", tmp_path / "t", "-b", "t")
    change_code(tmp_path / "t", "two")
    everything_holds(tmp_path / "t")


# ---------------------------------------------------------------- foreign hooks


def test_a_foreign_hook_runs_first_and_its_no_counts(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    foreign = hook_file(repo / ".git/hooks/pre-commit", "echo foreign >&2; test ! -e stop")
    gitprov(repo, "init")
    assert foreign.with_name("pre-commit.legacy").exists()
    write(repo, {"code.py": "one", "stop": ""})
    git(repo, "add", "code.py")
    ran = run(repo, "git", "commit", "-qm", "x", code=1)
    assert ran.err == "foreign\n"
    (repo / "stop").unlink()
    ran = run(repo, "git", "commit", "-qm", "x")
    assert ran.err == "foreign\n"
    everything_holds(repo)


def test_a_foreign_pre_push_reads_what_git_wrote(repo: Path, tmp_path: Path) -> None:
    place = bare(tmp_path / "o.git")
    git(repo, "remote", "add", "origin", str(place))
    seen = tmp_path / "seen"
    hook_file(repo / ".git/hooks/pre-push.legacy", f"(echo \"$@\"; cat) > '{seen}'")
    run(repo, "git", "push", "-q", "origin", "main")
    zeros = "0" * 40
    assert seen.read_text() == (
        f"origin {place}\nrefs/heads/main {head(repo)} refs/heads/main {zeros}\n"
    )
    assert "refs/notes/gitprov" in git(place, "for-each-ref")


def test_a_foreign_pre_push_that_says_no_stops_the_push(repo: Path, tmp_path: Path) -> None:
    place = bare(tmp_path / "o.git")
    git(repo, "remote", "add", "origin", str(place))
    hook_file(repo / ".git/hooks/pre-push.legacy", "cat > /dev/null; exit 3")
    run(repo, "git", "push", "-q", "origin", "main", code=1)
    assert git(place, "for-each-ref") == ""


def test_a_foreign_hook_that_fails_after_the_commit_changes_nothing(repo: Path) -> None:
    hook_file(repo / ".git/hooks/post-commit.legacy", "exit 9")
    hook_file(repo / ".git/hooks/post-checkout.legacy", "exit 9")
    change_code(repo, "two")
    everything_holds(repo)
    git(repo, "checkout", "-q", "HEAD~1", check=False)
    assert head(repo) != head(repo, "main")


def test_a_foreign_hook_that_cannot_be_run_is_named(repo: Path) -> None:
    path = hook_file(repo / ".git/hooks/pre-commit.legacy", "")
    path.write_text("#!/nonexistent/interpreter\n")
    write(repo, {"code.py": "two"})
    ran = run(repo, "git", "commit", "-qam", "x", code=1)
    assert "cannot run" in ran.err
    assert "pre-commit.legacy" in ran.err


def test_uninstalled_hooks_leave_the_foreign_ones(repo: Path) -> None:
    hook_file(repo / ".git/hooks/pre-commit.legacy", "echo foreign >&2")
    gitprov(repo, "uninstall")
    write(repo, {"code.py": "two"})
    assert run(repo, "git", "commit", "-qam", "x").err == "foreign\n"
    assert not is_recorded(repo)


# ---------------------------------------------------------------- without gitprov


def without_python(repo: Path) -> None:
    """Makes the shims look for an interpreter that is not there any more."""
    for name in NAMES:
        path = repo / ".git/hooks" / name
        lines = path.read_text().splitlines(keepends=True)
        lines = ["python='/gone/python'\n" if x.startswith("python=") else x for x in lines]
        path.write_text("".join(lines))


def test_a_hook_without_its_python_finds_gitprov_on_the_path(repo: Path, tmp_path: Path) -> None:
    without_python(repo)
    script = f'exec "{sys.executable}" -P -m gitprov "$@"'
    folder = hook_file(tmp_path / "bin" / "gitprov", script).parent
    write(repo, {"code.py": "two"})
    env = {"PATH": f"{folder}:/usr/bin:/bin"}
    run(repo, "git", "commit", "-qam", "x", env=env)
    everything_holds(repo)


def test_a_hook_without_any_gitprov_stops_a_commit_and_says_why(repo: Path) -> None:
    without_python(repo)
    write(repo, {"code.py": "two"})
    env = {"PATH": "/usr/bin:/bin"}
    ran = run(repo, "git", "commit", "-qam", "x", env=env, code=1)
    assert "'gitprov' was not found on your path" in ran.err
    ran = run(repo, "git", "commit", "-qnam", "x", env=env)
    assert "'gitprov' was not found on your path" in ran.err  # post-commit only warns
    run(repo, "git", "checkout", "-q", "HEAD~1", env=env)


def test_without_gitprov_a_foreign_hook_still_runs(repo: Path) -> None:
    without_python(repo)
    hook_file(repo / ".git/hooks/post-commit.legacy", "touch ran-before")
    write(repo, {"code.py": "two"})
    run(repo, "git", "commit", "-qnam", "x", env={"PATH": "/usr/bin:/bin"})
    assert (repo / "ran-before").exists()


def test_a_module_in_the_repository_cannot_pose_as_ours(repo: Path) -> None:
    write(repo, {"gitprov/__init__.py": "raise SystemExit(9)", "json.py": "raise SystemExit(9)"})
    git(repo, "add", "gitprov", "json.py")
    run(repo, "git", "commit", "-qm", "x")
    everything_holds(repo)


# ---------------------------------------------------------------- odd repositories


def test_a_shallow_clone_records_its_new_commits(repo: Path, tmp_path: Path) -> None:
    change_code(repo, "two")
    here = clone(repo, tmp_path / "c0")
    run(tmp_path, "git", "clone", "-q", "--depth=1", f"file://{here}", "shallow")
    shallow = tmp_path / "shallow"
    for name in ("user.name", "user.email"):
        git(shallow, "config", name, "x@example.org")
    gitprov(shallow, "init", "--store", repo / ".git/gitprov")
    gitprov(shallow, "checkout")
    change_code(shallow, "three")
    change_data(shallow, "two")
    assert git(shallow, "rev-list", "--count", "HEAD") == "3"
    holds(shallow, "HEAD", "HEAD~1")


def test_a_partial_clone_commits_without_fetching(repo: Path, tmp_path: Path) -> None:
    git(repo, "config", "uploadpack.allowFilter", "true")
    change_code(repo, "two")
    run(tmp_path, "git", "clone", "-q", "--filter=blob:none", f"file://{repo}", "partial")
    here = tmp_path / "partial"
    for name in ("user.name", "user.email"):
        git(here, "config", name, "x@example.org")
    gitprov(here, "init")
    git(here, "remote", "set-url", "origin", "/nonexistent")
    change_code(here, "three")
    holds(here)


def test_a_submodule_has_hooks_of_its_own(repo: Path, tmp_path: Path) -> None:
    inner = make_repo(tmp_path / "inner")
    change_code(inner, "inner")
    allow = ("-c", "protocol.file.allow=always")
    run(repo, "git", *allow, "submodule", "-q", "add", inner, "sub mod")
    git(repo, "commit", "-qm", "add the submodule")
    sub = repo / "sub mod"
    for name in ("user.name", "user.email"):
        git(sub, "config", name, "x@example.org")
    gitprov(sub, "init")
    assert (repo / ".git/modules/sub mod/hooks/post-commit").exists()
    change_code(sub, "changed inside")
    change_data(sub, "inside")
    holds(sub, "HEAD", "HEAD~1")
    git(repo, "add", "sub mod")
    run(repo, "git", "commit", "-qm", "move the submodule")
    everything_holds(repo)


def test_a_repository_whose_git_dir_lies_elsewhere(tmp_path: Path) -> None:
    repo = tmp_path / "work"
    repo.mkdir()
    run(repo, "git", "init", "-q", "-b", "main", f"--separate-git-dir={tmp_path / 'git dir'}")
    for name in ("user.name", "user.email"):
        git(repo, "config", name, "x@example.org")
    gitprov(repo, "init")
    change_code(repo, "one")
    change_data(repo, "one")
    everything_holds(repo)


@pytest.mark.parametrize("absolute", [True, False])
@pytest.mark.parametrize("below", ["", "sub folder"])
def test_a_bare_repository_with_a_worktree_given_by_hand(
    tmp_path: Path, absolute: bool, below: str
) -> None:
    home = tmp_path / "home folder"
    (home / below).mkdir(parents=True)
    git_dir = home / ".dotfiles"
    run(home, "git", "init", "-q", "--bare", "-b", "main", git_dir)
    here = home / below
    places = {
        "GIT_DIR": str(git_dir) if absolute else os.path.relpath(git_dir, here),
        "GIT_WORK_TREE": str(home) if absolute else os.path.relpath(home, here),
    }
    for name in ("user.name", "user.email"):
        run(here, "git", "config", name, "x@example.org", env=places)
    gitprov(here, "init", env=places)
    write(home, {".profile": "one", "data/a": "one"})
    gitprov(home, "add", "data", env={"GIT_DIR": str(git_dir), "GIT_WORK_TREE": str(home)})
    run(here, "git", "add", str(home / ".profile"), env=places)
    ran = run(here, "git", "commit", "-qm", "x", env=places)
    assert ran.err == ""
    gitprov(here, "verify", env=places)
    write(home, {"data/a": "changed"})
    ran = run(here, "git", "commit", "-q", "--allow-empty", "-m", "x", env=places, code=1)
    assert "data is not what" in ran.err
    run(here, "git", "--git-dir", str(git_dir), "--work-tree", str(home), "stash", "list")
    run(here, "git", "checkout", "-q", "-b", "side", env=places)


def test_names_with_every_kind_of_quote(repo: Path) -> None:
    name = 'it\'s a "name" $HOME `x` \u00fc'
    write(repo, {f"{name}/a": "one"})
    gitprov(repo, "add", name)
    write(repo, {f"c {name}": "code"})
    git(repo, "add", f"c {name}")
    run(repo, "git", "commit", "-qm", "x")
    everything_holds(repo)
    write(repo, {f"{name}/a": "two"})
    ran = run(repo, "git", "commit", "-q", "--allow-empty", "-m", "x", code=1)
    assert f"{name} is not what its staged pointer says" in ran.err


def test_hooks_survive_closed_standard_streams(repo: Path) -> None:
    write(repo, {"code.py": "two"})
    run(repo, "sh", "-c", "git commit -qam x <&- >&- 2>&-")
    everything_holds(repo)


def test_a_repository_that_moved_keeps_its_hooks(tmp_path: Path) -> None:
    repo = make(tmp_path / "before")
    moved = repo.rename(tmp_path / "after it")
    change_code(moved, "two")
    change_data(moved, "two")
    everything_holds(moved)
