"""Where the demo plays: a temporary folder, real processes, and what people get to see of them."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import click

_ASCII = str.maketrans({"✓": "+", "✗": "x", "…": "...", "→": "->", "×": "x", "─": "-"})
_LIMIT_S = 120
_WIDTH = 110
_WORDS = re.compile(r"✓ PASS|✗ FAIL|^damaged\b|^missing\b|error:")
_PLAIN = re.compile(r"[\w@%+=:,./~^-]+", re.ASCII)


class StoryStopped(Exception):
    """A command did not end as the story needs it, so nothing after it would mean anything."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a command printed, on both streams, in the order it came."""

    text: str

    def says(self, *words: str) -> bool:
        """Whether one line has all of these words."""
        return any(all(word in line for word in words) for line in self.text.splitlines())


@dataclass(slots=True)
class Stage:
    """Runs commands and shows them.

    Attributes:
        top: the temporary folder; every repository of the story is a folder in it.
        ascii_only: whether the terminal shows nothing else.
        failures: the sentences that were not true.
    """

    top: str
    ascii_only: bool
    failures: list[str] = field(default_factory=list)
    _environment: dict[str, str] = field(default_factory=dict)
    _claims: int = 0

    def __post_init__(self) -> None:
        """Writes a git configuration that knows nothing of the user's."""
        config = os.path.join(self.top, "gitconfig")
        with open(config, "w", encoding="utf-8") as file:
            file.write(
                "[user]\n\tname = Demo\n\temail = demo@example.org\n"
                "[init]\n\tdefaultBranch = main\n"
                "[advice]\n\tdetachedHead = false\n[commit]\n\tgpgSign = false\n"
            )
        # GIT_DIR and the like are set when the demo is started from a hook.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        self._environment = {
            **kept,
            "GIT_CONFIG_GLOBAL": config,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C.UTF-8",
            "PYTHONIOENCODING": "utf-8",
        }

    @property
    def claims(self) -> int:
        """How many sentences have been judged."""
        return self._claims

    def path(self, *parts: str) -> str:
        """Returns a path in the temporary folder."""
        return os.path.join(self.top, *parts)

    def title(self, number: int, text: str) -> None:
        """Begins a step."""
        self.show()
        self.show(click.style(f"{number:2}. {text}", bold=True))

    def tell(self, text: str) -> None:
        """Says what the step is about."""
        self.show(f"    {text}")

    def claim(self, sentence: str, holds: bool) -> None:
        """Shows whether the step did what it says."""
        self._claims += 1
        if not holds:
            self.failures.append(sentence)
        mark = click.style("✓", fg="green") if holds else click.style("✗", fg="red", bold=True)
        self.show(f"    {mark} {sentence}")

    def gitprov(
        self,
        folder: str,
        *arguments: str,
        code: int = 0,
        lines: Callable[[str], bool] | int | None = None,
    ) -> Output:
        """Runs gitprov; see `run`."""
        command = [sys.executable, "-P", "-m", "gitprov", *arguments]
        typed = _typed(["gitprov", *arguments])
        return self.run(folder, command, typed=typed, code=code, lines=lines)

    def git(
        self,
        folder: str,
        *arguments: str,
        code: int = 0,
        lines: Callable[[str], bool] | int | None = 0,
    ) -> Output:
        """Runs git and shows the command only, unless it is told otherwise; see `run`."""
        command = ["git", *arguments]
        return self.run(folder, command, typed=_typed(command), code=code, lines=lines)

    def python(self, folder: str, script: str) -> Output:
        """Runs a script of the story."""
        return self.run(folder, [sys.executable, "-P", script], typed=f"python {script}")

    def run(
        self,
        folder: str,
        command: Sequence[str],
        *,
        typed: str,
        code: int = 0,
        lines: Callable[[str], bool] | int | None = None,
    ) -> Output:
        """Runs a command and shows it as a user would type it.

        Args:
            folder: where, inside the temporary folder.
            command: what is really run.
            typed: what is shown.
            code: the exit code that the story needs.
            lines: which lines of the output are shown: all, the first so many, or those chosen.

        Raises:
            StoryStopped: it ended with another exit code, or not at all.
        """
        prompt = click.style(f"{folder}$", fg="blue")
        self.show(f"    {prompt} {click.style(typed, bold=True)}")
        try:
            done = subprocess.run(
                command,
                cwd=self.path(folder),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            self.claim(f"{typed} runs: {exc}", holds=False)
            raise StoryStopped from exc
        text = done.stdout.decode("utf-8", "replace")
        if done.returncode != code:
            self._output(text.splitlines())
            self.claim(f"it ends with {code}, not with {done.returncode}", holds=False)
            raise StoryStopped
        self._output(_chosen(text.splitlines(), lines))
        if code:
            self.show(click.style(f"      (exit code {code})", dim=True))
        return Output(text)

    def quietly(self, folder: str, *command: str, stdin: str | None = None) -> str:
        """Runs a command that is not part of what is shown and returns what it printed.

        Raises:
            StoryStopped: it failed.
        """
        done = subprocess.run(
            command,
            cwd=self.path(folder),
            env=self._environment,
            input=None if stdin is None else stdin.encode(),
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=_LIMIT_S,
            check=False,
        )
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()
            self.claim(f"{_typed(command)} works: {said}", holds=False)
            raise StoryStopped
        return done.stdout.decode("utf-8", "replace")

    def show(self, text: str = "") -> None:
        """Prints a line; colours go to a terminal only."""
        if self.ascii_only:
            text = text.translate(_ASCII).encode("ascii", "replace").decode("ascii")
        click.echo(text)

    def _output(self, lines: Sequence[str]) -> None:
        for line in lines:
            short = line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"
            self.show("      " + _WORDS.sub(_coloured, short))


def _chosen(lines: list[str], wanted: Callable[[str], bool] | int | None) -> list[str]:
    lines = [line.rstrip() for line in lines if line.strip()]
    if wanted is None:
        return lines
    if callable(wanted):
        return [line for line in lines if wanted(line)]
    return lines[:wanted]


def _coloured(match: re.Match[str]) -> str:
    word = match[0]
    return click.style(word, fg="green" if "PASS" in word else "red")


def _typed(command: Sequence[str]) -> str:
    """Returns the command line; shlex.join would quote the ~ of HEAD~1."""
    plain = (
        word if _PLAIN.fullmatch(word) and word[0] != "~" else shlex.quote(word) for word in command
    )
    return " ".join(plain)
