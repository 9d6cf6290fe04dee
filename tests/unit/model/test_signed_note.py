"""Signed tree heads: Go's own key and signature, strictness, and what no key signed."""

import base64

import pytest

from gitprov.core.digest import Sha256Digest
from gitprov.errors import MalformedError, VerificationError
from gitprov.model.signed_note import (
    MAX_NOTE_BYTES,
    SignerKey,
    TreeHead,
    VerifierKey,
    check_key_name,
    log_id,
    open_note,
    read_unverified,
    safe_name,
)

# The example of Go's package golang.org/x/mod/sumdb/note.
GO_PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_TEXT = (
    b"If you think cryptography is the answer to your problem,\n"
    b"then you don't know what your problem is.\n"
)
GO_SIGNATURE = (
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
)

KEY = SignerKey("gitprov/repo/0011223344556677", bytes(range(32)))
OTHER = SignerKey("gitprov/repo/ffffffffffffffff", bytes(32))
HEAD = TreeHead(KEY.name, 42, Sha256Digest(b"\x07" * 32))
NOTE = KEY.sign(HEAD)


def test_gos_example_key_and_signature_hold() -> None:
    key = VerifierKey.parse(GO_PUBLIC)
    raw = base64.b64decode(GO_SIGNATURE)
    assert str(key) == GO_PUBLIC
    assert key.key_hash == raw[:4]
    assert key.holds(GO_TEXT, raw[4:])
    assert not key.holds(GO_TEXT + b"!", raw[4:])
    assert not key.holds(GO_TEXT, raw[4:-1])
    assert not key.holds(GO_TEXT, b"")


def test_gos_example_private_key_belongs_to_it() -> None:
    key = SignerKey.parse(GO_PRIVATE)
    assert str(key.verifier) == GO_PUBLIC
    assert key.to_text() == GO_PRIVATE


def test_the_go_checksum_databases_key_is_read_back() -> None:
    text = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
    assert str(VerifierKey.parse(text)) == text


def test_a_signed_head_is_the_documented_text_and_opens() -> None:
    root = base64.b64encode(b"\x07" * 32).decode()
    assert NOTE.startswith(f"{KEY.name}\n42\n{root}\n\n\u2014 {KEY.name} ")
    assert NOTE.endswith("=\n")
    assert open_note(NOTE, [KEY.verifier]) == HEAD
    assert read_unverified(NOTE) == HEAD


def test_a_note_that_no_known_key_signed_does_not_open() -> None:
    for keys in ([], [OTHER.verifier], [VerifierKey(KEY.name, OTHER.verifier.public)]):
        with pytest.raises(VerificationError, match="no known key"):
            open_note(NOTE, keys)


def test_a_signature_beside_ours_is_passed_over() -> None:
    theirs = OTHER.sign(HEAD).rpartition("\n\n")[2]
    assert open_note(NOTE + theirs, [KEY.verifier]) == HEAD
    assert open_note(NOTE + theirs, [OTHER.verifier]) == HEAD
    with pytest.raises(VerificationError, match="no known key"):
        open_note(NOTE + theirs, [VerifierKey.parse(GO_PUBLIC)])


def test_a_wrong_signature_of_a_known_key_fails_even_beside_a_right_one() -> None:
    forged = NOTE.replace("\n42\n", "\n43\n")
    with pytest.raises(VerificationError, match="does not hold"):
        open_note(forged, [KEY.verifier])
    line = OTHER.sign(TreeHead(KEY.name, 41, HEAD.root)).rpartition("\n\n")[2]
    with pytest.raises(VerificationError, match="does not hold"):
        open_note(NOTE + line, [KEY.verifier, OTHER.verifier])


def test_every_flipped_bit_of_the_note_is_noticed() -> None:
    raw = NOTE.encode()
    for position in range(len(raw)):
        for bit in (0, 3, 7):
            changed = bytearray(raw)
            changed[position] ^= 1 << bit
            try:
                text = changed.decode()
            except UnicodeDecodeError:
                continue
            with pytest.raises(VerificationError):
                open_note(text, [KEY.verifier])


