"""Trying again, and what is told about it."""

from collections.abc import Callable

import pytest

from gitprov.store.patience import patiently, told_once
from gitprov.store.transport import Patience, TransientError


def fails(times: int) -> Callable[[], str]:
    left = iter(range(times))

    def call() -> str:
        if next(left, None) is None:
            return "done"
        raise TransientError("the remote does not answer")

    return call


@pytest.mark.parametrize(
    ("connect", "said"),
    [(-1.0, ["the remote does not answer; it is asked once more"]), (60.0, [])],
)
def test_only_a_long_wait_is_told_before_it_goes_on(connect: float, said: list[str]) -> None:
    told: list[str] = []
    patience = Patience(connect=connect, pauses=(0.0, 0.0), tell=told_once(told.append))
    assert patiently(patience, fails(2)) == "done"
    assert told == said
    with pytest.raises(TransientError):
        patiently(patience, fails(3))
