"""Runs in the worktree: their files, which of them goes on, and how two of them differ."""

import os
import weakref
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fcntl import LOCK_EX, LOCK_NB, flock

from gitprov.core.canonical import Json
from gitprov.core.paths import RepoPath
from gitprov.errors import EnvironmentFault, GitprovError, MalformedError, UnavailableError
from gitprov.git.command import GitError
from gitprov.model.run import (
    FOLDER,
    MAX_RUN_BYTES,
    SUFFIX,
    Leaf,
    Outcome,
    Run,
    check_run_id,
    format_run,
    parse_run,
    run_path,
)
from gitprov.ops.staging import stage_paths
from gitprov.ops.statements import statements
from gitprov.platform.files import atomic_write, fault, read_bounded
from gitprov.workspace import Workspace

_LOCKS = "runs"
_ATTRIBUTES = ".gitattributes"


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A run's file in the worktree; when it cannot be read, `problem` says why."""

    id: str
    run: Run | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which two runs differ; None where a run lacks it."""

    what: str
    old: Json
    new: Json


class RunLock:
    """Says that a run goes on, until it is closed or its process ends, however that happens."""

    def __init__(self, ws: Workspace, run_id: str) -> None:
        """Takes the lock of a run.

        Raises:
            EnvironmentFault: another process has it, or the folder cannot be written.
        """
        path = _lock_path(ws, run_id)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self._fd: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            flock(self._fd, LOCK_EX | LOCK_NB)
        except OSError as exc:
            raise fault(exc, "lock", path) from exc
        self._path = path
        # A child that a training forks must not hold its lock.
        reference = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _let_go(reference))

    def close(self) -> None:
        """Frees it, and takes its file away."""
        if self._fd is not None:
            with suppress(OSError):
                os.unlink(self._path)
            os.close(self._fd)
            self._fd = None


def _let_go(reference: "weakref.ref[RunLock]") -> None:
    lock = reference()
    if lock is not None and lock._fd is not None:  # ours
        os.close(lock._fd)
        lock._fd = None


def save_run(worktree: str, run: Run, *, durable: bool = True) -> str:
    """Writes a run's file into a worktree.

    Returns:
        The file's path.

    Raises:
        EnvironmentFault: it cannot be written.
    """
    folder = os.path.join(worktree, FOLDER)
    path = os.path.join(worktree, run_path(run.id))
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as exc:
        raise fault(exc, "make", folder) from exc
    if os.path.islink(folder):
        raise EnvironmentFault(f"{folder} is a symbolic link, which is not followed")
    attributes = os.path.join(folder, _ATTRIBUTES)
    if not os.path.lexists(attributes):
        # A checkout that changes line ends would make every run a malformed one.
        atomic_write(attributes, b"*.json -text\n", durable=False)
    atomic_write(path, format_run(run), durable=durable)
    return path


def stage_run(ws: Workspace, run: Run) -> bool:
    """Stages a run's file, also an ignored one; returns False when somebody holds the index."""
    names = (run_path(run.id), f"{FOLDER}/{_ATTRIBUTES}")
    try:
        stage_paths(ws, [RepoPath.parse(name.encode()) for name in names])
    except (GitError, EnvironmentFault):
        return False
    return True


def read_run(ws: Workspace, run_id: str) -> Run:
    """Returns a run of the worktree; a prefix of its id is enough.

    Raises:
        UnavailableError: there is none, or several.
        MalformedError: its file is not in the format.
    """
    names = _names(ws)
    wanted = os.path.basename(run_id).removesuffix(SUFFIX)
    found = [name for name in names if name == wanted] or [
        name for name in names if name.startswith(wanted) and wanted
    ]
    if len(found) != 1:
        raise UnavailableError(
            f"there is no run {wanted!r} here" if not found else f"{wanted!r} means several runs",
            hint="`gitprov runs` lists them",
        )
    return _sighted(ws, _read(ws, found[0]))


def list_runs(ws: Workspace) -> list[FoundRun]:
    """Returns the runs of the worktree, the newest id first."""
    found: list[FoundRun] = []
    for name in reversed(_names(ws)):
        try:
            found.append(FoundRun(name, _sighted(ws, _read(ws, name))))
        except GitprovError as exc:
            found.append(FoundRun(name, None, str(exc)))
    return found


def diff_runs(old: Run, new: Run) -> list[Difference]:
    """Returns in what two runs differ, leaf by leaf; times and ids are left out."""
    before, after = dict(_facts(old)), dict(_facts(new))
    keys = list(dict.fromkeys([*before, *after]))
    return [
        Difference(key, before.get(key), after.get(key))
        for key in keys
        if before.get(key) != after.get(key) or (key in before) != (key in after)
    ]


def _facts(run: Run) -> Iterator[tuple[str, Json]]:
    yield "outcome", run.outcome
    number: dict[str, int] = {}
    for leaf in run.leaves:
        kind = str(leaf["type"])
        label = _label(leaf, kind, number)
        for key, value in leaf.items():
            if key not in _PASSED_OVER:
                yield from _flat(f"{label}.{key}", value)


_PASSED_OVER = {"type", "id", "started", "ended", "name", "epoch"}


def _label(leaf: Leaf, kind: str, number: dict[str, int]) -> str:
    for key in ("name", "epoch"):
        if isinstance(leaf.get(key), str | int):
            return f"{kind}.{leaf[key]}"
    number[kind] = number.get(kind, 0) + 1
    return kind if number[kind] == 1 else f"{kind}.{number[kind]}"


def _flat(prefix: str, value: Json) -> Iterator[tuple[str, Json]]:
    if isinstance(value, dict) and value and not any(key.startswith("$") for key in value):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}", inner)
    else:
        yield prefix, value


def _names(ws: Workspace) -> list[str]:
    folder = os.path.join(ws.worktree, FOLDER)
    try:
        found = os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise fault(exc, "read", folder) from exc
    names = []
    for name in found:
        with suppress(MalformedError):
            if name.endswith(SUFFIX):
                names.append(check_run_id(name.removesuffix(SUFFIX)))
    return sorted(names)


def _read(ws: Workspace, name: str) -> Run:
    path = run_path(name)
    run = parse_run(read_bounded(os.path.join(ws.worktree, path), MAX_RUN_BYTES), what=path)
    if run.id != name:
        raise MalformedError(f"{path} holds the run {run.id}")
    return run


def _sighted(ws: Workspace, run: Run) -> Run:
    """A run whose process is gone was interrupted: its file is told so when it is seen next."""
    path = _lock_path(ws, run.id)
    if run.outcome != "running" or not os.path.exists(path):
        return run
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return run
    try:
        flock(fd, LOCK_EX | LOCK_NB)
    except OSError:
        return run  # its process lives
    else:
        run = replace(run, outcome=_outcome(ws, run))
        with suppress(EnvironmentFault):
            save_run(ws.worktree, run)
            os.unlink(path)
        return run
    finally:
        os.close(fd)


def _outcome(ws: Workspace, run: Run) -> Outcome:
    """How a run ended whose process is gone: as it said, if that was logged before it went."""
    after = run.stage("after")
    if after is None or run.commit is None:
        return "interrupted"
    name = f"run/{run.id}/after"
    logged = any(
        line.name == name and line.root == after.root for line in statements(ws, [run.commit])
    )
    said = run.leaves[-1].get("outcome")
    if not logged or said not in {"completed", "failed"}:
        return "interrupted"
    return "failed" if said == "failed" else "completed"


def _lock_path(ws: Workspace, run_id: str) -> str:
    return os.path.join(ws.repo.data_dir, _LOCKS, f"{run_id}.lock")
