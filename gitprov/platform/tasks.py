"""Spreads work over any `concurrent.futures.Executor`, and takes what comes back with care.

What a task is given and returns is plain data: it may travel to another machine and back.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from gitprov import __version__
from gitprov.core.paths import printable
from gitprov.errors import (
    EnvironmentFault,
    GitprovError,
    MalformedError,
    UnavailableError,
    UsageError,
    VerificationError,
)

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

K = TypeVar("K")
T = TypeVar("T")

_LOOK_SECONDS = 2.0
_AHEAD = 1000
_MAX_TEXT = 1000
_FAMILIES = (MalformedError, VerificationError, UsageError, UnavailableError, EnvironmentFault)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of ours as a value: exceptions do not survive every way back.

    Attributes:
        family: the name of its class in `gitprov.errors`.
        message: one sentence.
        hint: as in `GitprovError`.
    """

    family: str
    message: str
    hint: str | None = None


def attempt(version: str, work: Callable[[], T]) -> "T | Failure":
    """Runs the work of a task where the task is; an error of ours becomes a value.

    Args:
        version: the gitprov that asks; another one may hash other things.
        work: what to do.
    """
    if version != __version__:
        return Failure(
            "UsageError",
            f"a worker has gitprov {__version__}, and this is {version}",
            "install the same version on every worker",
        )
    try:
        return work()
    except GitprovError as exc:
        family = next((one for one in _FAMILIES if isinstance(exc, one)), UnavailableError)
        return Failure(family.__name__, f"on a worker: {exc}"[:_MAX_TEXT], exc.hint)


def digests_of(outcome: object, count: int) -> list[bytes]:
    """Returns the digests that a task gave, 32 bytes each or b"" for none.

    Raises:
        GitprovError: the task failed; the error is of the same family.
        MalformedError: what came is something else.
    """
    if isinstance(outcome, Failure):
        raise _error(outcome)
    if not isinstance(outcome, list) or len(outcome) != count:
        raise MalformedError("a worker answered with something that is no list of digests")
    for digest in outcome:
        if not isinstance(digest, bytes) or len(digest) not in {0, 32}:
            raise MalformedError("a worker answered with something that is no digest")
    return outcome


def _error(failure: Failure) -> GitprovError:
    family = next((one for one in _FAMILIES if one.__name__ == failure.family), UnavailableError)
    hint = None if failure.hint is None else printable(str(failure.hint))[:_MAX_TEXT]
    return family(printable(str(failure.message))[:_MAX_TEXT], hint=hint)


def spread(
    executor: "Executor",
    jobs: "Iterable[tuple[K, Callable[[], Any]]]",
    take: "Callable[[K, Any], None]",
    *,
    ahead: int = _AHEAD,
    look: Callable[[], None] | None = None,
) -> None:
    """Runs jobs in an executor and hands their results over in this thread, as they come.

    Args:
        executor: where they run; a job that is not run here must be picklable.
        jobs: what to run, each with what tells it from others.
        take: is given that and the result.
        ahead: how many jobs may be under way or waiting to be taken.
        look: is called every few seconds in which nothing comes; it raises when nothing will.

    Raises:
        UnavailableError: the executor failed.
        Exception: whatever a job run by threads here, `take` or `look` raises.
    """
    under_way: dict[Future[Any], K] = {}
    try:
        for key, job in jobs:
            under_way[_submitted(executor, job)] = key
            while len(under_way) >= ahead:
                _take_some(under_way, take, look)
        while under_way:
            _take_some(under_way, take, look)
    finally:
        for future in under_way:
            future.cancel()


def _submitted(executor: "Executor", job: "Callable[[], Any]") -> "Future[Any]":
    try:
        return executor.submit(job)
    except GitprovError:
        raise
    except Exception as exc:
        raise _failed(exc) from exc


def _take_some(
    under_way: "dict[Future[Any], K]",
    take: "Callable[[K, Any], None]",
    look: Callable[[], None] | None,
) -> None:
    from concurrent.futures import FIRST_COMPLETED, wait

    done, _ = wait(under_way, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
    if not done and look is not None:
        look()
    for future in done:
        key = under_way.pop(future)
        try:
            result = future.result()
        except GitprovError:
            raise
        except Exception as exc:
            raise _failed(exc) from exc
        take(key, result)


def _failed(exc: Exception) -> UnavailableError:
    """The error for what is none of ours: workers that are gone, a pool that broke."""
    said = printable(" ".join(str(exc).split()))[:200]
    if type(exc).__name__ == "CancelledError":
        said = "the work was given up, since its scheduler is gone or somebody cancelled it"
    return UnavailableError(
        f"the workers failed: {type(exc).__name__}{': ' if said else ''}{said}",
        hint="run the command again",
    )
