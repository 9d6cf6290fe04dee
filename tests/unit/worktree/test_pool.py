from functools import partial

import pytest

from gitprov.worktree.pool import Pool


def test_results_come_in_the_order_of_the_jobs() -> None:
    taken: list[int] = []
    with Pool(taken.append) as pool:
        for number in range(100):
            pool.submit(partial(int, number))
    assert taken == list(range(100))


@pytest.mark.parametrize("jobs", [1, 50])
def test_the_exception_of_a_job_reaches_the_caller_and_all_jobs_have_run(jobs: int) -> None:
    ran: list[int] = []

    def job(number: int) -> int:
        ran.append(number)
        return 1 // number

    def submit_all(pool: Pool[int]) -> None:
        for number in range(jobs):
            pool.submit(partial(job, number))

    with pytest.raises(ZeroDivisionError), Pool[int](lambda _: None) as pool:
        submit_all(pool)
    assert sorted(ran) == list(range(len(ran)))


def test_a_failing_caller_does_not_leave_threads_behind() -> None:
    closed: list[int] = []

    def fail(pool: Pool[None]) -> None:
        for _ in range(3):
            pool.submit(lambda: closed.append(1))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Pool[None](lambda _: None) as pool:
        fail(pool)
    assert len(closed) == 3
