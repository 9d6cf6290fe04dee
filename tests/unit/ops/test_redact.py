"""What is taken out of a record, and what stays."""

from typing import Any

import pytest

from gitprov.config.anchors import AnchorsConfig
from gitprov.ops.redact import Redactor, secrets_of

KEY = "c4" * 32
GONE = {"$redacted": True}
REDACTOR = Redactor(["hunter2hunter2", "user", "1", "", f"0x{KEY}"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("hunter2hunter2", GONE),
        ("xhunter2hunter2x", GONE),
        ("HUNTER2HUNTER2", GONE),
        ("the user is", GONE),
        ("users", "users"),
        ("1", GONE),
        ("batch 1", "batch 1"),
        (1, 1),
        ("", ""),
        (KEY, GONE),
        (f"0x{KEY.upper()}", GONE),
        ({"$int": str(int(KEY, 16))}, GONE),
        ({"$int": "9007199254740992"}, {"$int": "9007199254740992"}),
        (["a", ["hunter2hunter2"]], ["a", [GONE]]),
        ({"hunter2hunter2": 1}, {"[redacted]": 1}),
        ("https://me:pw@host/x", "https://me:[redacted]@host/x"),
        ("https://host/a:b@c", "https://host/a:b@c"),
    ],
)
def test_known_secrets_are_found(value: Any, expected: Any) -> None:
    assert REDACTOR.value(value) == expected


@pytest.mark.parametrize(
    ("name", "value", "goes"),
    [
        *[(name, "x", True) for name in ("password", "db_passwd", "Passphrase", "privateKey")],
        *[(name, "x", True) for name in ("private-key", "client_secret", "APIKEY", "api_key")],
        *[(name, "x", True) for name in ("credentials", "token", "hub_token", "accessToken")],
        ("password", 1234, True),
        ("secret", {"a": 1}, True),
        ("use_password", True, False),
        ("password", None, False),
        ("password", "", False),
        ("token", 5, False),
        ("token_loss", {"$float": "NaN"}, False),
        ("token_ids", {"$array": "blake3:00", "dtype": "I64", "shape": [1]}, False),
        ("token", {"$bytes": "blake3:00", "size": 4}, True),
        ("token", {"value": ["x"]}, True),
        ("max_tokens", "512", False),
        ("tokenizer", "gpt2", False),
        ("tokenization", "bpe", False),
        ("pad_token", "<pad>", False),
        ("eos_token", "</s>", False),
        ("keys", "x", False),
        ("monkey", "x", False),
    ],
)
def test_what_stands_under_the_name_of_a_secret_goes(name: str, value: Any, goes: bool) -> None:
    assert Redactor().value({name: value}) == {name: GONE if goes else value}


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--password=x"], ["--password=[redacted]"]),
        (["--password", "x", "y"], ["--password", "[redacted]", "y"]),
        (["--use-token", "--flag"], ["--use-token", "--flag"]),
        (["-token", "x"], ["-token", "[redacted]"]),
        (["--max-tokens", "5"], ["--max-tokens", "5"]),
        (["--tokenizer=gpt2"], ["--tokenizer=gpt2"]),
        (["env", "HF_TOKEN=x", "python"], ["env", "HF_TOKEN=[redacted]", "python"]),
        (["sh", "-c", "PASSWORD='a b' run"], ["sh", "-c", "PASSWORD=[redacted] run"]),
        (["sh", "-c", "run --secret x; y"], ["sh", "-c", "run --secret [redacted]; y"]),
        (["db.password=x"], ["db.password=[redacted]"]),
        (["hunter2hunter2"], ["[redacted]"]),
        (["--x=hunter2hunter2"], ["--x=[redacted]"]),
        (["http://u:p@h/x"], ["http://u:[redacted]@h/x"]),
        (["--lr", "0.1", ""], ["--lr", "0.1", ""]),
    ],
)
def test_a_command_line_keeps_all_but_its_secrets(argv: list[str], expected: list[str]) -> None:
    assert REDACTOR.argv(argv) == expected


def test_the_secrets_of_a_configuration_are_found() -> None:
    config = AnchorsConfig.of(
        {},
        {
            "bitcoin": {"url": "http://u:p%40ss@h", "password": "env:RPC"},
            "ipfs": {"pinning_token": "token1", "gateways": ["http://u:gate@h"]},
        },
    )
    environ = {"RPC": "fromenv", "GITPROV_BITCOIN_KEY": KEY, "GITPROV_PASSPHRASE": "pp", "X": "y"}
    assert {*secrets_of(config, environ)} == {
        *("p%40ss", "p@ss", "fromenv", "token1", "gate", KEY, "pp")
    }
