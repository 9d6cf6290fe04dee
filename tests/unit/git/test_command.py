import shutil
from pathlib import Path

import pytest

from gitprov.errors import EnvironmentFault, UnavailableError
from gitprov.git.command import Git, GitError, clean_environment, find_git, printable, split_nul
from tests.support.repos import commit, make_repo


def test_a_git_in_the_current_folder_is_never_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "git"
    fake.write_text("#!/bin/sh\necho fake\n")
    fake.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    real = shutil.which("git")
    assert real is not None
    assert find_git(f":.:{Path(real).parent}") == real
    with pytest.raises(EnvironmentFault, match="no git on PATH"):
        find_git(":.:" + str(tmp_path / "nowhere"))


def test_the_state_of_an_outer_git_is_dropped() -> None:
    outer = {
        "GIT_DIR": "/x",
        "GIT_INDEX_FILE": "/x/index",
        "GIT_WORK_TREE": "/x",
        "GIT_OBJECT_DIRECTORY": "/x",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": "/x",
        "GIT_NAMESPACE": "x",
        "GIT_SSH_COMMAND": "ssh -i key",
        "GIT_CONFIG_PARAMETERS": "'a.b=c'",
        "HOME": "/home/me",
        "LC_ALL": "de_DE.UTF-8",
    }
    cleaned = clean_environment(outer)
    assert {name for name in cleaned if name in outer} == {
        "GIT_SSH_COMMAND",
        "GIT_CONFIG_PARAMETERS",
        "HOME",
        "LC_ALL",
    }
    assert cleaned["LC_ALL"] == "C"


def test_a_failure_says_what_git_said(tmp_path: Path) -> None:
    git = Git(str(make_repo(tmp_path)))
    with pytest.raises(GitError, match="git rev-parse failed: fatal: Needed a single") as caught:
        git.run("-c", "a.b=c", "rev-parse", "--verify", "nothing")
    assert caught.value.returncode == 128
    assert git.run("rev-parse", "--verify", "-q", "nothing", ok=(1,)) == b""


def test_a_git_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    git = Git(str(make_repo(tmp_path)))
    with pytest.raises(UnavailableError, match="git slow did not end within 0 s"):
        git.run("-c", "alias.slow=!sleep 30", "slow", timeout=0.1)


def test_an_index_is_given_to_one_call_only(tmp_path: Path) -> None:
    path = make_repo(tmp_path / "r")
    commit(path, {"a": "1"})
    git = Git(str(path))
    other = str(tmp_path / "other-index")
    assert git.run("ls-files", "-z", index_file=other) == b""
    assert split_nul(git.run("ls-files", "-z")) == [b"a"]


def test_control_characters_of_a_server_do_not_reach_the_terminal() -> None:
    assert printable(b"remote: \x1b[31mred\r\nnext\n") == "remote: \ufffd[31mred\n\nnext"


def test_a_name_may_hold_a_newline() -> None:
    assert split_nul(b"a\nb\0c\0") == [b"a\nb", b"c"]
    assert split_nul(b"") == []
