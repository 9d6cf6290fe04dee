"""Where private keys come from: the environment, an encrypted keystore, the OS keyring."""

import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gitprov.anchors import keystore
from gitprov.core.keccak import keccak256
from gitprov.core.wif import decode_wif, encode_wif, segwit_address
from gitprov.errors import MalformedError, UnavailableError, UsageError
from gitprov.platform.files import fault, read_bounded

PAID = ("ethereum", "bitcoin")
"""The networks that need a key."""

KEYRING_SERVICE = "gitprov"
PASSPHRASE = "GITPROV_PASSPHRASE"  # noqa: S105  # the name of a variable

_HEX = re.compile(r"(?:0x)?([0-9a-fA-F]{64})", re.ASCII)
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@dataclass(frozen=True)
class KeySource:
    """Where to look.

    Attributes:
        environ: the environment.
        ask: asks a person for a passphrase, given a sentence; None where there is nobody.
        data_dir: gitprov's folder in the git folder.
    """

    environ: Mapping[str, str]
    ask: Callable[[str], str] | None
    data_dir: str

    def __repr__(self) -> str:
        """Says nothing of what is in the environment."""
        return f"KeySource({self.data_dir!r})"


def variable(network: str) -> str:
    """Returns the name of the variable that holds a network's key."""
    return f"GITPROV_{network.upper()}_KEY"


def keystore_path(data_dir: str, network: str) -> str:
    """Returns where a clone keeps a network's keystore."""
    return os.path.join(data_dir, "keys", f"{network}.json")


def load_key(spec: str | None, network: str, source: KeySource) -> bytes:
    """Returns the 32 bytes of a private key; no error ever repeats any of it.

    A file is an encrypted keystore, or the bare key (a devnet's); others may not read it.

    Args:
        spec: `env:NAME`, `file:/path`, `keyring:NAME`; None looks in all three usual places.
        network: whose key.
        source: where to look.

    Raises:
        UsageError: there is none, it is no key, or it cannot be opened.
    """
    kind, _, name = (spec or "").partition(":")
    if kind == "env":
        return parse_secret(_variable(name, source.environ), network, f"the variable {name}")
    if kind == "file":
        return _from_keystore(name, network, source)
    if kind == "keyring":
        text = _from_keyring(name)
        if text is None:
            raise UsageError(f"the OS keyring has no key {name!r} of the service {KEYRING_SERVICE}")
        return parse_secret(text, network, "the OS keyring's entry")
    return _usual(network, source)


def _usual(network: str, source: KeySource) -> bytes:
    name = variable(network)
    if source.environ.get(name):
        return parse_secret(source.environ[name], network, f"the variable {name}")
    path = keystore_path(source.data_dir, network)
    if os.path.lexists(path):
        return _from_keystore(path, network, source)
    text = _from_keyring(network)
    if text is not None:
        return parse_secret(text, network, "the OS keyring's entry")
    raise UsageError(
        f"there is no private key for {network}",
        hint=f"`gitprov key new {network}` makes one; {name} in the environment works too",
    )


def parse_secret(text: str, network: str, what: str) -> bytes:
    """Returns the 32 bytes of a key's text: 64 hex digits, or for Bitcoin a WIF.

    Raises:
        UsageError: it is none; `what` says where it came from.
    """
    stripped = text.strip()
    found = _HEX.fullmatch(stripped)
    secret = bytes.fromhex(found[1]) if found else b""
    if not found and network == "bitcoin":
        try:
            secret = decode_wif(stripped)
        except MalformedError:
            secret = b""
    if 0 < int.from_bytes(secret, "big") < _ORDER:
        return secret
    wanted = "64 hex digits or a WIF" if network == "bitcoin" else "64 hex digits"
    raise UsageError(f"{what} does not hold a private key for {network}: {wanted}")


