"""torch and what trains with it, for tests: from the cache that `make services` fills.

tests/conftest.py puts that folder at the end of the path, so that whatever the virtual environment
has itself comes from there.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

from gitprov.devnet.finding import services_folder
from tests.support.nodes import ENVIRON

FOLDER = Path(services_folder(ENVIRON)) / "torch"


def offer() -> None:
    """Lets this process import what the folder holds."""
    if FOLDER.is_dir() and str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))


def need(name: str = "torch") -> None:
    """Skips the test, or the whole file when called at its top, where a package is missing."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed: `make services` brings it", allow_module_level=True)


def environment() -> dict[str, str]:
    """Returns what lets a process that a test starts import the same packages.

    PYTHONPATH comes before the virtual environment, but the versions of both agree.
    """
    return {"PYTHONPATH": str(FOLDER)} if FOLDER.is_dir() else {}
