"""`gitprov anchor` beyond the own log: other networks witness its signed head, within a time."""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from gitprov.anchors.base import Statement
from gitprov.anchors.outbox import Job, Outbox
from gitprov.anchors.registry import Means, open_anchor
from gitprov.anchors.worker import Passed, Wanted, work
from gitprov.config.anchors import AnchorsConfig
from gitprov.core.digest import Sha256Digest
from gitprov.errors import GitprovError, UnavailableError, UsageError
from gitprov.git.log import LOCAL_PREFIX, LogKey, LogReader, read_log_key
from gitprov.model.record_blocks import record_blocks
from gitprov.model.signed_note import read_unverified
from gitprov.ops.anchor_notes import records_of, roots_in_notes, tell_notes
from gitprov.ops.tracked_keys import refuse_tracked_keys
from gitprov.workspace import Workspace

Until = str
"""`included` or `final`: how long to wait."""

Told = Callable[[str, str], None]
"""Is given a network's name and one sentence while something takes long."""

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
_REACHED = {"included": {"included", "final", "failed"}, "final": {"final", "failed"}}


@dataclass(frozen=True, slots=True)
class NetworkState:
    """How this clone's log stands with one network.

    Attributes:
        network: its name.
        target: the chain, "" when the network did not say.
        jobs: the anchorings under way and done, the oldest first.
        made: whether a new one was begun just now.
        covered: the size of the largest head that is anchored or on its way.
        size: the size of the log's signed head.
        problem: why nothing, or not everything, could be done; the work is kept.
        noted: how many commits' notes were written just now.
    """

    network: str
    target: str
    jobs: tuple[Job, ...]
    made: bool
    covered: int
    size: int
    problem: GitprovError | None = None
    noted: int = 0

    @property
    def newest(self) -> Job | None:
        """The anchoring of the newest head, or None."""
        return max(self.jobs, key=lambda job: (job.size, job.id), default=None)

    @property
    def submitted(self) -> bool:
        """Whether the network has been given the newest signed head."""
        return any(
            job.size >= self.size and job.state in {"pending", "included", "final"}
            for job in self.jobs
        )


def anchors_config(ws: Workspace) -> AnchorsConfig:
    """Returns the configured networks."""
    return AnchorsConfig.of(*ws.config.anchors)


def chosen_networks(config: AnchorsConfig, names: Iterable[str]) -> tuple[str, ...]:
    """Returns the named networks, else those of the configuration; never `tlog`."""
    return tuple(dict.fromkeys(name for name in names if name != "tlog")) or config.networks


def anchor_networks(
    ws: Workspace,
    means: Means,
    networks: Sequence[str],
    *,
    begin: bool = True,
    retry: bool = False,
    until: Until | None = None,
    told: Told | None = None,
) -> list[NetworkState]:
    """Brings what is under way forward, has the signed head witnessed, and tells the notes.

    Networks are asked side by side: one that hangs costs the others nothing. What could not be
    done stays in the outbox, or in the log, and the next call goes on with it.

    Args:
        ws: the workspace.
        means: keys, and how long all of it may take (`means.deadline`).
        networks: their names.
        begin: whether to begin new anchorings; else only what is under way is asked after.
        retry: make failed ones anew, which may be paid anew.
        until: wait until the newest head is in a block (`included`), or `final`.
        told: is told what is waited for.

    Raises:
        UnavailableError: nothing is recorded or signed yet.
        UsageError: a network is unknown.
    """
    key = read_log_key(ws.repo)
    if key is None:
        raise UnavailableError("this clone has no log yet", hint="gitprov record HEAD")
    config = anchors_config(ws)
    guarded = replace(means, guard=lambda secret: refuse_tracked_keys(ws, [secret]))
    run = _Run(ws, config, guarded, key, retry=retry, begin=begin)
    states = run.all(networks)
    pause = _FIRST_PAUSE
    while until is not None:
        waiting = [state for state in states if not _reached(state, until)]
        if not waiting or not _time_left(means):
            break
        if told is not None:
            for state in waiting:
                told(state.network, _waits_for(state))
        time.sleep(min(pause, _LONGEST_PAUSE))
        pause *= 1.5
        again = {state.network: state for state in run.all([one.network for one in waiting])}
        states = [again.get(state.network, state) for state in states]
    return states


