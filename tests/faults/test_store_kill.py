"""A process that adds and collects is killed at random, again and again."""

import random
import time
from pathlib import Path

import pytest

from tests.conftest import SOAK
from tests.faults.store_state import assert_recovers, assert_whole, pause, rounds_done, start

pytestmark = pytest.mark.fault

ROUNDS = 40
KILLS = 2
"""Per store, so that a killed process also finds what another one left."""


@pytest.mark.parametrize("seed", range(100 if SOAK else 13))
def test_a_killed_process_leaves_a_whole_store_and_running_again_finishes(
    tmp_path: Path, seed: int
) -> None:
    randomness = random.Random(seed)
    store = tmp_path / "store"
    for _ in range(KILLS):
        begin = max(rounds_done(store), default=-1) + 1
        child = start(store, begin, begin + ROUNDS)
        time.sleep(pause(randomness, 0.25))
        child.kill()
        child.communicate()
        last = max(rounds_done(store), default=-1)
        assert_whole(store, last)
    assert_recovers(store, 5)
