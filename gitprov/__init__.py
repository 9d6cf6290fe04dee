"""gitprov: proves which data and which weights belonged to which commit.

The names exported here are the public API; they follow semantic versioning. Importing this package
loads nothing heavy.
"""

from gitprov.core.digest import Digest
from gitprov.errors import (
    EnvironmentFault,
    GitprovError,
    MalformedError,
    UnavailableError,
    UsageError,
    VerificationError,
)

__version__ = "0.1.0"

__all__ = [
    "Digest",
    "EnvironmentFault",
    "GitprovError",
    "MalformedError",
    "UnavailableError",
    "UsageError",
    "VerificationError",
    "__version__",
]
