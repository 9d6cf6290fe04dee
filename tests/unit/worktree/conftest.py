"""A worktree and something that keeps what a scan brings."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.trees import Desk, Keeper


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.connection.close()


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()
