"""A store in a fresh folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gitprov.store.local import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    with LocalStore(str(tmp_path / "store")) as opened:
        yield opened
