"""docs/migrating.md names everything that the earlier system's users have in their code."""

import inspect
import re
from pathlib import Path

import pytest

from gitprov import BlockchainManager, ProvenanceTracker
from gitprov.config import legacy

TEXT = (Path(__file__).parents[2] / "docs" / "migrating.md").read_text("utf-8")
WORDS = set(re.findall(r"[a-z0-9_]+", " ".join(re.findall(r"`([^`\n]+)`", TEXT))))
NEW = {"add_data", "add_epoch", "commit", "digest_epoch", "fail", "run", "run_id"}
"""What the earlier system did not have."""


@pytest.mark.parametrize("kind", [ProvenanceTracker, BlockchainManager])
def test_it_names_every_method(kind: type) -> None:
    public = {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}
    assert public - NEW <= WORDS


def test_it_names_every_key_of_the_configuration() -> None:
    top = {*legacy._TOP, *legacy._BLOCKCHAIN, *legacy._STORAGE}
    below = {key for section in legacy._SECTIONS.values() for key in section}
    theirs = {"user", "password"}  # our names for what they called rpc_user and rpc_password
    assert top | below <= WORDS | theirs
    assert set(legacy.HASHES) <= WORDS