def address_of(secret: bytes, network: str, chain: str = "main") -> str:
    """Returns the address that a secret pays from; for Bitcoin on that chain, P2WPKH."""
    compressed, point = _public(secret)
    if network == "bitcoin":
        return segwit_address(compressed, chain)
    return "0x" + keccak256(point)[-20:].hex()


def public_key(secret: bytes) -> bytes:
    """Returns the compressed public key of a secret, 33 bytes."""
    return _public(secret)[0]


def resolve_secret(value: str, environ: Mapping[str, str]) -> str:
    """Returns a password or token: `env:NAME` is looked up, anything else is itself.

    Raises:
        UsageError: there is no such variable.
    """
    kind, _, name = value.partition(":")
    return _variable(name, environ) if kind == "env" else value


def write_keystore(
    path: str, secret: bytes, passphrase: str, network: str, address: str, *, chain: str = "main"
) -> None:
    """Writes an encrypted keystore with mode 0600.

    Raises:
        EnvironmentFault: the file system refused.
    """
    from gitprov.platform.files import atomic_write

    plain = encode_wif(secret, chain).encode() if network == "bitcoin" else secret
    data = keystore.encrypt(plain, passphrase, network=network, address=address)
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    except OSError as exc:
        raise fault(exc, "make the folder of", path) from exc
    atomic_write(path, data, mode=0o600)


def is_in_keyring(network: str) -> bool:
    """Whether the OS keyring has a key for a network."""
    return _from_keyring(network) is not None


def write_keyring(network: str, secret: bytes) -> None:
    """Puts a key into the OS keyring.

    Raises:
        UsageError: there is no keyring, or it refuses.
    """
    keyring, errors = _keyring()
    try:
        keyring.set_password(KEYRING_SERVICE, network, secret.hex())
    except errors as exc:
        raise UsageError(f"the OS keyring did not take the key: {type(exc).__name__}") from None


def _from_keystore(path: str, network: str, source: KeySource) -> bytes:
    try:
        data = read_bounded(path, keystore.MAX_BYTES)
        mode = os.stat(path).st_mode
    except UnavailableError:
        raise UsageError(f"there is no keystore {path}") from None
    except OSError as exc:
        raise fault(exc, "examine", path) from exc
    if stat.S_IMODE(mode) & 0o077:
        raise UsageError(f"others may read the keystore {path}", hint=f"chmod 600 {path}")
    if not data.lstrip().startswith(b"{"):
        return parse_secret(data.decode("ascii", "replace"), network, f"the file {path}")
    plain = keystore.decrypt(data, _passphrase(path, source))
    if len(plain) == 32:
        return plain
    return parse_secret(plain.decode("ascii", "replace"), network, f"the keystore {path}")


def _passphrase(path: str, source: KeySource) -> str:
    if PASSPHRASE in source.environ:
        return source.environ[PASSPHRASE]
    if source.ask is None:
        raise UsageError(
            f"the keystore {path} needs its passphrase, and there is nobody to ask",
            hint=f"put it into {PASSPHRASE}",
        )
    return source.ask(f"Passphrase of {path}")


def _from_keyring(name: str) -> str | None:
    try:
        keyring, errors = _keyring()
        found = keyring.get_password(KEYRING_SERVICE, name)
    except UsageError:
        return None
    except errors:
        return None
    return str(found) if found else None


def _keyring() -> tuple[Any, tuple[type[Exception], ...]]:
    """The library, and the errors that it raises."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError as exc:
        raise UsageError(
            "the OS keyring needs the library keyring", hint="pip install 'gitprov[keyring]'"
        ) from exc
    return keyring, (KeyringError, RuntimeError, OSError)


def _variable(name: str, environ: Mapping[str, str]) -> str:
    value = environ.get(name)
    if not value:
        raise UsageError(f"the variable {name} is not set, or empty")
    return value


def _public(secret: bytes) -> tuple[bytes, bytes]:
    """The compressed public key, and the 64 bytes of its point."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256K1()).public_key()
    compressed = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    return compressed, key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
