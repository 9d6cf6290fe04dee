"""`gitprov run`: what it refuses, which signals reach the command, and what it does not record."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from gitprov.model.run import Run, parse_run
from gitprov.ops.environment import is_clean, untracked_files
from gitprov.workspace import Workspace
from tests.support.cli import GITPROV, gitprov, ok
from tests.support.repos import git, isolated_environment, make_repo, write

PYTHON = sys.executable

COUNTS = """
import signal, sys, time
got = []
signal.signal(signal.SIGINT, lambda *_: got.append(1))
print("up", flush=True)
end = time.monotonic() + 30
while not got and time.monotonic() < end:
    time.sleep(0.05)
time.sleep(1)  # a second one would come now
print("got", len(got), flush=True)
"""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    repo = make_repo(tmp_path / "repo")
    write(repo, {"train.py": "print('training')\n"})
    ok(repo, "init")
    git(repo, "add", "train.py")
    git(repo, "commit", "-q", "-m", "first")
    return repo


def runs(repo: Path) -> list[Run]:
    return [parse_run(path.read_bytes()) for path in sorted((repo / "runs").glob("*.json"))]


@pytest.mark.parametrize("command", ["no-such-command", "./no-such-command", ""])
def test_a_command_that_is_not_there_leaves_no_run_behind(repo: Path, command: str) -> None:
    ended = gitprov(repo, "run", "--", command)
    assert ended.code == 2
    assert f"there is no command {command!r}" in ended.err
    assert not (repo / "runs").exists()


def test_a_file_that_may_not_be_executed_is_named(repo: Path) -> None:
    ended = gitprov(repo, "run", "--", "./train.py")
    assert ended.code == 2
    assert "may not be executed" in ended.err
    assert "chmod +x ./train.py" in ended.err
    assert not (repo / "runs").exists()


def test_an_interrupt_sent_to_us_alone_reaches_the_command(repo: Path) -> None:
    process = subprocess.Popen(
        [GITPROV, "run", "--", PYTHON, "-c", COUNTS],
        cwd=repo,
        env=isolated_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # no terminal: nobody else tells the command
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert out == b"got 1\n"
    assert process.returncode == 0
    assert runs(repo)[0].outcome == "completed"


def test_an_interrupt_ends_a_command_that_does_not_catch_it(repo: Path) -> None:
    script = "import time; print('up', flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [GITPROV, "run", "--", PYTHON, "-c", script],
        cwd=repo,
        env=isolated_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 128 + signal.SIGINT
    process.stdout.close()
    assert runs(repo)[0].outcome == "failed"


def test_a_terminals_interrupt_reaches_the_command_once(repo: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [GITPROV, "run", "--", PYTHON, "-c", COUNTS],
        cwd=repo,
        env=isolated_environment(),
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    shown = b""
    while b"up" not in shown:
        shown += os.read(ours, 1000)
    os.write(ours, b"\x03")
    while b"got" not in shown or not shown.endswith(b"\n"):
        shown += os.read(ours, 1000)
    _, said = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 0, said
    assert b"got 1\r\n" in shown


def test_passwords_of_a_command_line_are_not_recorded(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "c4" * 32
    monkeypatch.setenv("GITPROV_ETHEREUM_KEY", key)
    script = "import sys; print(sys.argv[1:])"
    words = [
        *("--password=hunter2", "--api-key", "hunter3", "HF_TOKEN=hunter4", "--max-tokens", "512"),
        *("--db", "postgres://me:hunter5@host/db", "--tokenizer", "gpt2", f"0x{key}"),
    ]
    done = subprocess.run(
        [GITPROV, "run", "--", PYTHON, "-c", script, *words],
        cwd=repo,
        env=isolated_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{words}\n"  # the command has them
    [run] = runs(repo)
    assert run.leaves[0]["argv"] == [
        *(PYTHON, "-c", script, "--password=[redacted]", "--api-key", "[redacted]"),
        *("HF_TOKEN=[redacted]", "--max-tokens", "512", "--db"),
        *("postgres://me:[redacted]@host/db", "--tokenizer", "gpt2", "0x[redacted]"),
    ]
    text = (repo / "runs" / f"{run.id}.json").read_text()
    assert "hunter" not in text
    assert key not in text


def test_the_file_of_one_run_does_not_make_the_next_one_unclean(repo: Path) -> None:
    ok(repo, "run", "--", "true")
    ok(repo, "run", "--", "true")
    assert [run.leaves[0]["clean"] for run in runs(repo)] == [True, True]
    write(repo, {"train.py": "print('changed')\n"})
    ok(repo, "run", "--", "true")
    assert sorted(str(run.leaves[0]["clean"]) for run in runs(repo)) == ["False", "True", "True"]


def test_files_that_git_does_not_know_are_counted(repo: Path) -> None:
    write(repo, {".gitignore": "*.log\n"})
    git(repo, "add", ".gitignore")
    git(repo, "commit", "-q", "-m", "ignore")
    write(
        repo,
        {"new.py": "1", "sub/other.py": "1", "a.log": "1", "runs/x.json": "{}", "sub/runs/y": "1"},
    )
    (repo / "sub" / "empty").mkdir()
    for folder in (repo, repo / "sub"):
        with Workspace.open(str(folder)) as ws:
            assert untracked_files(ws) == 3
            assert is_clean(ws)
