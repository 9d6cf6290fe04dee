"""Trying again, with pauses, what can work a moment later."""

import time
from collections.abc import Callable
from typing import TypeVar

from gitprov.store.transport import Patience, TransientError

_T = TypeVar("_T")


def patiently(patience: Patience, call: Callable[[], _T]) -> _T:
    """Returns what a call returns; where it fails for the moment, it is called again.

    Nothing else is repeated: who has no permission now has none in two seconds.

    Raises:
        TransientError: the last try failed as well.
    """
    for pause in patience.pauses:
        began = time.monotonic()
        try:
            return call()
        except TransientError as exc:
            # Who waits for minutes is to know why; two seconds more need no line.
            if time.monotonic() - began > patience.connect:
                patience.tell(f"{exc}; it is asked once more")
            time.sleep(pause)
    return call()


def told_once(tell: Callable[[str], None]) -> Callable[[str], None]:
    """Returns what passes each sentence on once: threads that wait for one server all say it."""
    told: set[str] = set()

    def tell_new(sentence: str) -> None:
        if sentence not in told:
            told.add(sentence)
            tell(sentence)

    return tell_new
