"""The exception tree; each family carries its exit code.

GitprovError                    70  a bug of ours, when raised bare
├── VerificationError            1  cryptography says no
│   └── MalformedError           1  the input is not well formed
├── UsageError                   2  wrong command line or configuration
├── UnavailableError             3  missing or unreachable: asking again later may help
└── EnvironmentFault             4  the disk, the permissions, git itself
"""


class GitprovError(Exception):
    """The base of every error that gitprov raises on purpose.

    Attributes:
        hint: what the user can do about it, one sentence, or None.
        exit_code: what the process ends with when nobody catches it.
    """

    exit_code = 70

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        """Keeps the message (one sentence, no final stop) and the hint."""
        super().__init__(message)
        self.hint = hint


class VerificationError(GitprovError):
    """A proof, a signature or a digest does not hold."""

    exit_code = 1


class MalformedError(VerificationError):
    """The bytes are not in the format that they claim to be in."""


class UsageError(GitprovError):
    """The command line or the configuration asks for something impossible."""

    exit_code = 2


class UnavailableError(GitprovError):
    """Something needed is not here or does not answer; that says nothing about whether it holds."""

    exit_code = 3


class EnvironmentFault(GitprovError):
    """The operating system or git refused: permissions, space, I/O."""

    exit_code = 4
