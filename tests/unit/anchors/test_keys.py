"""Private keys: their texts, encrypted keystores, where they are looked for; never in an error."""

import json
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitprov.anchors import keystore
from gitprov.anchors.ethereum_signing import load_account
from gitprov.anchors.keys import KeySource, address_of, load_key, parse_secret, write_keystore
from gitprov.core.wif import PREFIXES, decode_wif, encode_wif
from gitprov.errors import MalformedError, UsageError
from tests.support.cli import gitprov_process
from tests.support.repos import git, make_repo, write

ONE = (1).to_bytes(32, "big")
secrets = st.integers(1, 2**255).map(lambda number: number.to_bytes(32, "big"))


@given(secrets, st.sampled_from(sorted(PREFIXES)))
def test_a_wif_reads_back_as_the_secret(secret: bytes, chain: str) -> None:
    assert decode_wif(encode_wif(secret, chain)) == secret


def test_known_texts_and_addresses() -> None:
    assert encode_wif(ONE, "main") == "KwDiBf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWn"
    assert address_of(ONE, "bitcoin") == "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
    assert address_of(ONE, "ethereum") == "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf"


@pytest.mark.parametrize(
    "text", ["", "K" * 52, "KwDiBf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWm"]
)
def test_what_is_no_wif_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        decode_wif(text)


def test_a_keystore_opens_with_its_passphrase_only() -> None:
    data = keystore.encrypt(ONE, "right", network="ethereum", address="0x00", scrypt_n=1 << 10)
    assert keystore.decrypt(data, "right") == ONE
    with pytest.raises(UsageError, match="does not open"):
        keystore.decrypt(data, "wrong")


def test_other_wallets_read_ours_and_we_theirs() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        account = load_account()
        data = keystore.encrypt(ONE, "p", network="ethereum", address="0x00", scrypt_n=1 << 10)
        assert bytes(account.decrypt(data.decode(), "p")) == ONE
        theirs = json.dumps(account.encrypt(ONE, "p", kdf="pbkdf2", iterations=10)).encode()
    assert keystore.decrypt(theirs, "p") == ONE


@pytest.mark.parametrize("n", [3, 1 << 30, 0])
def test_a_keystore_that_costs_too_much_is_refused(n: int) -> None:
    made = keystore.encrypt(ONE, "p", network="ethereum", address="0x00", scrypt_n=1 << 10)
    document = json.loads(made)
    document["crypto"]["kdfparams"]["n"] = n
    with pytest.raises(MalformedError, match="too much memory"):
        keystore.decrypt(json.dumps(document).encode(), "p")


def test_the_environment_comes_before_the_keystore(tmp_path: Path) -> None:
    source = KeySource({"GITPROV_ETHEREUM_KEY": "0x" + ONE.hex()}, None, str(tmp_path))
    assert load_key(None, "ethereum", source) == ONE


def test_a_bitcoin_keystore_holds_its_wif(tmp_path: Path) -> None:
    path = str(tmp_path / "keys" / "bitcoin.json")
    write_keystore(path, ONE, "p", "bitcoin", "bcrt1", chain="regtest")
    source = KeySource({"GITPROV_PASSPHRASE": "p"}, None, str(tmp_path))
    assert load_key(None, "bitcoin", source) == ONE


def test_no_error_repeats_a_secret() -> None:
    with pytest.raises(UsageError) as caught:
        parse_secret("deadbeef" * 7, "ethereum", "the variable X")
    assert "deadbeef" not in str(caught.value)
    assert "SECRET" not in repr(KeySource({"K": "SECRET"}, None, "/"))


def test_key_new_prints_an_address_and_no_key(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    env = {"GITPROV_PASSPHRASE": "p"}
    made = gitprov_process(repo, "key", "new", "ethereum", "--json", env=env)
    assert made.code == 0, made
    shown = gitprov_process(repo, "key", "show-address", "ethereum", "--json")
    assert shown.json["address"] == made.json["address"]
    again = gitprov_process(repo, "key", "new", "ethereum", env=env)
    assert (again.code, "already" in again.err) == (2, True)


def test_init_refuses_a_key_in_a_tracked_file(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    write(repo, {"settings.yaml": f"private_key: 0x{ONE.hex()}\n"})
    git(repo, "add", "settings.yaml")
    ended = gitprov_process(repo, "init")
    assert ended.code == 2
    assert "settings.yaml is tracked by git and holds a private key" in ended.err
    assert ONE.hex() not in ended.err


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        (f"PRIVATE_KEY={ONE.hex()}\n", True),
        ("wif: cMahea7zqjxrtgAbB7LSGbcQUr1uX1ojuat9jZodMN87JcbXMTcA\n", True),
        (keystore.encrypt(ONE, "p", network="x", address="0x", scrypt_n=2).decode(), True),
        (f"blake3:{ONE.hex()}\nsha256 = {ONE.hex()}\n", False),
    ],
)
def test_the_commit_hook_refuses_keys_and_no_digests(
    tmp_path: Path, text: str, refused: bool
) -> None:
    repo = make_repo(tmp_path / "r")
    gitprov_process(repo, "init")
    write(repo, {"notes.txt": text})
    git(repo, "add", "-A")
    ended = gitprov_process(repo, "hook", "pre-commit")
    assert (ended.code == 1) is refused, ended
    assert ("private key" in ended.err or "encrypted keystore" in ended.err) is refused


def test_loading_the_library_for_signatures_leaves_the_recursion_limit_alone() -> None:
    before = sys.getrecursionlimit()
    load_account()
    assert sys.getrecursionlimit() == before


@pytest.mark.parametrize("n", ["Infinity", "1e999", "-1", '"8"x', "null", "[]"])
def test_a_hostile_keystore_is_malformed_and_no_bug(n: str) -> None:
    made = keystore.encrypt(ONE, "p", network="ethereum", address="0x00", scrypt_n=1 << 10)
    bent = made.replace(b'"n": 1024', f'"n": {n}'.encode())
    assert bent != made
    with pytest.raises(MalformedError):
        keystore.decrypt(bent, "p")


def test_a_passphrase_of_any_bytes_opens_and_is_never_repeated() -> None:
    odd = "s\udcffcret"
    made = keystore.encrypt(ONE, odd, network="ethereum", address="0x00", scrypt_n=1 << 10)
    assert keystore.decrypt(made, odd) == ONE
    with pytest.raises(UsageError) as caught:
        keystore.decrypt(made, "\ud800s3cret".encode("utf-8", "replace").decode())
    assert "s3cret" not in str(caught.value)


def test_a_second_key_does_not_replace_the_first_in_the_keyring(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    env = {
        "PYTHON_KEYRING_BACKEND": "keyrings.alt.file.PlaintextKeyring",
        "XDG_DATA_HOME": str(tmp_path / "data"),
    }
    first = gitprov_process(repo, "key", "new", "ethereum", "--keyring", "--json", env=env)
    assert first.code == 0, first
    again = gitprov_process(repo, "key", "new", "ethereum", "--keyring", env=env)
    assert (again.code, "has a key for ethereum already" in again.err) == (2, True)
    shown = gitprov_process(repo, "key", "show-address", "ethereum", "--json", env=env)
    assert shown.json["address"] == first.json["address"]
