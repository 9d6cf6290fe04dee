"""What every test stands on: nobody's settings, deterministic properties, soak on demand."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# Fixtures: every test may ask for a real node.
from tests.support import torch
from tests.support.clouds import azure, google
from tests.support.nodes import anvil, bitcoin_node, btcd, ethereum_node, kubo
from tests.support.servers import ftp_server, s3_server, sshd

torch.offer()

__all__ = [
    "anvil",
    "azure",
    "bitcoin_node",
    "btcd",
    "ethereum_node",
    "ftp_server",
    "google",
    "kubo",
    "s3_server",
    "sshd",
]

SOAK = os.environ.get("GITPROV_SOAK") == "1"

settings.register_profile(
    "ci",
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("deep", settings.get_profile("ci"), derandomize=False, max_examples=3000)
settings.load_profile("deep" if SOAK else "ci")

_IDENTITY = {
    "GIT_AUTHOR_NAME": "Ada Lovelace",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada Lovelace",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: a fifth of the time tests wait for a server."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if SOAK:
        return
    skip = pytest.mark.skip(reason="runs for minutes; GITPROV_SOAK=1 (make soak) runs it")
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def _nobodys_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hides the user's home, git configuration and keys from every test and its processes."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        # git exports GIT_DIR and GIT_INDEX_FILE to hooks, and the tests may run inside one.
        for name in [*os.environ]:
            if name.startswith(("GIT_", "GITPROV_")) and name != "GITPROV_SOAK":
                patch.delenv(name)
        for name, value in _IDENTITY.items():
            patch.setenv(name, value)
        patch.setenv("HOME", str(home))
        patch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
        patch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("GIT_TERMINAL_PROMPT", "0")
        patch.setenv("LC_ALL", "C.UTF-8")
        yield
