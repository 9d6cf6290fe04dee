"""The completion scripts, by really asking the shells."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.story import gitprov, ok

BIN = Path(sys.executable).parent


def _shell(name: str, tmp_path: Path) -> tuple[str, Path]:
    shell = shutil.which(name)
    if shell is None:
        pytest.skip(f"{name} is not installed")
    script = tmp_path / f"completion.{name}"
    script.write_text(ok(tmp_path, "completion", name).out)
    return shell, script


def _run(shell: str, command: str, folder: Path) -> list[str]:
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(
        [shell, "-c", command], cwd=folder, capture_output=True, text=True, env=env
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("gitprov ve", ["verify"]),
        ("gitprov verify --dee", ["--deep"]),
        ("gitprov completion ", ["bash", "zsh", "fish"]),
        ("gitprov check", ["checkout", "check"]),
    ],
)
def test_bash_completes(tmp_path: Path, words: str, expected: list[str]) -> None:
    shell, script = _shell("bash", tmp_path)
    parts = words.split(" ")
    ask = f"""
        source {script}
        COMP_WORDS=({" ".join(part or "''" for part in parts)}); COMP_CWORD={len(parts) - 1}
        _gitprov_completion gitprov
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    assert sorted(_run(shell, ask, tmp_path)) == sorted(expected)


def test_bash_registers_the_completion(tmp_path: Path) -> None:
    shell, script = _shell("bash", tmp_path)
    assert "_gitprov_completion" in _run(shell, f"source {script}; complete -p gitprov", tmp_path)


def test_fish_completes(tmp_path: Path) -> None:
    shell, script = _shell("fish", tmp_path)
    assert "verify" in _run(shell, f"source {script}; complete -C 'gitprov ve'", tmp_path)


def test_zsh_takes_the_script(tmp_path: Path) -> None:
    shell, script = _shell("zsh", tmp_path)
    ask = f"autoload -U compinit; compinit -u; source {script}; print $_comps[gitprov]"
    assert _run(shell, ask, tmp_path) == ["_gitprov_completion"]


def test_another_shell_is_refused_with_the_ones_there_are(tmp_path: Path) -> None:
    ran = gitprov(tmp_path, "completion", "tcsh")
    assert (ran.code, ran.out) == (2, "")
    assert "'bash', 'zsh', 'fish'" in ran.err
