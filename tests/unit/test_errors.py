"""Each family of errors has its exit code, and carries a hint."""

import pytest

from gitprov.errors import (
    EnvironmentFault,
    GitprovError,
    MalformedError,
    UnavailableError,
    UsageError,
    VerificationError,
)


@pytest.mark.parametrize(
    ("family", "code"),
    [
        (VerificationError, 1),
        (MalformedError, 1),
        (UsageError, 2),
        (UnavailableError, 3),
        (EnvironmentFault, 4),
        (GitprovError, 70),
    ],
)
def test_every_family_ends_the_process_with_its_own_code(
    family: type[GitprovError], code: int
) -> None:
    assert family("it does not hold").exit_code == code
    assert issubclass(family, GitprovError)


def test_malformed_input_counts_as_input_that_does_not_verify() -> None:
    assert issubclass(MalformedError, VerificationError)


def test_could_not_look_is_not_a_failed_verification() -> None:
    assert not issubclass(UnavailableError, VerificationError)


def test_an_error_carries_its_sentence_and_its_hint() -> None:
    error = UsageError("there is no artifact data", hint="gitprov status lists them")
    assert str(error) == "there is no artifact data"
    assert error.hint == "gitprov status lists them"
    assert UsageError("no hint").hint is None
