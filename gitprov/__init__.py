"""gitprov: proves which data and which weights belonged to which commit.

The names exported here are the public API; they follow semantic versioning. Importing this package
loads nothing heavy.
"""

from typing import TYPE_CHECKING

from gitprov.core.digest import Digest
from gitprov.errors import (
    EnvironmentFault,
    GitprovError,
    MalformedError,
    UnavailableError,
    UsageError,
    VerificationError,
)

if TYPE_CHECKING:
    from gitprov.fs.files import open, read  # noqa: A004  # the name that people know
    from gitprov.tracker.manager import BlockchainManager
    from gitprov.tracker.tracker import ProvenanceTracker

__version__ = "0.1.0"

_LAZY = {
    "BlockchainManager": "gitprov.tracker.manager",
    "ProvenanceTracker": "gitprov.tracker.tracker",
    "open": "gitprov.fs.files",
    "read": "gitprov.fs.files",
}

__all__ = [
    "BlockchainManager",
    "Digest",
    "EnvironmentFault",
    "GitprovError",
    "MalformedError",
    "ProvenanceTracker",
    "UnavailableError",
    "UsageError",
    "VerificationError",
    "__version__",
    "open",
    "read",
]


def __getattr__(name: str) -> object:
    """Imports the tracker, and what reads data, when they are first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module 'gitprov' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    """Names what is public."""
    return sorted(__all__)
