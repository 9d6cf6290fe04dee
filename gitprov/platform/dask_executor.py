"""A Dask cluster as a `concurrent.futures.Executor` that says so when nobody is left to work.

The scheduler and the workers are trusted as this machine is: what they answer is unpickled here.
"""

import contextlib
import logging
import re
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Executor, Future
from types import TracebackType
from typing import Any, Self

from gitprov import __version__
from gitprov.core.paths import printable
from gitprov.errors import UnavailableError, UsageError

_ADDRESS = re.compile(
    r"dask://([A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:.]+\]):(\d{1,5})"
)
_CONNECT_SECONDS = 10.0
_ASK_SECONDS = 10.0
_GONE_SECONDS = 30.0
"""So long may a cluster be without a single worker, or its scheduler silent, amid the work."""


class DaskExecutor(Executor):
    """Runs jobs on the workers of a Dask cluster. Use it in a `with`."""

    def __init__(
        self, address: str, *, patience: float = _GONE_SECONDS, connect: float = _CONNECT_SECONDS
    ) -> None:
        """Connects, and looks whether there are workers that can do the work.

        Args:
            address: `dask://HOST:PORT` of the scheduler.
            patience: seconds that the cluster may be without workers.
            connect: seconds in which the scheduler must answer.

        Raises:
            UsageError: no such address; distributed is not installed, or not the same gitprov on a
                worker.
            UnavailableError: no scheduler answers there, or it has no workers.
        """
        where = _scheduler(address)
        try:
            import distributed
        except ImportError as exc:
            raise UsageError(
                "dask:// needs distributed", hint="pip install 'gitprov[dask]'"
            ) from exc
        self._address = address
        self._patience = patience
        self._heard = time.monotonic()
        try:
            made: Callable[..., Any] = distributed.Client
            self._client = made(where, timeout=connect, set_as_default=False)
        except (OSError, ValueError) as exc:  # TimeoutError is an OSError
            raise UnavailableError(
                f"no Dask scheduler answers at {address}",
                hint="dask scheduler starts one, dask worker HOST:PORT its workers",
            ) from exc
        try:
            self._refuse_others()
        except BaseException:
            self.shutdown(wait=False)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown(wait=kind is None)

    def __enter__(self) -> Self:
        return self

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See `Executor.submit`. A job whose worker dies is given to another."""
        # Not "pure": the same question about an object may have another answer tomorrow.
        future: Future[Any] = self._executor.submit(fn, *args, **kwargs)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes leave of the cluster, which goes on without us."""
        del wait, cancel_futures
        with contextlib.suppress(OSError, RuntimeError):
            self._client.close(timeout=_ASK_SECONDS)

    def look(self) -> None:
        """Looks whether the cluster is still there.

        Raises:
            UnavailableError: for too long it had no worker, or the scheduler did not answer.
        """
        with contextlib.suppress(OSError, RuntimeError):
            if self._ask(self._client.scheduler.ncores):
                self._heard = time.monotonic()
        if time.monotonic() - self._heard > self._patience:
            raise UnavailableError(
                f"the Dask cluster at {self._address} has had no worker for "
                f"{self._patience:.0f} seconds",
                hint="start workers, then run the command again",
            )

    def _ask(self, question: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self._client.sync(question, *args, callback_timeout=_ASK_SECONDS, **kwargs)

    def _refuse_others(self) -> None:
        """Refuses a cluster without workers, and workers without this gitprov."""
        self._executor = self._client.get_executor(pure=False)
        try:
            # `_run`, since `run` cannot be told how long to wait.
            answers = self._ask(self._client._run, _asking_version(), on_error="return")
        except (OSError, RuntimeError) as exc:
            raise UnavailableError(f"the Dask cluster at {self._address} does not answer") from exc
        if not answers:
            raise UnavailableError(
                f"the Dask scheduler at {self._address} has no workers",
                hint="dask worker HOST:PORT starts one",
            )
        for worker, version in sorted(answers.items()):
            # One that dies while it is asked answers with an error, and is asked no more.
            if isinstance(version, str) and version != __version__:
                has = f"gitprov {printable(version)[:60]}" if version else "no gitprov"
                raise UsageError(
                    f"the Dask worker {printable(str(worker))[:100]} has {has}, and this is "
                    f"gitprov {__version__}",
                    hint=f"install it in the workers' Python: pip install gitprov=={__version__}",
                )


def executor_of(address: str) -> DaskExecutor:
    """Returns the executor that an option names.

    Raises:
        UsageError, UnavailableError: as `DaskExecutor`.
    """
    with contextlib.suppress(ImportError):
        import distributed  # noqa: F401  # it sets up its loggers, and they must be there

    # What they write about lost connections would stand between our own sentences, and that workers
    # have other versions of numpy or pandas is no matter for what only hashes.
    for name in [*logging.root.manager.loggerDict]:
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", "Mismatched versions found")
    return DaskExecutor(address)


def watch_of(executor: Executor) -> Callable[[], None] | None:
    """Returns what tells that an executor will not answer any more, where there is such a thing."""
    return executor.look if isinstance(executor, DaskExecutor) else None


def _asking_version() -> Callable[[], str]:
    # A function inside a function travels as its code: a worker without gitprov can run it.
    def version() -> str:
        from importlib import metadata

        try:
            return metadata.version("gitprov")
        except metadata.PackageNotFoundError:
            return ""

    return version


def _scheduler(address: str) -> str:
    found = _ADDRESS.fullmatch(address)
    if found is None or not 0 < int(found[2]) < 65536:
        # As in the address of a remote: what stands there may be a password or a token.
        is_secret = any(mark in address for mark in "@?#")
        shown = "what holds a user, a password or a query" if is_secret else f"{address!r:.100}"
        raise UsageError(f"{shown} is no address of an executor", hint="known: dask://HOST:PORT")
    return f"tcp://{found[1]}:{found[2]}"
