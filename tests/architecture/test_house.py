"""What holds for the house as a whole: light doors, quiet ops, small files, named exports."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gitprov

ROOT = Path(gitprov.__file__).parent
MAX_LINES = 410
"""STYLE says 100 to 400; one file stands a line above."""

HEAVY = {
    "aiohttp", "bitcoinlib", "cryptography", "git", "httpx", "numpy", "opentimestamps", "pygit2",
    "requests", "rich", "sklearn", "torch", "web3", "yaml",
}  # fmt: skip


def _loaded(code: str, *, cwd: Path | None = None) -> set[str]:
    """The top-level modules that are loaded after some code ran in a fresh Python."""
    report = "import sys; sys.stderr.write(' '.join({n.partition('.')[0] for n in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, cwd=cwd
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = _loaded("import gitprov")
    assert not loaded & (HEAVY | {"click", "msgspec", "sqlite3", "subprocess"})


def test_asking_for_help_loads_no_command_and_nothing_heavy() -> None:
    code = "from gitprov.cli.main import run; run(['--help'])"
    loaded = _loaded(code)
    assert not loaded & (HEAVY | {"msgspec", "sqlite3", "subprocess"})
    _loaded(f"{code}\nimport sys; assert 'gitprov.cli.proofs' not in sys.modules")


def test_asking_for_the_version_loads_no_command_line() -> None:
    code = (
        "import sys; sys.argv = ['gitprov', '--version']\nfrom gitprov.__main__ import main; main()"
    )
    assert "click" not in _loaded(code)


@pytest.mark.parametrize(
    "module", ["records", "history", "judging", "proofs", "artifacts", "setup"]
)
def test_a_command_loads_none_of_the_heavy_libraries_but_those_of_its_formats(
    module: str,
) -> None:
    assert not _loaded(f"import gitprov.cli.{module}") & (HEAVY - {"cryptography", "yaml"})


def _sources(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path, ast.parse(path.read_text("utf-8"))


def test_ops_and_everything_below_never_print_and_never_exit() -> None:
    quiet = ("ops", "verify", "render", "model", "core", "store", "worktree", "git", "platform")
    for path, tree in _sources(*quiet):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert all(alias.name.partition(".")[0] != "click" for alias in node.names), path
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in {"print", "sys.exit", "exit", "os._exit"}, path
                assert not name.startswith(("sys.stdout", "sys.stderr", "click.")), path


def test_ops_read_no_environment() -> None:
    for path, tree in _sources("ops", "verify", "model", "core", "render"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                assert ast.unparse(node) not in {"os.environ", "os.getenv"}, path


def test_a_shell_is_never_used_and_nothing_is_ever_unpickled() -> None:
    for path, tree in _sources("."):
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "shell":
                raise AssertionError(path)
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names}
                if names == {"UnpicklingError"}:
                    continue  # what torch raises when it refuses a file
                names.add(getattr(node, "module", None) or "")
                assert not names & {"pickle", "marshal", "shelve"}, path


def test_every_file_says_what_it_is_for_and_is_not_too_long() -> None:
    for path, tree in _sources("."):
        assert ast.get_docstring(tree), path
        assert len(path.read_text("utf-8").splitlines()) <= MAX_LINES, path


def test_the_public_names_are_the_exported_ones() -> None:
    # The tracker's names are there when they are first asked for.
    assert all(hasattr(gitprov, name) for name in gitprov.__all__)
    public = {name for name in dir(gitprov) if not name.startswith("_")} | {"__version__"}
    modules = {path.stem for path in ROOT.iterdir()}
    assert public - modules == set(gitprov.__all__)
    assert list(gitprov.__all__) == sorted(gitprov.__all__)


def test_every_error_has_an_exit_code_of_the_design() -> None:
    from gitprov import errors

    codes = {
        name: cls.exit_code
        for name, cls in vars(errors).items()
        if isinstance(cls, type) and issubclass(cls, errors.GitprovError)
    }
    assert codes == {
        "GitprovError": 70,
        "VerificationError": 1,
        "MalformedError": 1,
        "UsageError": 2,
        "UnavailableError": 3,
        "EnvironmentFault": 4,
    }


def test_all_exceptions_are_caught_at_the_boundaries_only() -> None:
    caught = {
        path.relative_to(ROOT).as_posix()
        for path, tree in _sources(".")
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"})
        and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
    }
    carried = {"worktree/pool.py"}  # from a thread to whoever takes its result
    # A training's own objects raise anything, and a training must not be stopped by being recorded.
    trainings = {"tracker/recorded.py", "tracker/steady.py", "tracker/tracker.py"}
    assert caught <= {"cli/main.py", "cli/hook.py"} | carried | trainings
