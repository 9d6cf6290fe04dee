"""Every command has help, an example and a place in the documents; wrong usage is said shortly."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from gitprov.cli.main import COMMANDS, GROUPS, cli
from tests.e2e.story import gitprov

ROOT = Path(__file__).parents[2]


def _command(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_a_sentence_a_description_and_an_example(name: str) -> None:
    command = _command(name)
    assert command.get_short_help_str(200) == COMMANDS[name][1]
    assert COMMANDS[name][1].endswith(".")
    assert command.help
    assert f"  gitprov {name}" in (command.epilog or ""), "no example"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name: str) -> None:
    for parameter in _command(name).params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_printed_on_stdout_and_fits_into_a_hundred_columns(
    name: str, tmp_path: Path
) -> None:
    ran = gitprov(tmp_path, name, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert max(map(len, ran.out.splitlines())) <= 100


def test_every_command_stands_in_one_group_of_the_help() -> None:
    grouped = [name for _, names in GROUPS for name in names]
    assert sorted(grouped) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_stands_in_the_documents(name: str) -> None:
    assert f"### gitprov {name}\n" in (ROOT / "docs/cli.md").read_text("utf-8")
    assert f"`gitprov {name}" in (ROOT / "README.md").read_text("utf-8")


def test_the_page_about_the_command_line_is_the_one_that_make_docs_writes() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/gen_cli_docs.py", "--check"], cwd=ROOT, capture_output=True
    )
    assert done.returncode == 0, done.stdout.decode()


def test_without_a_command_the_help_is_shown(tmp_path: Path) -> None:
    ran = gitprov(tmp_path)
    assert ran.code == 2
    assert "Evidence:" in ran.err


@pytest.mark.parametrize(
    ("args", "said", "hint"),
    [
        (["verfy"], "there is no command 'verfy'", "did you mean 'verify'?"),
        (["xyzzy"], "there is no command 'xyzzy'", "gitprov --help lists the commands"),
        (["verify", "--deap"], "no such option '--deap'", "gitprov verify --help"),
        (["prove"], "missing argument 'PATH'", "gitprov prove --help"),
        (["log", "-n", "0"], "invalid value for '-n'", "gitprov log --help"),
        (["-C", "/nowhere", "log"], "cannot enter /nowhere", None),
    ],
)
def test_wrong_usage_is_one_sentence_and_a_hint(
    tmp_path: Path, args: list[str], said: str, hint: str | None
) -> None:
    ran = gitprov(tmp_path, *args)
    assert ran.out == ""
    lines = ran.err.splitlines()
    assert lines[0].startswith(f"gitprov: error: {said}")
    if hint is None:
        assert (ran.code, len(lines)) == (4, 1)
    else:
        assert (ran.code, len(lines)) == (2, 2)
        assert lines[1].startswith("gitprov: hint: ")
        assert hint in lines[1]


def test_the_version_is_printed_by_both_doors_without_any_warning(tmp_path: Path) -> None:
    from gitprov import __version__

    for options in ([], ["-W", "error"]):
        done = subprocess.run(
            [sys.executable, *options, "-m", "gitprov", "--version"], capture_output=True, text=True
        )
        assert (done.stdout, done.stderr) == (f"gitprov {__version__}\n", "")
    assert gitprov(tmp_path, "-C", ".", "--version").out == f"gitprov {__version__}\n"


def test_a_warning_nowhere_on_the_way_of_a_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "gitprov", "log"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 2
    assert b"Warning" not in done.stderr


def test_a_full_disk_on_stdout_is_an_error_not_a_silence() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gitprov", "completion", "bash"],
            stdout=full,
            stderr=subprocess.PIPE,
        )
    assert done.returncode == 4
    assert b"No space left on device" in done.stderr
