"""`gitprov run`: a command as a run, for code that does not import us."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath
from gitprov.errors import EnvironmentFault, UsageError
from gitprov.model.record import ArtifactLeaf
from gitprov.model.run import Outcome, Run
from gitprov.ops.networks import anchors_config
from gitprov.ops.pointers import Tracked, on_disk, tracked
from gitprov.ops.recording import Recording
from gitprov.ops.redact import Redactor, secrets_of
from gitprov.ops.store_link import store_link
from gitprov.ops.weights import weights_of
from gitprov.workspace import Workspace
from gitprov.worktree.scan import Progress, Scanner

if TYPE_CHECKING:
    from gitprov.core.canonical import Json

Anchored = Callable[[Workspace, int], object]
"""Is told the log's entry of each stage, to have it witnessed."""

_OF_KEYS: tuple[int, ...] = (signal.SIGINT, signal.SIGQUIT)
"""What a terminal sends to everybody in its foreground, on Ctrl-C and Ctrl-\\."""

_OTHERS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_SIGNALS: tuple[int, ...] = (*_OF_KEYS, *_OTHERS)


@dataclass(frozen=True, slots=True)
class RunResult:
    """What became of a command.

    Attributes:
        run: the run, ended.
        exit_code: the command's, 128 and the signal's number when a signal ended it.
        seconds: how long it took.
        changed: the artifacts that it changed, as they are now.
    """

    run: Run
    exit_code: int
    seconds: float
    changed: tuple[ArtifactLeaf, ...]


def run_command(
    ws: Workspace,
    argv: Sequence[str],
    *,
    anchored: Anchored | None = None,
    environ: Mapping[str, str],
    progress: Progress | None = None,
) -> RunResult:
    """Runs a command with our own stdin, stdout and stderr, and records what it read and wrote.

    Args:
        ws: the workspace.
        argv: the command and its arguments; no shell is asked.
        anchored: has the stages witnessed.
        environ: where PATH is, and keys that must not be recorded.
        progress: is told of data that is hashed.

    Raises:
        UsageError: there is no such command; then there is no run either.
        UnavailableError: there is no commit yet.
    """
    _refuse_missing(argv[0], environ.get("PATH", os.defpath))
    redactor = Redactor(secrets_of(anchors_config(ws), environ))
    before = _artifacts(ws, progress)
    recording = Recording(ws, by="command", argv=redactor.argv(argv))
    try:
        for leaf in before.values():
            recording.add("input", {"artifact": leaf.to_json()}, durable=False)
        entry = recording.enter(ws, "before")
        if anchored is not None:
            anchored(ws, entry)
        # Ctrl-C ends everything in the terminal's foreground, also a git that waits for questions.
        ws.objects.close()
        started = time.monotonic()
        exit_code = _call(argv)
        seconds = time.monotonic() - started
        after = _artifacts(ws, progress)
        changed = tuple(leaf for path, leaf in after.items() if before.get(path) != leaf)
        for leaf in changed:
            recording.add("output", {"artifact": leaf.to_json()}, durable=False)
        results: dict[str, Json] = {"value": {"seconds": round(seconds, 3)}}
        recording.add("results", results, durable=False)
        outcome: Outcome = "completed" if exit_code == 0 else "failed"
        entry = recording.end(ws, outcome, exit_code=exit_code)
    finally:
        recording.abandon()
    if anchored is not None:
        anchored(ws, entry)
    return RunResult(recording.run, exit_code, seconds, changed)


def _artifacts(ws: Workspace, progress: Progress | None) -> dict[RepoPath, ArtifactLeaf]:
    """The artifacts that are checked out, as they are on disk; the pointers may lag behind."""
    found: dict[RepoPath, ArtifactLeaf] = {}
    for item in tracked(ws.repo.git, ws.worktree):
        if os.path.lexists(on_disk(ws.worktree, item.path)):
            found[item.path] = _leaf(ws, item, progress)
    return dict(sorted(found.items()))


def _leaf(ws: Workspace, item: Tracked, progress: Progress | None) -> ArtifactLeaf:
    scanner = Scanner(ws.worktree, ws.stats, progress=progress, store_link=store_link(ws))
    tree = scanner.scan(item.path)
    folder = os.path.dirname(str(item.path))
    leaf = ArtifactLeaf.of(folder, item.pointer)
    root = Digest(tree.root)
    if root == leaf.root:
        return leaf
    where = on_disk(ws.worktree, item.path)
    weights = None
    if leaf.kind == "model" and leaf.entry != "dir":
        weights = weights_of(where, item.path.raw, root, tree.size)
    return replace(leaf, root=root, size=tree.size, files=tree.files, weights=weights)


def _refuse_missing(command: str, search: str) -> None:
    """Refuses what cannot be started before a run of it begins."""
    if shutil.which(command, path=search) is None:
        there = os.path.dirname(command) and os.path.isfile(command)
        raise UsageError(
            f"{command!r} may not be executed" if there else f"there is no command {command!r}",
            hint=f"chmod +x {command}" if there else "gitprov run -- python train.py",
        )


def _call(argv: Sequence[str]) -> int:
    """Runs the command to its end, whatever signals we get: they are its, too."""
    with _HandingOn() as handing_on:
        try:
            process = subprocess.Popen([*argv])
        except OSError as exc:
            raise EnvironmentFault(f"cannot run {argv[0]!r}: {exc.strerror}") from exc
        handing_on.to(process)
        code = process.wait()
    return code if code >= 0 else 128 - code


class _HandingOn:
    """Hands our signals on to the command, from before it is started until it has ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._old: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            # The command inherits that a signal is ignored (`nohup`), and no handler of ours.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._old[number] = signal.signal(number, self._hand_on)
        return self

    def to(self, process: "subprocess.Popen[bytes]") -> None:
        """Takes the command, which has just been started."""
        self._process = process
        for number in _SIGNALS:
            if number not in self._old:
                self._old[number] = signal.signal(number, self._hand_on)
        for number in self._early:
            self._hand_on(number, None)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _hand_on(self, number: int, _frame: object) -> None:
        if self._process is None:
            self._early.append(number)
        elif self._process.poll() is None and not (number in _OF_KEYS and _terminal_sends_it()):
            self._process.send_signal(number)


def _terminal_sends_it() -> bool:
    """Whether Ctrl-C reaches the command without us: we are in the terminal's foreground, both."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False  # no terminal controls us
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
