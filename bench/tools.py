"""What each tool is called with to do the same piece of work."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import yaml
from typing_extensions import override

if TYPE_CHECKING:
    from pathlib import Path

    from bench.measure import Runner

Mode = Literal["copy", "link"]
"""How the store and the worktree share a file: two copies, or one file under two names."""


@dataclass(frozen=True, slots=True)
class Tool(ABC):
    """A tool in one of its modes. Every command is a whole process, as a user would start it."""

    name: str
    family: str
    mode: Mode
    bin: Path | None = None
    """The folder of its executables, when it is not on the PATH anyway."""

    @property
    @abstractmethod
    def version_command(self) -> tuple[str, ...]:
        """The command that prints the version."""

    @abstractmethod
    def prepare(self, run: Runner, artifact: str) -> None:
        """Sets the tool up in a new git repository, for an artifact that does not exist yet."""

    @abstractmethod
    def add(self, artifact: str) -> tuple[str, ...]:
        """The command that takes the artifact's content into the store."""

    @property
    @abstractmethod
    def status(self) -> tuple[str, ...]:
        """The command that says what has changed."""

    @abstractmethod
    def checkout(self, artifact: str) -> tuple[str, ...]:
        """The command that brings the artifact back after its copy in the worktree is gone."""


class Gitprov(Tool):
    """This tool."""

    @property
    @override
    def version_command(self) -> tuple[str, ...]:
        return ("gitprov", "--version")

    @override
    def prepare(self, run: Runner, artifact: str) -> None:
        run("gitprov", "init")
        if self.mode == "link":
            path = run.folder / ".gitprov.yaml"
            config = yaml.safe_load(path.read_text("utf-8")) or {}
            config["store"] = {**(config.get("store") or {}), "link": "hardlink"}
            path.write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")

    @override
    def add(self, artifact: str) -> tuple[str, ...]:
        return ("gitprov", "add", artifact)

    @property
    @override
    def status(self) -> tuple[str, ...]:
        return ("gitprov", "status")

    @override
    def checkout(self, artifact: str) -> tuple[str, ...]:
        return ("gitprov", "checkout", artifact)


class Dvc(Tool):
    """DVC, with its hooks and without its statistics."""

    @property
    @override
    def version_command(self) -> tuple[str, ...]:
        return ("dvc", "--version")

    @override
    def prepare(self, run: Runner, artifact: str) -> None:
        run("dvc", "init", "--quiet")
        run("dvc", "config", "core.analytics", "false")
        run("dvc", "config", "cache.type", "copy" if self.mode == "copy" else "hardlink")
        # What it caches outside the repository must be as fresh as the repository.
        run(
            "dvc", "config", "--local", "core.site_cache_dir", str(run.folder.parent / "site-cache")
        )
        run("dvc", "install")

    @override
    def add(self, artifact: str) -> tuple[str, ...]:
        return ("dvc", "add", "--quiet", artifact)

    @property
    @override
    def status(self) -> tuple[str, ...]:
        return ("dvc", "status")

    @override
    def checkout(self, artifact: str) -> tuple[str, ...]:
        return ("dvc", "checkout", "--quiet", f"{artifact}.dvc")


class GitLfs(Tool):
    """git-lfs: its work is done by `git add`, `git status` and `git checkout`."""

    @property
    @override
    def version_command(self) -> tuple[str, ...]:
        return ("git-lfs", "--version")

    @override
    def prepare(self, run: Runner, artifact: str) -> None:
        run("git", "lfs", "install", "--local")
        run("git", "lfs", "track", artifact, f"{artifact}/**")

    @override
    def add(self, artifact: str) -> tuple[str, ...]:
        return ("git", "add", "--", artifact)

    @property
    @override
    def status(self) -> tuple[str, ...]:
        return ("git", "status", "--short")

    @override
    def checkout(self, artifact: str) -> tuple[str, ...]:
        return ("git", "checkout", "--quiet", "--", artifact)


class GitAnnex(Tool):
    """git-annex in its default form: the file moves into the annex, a symlink takes its place."""

    @property
    @override
    def version_command(self) -> tuple[str, ...]:
        return ("git-annex", "version", "--raw")

    @override
    def prepare(self, run: Runner, artifact: str) -> None:
        run("git", "annex", "init", "--quiet", "bench")

    @override
    def add(self, artifact: str) -> tuple[str, ...]:
        return ("git", "annex", "add", "--quiet", "--", artifact)

    @property
    @override
    def status(self) -> tuple[str, ...]:
        return ("git", "status", "--short")

    @override
    def checkout(self, artifact: str) -> tuple[str, ...]:
        return ("git", "checkout", "--quiet", "--", artifact)
