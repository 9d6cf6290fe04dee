"""One process that outlives who started it, and is ended only if it is still the same one."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gitprov.errors import EnvironmentFault, UnavailableError

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_PAUSE = 0.02
_LOG_LINES = 5


@dataclass(frozen=True, slots=True)
class Process:
    """A process by its number and, where the system tells, the moment at which it began."""

    pid: int
    began: str

    def is_running(self) -> bool:
        """Whether this very process runs still."""
        self._reap()
        return self.began != "" and _began(self.pid) == self.began

    def stop(self) -> None:
        """Ends it: politely, then not."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if not self.is_running():
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, sign)
            ends = time.monotonic() + _STOP_SECONDS
            while (self.is_running() or not self._reap()) and time.monotonic() < ends:
                time.sleep(_PAUSE)

    def _reap(self) -> bool:
        """Takes its end, which as a child of this process it waits for; whether that was all."""
        try:
            return os.waitpid(self.pid, os.WNOHANG)[0] != 0
        except ChildProcessError:
            return True


def start(
    command: Sequence[str],
    *,
    folder: str,
    log: str,
    answers: Callable[[], bool],
    env: Mapping[str, str] | None = None,
) -> Process:
    """Starts a process in a session of its own and waits until it answers.

    Raises:
        UnavailableError: it ended, or does not answer; the last lines of its log are named.
        EnvironmentFault: it cannot be started.
    """
    path = os.path.join(folder, log)
    try:
        with open(path, "ab") as output:
            child = subprocess.Popen(
                command,
                cwd=folder,
                env=None if env is None else {**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
    except OSError as exc:
        raise EnvironmentFault(f"cannot start {command[0]}: {exc.strerror}") from exc
    process = Process(child.pid, _began(child.pid))
    try:
        _wait(child, answers, command[0], path)
    except BaseException:
        child.kill()
        child.wait()
        raise
    # It is to outlive this object, whose destructor would complain of that.
    child.returncode = 0
    return process


def _wait(
    child: "subprocess.Popen[bytes]", answers: Callable[[], bool], name: str, log: str
) -> None:
    ends = time.monotonic() + _START_SECONDS
    while time.monotonic() < ends:
        if child.poll() is not None:
            raise UnavailableError(f"{name} ended at once: {_last_lines(log)}")
        if answers():
            return
        time.sleep(_PAUSE)
    raise UnavailableError(f"{name} does not answer: {_last_lines(log)}")


def free_port(wanted: int | None = None) -> int:
    """Returns a port of loopback that nobody uses now: the wanted one, or any.

    Raises:
        UnavailableError: somebody uses the wanted one; who answers there is not our node.
    """
    with socket.socket() as probe:
        # Connections that ended a moment ago do not keep a port; who listens does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted or 0))
        except OSError as exc:
            raise UnavailableError(f"the port {wanted} is in use") from exc
        return int(probe.getsockname()[1])


def _began(pid: int) -> str:
    """The start time in clock ticks (proc(5), field 22); "" when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b") ")[2].split()
        return "" if fields[0] == b"Z" else fields[19].decode()
    except FileNotFoundError:
        if os.path.isdir("/proc/self"):
            return ""
    except (OSError, IndexError):
        return ""
    try:  # no /proc (macOS): the number is all there is
        os.kill(pid, 0)
    except OSError:
        return ""
    return "unknown"


def _last_lines(path: str) -> str:
    with open(path, "rb") as file:
        lines = file.read()[-4096:].decode("utf-8", "replace").splitlines()
    said = [line.strip() for line in lines if line.strip()]
    return " / ".join(said[-_LOG_LINES:]) or "it said nothing"
