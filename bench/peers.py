"""Finds the tools, installs the peers that are missing, and says what each one's version is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.measure import CommandFailedError, Runner
from bench.tools import Dvc, GitAnnex, GitLfs, Gitprov, Tool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DVC_VERSION = "3.67.1"
_INSTALL_TIMEOUT = 900.0


@dataclass(slots=True)
class Lineup:
    """The tools that take part, their versions, and why others do not."""

    tools: list[Tool] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


def line_up(families: Sequence[str], base: Path) -> Lineup:
    """Returns those of the named families that can be had; `base` is where peers are installed."""
    lineup = Lineup()
    for family in families:
        try:
            tools = FAMILIES[family](base)
            lineup.versions[family] = _version(tools[0])
        except (CommandFailedError, OSError) as exc:
            lineup.absent[family] = str(exc)
        else:
            lineup.tools += tools
    return lineup


def environment(tool: Tool, home: Path) -> dict[str, str]:
    """Returns the environment for a tool: nothing of the user's git, and no statistics sent."""
    home.mkdir(parents=True, exist_ok=True)
    config = home / "gitconfig"
    config.write_text(
        "[user]\n\tname = Bench\n\temail = bench@example.invalid\n"
        # git must not begin to tidy up in the background of somebody's measurement.
        "[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[init]\n\tdefaultBranch = main\n",
        "utf-8",
    )
    path = os.environ.get("PATH", os.defpath)
    if tool.bin is not None:
        path = f"{tool.bin}{os.pathsep}{path}"
    return {
        "PATH": path,
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_GLOBAL": str(config),
        "GIT_CONFIG_NOSYSTEM": "1",
        "DVC_NO_ANALYTICS": "1",
    }


def _gitprov(_base: Path) -> list[Tool]:
    # Not resolved: in a virtual environment the interpreter is a link out of it.
    folder = Path(sys.executable).parent
    _require("gitprov", folder)
    return [
        Gitprov("gitprov (copy)", "gitprov", "copy", folder),
        Gitprov("gitprov (hardlink)", "gitprov", "link", folder),
    ]


def _dvc(base: Path) -> list[Tool]:
    venv = base / "venv"
    if not (venv / "bin" / "dvc").exists():
        uv = shutil.which(
            "uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        )
        if uv is None:
            raise CommandFailedError("uv is missing, DVC cannot be installed")
        base.mkdir(parents=True, exist_ok=True)
        install = Runner(base, os.environ, _INSTALL_TIMEOUT)
        install(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(venv))
        install(uv, "pip", "install", "--quiet", "--python", str(venv), f"dvc[s3]=={DVC_VERSION}")
    folder = venv / "bin"
    return [Dvc("DVC (copy)", "dvc", "copy", folder), Dvc("DVC (hardlink)", "dvc", "link", folder)]


def _git_lfs(base: Path) -> list[Tool]:
    _debian("git-lfs", base)
    return [GitLfs("git-lfs", "git-lfs", "copy")]


def _git_annex(base: Path) -> list[Tool]:
    _debian("git-annex", base)
    return [GitAnnex("git-annex", "git-annex", "link")]


FAMILIES: dict[str, Callable[[Path], list[Tool]]] = {
    "gitprov": _gitprov,
    "dvc": _dvc,
    "git-lfs": _git_lfs,
    "git-annex": _git_annex,
}


def _debian(package: str, base: Path) -> None:
    """Installs a Debian package that brings an executable of the same name."""
    if shutil.which(package) is not None:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise CommandFailedError(f"{package} is missing; install the Debian package {package}")
    base.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = Runner(base, env, _INSTALL_TIMEOUT)
    install("apt-get", "update", "-qq")
    install("apt-get", "install", "-qq", "-y", package)
    _require(package, None)


def _require(executable: str, folder: Path | None) -> None:
    if shutil.which(executable, path=None if folder is None else str(folder)) is None:
        raise CommandFailedError(f"{executable} is not installed here")


def _version(tool: Tool) -> str:
    program, *rest = tool.version_command
    found = shutil.which(program, path=None if tool.bin is None else str(tool.bin))
    done = subprocess.run(
        [found or program, *rest], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode != 0:
        raise CommandFailedError(f"{' '.join(tool.version_command)}: {done.stderr.strip()}")
    number = re.search(r"\d+(\.\d+)+\S*", done.stdout)
    return number.group() if number else done.stdout.strip()