def network_states(ws: Workspace) -> list[NetworkState]:
    """Returns how far everything is as far as this clone knows: no network is asked."""
    key = read_log_key(ws.repo)
    size = LogReader.open(ws.repo, key.ref).size if key else 0
    config = anchors_config(ws)
    jobs: list[Job] = []
    if Outbox.exists(ws.repo.data_dir):
        outbox = Outbox(ws.repo.data_dir)
        try:
            jobs = outbox.jobs()
        finally:
            outbox.close()
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.network, job.target), []).append(job)
    for name in config.networks:
        if not any(network == name for network, _ in groups):
            groups[name, ""] = []
    return [
        NetworkState(network, target, tuple(some), False, _covered(some), size)
        for (network, target), some in groups.items()
    ]


class _Run:
    """What every pass of one call has in common."""

    def __init__(
        self,
        ws: Workspace,
        config: AnchorsConfig,
        means: Means,
        key: LogKey,
        *,
        retry: bool,
        begin: bool,
    ) -> None:
        self._ws = ws
        self._config = config
        self._means = means
        self._log = key.key_id
        self._retry = retry
        reader = LogReader.open(ws.repo, key.ref)
        self._signed = reader.signed_note()
        self._begin = begin and self._signed is not None
        self._size = reader.signed_size()

    def all(self, networks: Sequence[str]) -> list[NetworkState]:
        """Makes one pass over each network, then tells the notes."""
        if not networks:
            return []
        with ThreadPoolExecutor(max_workers=len(networks)) as pool:
            states = list(pool.map(self._one, networks))
        self._retry = False  # once is enough
        noted = tell_notes(self._ws)
        return [replace(state, noted=noted.get(state.network, 0)) for state in states]

    def _one(self, network: str) -> NetworkState:
        try:
            passed = self._pass(network)
        except GitprovError as exc:
            return self._left(network, exc)
        problem = passed.problems[0] if passed.problems else None
        return NetworkState(
            network,
            passed.target,
            passed.jobs,
            passed.made is not None,
            _covered(passed.jobs),
            self._size,
            problem,
        )

    def _pass(self, network: str) -> Passed:
        with self._means.http() as http:
            return work(
                self._ws.repo.data_dir,
                open_anchor(network, self._config, self._means, http),
                Wanted(self._log, self._statement() if self._begin else None, self._retry),
                clock=self._means.clock,
                deadline=self._means.deadline,
                waiting=self._ws.waiting,
            )

    def _left(self, network: str, problem: GitprovError) -> NetworkState:
        """What is known of a network that could not be worked with."""
        outbox = Outbox(self._ws.repo.data_dir)
        try:
            jobs = [job for job in outbox.jobs(network) if job.log == self._log]
        finally:
            outbox.close()
        target = jobs[-1].target if jobs else ""
        jobs = [job for job in jobs if job.target == target]
        return NetworkState(
            network, target, tuple(jobs), False, _covered(jobs), self._size, problem
        )

    def _statement(self) -> Statement:
        if self._signed is None:
            raise UsageError("the log is not signed yet", hint="gitprov anchor signs it")
        head = read_unverified(self._signed)
        return Statement(
            Sha256Digest(head.root.raw), head.size, self._signed, blocks=self._record_blocks
        )

    def _record_blocks(self) -> Iterable[bytes]:
        """The records that no publication holds yet, as blocks."""
        first = self._published()
        log = LogReader.open(self._ws.repo, LOCAL_PREFIX + self._log)
        new = set(log.entries()[first : self._size])
        commits = [
            one.commit
            for one in roots_in_notes(self._ws)
            if one.kind == "record" and one.root in new
        ]
        for line in records_of(self._ws, commits):
            yield from record_blocks(line.record)

    def _published(self) -> int:
        outbox = Outbox(self._ws.repo.data_dir)
        try:
            return _covered(job for job in outbox.jobs("ipfs") if job.log == self._log)
        finally:
            outbox.close()


def _covered(jobs: Iterable[Job]) -> int:
    return max((job.size for job in jobs if job.live), default=0)


def _reached(state: NetworkState, until: Until) -> bool:
    newest = state.newest
    if isinstance(state.problem, UsageError) or newest is None:
        return state.problem is not None
    return newest.state in _REACHED[until] and newest.size >= min(state.size, newest.size)


def _waits_for(state: NetworkState) -> str:
    if state.problem is not None:
        return str(state.problem)
    newest = state.newest
    return newest.detail if newest else "nothing is under way"


def _time_left(means: Means) -> bool:
    return means.deadline is None or time.monotonic() < means.deadline
