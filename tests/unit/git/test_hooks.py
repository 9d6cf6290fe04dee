import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gitprov.errors import EnvironmentFault, UsageError
from gitprov.git.hooks import HOOKS, HookState, install, run_legacy, shim, status, uninstall
from gitprov.git.repo import Repository
from tests.support.repos import commit, configure, git, isolated_environment, make_repo

FAKE = """#!/bin/sh
# Stands for the interpreter: says how it was started, then runs what was there before.
printf '%s\\n' "$@" >> "$FAKE_LOG"
printf 'dir=%s\\n' "$GITPROV_HOOKS_DIR" >> "$FAKE_LOG"
[ "$5" = pre-push ] && cat >> "$FAKE_LOG"
exit "${FAKE_EXIT:-0}"
"""


@pytest.fixture
def python(tmp_path: Path) -> str:
    """An interpreter in a folder that needs quoting."""
    path = tmp_path / 'it\'s $HOME `x` "py"' / "python"
    path.parent.mkdir()
    path.write_text(FAKE)
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the fake interpreter writes what it was given."""
    path = tmp_path / "started"
    monkeypatch.setenv("FAKE_LOG", str(path))
    return path


def hook(folder: Path, name: str, text: str, *, mode: int = 0o755) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return path


def states(repo: Repository, python: str) -> set[HookState]:
    return {one.state for one in status(repo, python)}


def test_git_runs_the_shims(path: Path, repo: Repository, python: str, started: Path) -> None:
    commit(path, {"a": "1"})
    assert not started.exists()
    install(repo, python)
    commit(path, {"a": "2"})
    git(path, "checkout", "-q", "-b", "side")
    git(path, "commit", "-q", "--amend", "-m", "again")
    git(path, "push", "-q", str(path), "side:refs/heads/pushed")
    said = started.read_text()
    for name in ("pre-commit", "post-commit", "post-checkout", "post-rewrite", "pre-push"):
        assert f"sys.exit(main())\nhook\n{name}\n" in said
    assert said.startswith("-P\n-c\n")
    assert "dir=.git/hooks\n" in said
    assert "refs/heads/side" in said


def test_a_shim_that_says_no_stops_the_commit(
    path: Path, repo: Repository, python: str, started: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(repo, python)
    monkeypatch.setenv("FAKE_EXIT", "1")
    with pytest.raises(AssertionError):
        commit(path, {"a": "1"})
    assert repo.head() is None


def test_installing_again_changes_nothing(repo: Repository, python: str) -> None:
    install(repo, python)
    before = {p: p.stat().st_mtime_ns for p in Path(repo.hooks_dir).iterdir()}
    install(repo, python)
    assert {p: p.stat().st_mtime_ns for p in Path(repo.hooks_dir).iterdir()} == before
    assert states(repo, python) == {HookState.INSTALLED}
    assert states(repo, "/another/python") == {HookState.OUTDATED}
    install(repo, "/another/python")
    assert states(repo, "/another/python") == {HookState.INSTALLED}


def test_a_foreign_hook_is_kept_and_comes_back(repo: Repository, python: str) -> None:
    text = "#!/bin/sh\necho foreign\n"
    foreign = hook(Path(repo.hooks_dir), "pre-commit", text, mode=0o750)
    for _ in range(2):
        install(repo, python)
        legacy = foreign.with_name("pre-commit.legacy")
        assert legacy.read_text() == text
        assert legacy.stat().st_mode & 0o777 == 0o750
    [one] = [s for s in status(repo, python) if s.name == "pre-commit"]
    assert (one.state, one.legacy) == (HookState.INSTALLED, True)
    assert set(uninstall(repo)) == set(HOOKS)
    assert foreign.read_text() == text
    assert foreign.stat().st_mode & 0o777 == 0o750
    assert not legacy.exists()
    assert uninstall(repo) == []
    assert foreign.read_text() == text
    assert {s.state for s in status(repo)} == {HookState.FOREIGN, HookState.ABSENT}


@pytest.mark.parametrize("target", ["shared hook", "nowhere"])
def test_a_foreign_hook_may_be_a_symlink(repo: Repository, python: str, target: str) -> None:
    folder = Path(repo.hooks_dir)
    real = hook(folder, "shared hook", "#!/bin/sh\nexit 0\n")
    (folder / "post-commit").symlink_to(target)
    install(repo, python)
    assert real.read_text() == "#!/bin/sh\nexit 0\n"
    assert not (folder / "post-commit").is_symlink()
    assert (folder / "post-commit.legacy").readlink() == Path(target)
    assert run_legacy(str(folder), "post-commit", [], None) == 0
    uninstall(repo)
    assert (folder / "post-commit").readlink() == Path(target)


def test_an_older_shim_of_ours_is_not_foreign(repo: Repository, python: str) -> None:
    old = "#!/bin/sh\n# gitprov-hook v0 (something else)\nexec gitprov old\n"
    path = hook(Path(repo.hooks_dir), "post-merge", old, mode=0o644)
    assert {s.name: s.state for s in status(repo, python)}["post-merge"] is HookState.OUTDATED
    install(repo, python)
    assert states(repo, python) == {HookState.INSTALLED}
    assert not path.with_name("post-merge.legacy").exists()


def test_two_foreign_hooks_are_refused_before_anything_changes(
    repo: Repository, python: str
) -> None:
    folder = Path(repo.hooks_dir)
    hook(folder, "pre-push", "#!/bin/sh\n")
    hook(folder, "pre-push.legacy", "#!/bin/sh\n")
    before = set(folder.iterdir())
    with pytest.raises(UsageError, match="somebody else"):
        install(repo, python)
    assert set(folder.iterdir()) == before


@pytest.mark.parametrize("value", ["my hooks", "absolute", "hooks/here"])
def test_hooks_go_where_git_looks_for_them(
    path: Path, repo: Repository, python: str, started: Path, tmp_path: Path, value: str
) -> None:
    folder = tmp_path / "elsewhere" if value == "absolute" else path / value
    git(path, "config", "core.hooksPath", str(folder) if value == "absolute" else value)
    install(repo, python)
    assert {p.name for p in folder.iterdir()} == set(HOOKS)
    commit(path, {"a": "1"})
    assert "post-commit" in started.read_text()
    (path / "sub").mkdir(exist_ok=True)
    with Repository.discover(str(path / "sub")) as below:
        assert {s.state for s in status(below, python)} == {HookState.INSTALLED}


def test_a_linked_worktree_uses_the_same_hooks(
    path: Path, repo: Repository, python: str, started: Path, tmp_path: Path
) -> None:
    commit(path, {"a": "1"})
    git(path, "worktree", "add", "-q", "--detach", str(tmp_path / "linked tree"))
    with Repository.discover(str(tmp_path / "linked tree")) as linked:
        install(linked, python)
    assert states(repo, python) == {HookState.INSTALLED}
    commit(tmp_path / "linked tree", {"b": "1"})
    assert f"dir={path}/.git/hooks\n" in started.read_text()


def test_a_submodule_has_hooks_of_its_own(
    path: Path, repo: Repository, python: str, started: Path, tmp_path: Path
) -> None:
    inner = make_repo(tmp_path / "inner", object_format=repo.object_format)
    commit(inner, {"x": "1"})
    commit(path, {"a": "1"})
    git(path, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), "sub")
    with Repository.discover(str(path / "sub")) as sub:
        install(sub, python)
        assert sub.hooks_dir == str(path / ".git/modules/sub/hooks")
        configure(path / "sub")
        commit(path / "sub", {"y": "1"})
    assert "post-commit" in started.read_text()
    assert states(repo, python) == {HookState.ABSENT}


def alone(path: Path) -> dict[str, str]:
    """An environment in which no gitprov is on PATH."""
    tools = path.parent / "tools"
    tools.mkdir(exist_ok=True)
    for name in ("git", "sh", "cat"):
        found = shutil.which(name)
        assert found is not None
        if not (tools / name).exists():
            (tools / name).symlink_to(found)
    return {"PATH": str(tools)}


def test_without_gitprov_a_commit_is_refused_with_the_way_out(path: Path, repo: Repository) -> None:
    install(repo, "/nowhere/python")
    done = subprocess.run(
        ["git", "commit", "--allow-empty", "-m", "x"],
        cwd=path,
        env=isolated_environment(**alone(path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "'gitprov' was not found on your path" in done.stderr
    assert ".git/hooks/pre-commit'" in done.stderr
    git(path, "commit", "-q", "--allow-empty", "--no-verify", "-m", "x", env=alone(path))
    assert repo.head() is not None


def test_without_gitprov_the_old_hook_still_runs(path: Path, repo: Repository) -> None:
    folder = Path(repo.hooks_dir)
    for name in ("pre-commit", "post-commit"):
        hook(folder, name, f'#!/bin/sh\necho "{name} $#" >> "{path.parent}/ran"\n')
    install(repo, "/nowhere/python")
    git(path, "commit", "-q", "--allow-empty", "-m", "x", check=False, env=alone(path))
    git(path, "commit", "-q", "--allow-empty", "--no-verify", "-m", "x", env=alone(path))
    assert (path.parent / "ran").read_text() == "pre-commit 0\npost-commit 0\n"


def test_a_gitprov_on_the_path_serves_when_the_interpreter_is_gone(
    path: Path, repo: Repository, started: Path
) -> None:
    install(repo, "/nowhere/python")
    env = alone(path)
    hook(Path(env["PATH"]), "gitprov", FAKE)
    git(path, "commit", "-q", "--allow-empty", "-m", "x", env=env)
    assert started.read_text().startswith("hook\npre-commit\n")


def test_the_old_hook_gets_arguments_input_and_environment(tmp_path: Path) -> None:
    folder = tmp_path / "my hooks"
    text = '#!/bin/sh\necho "$1|$2|$GIT_INDEX_FILE" > out\ncat >> out\nexit 7\n'
    hook(folder, "pre-push.legacy", text)
    env = {**os.environ, "GIT_INDEX_FILE": "index of git"}
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        assert run_legacy("my hooks", "pre-push", ["a b", "c"], b"line\n", env=env) == 7
    finally:
        os.chdir(before)
    assert (tmp_path / "out").read_text() == "a b|c|index of git\nline\n"


def test_an_old_hook_that_git_would_pass_over_is_passed_over(tmp_path: Path) -> None:
    hook(tmp_path, "pre-commit.legacy", "#!/bin/sh\nexit 1\n", mode=0o644)
    (tmp_path / "pre-push.legacy").mkdir()
    hook(tmp_path, "post-merge.legacy", shim("post-merge", "/x").decode())
    for name in ("pre-commit", "pre-push", "post-merge", "post-commit"):
        assert run_legacy(str(tmp_path), name, [], None) == 0
    assert run_legacy("", "pre-commit", [], None) == 0


def test_an_old_hook_that_cannot_start_or_dies_is_said_so(tmp_path: Path) -> None:
    hook(tmp_path, "pre-commit.legacy", "#!/nowhere/interpreter\n")
    with pytest.raises(EnvironmentFault, match="cannot run"):
        run_legacy(str(tmp_path), "pre-commit", [], None)
    hook(tmp_path, "pre-push.legacy", "#!/bin/sh\nkill -9 $$\n")
    assert run_legacy(str(tmp_path), "pre-push", [], None) == 137


def test_a_hook_of_the_pre_commit_framework_stays_and_runs_ours(
    path: Path, repo: Repository, python: str, started: Path
) -> None:
    commit(path, {".pre-commit-config.yaml": "repos: []\n"})
    framework(path, "install", "--hook-type=pre-commit", "--hook-type=pre-push")
    before = Path(repo.hooks_dir, "pre-commit").read_text()
    for _ in range(2):
        install(repo, python)
        assert Path(repo.hooks_dir, "pre-commit").read_text() == before
    found = {one.name: one.state for one in status(repo, python)}
    assert found["pre-commit"] is found["pre-push"] is HookState.CHAINED
    assert found["post-commit"] is HookState.INSTALLED
    commit(path, {"a": "1"})
    assert "hook\npre-commit\n" in started.read_text()
    assert "dir=\n" in started.read_text()
    assert set(uninstall(repo)) == set(HOOKS)
    assert Path(repo.hooks_dir, "pre-commit").read_text() == before
    assert not Path(repo.hooks_dir, "pre-commit.legacy").exists()
    commit(path, {"a": "2"})


def test_the_pre_commit_framework_may_come_after_us(
    path: Path, repo: Repository, python: str, started: Path
) -> None:
    commit(path, {".pre-commit-config.yaml": "repos: []\n"})
    install(repo, python)
    framework(path, "install")
    commit(path, {"a": "1"})
    assert "hook\npre-commit\n" in started.read_text()
    install(repo, python)
    assert {one.name: one.state for one in status(repo, python)}["pre-commit"] is HookState.CHAINED
    framework(path, "uninstall")
    assert {one.state for one in status(repo, python)} == {HookState.INSTALLED}


def framework(path: Path, *args: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pre_commit", *args],
        cwd=path,
        env=isolated_environment(PRE_COMMIT_HOME=str(path.parent / "pre-commit-home")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_files_of_the_repository_never_pose_as_modules(path: Path, repo: Repository) -> None:
    install(repo, sys.executable, names=["post-commit"])
    for name in ("gitprov/__init__.py", "gitprov/__main__.py", "json.py", "sys.py", "rfc8785.py"):
        commit(path, {name: "import os\nos.mkdir('owned')\n"})
    assert not (path / "owned").exists()
