"""The story of tests/e2e/story.py as fixtures: told once for all workers, copied for every test."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitprov.platform.locks import file_lock
from tests.e2e import hook_repos
from tests.e2e.story import Story, copy_of, tell


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Story:
    """The story itself; no test may change it."""
    base = tmp_path_factory.getbasetemp()
    if worker_id == "master":
        return tell(base / "told")
    # All workers of one run share the folder above theirs.
    known = base.parent / "told.json"
    with file_lock(str(base.parent / "told.lock")):
        if not known.exists():
            story = tell(base.parent / "told")
            known.write_text(json.dumps(dataclasses.asdict(story), default=str))
        value = json.loads(known.read_text())
    return Story(Path(value["top"]), value["before"], value["first"], value["head"])


@pytest.fixture
def story(told: Story, tmp_path: Path) -> Story:
    """A copy that the test may damage."""
    return copy_of(told, tmp_path / "story")


@pytest.fixture(scope="session", autouse=True)
def _compiled() -> Iterator[None]:
    """Lets the processes that tests start keep their bytecode, and use what installers compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        yield


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with hooks, code and the artifact `data`; no test may change it."""
    return hook_repos.make(tmp_path_factory.mktemp("template") / "r")


@pytest.fixture
def repo(template: Path, tmp_path: Path) -> Path:
    """A copy of the template, at a path that needs quoting."""
    return hook_repos.copy(template, tmp_path / 'it\'s a "repo"')
