"""Two threads that work ahead of the one that takes the results, in order."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")

_THREADS = 2
_AHEAD = 4


class Pool(Generic[T]):
    """Runs jobs in two threads and hands their results to one function in the caller's thread.

    At most `_AHEAD` results wait, so memory and open files stay bounded. The threads start with
    the first job.
    """

    def __init__(self, take: Callable[[T], None]) -> None:
        self._take = take
        self._threads: ThreadPoolExecutor | None = None
        self._waiting: deque[Future[T]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            while self._waiting and exc is None:
                self._take(self._waiting.popleft().result())
        finally:
            if self._threads is not None:
                self._threads.shutdown()

    def submit(self, job: Callable[[], T]) -> None:
        """Starts a job, or waits until one of those before it is done.

        An exception of a job is raised here or when the pool is left.
        """
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS)
        self._waiting.append(self._threads.submit(job))
        if len(self._waiting) > _AHEAD:
            self._take(self._waiting.popleft().result())
