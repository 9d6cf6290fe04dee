"""A progress bar on a terminal, nothing in a pipe."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gitprov.cli.options import human_size

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_DELAY_SECONDS = 0.5
_REDRAW_SECONDS = 0.1


class Meter:
    """Counts work that was found and work that is done; draws nothing itself.

    It is called for every batch of files, from any thread, so it only adds.
    """

    def __init__(self) -> None:
        """Begins at nothing."""
        self._lock = threading.Lock()
        self.found_files = self.found_bytes = self.done_files = self.done_bytes = 0

    def found(self, files: int, size: int) -> None:
        """More work is known of."""
        with self._lock:
            self.found_files += files
            self.found_bytes += size

    def done(self, files: int, size: int) -> None:
        """Work is finished."""
        with self._lock:
            self.done_files += files
            self.done_bytes += size


@contextlib.contextmanager
def progress(title: str, *, quiet: bool = False, things: str = "files") -> Iterator[Meter]:
    """Gives a meter and shows it on stderr: bytes, files (or other things), rate, time left.

    Nothing is drawn when stderr is no terminal, or when the work ends within half a second.
    """
    meter = Meter()
    if quiet or not sys.stderr.isatty():
        yield meter
        return
    ended = threading.Event()
    drawer = threading.Thread(target=_draw, args=(title, things, meter, ended), daemon=True)
    drawer.start()
    try:
        yield meter
    finally:
        ended.set()
        drawer.join()


def _draw(title: str, things: str, meter: Meter, ended: threading.Event) -> None:
    started = time.monotonic()
    if ended.wait(_DELAY_SECONDS):
        return
    # rich costs 50 ms to import: only long work on a terminal pays for it.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[amount]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(title, total=None, amount="")
        while not ended.wait(_REDRAW_SECONDS):
            _update(bars, task, things, meter, time.monotonic() - started)


def _update(bars: "Progress", task: "TaskID", things: str, meter: Meter, seconds: float) -> None:
    by_bytes = meter.found_bytes > 0
    done = meter.done_bytes if by_bytes else meter.done_files
    total = meter.found_bytes if by_bytes else meter.found_files
    rate = human_size(int(meter.done_bytes / seconds))
    amount = (
        f"{human_size(meter.done_bytes)} of {human_size(meter.found_bytes)}, "
        f"{meter.done_files:,} of {meter.found_files:,} {things}, {rate}/s"
    )
    bars.update(task, completed=done, total=max(total, 1), amount=amount)
