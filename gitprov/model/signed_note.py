"""Tree heads as C2SP signed notes: tlog-checkpoint and signed-note, Ed25519 keys.

Specifications: https://c2sp.org/tlog-checkpoint and https://c2sp.org/signed-note.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gitprov.core.digest import DIGEST_BYTES, Sha256Digest
from gitprov.errors import MalformedError, VerificationError

MAX_NOTE_BYTES = 64 << 10
"""A signed note larger than this is refused before it is parsed."""

MAX_SIGNATURES = 100

_ED25519 = b"\x01"
_KEY_HASH_BYTES = 4
_SIGNATURE = "\u2014 "
_PRIVATE = "PRIVATE+KEY+"
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f\ud800-\udfff]{1,200}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TreeHead:
    """Size and root of a log, with the log's name. `parse(h.to_text()) == h`."""

    origin: str
    size: int
    root: Sha256Digest

    def to_text(self) -> str:
        """Returns the signed text: three lines."""
        return f"{self.origin}\n{self.size}\n{_encode(self.root.raw)}\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses the signed text; extension lines are refused, as we write none."""
        lines = text.split("\n")
        if len(lines) != 4 or lines[3]:
            raise MalformedError("a tree head has exactly three lines")
        origin, size, root = lines[:3]
        check_key_name(origin)
        if not _SIZE.fullmatch(size):
            raise MalformedError(f"a tree head has the size {size[:40]!r}")
        raw = _decode(root, what="a tree head's root")
        if len(raw) != DIGEST_BYTES:
            raise MalformedError("a tree head's root is not 32 bytes")
        return cls(origin, int(size), Sha256Digest(raw))


def check_key_name(name: str) -> None:
    """Refuses what C2SP refuses in a key's name: spaces, plus signs, control characters."""
    if not _NAME.fullmatch(name):
        raise MalformedError(f"not a name of a log key: {name[:80]!r}")


