"""A run while it goes on: leaves are added, stages go into the log, networks witness them."""

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from gitprov.core.canonical import Json
from gitprov.errors import UsageError
from gitprov.model.run import Leaf, Outcome, Run, StageName
from gitprov.ops.environment import environment, is_clean
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

        Args:
            ws: the workspace.
            by: who records it.
            argv: the command, where it is one.
            hash_seed: what PYTHONHASHSEED is set to, where the run happens in this process.

        Raises:
            UnavailableError: there is no commit yet.
            EnvironmentFault: its file cannot be written.
        """
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
        }
        around: Leaf = {**environment(hash_seed, own=by == "tracker"), "type": "environment"}
        self.run = Run(run_id).with_leaf(first).with_leaf(around)
        save_run(self.worktree, self.run)

    @property
    def open(self) -> bool:
        """Whether it goes on."""
        return self.run.outcome == "running"

    def add(self, kind: str, fields: Mapping[str, Json], *, durable: bool = True) -> None:
        """Adds a leaf, and writes the file.

        Raises:
            UsageError: the run has ended.
        """
        if not self.open:
            raise UsageError(f"the run {self.run.id} has ended: nothing can be added to it")
        self.run = self.run.with_leaf({**fields, "type": kind})
        save_run(self.worktree, self.run, durable=durable)

    def enter(self, ws: Workspace, stage: StageName) -> int:
        """Puts the root over the leaves so far into the log; returns its entry."""
        run = self.run.with_stage(stage)
        root = run.stages[-1].root
        index = state(ws, self.commit, f"run/{run.id}/{stage}", root)
        self.run = run
        save_run(self.worktree, run)
        return index

    def end(
        self,
        ws: Workspace,
        outcome: Outcome,
        *,
        error: str | None = None,
        exit_code: int | None = None,
    ) -> int:
        """Adds the last leaf, enters the stage `after`, and ends the run; returns its entry."""
        if self.run.stage("before") is None:
            self.enter(ws, "before")
        fields: Leaf = {
            "ended": utc_now(),
            "error": error,
            "exit_code": exit_code,
            "outcome": outcome,
        }
        self.add("end", fields)
        self.run = replace(self.run, outcome=outcome)
        index = self.enter(ws, "after")
        stage_run(ws, self.run)
        self._lock.close()
        return index

    def abandon(self) -> None:
        """Lets go of a run that has not ended: it was interrupted."""
        if self.open:
            self.run = replace(self.run, outcome="interrupted")
            save_run(self.worktree, self.run)
            self._lock.close()
