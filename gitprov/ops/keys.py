"""`gitprov key`: makes, takes and names the private keys that pay for anchors."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from gitprov.anchors.keys import (
    KEYRING_SERVICE,
    KeySource,
    address_of,
    is_in_keyring,
    keystore_path,
    load_key,
    parse_secret,
    variable,
    write_keyring,
    write_keystore,
)
from gitprov.anchors.keystore import MAX_BYTES, address_in
from gitprov.errors import UsageError
from gitprov.ops.networks import anchors_config
from gitprov.ops.tracked_keys import refuse_tracked_keys
from gitprov.platform.files import fault, read_bounded
from gitprov.workspace import Workspace


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """Where a key is, and the address that it pays from; never the key."""

    network: str
    address: str
    place: str


def new_secret() -> bytes:
    """Returns 32 random bytes that are a key on secp256k1 (all but one in 2**127 are)."""
    return secrets.token_bytes(32)


def keep_key(
    ws: Workspace,
    network: str,
    secret: bytes,
    *,
    passphrase: str | None,
    force: bool = False,
) -> KeyPlace:
    """Keeps a key in this clone's encrypted keystore, or without a passphrase in the OS keyring.

    A keystore that is there is kept beside the new one: it may still hold money.

    Raises:
        UsageError: there is one already, or a tracked file holds the key.
    """
    refuse_tracked_keys(ws, [secret])
    chain = anchors_config(ws).bitcoin.chain
    address = address_of(secret, network, chain)
    if passphrase is None:
        if is_in_keyring(network) and not force:
            raise UsageError(
                f"the OS keyring has a key for {network} already",
                hint="--force replaces it, and what only it can spend is lost then",
            )
        write_keyring(network, secret)
        return KeyPlace(network, address, f"the OS keyring, service {KEYRING_SERVICE}")
    path = keystore_path(ws.repo.data_dir, network)
    if os.path.lexists(path):
        if not force:
            raise UsageError(
                f"there is a key for {network} already: {path}",
                hint="--force makes another one, and keeps the old one beside it",
            )
        _set_aside(path)
    write_keystore(path, secret, passphrase, network, address, chain=chain)
    return KeyPlace(network, address, path)


def take_secret(text: str, network: str) -> bytes:
    """Returns the 32 bytes of a key as a person has it.

    Raises:
        UsageError: it is none; it is not repeated.
    """
    return parse_secret(text, network, "what was given")


def show_key(ws: Workspace, network: str, source: KeySource) -> KeyPlace:
    """Returns which address would pay now, and where its key is. A keystore is not opened.

    Raises:
        UsageError: there is no key.
    """
    config = anchors_config(ws)
    spec = config.ethereum.key if network == "ethereum" else config.bitcoin.key
    path = _keystore_in_use(spec, network, source)
    if path is not None:
        data = read_bounded(path, MAX_BYTES)
        address = address_in(data) if data.lstrip().startswith(b"{") else None  # else a bare key
        if address is not None:
            shown = f"0x{address.removeprefix('0x')}" if network == "ethereum" else address
            return KeyPlace(network, shown, path)
    secret = load_key(spec, network, source)
    place = _place(spec, network, source.environ)
    return KeyPlace(network, address_of(secret, network, config.bitcoin.chain), place)


def _keystore_in_use(spec: str | None, network: str, source: KeySource) -> str | None:
    if spec is not None:
        return spec.removeprefix("file:") if spec.startswith("file:") else None
    path = keystore_path(source.data_dir, network)
    if source.environ.get(variable(network)) or not os.path.lexists(path):
        return None
    return path


def _place(spec: str | None, network: str, environ: Mapping[str, str]) -> str:
    if spec is not None:
        return spec
    name = variable(network)
    return f"the variable {name}" if environ.get(name) else "the OS keyring"


def _set_aside(path: str) -> None:
    for number in range(1, 1000):
        old = f"{path}.{number}.old"
        if not os.path.lexists(old):
            try:
                os.rename(path, old)
            except OSError as exc:
                raise fault(exc, "set aside", path) from exc
            return
    raise UsageError(f"there are too many old keystores beside {path}")
