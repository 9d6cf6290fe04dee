"""Repositories for the tests of gitprov/git; nothing of this machine's git configuration."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitprov.git.repo import Repository
from tests.support.repos import GIT_ENV, make_repo


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    for name, value in GIT_ENV.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=["sha1", "sha256"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An empty repository in a folder with an awkward name, in both object formats."""
    return make_repo(tmp_path / 'it\'s a "repo"', object_format=request.param)


@pytest.fixture
def repo(path: Path) -> Iterator[Repository]:
    with Repository.discover(str(path)) as repository:
        yield repository
