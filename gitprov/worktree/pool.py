"""Two threads that work ahead of the one that takes the results, in order.

Not `concurrent.futures`: that imports logging, 6 ms that the pre-commit hook would pay.
"""

from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")

_THREADS = 2
_AHEAD = 4


class _Task(Generic[T]):
    """One job and, once the lock is free, what came of it."""

    __slots__ = ("_error", "_job", "_lock", "_results")

    def __init__(self, job: Callable[[], T]) -> None:
        self._job = job
        self._lock = Lock()
        self._lock.acquire()
        self._results: list[T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._results.append(self._job())
        except BaseException as exc:  # noqa: BLE001 - it is raised where the result is taken
            self._error = exc
        finally:
            self._lock.release()

    def result(self) -> T:
        with self._lock:
            if self._error is not None:
                raise self._error
            return self._results.pop()


class Pool(Generic[T]):
    """Runs jobs in two threads and hands their results to one function in the caller's thread.

    At most `_AHEAD` results wait, so memory and open files stay bounded. The threads start with
    the first job, and every job that was submitted has run when the pool is left.
    """

    def __init__(self, take: Callable[[T], None]) -> None:
        self._take = take
        self._threads: list[Thread] = []
        self._queue: SimpleQueue[_Task[T] | None] = SimpleQueue()
        self._waiting: deque[_Task[T]] = deque()

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
            for _ in self._threads:
                self._queue.put(None)
            for thread in self._threads:
                thread.join()

    def submit(self, job: Callable[[], T]) -> None:
        """Starts a job, or waits until one of those before it is done.

        An exception of a job is raised here or when the pool is left.
        """
        if not self._threads:
            self._threads = [Thread(target=self._work) for _ in range(_THREADS)]
            for thread in self._threads:
                thread.start()
        task = _Task(job)
        self._waiting.append(task)
        self._queue.put(task)
        if len(self._waiting) > _AHEAD:
            self._take(self._waiting.popleft().result())

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            task.run()
