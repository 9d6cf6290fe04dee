"""One pass over one network's jobs: send what is signed, ask how far the rest is, begin a new one.

Whatever moment it is killed at, the next pass goes on from what the outbox holds: what was signed
is sent again, and nothing is signed twice for one head.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from gitprov.anchors.base import Anchor, Progress, Statement, Submission
from gitprov.anchors.outbox import Job, Outbox
from gitprov.errors import GitprovError, UnavailableError
from gitprov.platform.locks import Waiting, file_lock


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a pass is to do beside the jobs that there are.

    Attributes:
        log: the id of this clone's log.
        statement: its signed head, None to begin nothing new.
        retry: whether failed jobs are made anew, which may be paid anew.
    """

    log: str
    statement: Statement | None = None
    retry: bool = False


@dataclass(frozen=True, slots=True)
class Passed:
    """What a pass did.

    Attributes:
        target: the chain.
        jobs: the jobs of this log on that chain as they are now, the oldest first.
        made: the job that was begun, or None.
        problems: what went wrong with single jobs; they are tried again at the next pass.
    """

    target: str
    jobs: tuple[Job, ...]
    made: Job | None
    problems: tuple[GitprovError, ...]


def work(
    folder: str,
    anchor: Anchor,
    wanted: Wanted,
    *,
    clock: Callable[[], float],
    deadline: float | None = None,
    waiting: Waiting | None = None,
) -> Passed:
    """Makes one pass; processes wait for each other, one network at a time.

    Args:
        folder: where the outbox lies.
        anchor: the network.
        wanted: what is to be begun.
        clock: seconds since 1970.
        deadline: of `time.monotonic()`, for the wait for another process.
        waiting: told when that takes long.

    Raises:
        UnavailableError: the network does not answer, or another process is at it for too long.
        UsageError: the configuration, the key or the money is at fault; nothing is lost by that.
    """
    lock = os.path.join(folder, f"outbox-{anchor.name}.lock")
    with file_lock(lock, waiting=waiting, deadline=deadline):
        outbox = Outbox(folder)
        try:
            return _Pass(outbox, anchor, clock).run(wanted)
        finally:
            outbox.close()


class _Pass:
    def __init__(self, outbox: Outbox, anchor: Anchor, clock: Callable[[], float]) -> None:
        self._outbox = outbox
        self._anchor = anchor
        self._clock = clock
        self._target = anchor.target()

    def run(self, wanted: Wanted) -> Passed:
        problems: list[GitprovError] = []
        if wanted.retry:
            self._outbox.abandon_failed(self._anchor.name)
        for job in self._jobs():
            if job.settled:
                continue
            try:
                self._advance(job)
            except GitprovError as exc:
                self._outbox.note_error(job, str(exc), self._clock())
                problems.append(exc)
                if isinstance(exc, UnavailableError):
                    break  # the node that does not answer for one does not for the next
        made = None
        if wanted.statement is not None and not problems:
            made = self._begin(wanted.statement, wanted.log)
        jobs = tuple(job for job in self._jobs() if job.log == wanted.log)
        return Passed(self._target, jobs, made, tuple(problems))

    def _jobs(self) -> list[Job]:
        return self._outbox.jobs(self._anchor.name, self._target)

    def _begin(self, statement: Statement, log: str) -> Job | None:
        """Makes a job for a head that no job covers; one that failed is not paid again."""
        jobs = [job for job in self._jobs() if job.log == log]
        if any(job.live and job.size >= statement.size for job in jobs):
            return None
        if any(job.state == "failed" and job.size == statement.size for job in jobs):
            return None
        submission = self._anchor.prepare(statement, self._earlier())
        job = self._outbox.add(
            self._anchor.name,
            self._target,
            log,
            statement.size,
            statement.digest,
            submission,
            self._clock(),
        )
        try:
            return self._send(job, submission)
        except UnavailableError as exc:
            # It is signed and durable: the next pass sends it.
            self._outbox.note_error(job, str(exc), self._clock())
            raise

    def _advance(self, job: Job) -> None:
        submissions = [
            replace(one, receipt=job.receipt) if one.locator == job.locator else one
            for one in self._outbox.submissions(job)
        ]
        if job.state == "signed":
            progress = self._anchor.submit(submissions[-1])
        else:
            was = "pending" if job.state == "abandoned" else job.state
            progress = self._anchor.refresh(submissions, was=was)
        job = self._keep(job, progress)
        self._follow(job, progress, submissions)

    def _follow(self, job: Job, progress: Progress, submissions: list[Submission]) -> None:
        """Does what the network's word asks for: send again, pay more, take another slot."""
        counting = next(
            (one for one in submissions if one.locator == progress.locator), submissions[-1]
        )
        statement = Statement(job.digest, job.size, "")
        if progress.lost:
            self._sign(job, self._anchor.prepare(statement, self._earlier()))
        elif progress.stuck:
            newest = submissions[-1]
            self._sign(job, self._anchor.prepare(statement, self._earlier(), replaces=newest))
        elif progress.missing or progress.state == "reorged":
            self._send(job, counting)

    def _sign(self, job: Job, submission: Submission) -> None:
        self._outbox.add_submission(job, submission, self._clock())
        self._send(job, submission)

    def _send(self, job: Job, submission: Submission) -> Job:
        progress = self._anchor.submit(submission)
        return self._keep(job, progress)

    def _keep(self, job: Job, progress: Progress) -> Job:
        return self._outbox.advance(job, progress, self._clock())

    def _earlier(self) -> list[Submission]:
        return self._outbox.earlier(self._anchor.name, self._target)
