"""`gitprov run`: a command as a run, for code that does not import us."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath
from gitprov.errors import EnvironmentFault, UsageError
from gitprov.model.record import ArtifactLeaf
from gitprov.model.run import Outcome, Run
from gitprov.ops.pointers import Tracked, on_disk, tracked
from gitprov.ops.recording import Recording
from gitprov.ops.store_link import store_link
from gitprov.ops.weights import weights_of
from gitprov.workspace import Workspace
from gitprov.worktree.scan import Progress, Scanner

if TYPE_CHECKING:
    from gitprov.core.canonical import Json

Anchored = Callable[[Workspace, int], object]
"""Is told the log's entry of each stage, to have it witnessed."""

_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


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
    progress: Progress | None = None,
) -> RunResult:
    """Runs a command with our own stdin, stdout and stderr, and records what it read and wrote.

    Args:
        ws: the workspace.
        argv: the command and its arguments; no shell is asked.
        anchored: has the stages witnessed.
        progress: is told of data that is hashed.

    Raises:
        UsageError: there is no such command.
        UnavailableError: there is no commit yet.
    """
    before = _artifacts(ws, progress)
    recording = Recording(ws, by="command", argv=argv)
    try:
        for leaf in before.values():
            recording.add("input", {"artifact": leaf.to_json()}, durable=False)
        entry = recording.enter(ws, "before")
        if anchored is not None:
            anchored(ws, entry)
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


def _call(argv: Sequence[str]) -> int:
    """Runs the command to its end, whatever signals we get: they are its, too."""
    try:
        process = subprocess.Popen([*argv])
    except FileNotFoundError:
        raise UsageError(
            f"there is no command {argv[0]!r}", hint="gitprov run -- python train.py"
        ) from None
    except OSError as exc:
        raise EnvironmentFault(f"cannot run {argv[0]!r}: {exc.strerror}") from exc
    with _handing_on(process):
        code = process.wait()
    return code if code >= 0 else 128 - code


@contextmanager
def _handing_on(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """A terminal sends Ctrl-C to both of us, other signals only to us."""

    def hand_on(number: int, _frame: object) -> None:
        if process.poll() is None:
            process.send_signal(number)

    old = {number: signal.signal(number, hand_on) for number in _SIGNALS}
    old[signal.SIGINT] = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
