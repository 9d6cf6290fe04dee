"""An event loop in a thread of its own, for a library that can only be interrupted while awaited.

obstore's plain functions do not notice Ctrl-C until they end, which may take minutes; what is
awaited is dropped at once.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from gitprov.errors import UnavailableError

_T = TypeVar("_T")

_END_SECONDS = 5.0
_used_by: int | None = None


def is_lost() -> bool:
    """Whether this process was forked from one that had an event loop: obstore hangs then."""
    return _used_by is not None and _used_by != os.getpid()


class EventLoop:
    """Runs coroutines for any number of threads. It does not survive a fork."""

    def __init__(self) -> None:
        """Starts the thread; it ends with `close`, or with the process."""
        global _used_by  # a process has one runtime of obstore
        _used_by = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="gitprov-transport", daemon=True
        )
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Returns what a coroutine returns; when the waiting is interrupted, it is cancelled.

        Raises:
            UnavailableError: the loop was closed meanwhile.
        """
        if self._loop.is_closed() or not self._thread.is_alive():
            work.close()
            raise UnavailableError("the connection to the remote was closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError as exc:
            raise UnavailableError("the connection to the remote was closed") from exc
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancels what runs and ends the thread."""
        if self._loop.is_closed():
            return
        with contextlib.suppress(RuntimeError):
            asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result(_END_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_END_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
