"""A run while it goes on: leaves are added, stages go into the log, networks witness them."""

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from gitprov.core.canonical import Json
from gitprov.errors import EnvironmentFault, UsageError
from gitprov.model.run import Leaf, Outcome, Run, StageName
from gitprov.ops.environment import environment, is_clean, untracked_files
from gitprov.ops.runs import RunLock, save_run, stage_run
from gitprov.ops.statements import head_commit, state
from gitprov.workspace import Workspace

By = Literal["tracker", "command"]


def utc_now(seconds: float | None = None) -> str:
    """Returns a time as runs have it: `2026-11-26T13:20:00Z`."""
    moment = datetime.fromtimestamp(time.time() if seconds is None else seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class Recording:
    """One run that goes on in this process.

    Its file says `running` until it ends; if the process ends first, whoever sees the file next
    finds the lock free, and it says `interrupted` from then on.
    """

    def __init__(
        self,
        ws: Workspace,
        *,
        by: By,
        argv: Sequence[str] | None = None,
        hash_seed: str | None = None,
    ) -> None:
        """Begins a run at the commit that is checked out.

        `staged` says at the end whether git took the file.

        Args:
            ws: the workspace.
            by: who records it.
            argv: the command, where it is one.
            hash_seed: what PYTHONHASHSEED is set to, where the run happens in this process.

        Raises:
            UnavailableError: there is no commit yet.
            EnvironmentFault: its file cannot be written.
        """
        self._pid = os.getpid()
        self._ended = False
        self.staged = False
        self.commit = head_commit(ws)
        self.worktree = ws.worktree
        started = utc_now()
        stamp = started.replace("-", "").replace(":", "")
        run_id = f"{stamp}-{secrets.token_hex(3)}"
        self._lock = RunLock(ws, run_id)
        first: Leaf = {
            "argv": None if argv is None else [*argv],
            "by": by,
            "clean": is_clean(ws),
            "commit": self.commit,
            "id": run_id,
            "started": started,
            "type": "run",
            "untracked": untracked_files(ws),
        }
        around: Leaf = {**environment(hash_seed, own=by == "tracker"), "type": "environment"}
        self.run = Run(run_id).with_leaf(first).with_leaf(around)
        save_run(self.worktree, self.run)

    @property
    def open(self) -> bool:
        """Whether it goes on."""
        return not self._ended

    @property
    def is_ours(self) -> bool:
        """Whether this process began it; a forked child only has a copy."""
        return self._pid == os.getpid()

    def add(self, kind: str, fields: Mapping[str, Json], *, durable: bool = True) -> None:
        """Adds a leaf, and writes the file; if that fails, the leaf goes with the next one.

        Raises:
            UsageError: the run has ended, or belongs to another process.
        """
        self._check()
        self.run = self.run.with_leaf({**fields, "type": kind})
        save_run(self.worktree, self.run, durable=durable)

    def enter(self, ws: Workspace, stage: StageName) -> int:
        """Puts the root over the leaves so far into the log; returns its entry.

        The file has the stage before the log has it: one that was killed in between says of itself
        that it was interrupted. It may be repeated, and then enters the same root.
        """
        self._check()
        if self.run.stage(stage) is None:
            self.run = self.run.with_stage(stage)
        save_run(self.worktree, self.run)
        entered = self.run.stage(stage)
        assert entered is not None  # noqa: S101  # it was made above
        return state(ws, self.commit, f"run/{self.run.id}/{stage}", entered.root)

    def end(
        self,
        ws: Workspace,
        outcome: Outcome,
        *,
        error: str | None = None,
        exit_code: int | None = None,
    ) -> int:
        """Adds the last leaf, enters the stage `after`, and ends the run; returns its entry.

        It may be repeated after a failure: what was said then stays.
        """
        self._check()
        if self.run.stage("before") is None:
            self.enter(ws, "before")
        if not self.run.of_type("end"):
            fields: Leaf = {
                "ended": utc_now(),
                "error": error,
                "exit_code": exit_code,
                "outcome": outcome,
            }
            self.add("end", fields)
        index = self.enter(ws, "after")
        said = self.run.leaves[-1]["outcome"]
        self.run = replace(self.run, outcome="failed" if said == "failed" else "completed")
        save_run(self.worktree, self.run)
        self.staged = stage_run(ws, self.run)
        self._close()
        return index

    def abandon(self) -> None:
        """Lets go of a run that has not ended: it was interrupted."""
        if self.open and self.is_ours:
            self.run = replace(self.run, outcome="interrupted")
            with suppress(EnvironmentFault):
                save_run(self.worktree, self.run)
            self._close()

    def _close(self) -> None:
        self._ended = True
        self._lock.close()

    def _check(self) -> None:
        if not self.is_ours:
            raise UsageError(f"the run {self.run.id} belongs to another process, which began it")
        if self._ended:
            raise UsageError(f"the run {self.run.id} has ended: nothing can be added to it")