SIGNATURE = NOTE.rpartition("\n\n")[2]


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n\n",
        HEAD.to_text(),
        HEAD.to_text() + "\n",
        NOTE[:-1],
        NOTE + "\n",
        NOTE + "x\n",
        NOTE.replace("\u2014", "-"),
        NOTE.replace("\n\n", "\n"),
        NOTE.replace("\n", "\r\n"),
        "\ufeff" + HEAD.to_text() + "\n",
        HEAD.to_text() + "\n" + SIGNATURE * 101,
        HEAD.to_text() + "\n\u2014 \n",
        HEAD.to_text() + "\n\u2014  AAAAAAAA\n",
        HEAD.to_text() + "\n\u2014 name\n",
        HEAD.to_text() + "\n\u2014 name AAAA\n",
        HEAD.to_text() + "\n\u2014 name AAAAAA==\n",
        HEAD.to_text() + "\n\u2014 na+me AAAAAAAA\n",
        HEAD.to_text() + "\n\u2014 name AAAAAAAA=\n",
        HEAD.to_text() + "\n\u2014 name AAAAAAB=\n",
        HEAD.to_text() + "\n\u2014 name AAAA AAAA\n",
        HEAD.to_text() + "\n\u2014 name \u00fc\n",
        "\ud800" + NOTE,
        "a" * MAX_NOTE_BYTES + NOTE,
    ],
    ids=lambda note: ascii(note[-30:]),
)
def test_a_note_out_of_c2sps_format_is_malformed(note: str) -> None:
    with pytest.raises(MalformedError):
        open_note(note, [KEY.verifier])


ROOT64 = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n1\n",
        f"origin\n1\n{ROOT64}",
        f"origin\n1\n{ROOT64}\nextension\n",
        f"\n1\n{ROOT64}\n",
        f"two words\n1\n{ROOT64}\n",
        f"a+b\n1\n{ROOT64}\n",
        f"a\x00b\n1\n{ROOT64}\n",
        f"origin\n01\n{ROOT64}\n",
        f"origin\n-1\n{ROOT64}\n",
        f"origin\n+1\n{ROOT64}\n",
        f"origin\n1 \n{ROOT64}\n",
        f"origin\n\u0661\n{ROOT64}\n",
        f"origin\n{'9' * 20}\n{ROOT64}\n",
        f"origin\n\n{ROOT64}\n",
        f"origin\n1\n{ROOT64[:-1]}\n",
        f"origin\n1\n{base64.b64encode(bytes(31)).decode()}\n",
        f"origin\n1\n{base64.b64encode(bytes(33)).decode()}\n",
        f"origin\n1\n{ROOT64[:-2]}B=\n",
        "origin\n1\n" + "_" * 43 + "=\n",
    ],
    ids=ascii,
)
def test_a_tree_head_out_of_format_is_malformed(text: str) -> None:
    with pytest.raises(MalformedError):
        TreeHead.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000",
        GO_PUBLIC.replace("c74f20a3", "c74f20a4"),
        GO_PUBLIC.replace("c74f20a3", "C74F20A3"),
        GO_PUBLIC.replace("PeterNeumann", "peterneumann"),
        GO_PUBLIC + "\n",
        GO_PUBLIC + "=",
        GO_PUBLIC.replace("+AR", "+AB"),
        "+" + GO_PUBLIC,
        "\ud800" + GO_PUBLIC,
        "a b" + GO_PUBLIC,
        f"n+00000000+{base64.b64encode(bytes(33)).decode()}",
        f"n+00000000+{base64.b64encode(bytes([1] * 32)).decode()}",
    ],
    ids=ascii,
)
def test_a_verifier_key_out_of_format_is_malformed(text: str) -> None:
    with pytest.raises(MalformedError):
        VerifierKey.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        GO_PUBLIC,
        GO_PRIVATE.removeprefix("PRIVATE+KEY+"),
        GO_PRIVATE[:-1],
        GO_PRIVATE + "\n",
        GO_PRIVATE.replace("c74f20a3", "c74f20a4"),
        GO_PRIVATE.replace("Neumann", "Other"),
        GO_PRIVATE.replace("+AY", "+\u00fc"),
        "PRIVATE+KEY+\ud800+00000000+AA==",
    ],
    ids=lambda text: ascii(text[:16] + text[-8:]),
)
def test_an_error_about_a_private_key_never_repeats_it(text: str) -> None:
    with pytest.raises(MalformedError) as caught:
        SignerKey.parse(text)
    assert str(caught.value) == "not a private log key"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_private_key_is_not_in_its_repr() -> None:
    assert KEY.seed.hex() not in repr(KEY)
    assert repr(KEY.seed) not in repr([KEY])


def test_a_new_key_is_named_after_the_repository_and_itself() -> None:
    key = SignerKey.generate("my repo")
    assert key.name == f"gitprov/my-repo/{key.verifier.key_id}"
    assert key.verifier.key_id == log_id(key.verifier.public)
    assert len(key.verifier.key_id) == 16
    assert SignerKey.parse(key.to_text()) == key
    assert SignerKey.generate("my repo") != key


@pytest.mark.parametrize(
    "name",
    ["", " ", "+", "a/b", "a\\b", "\x00", "\ud800", "\u00fc", "a" * 500, "\u2003", "..", "-"],
)
def test_any_repository_name_makes_a_name_for_a_key(name: str) -> None:
    safe = safe_name(name)
    check_key_name(safe)
    assert "/" not in safe
    SignerKey.generate(name).verifier.key_hash.hex()
