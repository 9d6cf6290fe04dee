"""A run that goes on whatever disks, networks and git do: their faults are warnings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gitprov.errors import UsageError
from gitprov.model.run import StageName
from gitprov.ops.environment import changeable
from gitprov.ops.recording import Recording
from gitprov.tracker.session import FAULTS, LOG, Session, locators, warn

if TYPE_CHECKING:
    from gitprov.core.canonical import Json
    from gitprov.ops.statements import Witnessed


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends; it is kept, as a fault may put the end off.

    Attributes:
        outcome: `completed` or `failed`.
        results: what is recorded as its results; None for nothing.
        error: what kind of error ended it.
    """

    outcome: Literal["completed", "failed"]
    results: object = None
    error: str | None = None


class SteadyRun:
    """A recording within a session, for training code, which must not stop for us.

    A leaf whose file cannot be written is kept, and written with the next one; a stage that cannot
    be logged is logged with the next one, or when the same call is repeated.

    Attributes:
        session: where, and with which configuration.
        recording: the run.
        witnessed: by stage, what networks said.
    """

    def __init__(self, session: Session) -> None:
        """Begins a run.

        Raises:
            UsageError: the repository cannot be used.
            UnavailableError: it has no commit yet.
            EnvironmentFault: the run's file cannot be written: better now than after a training.
        """
        self.session = session
        self.witnessed: dict[StageName, list[Witnessed]] = {}
        self._entries: dict[StageName, int] = {}
        self._ending: Ending | None = None
        self._hash_seed = session.environ.get("PYTHONHASHSEED")
        with session.workspace() as ws:
            self.recording = Recording(ws, by="tracker", hash_seed=self._hash_seed)
        LOG.debug("run %s begins at commit %s", self.id, self.recording.commit)

    @property
    def id(self) -> str:
        """The run's id."""
        return self.recording.run.id

    @property
    def open(self) -> bool:
        """Whether leaves can be added: it has not begun to end, and is this process's."""
        return self.recording.is_ours and self.recording.open and self._ending is None

    def check(self, *, ending: bool = False) -> None:
        """Refuses to go on with a run that has ended, or is another process's.

        Args:
            ending: it is only to be ended, which may be repeated after a fault.

        Raises:
            UsageError: it is so.
        """
        self.check_ours()
        # Its last leaf may be there while the log was out of reach: nothing may follow that leaf.
        if not self.recording.open or (self._ending is not None and not ending):
            raise UsageError(f"the run {self.id} has ended")

    def check_ours(self) -> None:
        """Refuses a forked child, which has only a copy of the run.

        Raises:
            UsageError: this process is one.
        """
        if not self.recording.is_ours:
            raise UsageError(
                f"the run {self.id} belongs to another process, which began it",
                hint="a process of its own begins a run of its own",
            )

    def add(self, kind: str, fields: "Mapping[str, Json]", *, durable: bool = True) -> None:
        """Adds a leaf; where its file cannot be written, it goes with the next one."""
        try:
            self.recording.add(kind, fields, durable=durable)
        except UsageError:
            raise
        except FAULTS as exc:
            warn(exc, f"the {kind} of the run {self.id} is not in its file yet")

    def recorded(self, value: object, place: str, *, keep: bool = False) -> "Json":
        """Returns a value as it is recorded; arguments as for `Recorded`.

        Raises:
            UsageError: something in it cannot be, and `keep` was not asked for.
        """
        from gitprov.tracker.recorded import Recorded

        done = Recorded(value, place, self.session.redactor, keep=keep)
        for problem in done.problems:
            LOG.warning("not recorded as it is: %s", problem)
        return done.json

    def begin(self, config: object) -> dict[str, str]:
        """Adds the configuration, and logs the stage before training.

        Raises:
            UsageError: it is logged already, or the configuration cannot be recorded.
        """
        self.check()
        if "before" in self._entries:
            raise UsageError(f"the stage before training of {self.id} is logged already")
        # After a fault the stage may be there and not in the log: then only that is left.
        if self.recording.run.stage("before") is None:
            described = self.recorded(config, "config")
            self._add_what_changed()
            self.add("config", {"value": described})
        return self._log("before")

    def end(self, ending: Ending, last: Mapping[str, Callable[[], None]]) -> dict[str, str]:
        """Adds what is known at the end, once, and ends the run; may be repeated after a fault.

        Args:
            ending: how; what was said first stays.
            last: what else to add, by what it does, in words; none of it keeps the run from ending.
        """
        self.check(ending=True)
        if self._ending is None:
            if ending.results is not None:
                results = self.recorded(ending.results, "results", keep=True)
                self.add("results", {"value": results})
            for what, do in last.items():
                try:
                    do()
                except Exception as exc:  # noqa: BLE001  # a CUDA error, a model that is gone: any
                    warn(exc, f"the run {self.id} ends without this: could not {what}")
            self._ending = ending
        return self._log("after")

    def _log(self, stage: StageName) -> dict[str, str]:
        """Enters a stage into the log, and has it witnessed; what a fault keeps back is said."""
        try:
            with self.session.workspace() as ws:
                if "before" not in self._entries:
                    self._entries["before"] = self.recording.enter(ws, "before")
                if self._ending is not None:
                    outcome, error = self._ending.outcome, self._ending.error
                    self._entries["after"] = self.recording.end(ws, outcome, error=error)
                LOG.debug("the stage %r is entry %d of the log", stage, self._entries[stage])
                config = self.session.config
                wanted = config.before if stage == "before" else config.after
                networks = self.session.networks(ws) if wanted else ()
                self.witnessed[stage] = self.session.witness(ws, networks, self._entries[stage])
                return locators(self.witnessed[stage])
        except FAULTS as exc:
            warn(exc, f"the stage {stage!r} of the run {self.id} is not in the log yet")
            return {}

    def _add_what_changed(self) -> None:
        """Adds torch and the seeds once more: training code imports and sets them after us."""
        [first, *_] = self.recording.run.of_type("environment")
        now = changeable(self._hash_seed)
        changed = {key: value for key, value in now.items() if first.get(key) != value}
        if changed:
            self.add("environment", changed)
