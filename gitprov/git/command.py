"""The one place where git is started: by absolute path, in a clean environment, without a shell."""

import functools
import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO, NamedTuple

from gitprov.errors import EnvironmentFault, UnavailableError
from gitprov.platform.files import fault

Argument = str | bytes

_SEARCH_FALLBACK = "/usr/local/bin:/usr/bin:/bin"

# git exports its own state to hooks (GIT_DIR, GIT_INDEX_FILE, …): a child would work on a half-made
# index or on another repository. Only what the user set for transport, identity and tracing stays.
_KEPT = frozenset(
    {
        "GIT_ALLOW_PROTOCOL",
        "GIT_ASKPASS",
        "GIT_CEILING_DIRECTORIES",
        "GIT_CONFIG_COUNT",
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_NOSYSTEM",
        "GIT_CONFIG_PARAMETERS",
        "GIT_CONFIG_SYSTEM",
        "GIT_DISCOVERY_ACROSS_FILESYSTEM",
        "GIT_EXEC_PATH",
        "GIT_HTTP_PROXY_AUTHMETHOD",
        "GIT_PROXY_COMMAND",
        "GIT_PROXY_SSL_CAINFO",
        "GIT_PROXY_SSL_CERT",
        "GIT_PROXY_SSL_KEY",
        "GIT_PROTOCOL",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_SSH_VARIANT",
        "GIT_SSL_CAINFO",
        "GIT_SSL_CAPATH",
        "GIT_SSL_CERT",
        "GIT_SSL_KEY",
        "GIT_SSL_NO_VERIFY",
        "GIT_TERMINAL_PROMPT",
    }
)
_KEPT_PREFIXES = ("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_", "GIT_TRACE", "GIT_TEST_")

_SET = {
    "LC_ALL": "C",
    "GIT_OPTIONAL_LOCKS": "0",
    # `git replace` would let one object pose as another; what is bound is what git really stores.
    "GIT_NO_REPLACE_OBJECTS": "1",
}


class GitError(EnvironmentFault):
    """git ended with a code that the caller did not expect."""

    def __init__(self, command: str, returncode: int, stderr: bytes) -> None:
        """Makes the message from the last thing that git said."""
        said = printable(stderr)
        reason = said.splitlines()[-1] if said else f"exit code {returncode}"
        super().__init__(f"git {command} failed: {reason}")
        self.returncode = returncode
        self.stderr = said


class Completed(NamedTuple):
    """What a finished git left behind."""

    returncode: int
    stdout: bytes
    stderr: bytes


def printable(raw: bytes) -> str:
    """Returns git's words without control characters: part of them may come from a server."""
    text = raw.decode("utf-8", "replace").replace("\r", "\n").strip()
    return "".join(c if c == "\n" or c.isprintable() else "\ufffd" for c in text)


@functools.cache
def find_git(search: str) -> str:
    """Returns the absolute path of git on a search path like PATH's.

    Empty and relative entries are passed over: they would run a `git` that a repository brought.

    Raises:
        EnvironmentFault: there is none.
    """
    for folder in search.split(os.pathsep):
        candidate = os.path.join(folder, "git")
        if os.path.isabs(folder) and os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return candidate
    raise EnvironmentFault("there is no git on PATH", hint="install git 2.31 or newer")


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment for a child git: without the state of an outer git."""
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith("GIT_") or name in _KEPT or name.startswith(_KEPT_PREFIXES)
    }
    kept.update(_SET)
    return kept


class Git:
    """Starts git in one folder, on one repository."""

    __slots__ = ("_env", "_executable", "cwd")

    def __init__(self, cwd: str, *, env: Mapping[str, str] | None = None) -> None:
        """Takes the folder to work in, and variables to set on top of the cleaned environment."""
        self.cwd = cwd
        self._executable = find_git(os.environ.get("PATH", _SEARCH_FALLBACK))
        self._env = clean_environment(os.environ)
        if env:
            self._env.update(env)

    def start(
        self, *args: Argument, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Starts a git that is talked to through its stdin and stdout; its stderr is dropped."""
        try:
            return subprocess.Popen(
                [self._executable, *args],
                cwd=self.cwd,
                env={**self._env, **env} if env else self._env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as exc:
            raise fault(exc, "start", self._executable) from exc

    def call(
        self,
        *args: Argument,
        input: bytes | None = None,  # noqa: A002  # the name that subprocess uses
        env: Mapping[str, str] | None = None,
        index_file: str | None = None,
        timeout: float | None = None,
    ) -> Completed:
        """Runs git to its end, whatever its exit code.

        Args:
            args: its arguments, as they are.
            input: what it reads; nothing when None.
            env: variables for this call only.
            index_file: another index than the repository's own: hooks are given one by git
                (`git commit -a`, `git commit PATH`).
            timeout: seconds after which it is stopped.

        Raises:
            UnavailableError: the time is over.
            EnvironmentFault: it cannot be started.
        """
        variables = dict(self._env)
        if env:
            variables.update(env)
        if index_file is not None:
            variables["GIT_INDEX_FILE"] = index_file
        try:
            with subprocess.Popen(
                [self._executable, *args],
                cwd=self.cwd,
                env=variables,
                stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            ) as process:
                stdout, stderr = _finish(process, args, input, timeout)
        except OSError as exc:
            raise fault(exc, "run", self._executable) from exc
        return Completed(process.returncode, stdout, stderr)

    def run(
        self,
        *args: Argument,
        input: bytes | None = None,  # noqa: A002  # the name that subprocess uses
        env: Mapping[str, str] | None = None,
        index_file: str | None = None,
        ok: Sequence[int] = (0,),
        timeout: float | None = None,
    ) -> bytes:
        """Runs git and returns what it printed; arguments as for `call`.

        Raises:
            GitError: its exit code is not in `ok`.
            UnavailableError: the time is over.
        """
        done = self.call(*args, input=input, env=env, index_file=index_file, timeout=timeout)
        if done.returncode not in ok:
            raise GitError(_name(args), done.returncode, done.stderr)
        return done.stdout

    def text(self, *args: Argument, ok: Sequence[int] = (0,)) -> str:
        """Runs git and returns its output as text, without the newline at the end."""
        return os.fsdecode(self.run(*args, ok=ok)).removesuffix("\n")


def _finish(
    process: subprocess.Popen[bytes],
    args: Sequence[Argument],
    given: bytes | None,
    timeout: float | None,
) -> tuple[bytes, bytes]:
    try:
        return process.communicate(given, timeout)
    except subprocess.TimeoutExpired:
        # SIGTERM lets git remove its lock files and end its transport helpers.
        process.terminate()
        try:
            process.communicate(timeout=2)
        except subprocess.TimeoutExpired:
            process.kill()
            _close(process.stdin, process.stdout, process.stderr)
        raise UnavailableError(f"git {_name(args)} did not end within {timeout:.0f} s") from None


def _close(*pipes: IO[bytes] | None) -> None:
    for pipe in pipes:
        if pipe is not None:
            pipe.close()


def _name(args: Sequence[Argument]) -> str:
    """The subcommand: the first argument after git's own options."""
    words = iter(os.fsdecode(arg) for arg in args)
    for word in words:
        if word == "-c":
            next(words, None)
        elif not word.startswith("-"):
            return word
    return "?"


def split_nul(output: bytes) -> list[bytes]:
    """Splits what git printed under `-z`."""
    return output.removesuffix(b"\0").split(b"\0") if output else []
