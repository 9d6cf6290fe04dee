"""The section `policy` of the configuration."""

from typing import Any

import pytest

from gitprov.errors import UsageError
from gitprov.verify.policy import Policy, Requirement
from gitprov.verify.trust import Trust
from tests.unit.verify.support import KEY

VKEY = str(KEY.verifier)


@pytest.mark.parametrize(
    ("required", "expected", "words"),
    [
        (["tlog"], Requirement(1, ("tlog",)), "tlog"),
        (["tlog", "ipfs"], Requirement(2, ("tlog", "ipfs")), "all of tlog, ipfs"),
        (
            {"all": ["tlog", "ethereum"]},
            Requirement(2, ("tlog", "ethereum")),
            "all of tlog, ethereum",
        ),
        ({"any": ["tlog", "bitcoin"]}, Requirement(1, ("tlog", "bitcoin")), "one of tlog, bitcoin"),
        (
            {"at_least": 2, "of": ["tlog", "bitcoin", "opentimestamps"]},
            Requirement(2, ("tlog", "bitcoin", "opentimestamps")),
            "2 of tlog, bitcoin, opentimestamps",
        ),
    ],
)
def test_every_shape_of_required_is_read(required: Any, expected: Requirement, words: str) -> None:
    policy = Policy.parse({"required": required})
    assert policy.required == expected
    assert str(policy.required) == words


def test_nothing_is_the_empty_policy() -> None:
    empty = Policy()
    assert Policy.parse(None) == Policy.parse({}) == empty
    assert Policy.parse({"required": []}) == Policy.parse({"required": None}) == empty
    assert Policy.parse({"tlog": {}}) == Policy.parse({"tlog": {"keys": []}}) == empty


def test_keys_and_the_sections_of_other_networks_are_kept() -> None:
    policy = Policy.parse({"tlog": {"keys": [VKEY]}, "ethereum": {"chain_id": 1}})
    assert policy.tlog_keys == (VKEY,)
    assert [str(key) for key in policy.pinned] == [VKEY]
    assert policy.trust == {"ethereum": Trust(chain_id=1)}


def test_data_is_required_by_a_truth_value_only() -> None:
    assert not Policy.parse({}).require_data
    assert Policy.parse({"require_data": True}).require_data
    with pytest.raises(UsageError, match="require_data must be true or false"):
        Policy.parse({"require_data": "yes"})


@pytest.mark.parametrize(
    ("section", "message", "hint"),
    [
        ({"requird": []}, "unknown key 'requird' in policy", "did you mean 'required'?"),
        ({"required": ["tlogg"]}, "unknown network 'tlogg'", "did you mean 'tlog'?"),
        ({"required": ["xyz"]}, "unknown network 'xyz'", "known: tlog, ethereum"),
        ({"required": {"al": ["tlog"]}}, "unknown key 'al'", "did you mean 'all'?"),
        ({"tlog": {"key": []}}, "unknown key 'key' in policy.tlog", "did you mean 'keys'?"),
        ({"required": {}}, "must have one of", "for example"),
        ({"required": {"all": ["tlog"], "any": ["tlog"]}}, "must have one of", "for example"),
        ({"required": {"at_least": 1}}, "must have one of", "for example"),
        ({"tlog": {"keys": ["a+b+c"]}}, "'a\\+b\\+c' is not a verifier key", "it looks like"),
        ({"tlog": {"keys": [VKEY[:-1]]}}, "is not a verifier key", "it looks like"),
    ],
)
def test_a_mistake_is_named_with_what_helps(section: Any, message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Policy.parse(section)
    assert caught.value.hint is not None
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize(
    "section",
    [
        [],
        "tlog",
        {"required": "tlog"},
        {"required": 1},
        {"required": [1]},
        {"required": ["tlog", "tlog"]},
        {"required": {"all": []}},
        {"required": {"any": "tlog"}},
        {"required": {"at_least": 0, "of": ["tlog"]}},
        {"required": {"at_least": 2, "of": ["tlog"]}},
        {"required": {"at_least": True, "of": ["tlog"]}},
        {"required": {"at_least": "1", "of": ["tlog"]}},
        {"tlog": []},
        {"tlog": {"keys": VKEY}},
        {"tlog": {"keys": [1]}},
        {"tlog": {"keys": [VKEY, VKEY]}},
        {"ethereum": 1},
        {1: 2},
    ],
)
def test_any_other_shape_is_wrong_usage(section: Any) -> None:
    with pytest.raises(UsageError):
        Policy.parse(section)


def test_k_of_n_counts_only_wanted_networks() -> None:
    requirement = Requirement(2, ("tlog", "bitcoin", "ethereum"))
    assert not requirement.met_by({"tlog", "ipfs"})
    assert requirement.met_by({"tlog", "ethereum", "ipfs"})
    assert Requirement.any_of("tlog", "bitcoin").met_by({"bitcoin"})
    assert not Requirement.all_of("tlog", "bitcoin").met_by({"bitcoin"})
