"""What a hook may load: `git commit` waits for every import."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.hook_repos import change_code, gitprov
from tests.support.repos import git, isolated_environment, make_repo

HEAVY = frozenset(
    {
        *("argparse", "asyncio", "concurrent", "email", "http", "importlib.metadata", "ipaddress"),
        *("logging", "multiprocessing", "pathlib", "random", "shutil", "socket", "ssl", "tempfile"),
        *("unittest", "urllib", "uuid", "xml", "zipfile", "difflib", "optparse", "pkgutil"),
        *("click", "cryptography", "git", "msgspec", "numpy", "pathspec", "pygit2", "rich"),
        *("torch", "web3", "yaml"),
    }
)
"""Nothing of this is loaded by any hook of a commit that changes code only."""

# The rest is what the hook at hand has no use for, though others need it.
NEVER = {
    "pre-commit": HEAVY
    | {
        *("sqlite3", "hashlib", "gitprov.store", "gitprov.worktree", "gitprov.verify"),
        *("gitprov.git.notes", "gitprov.git.log", "gitprov.git.sync", "gitprov.model.note"),
        *("gitprov.render", "gitprov.git.hooks"),
    },
    "post-commit": HEAVY
    | {
        *("gitprov.config", "gitprov.store", "gitprov.verify", "gitprov.render"),
        *("gitprov.git.sync", "gitprov.git.hooks", "gitprov.git.keys", "gitprov.model.manifest"),
        *("gitprov.worktree.scan", "gitprov.ops.restore", "gitprov.ops.checkouts"),
    },
    "post-checkout": HEAVY | {"gitprov.store", "gitprov.verify", "gitprov.worktree.scan"},
}

_HOOK = """
import atexit, os, sys
before = set(sys.modules)
def leave(code):
    print(*sorted(set(sys.modules) - before), sep="\\n", file=open(os.environ["LOADED"], "w"))
    real(code)
real, os._exit = os._exit, leave
from gitprov.__main__ import main
code = main()
leave(code)
"""


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository without artifacts that has been used: its caches are there."""
    repo = make_repo(tmp_path_factory.mktemp("imports") / "r")
    gitprov(repo, "init")
    for text in ("one", "two"):
        change_code(repo, text)
    return repo


def loaded(repo: Path, tmp_path: Path, *arguments: str) -> set[str]:
    """The modules that are loaded when the command line ends."""
    path = tmp_path / "loaded"
    done = subprocess.run(
        [sys.executable, "-P", "-c", _HOOK, *arguments],
        cwd=repo,
        env=isolated_environment(LOADED=str(path)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return set(path.read_text().split())


def heavy(modules: set[str], never: frozenset[str] | set[str]) -> set[str]:
    """Those of the modules that are on the list, or below something on it."""
    return {
        name for name in modules if any(name == one or name.startswith(f"{one}.") for one in never)
    }


@pytest.mark.parametrize("hook", NEVER)
def test_a_hook_loads_nothing_heavy(repo: Path, tmp_path: Path, hook: str) -> None:
    arguments = ["0" * 40, "0" * 40, "1"] if hook == "post-checkout" else []
    modules = loaded(repo, tmp_path, "hook", hook, *arguments)
    assert "gitprov.cli.hook" in modules
    assert heavy(modules, NEVER[hook]) == set()


def test_a_commit_that_records_something_loads_no_more(repo: Path, tmp_path: Path) -> None:
    git(repo, "-c", "core.hooksPath=/nonexistent", "commit", "-q", "--allow-empty", "-m", "x")
    modules = loaded(repo, tmp_path, "hook", "post-commit")
    assert "gitprov.git.writer" in modules
    assert heavy(modules, NEVER["post-commit"]) == set()


def test_our_own_push_loads_no_repository(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITPROV_PUSHING", "1")
    modules = loaded(repo, tmp_path, "hook", "pre-push", "origin", "somewhere")
    assert heavy(modules, HEAVY | {"sqlite3", "gitprov.ops", "gitprov.model"}) == set()


def test_the_version_is_told_at_once(repo: Path, tmp_path: Path) -> None:
    modules = loaded(repo, tmp_path, "--version")
    assert heavy(modules, HEAVY | {"subprocess", "sqlite3", "json", "gitprov.cli"}) == set()


def test_the_package_itself_loads_nothing_heavy(repo: Path, tmp_path: Path) -> None:
    modules = loaded(repo, tmp_path, "--version")
    ours = {name for name in modules if name.startswith("gitprov")}
    assert ours == {
        "gitprov",
        "gitprov.__main__",
        "gitprov.core",
        "gitprov.core.digest",
        "gitprov.errors",
    }
