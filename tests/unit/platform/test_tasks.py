"""Work over an executor: bounded, in pieces, with errors that survive the way back."""

import pickle
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import pytest

from gitprov import __version__
from gitprov.errors import EnvironmentFault, UnavailableError, UsageError
from gitprov.platform.tasks import Failure, attempt, digests_of, spread
from gitprov.store.base import changed
from gitprov.store.transport import MissingError


def raising(exc: Exception) -> None:
    raise exc


def test_results_come_with_their_keys_and_never_more_are_under_way_than_allowed() -> None:
    under_way, most, lock = [0], [0], threading.Lock()

    def job(number: int) -> int:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        with lock:
            under_way[0] -= 1
        return number * 2

    found: dict[int, int] = {}
    with ThreadPoolExecutor(8) as pool:
        jobs = ((number, partial(job, number)) for number in range(100))
        spread(pool, jobs, found.__setitem__, ahead=3)
    assert found == {number: number * 2 for number in range(100)}
    assert most[0] <= 3


def test_an_error_of_ours_keeps_its_family_and_hint_on_the_way_back() -> None:
    for exc, family in (
        (changed("a"), EnvironmentFault),
        (MissingError("a", "b"), UnavailableError),
    ):
        failed = attempt(__version__, partial(raising, exc))
        with pytest.raises(family) as caught:
            digests_of(pickle.loads(pickle.dumps(failed)), 1)  # noqa: S301  # as executors do
        assert str(caught.value) == f"on a worker: {exc}"
        assert caught.value.hint == exc.hint


def test_a_worker_of_another_version_says_so() -> None:
    with pytest.raises(UsageError, match="a worker has gitprov"):
        digests_of(attempt("0.0.0", list), 0)


def test_a_failure_cannot_steer_the_terminal_or_name_another_family() -> None:
    with pytest.raises(UnavailableError, match=r"^a\\x1bb$"):
        digests_of(Failure("SystemExit", "a\x1bb"), 1)


def test_what_an_executor_raises_is_one_sentence() -> None:
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(UnavailableError, match="the workers failed: ZeroDivisionError: x y"),
    ):
        spread(pool, [(1, partial(raising, ZeroDivisionError("x\ny")))], print)


def test_a_process_that_dies_is_one_sentence() -> None:
    import multiprocessing
    import os

    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
        pytest.raises(UnavailableError, match="BrokenProcessPool"),
    ):
        spread(pool, [(1, partial(os._exit, 1))], print)


def test_who_waits_looks_now_and_then_whether_it_makes_sense() -> None:
    release = threading.Event()

    def look() -> None:
        release.set()
        raise UnavailableError("nobody is left")

    with ThreadPoolExecutor(1) as pool, pytest.raises(UnavailableError, match="nobody is left"):
        spread(pool, [(1, partial(release.wait, 60))], print, look=look)