def log_id(public: bytes) -> str:
    """Returns our name for a log's key: the first 16 hex digits of SHA-256 over its 32 bytes."""
    return hashlib.sha256(public).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with its name, written `<name>+<8 hex>+<base64>`. `str(parse(t)) == t`."""

    name: str
    public: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses the text form; the hash in the middle must fit."""
        name, _, rest = text.partition("+")
        _, _, encoded = rest.partition("+")
        raw = _decode(encoded, what="a log key")
        if raw[:1] != _ED25519 or len(raw) != DIGEST_BYTES + 1:
            raise MalformedError(f"not an Ed25519 log key: {text[:120]!r}")
        check_key_name(name)
        key = cls(name, raw[1:])
        if str(key) != text:
            raise MalformedError(f"a log key's hash does not fit its name: {text[:120]!r}")
        return key

    def __str__(self) -> str:
        """The text form of C2SP and Go's `note` package."""
        return f"{self.name}+{self.key_hash.hex()}+{_encode(_ED25519 + self.public)}"

    @property
    def key_hash(self) -> bytes:
        """The four bytes that C2SP puts in front of a signature."""
        text = self.name.encode() + b"\n" + _ED25519 + self.public
        return hashlib.sha256(text).digest()[:_KEY_HASH_BYTES]

    @property
    def key_id(self) -> str:
        """The log's id: see `log_id`."""
        return log_id(self.public)

    def holds(self, text: bytes, signature: bytes) -> bool:
        """Whether the signature over the text is this key's."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True, repr=False)
class SignerKey:
    """A private key; it has no repr, so that it cannot slip into a log."""

    name: str
    seed: bytes

    @classmethod
    def generate(cls, repository_name: str) -> Self:
        """Makes a key; its name, the log's origin, is `gitprov/<repository name>/<log id>`."""
        private = Ed25519PrivateKey.generate()
        public = private.public_key().public_bytes_raw()
        name = f"gitprov/{safe_name(repository_name)}/{log_id(public)}"
        return cls(name, private.private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses `PRIVATE+KEY+<name>+<8 hex>+<base64>`; no error ever repeats the input."""
        name, _, rest = text.removeprefix(_PRIVATE).partition("+")
        try:
            raw = _decode(rest.partition("+")[2], what="a private log key")
            check_key_name(name)
            key = cls(name, raw[1:])
            wrong = raw[:1] != _ED25519 or len(key.seed) != DIGEST_BYTES or key.to_text() != text
        except MalformedError:
            wrong = True
        if wrong:
            raise MalformedError("not a private log key")
        return key

    def to_text(self) -> str:
        """Returns the secret text form, the one of Go's `note` package."""
        middle = self.verifier.key_hash.hex()
        return f"{_PRIVATE}{self.name}+{middle}+{_encode(_ED25519 + self.seed)}"

    @property
    def verifier(self) -> VerifierKey:
        """The public half."""
        private = Ed25519PrivateKey.from_private_bytes(self.seed)
        return VerifierKey(self.name, private.public_key().public_bytes_raw())

    def sign(self, head: TreeHead) -> str:
        """Returns the signed note for a head of this key's log."""
        text = head.to_text()
        signature = Ed25519PrivateKey.from_private_bytes(self.seed).sign(text.encode())
        return f"{text}\n{_SIGNATURE}{self.name} {_encode(self.verifier.key_hash + signature)}\n"


def read_unverified(note: str) -> TreeHead:
    """Returns the head that a signed note speaks of; nothing is said about who signed it."""
    text, _ = _split(note)
    return TreeHead.parse(text)


def open_note(note: str, keys: Sequence[VerifierKey]) -> TreeHead:
    """Returns the head when one of the keys signed it; other signatures are passed over.

    Raises:
        MalformedError: the note is not in C2SP's format.
        VerificationError: none of the keys signed it, or a known key's signature is wrong.
    """
    text, lines = _split(note)
    known = {(key.name, key.key_hash): key for key in keys}
    signed = False
    for line in lines:
        name, _, encoded = line.removeprefix(_SIGNATURE).partition(" ")
        check_key_name(name)
        raw = _decode(encoded, what="a signature")
        if len(raw) <= _KEY_HASH_BYTES:
            raise MalformedError("a signature is too short")
        key = known.get((name, raw[:_KEY_HASH_BYTES]))
        if key is None:
            continue
        if not key.holds(text.encode(), raw[_KEY_HASH_BYTES:]):
            raise VerificationError(f"the signature of {key.name} does not hold")
        signed = True
    if not signed:
        raise VerificationError("no known key signed this tree head")
    return TreeHead.parse(text)


def safe_name(name: str) -> str:
    """Returns a repository's name with what C2SP forbids in key names replaced by '-'."""
    return (
        re.sub(r"[\s+/\\\x00-\x1f\x7f\ud800-\udfff]+", "-", name)[:100].strip("-") or "repository"
    )


def _split(note: str) -> tuple[str, list[str]]:
    try:
        size = len(note.encode())
    except UnicodeEncodeError:
        raise MalformedError("a signed note is not UTF-8") from None
    if size > MAX_NOTE_BYTES:
        raise MalformedError(f"a signed note is larger than {MAX_NOTE_BYTES} bytes")
    text, gap, signatures = note.rpartition("\n\n")
    lines = signatures.split("\n")
    if not gap or lines.pop() or not 1 <= len(lines) <= MAX_SIGNATURES:
        raise MalformedError("a signed note is a text, an empty line and signatures")
    if not all(line.startswith(_SIGNATURE) for line in lines):
        raise MalformedError("a signed note's signature line must begin with an em dash")
    return text + "\n", lines


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _decode(text: str, *, what: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedError(f"{what} is not base64") from None
    if _encode(raw) != text:
        raise MalformedError(f"{what} is not canonical base64")
    return raw
