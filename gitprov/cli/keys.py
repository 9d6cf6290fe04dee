"""The commands about private keys: key new, key import, key show-address."""

import os
import sys

import click

from gitprov.anchors.keys import PAID, PASSPHRASE, KeySource
from gitprov.cli.context import asker, workspace
from gitprov.cli.options import emit_json, examples, json_option, quiet_option, say
from gitprov.errors import UsageError
from gitprov.ops.keys import KeyPlace, keep_key, new_secret, show_key, take_secret

network_argument = click.argument("network", type=click.Choice(PAID))
keyring_option = click.option(
    "--keyring", "use_keyring", is_flag=True, help="Keep it in the OS keyring, not in a keystore."
)
force_option = click.option(
    "--force", is_flag=True, help="Though there is one: the old keystore stays beside the new one."
)

_MAX_KEY_TEXT = 1024


@click.group(
    short_help="Make, import or show the keys that pay for anchors.",
    epilog=examples(
        "gitprov key new ethereum",
        "gitprov key import bitcoin < wif.txt",
        "gitprov key show-address ethereum",
    ),
)
def key() -> None:
    """Keep the private keys that pay for anchors, encrypted, and never in a tracked file.

    The keystore lies in the git folder. The passphrase is asked for, or taken from
    GITPROV_PASSPHRASE. GITPROV_ETHEREUM_KEY and GITPROV_BITCOIN_KEY come before any keystore.
    """


@key.command(
    short_help="Make a new key.",
    epilog=examples("gitprov key new ethereum", "gitprov key new bitcoin --keyring"),
)
@network_argument
@keyring_option
@force_option
@json_option
@quiet_option
def new(network: str, use_keyring: bool, force: bool, as_json: bool, quiet: bool) -> None:
    """Make a new key for NETWORK and print the address to send money to."""
    _keep(new_secret(), network, use_keyring, force, as_json, quiet)


@key.command(
    name="import",
    short_help="Take a key that you have.",
    epilog=examples(
        "gitprov key import ethereum                     # asks for it",
        "gitprov key import ethereum --from-env MY_KEY",
        "gitprov key import bitcoin < wif.txt",
    ),
)
@network_argument
@click.option("--from-env", metavar="NAME", help="Take it from this variable.")
@keyring_option
@force_option
@json_option
@quiet_option
def import_(
    network: str,
    from_env: str | None,
    use_keyring: bool,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Take a key for NETWORK: 64 hex digits, or for Bitcoin a WIF.

    It is asked for, or read from stdin: arguments can be read by everybody on this machine.
    """
    secret = take_secret(_text(from_env), network)
    _keep(secret, network, use_keyring, force, as_json, quiet)


@key.command(
    name="show-address",
    short_help="Show which address would pay.",
    epilog=examples("gitprov key show-address ethereum"),
)
@network_argument
@json_option
def show_address(network: str, as_json: bool) -> None:
    """Show the address that would pay for anchors on NETWORK now, and where its key is."""
    with workspace() as ws:
        place = show_key(ws, network, KeySource(os.environ, asker(), ws.repo.data_dir))
    _show(place, as_json=as_json, quiet=False)


def _keep(
    secret: bytes, network: str, use_keyring: bool, force: bool, as_json: bool, quiet: bool
) -> None:
    with workspace() as ws:
        passphrase = None if use_keyring else _new_passphrase()
        place = keep_key(ws, network, secret, passphrase=passphrase, force=force)
    _show(place, as_json=as_json, quiet=quiet)


def _show(place: KeyPlace, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        emit_json("key", {"network": place.network, "address": place.address, "place": place.place})
    elif not quiet:
        say(f"address  {place.address}")
        say(f"key      {place.place}")


def _new_passphrase() -> str:
    given = os.environ.get(PASSPHRASE)
    if given is not None:
        if not given:
            raise UsageError(f"{PASSPHRASE} is empty")
        return given
    if asker() is None:
        raise UsageError(
            "a keystore needs a passphrase, and there is nobody to ask",
            hint=f"put it into {PASSPHRASE}, or use --keyring",
        )
    return str(click.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True))


def _text(from_env: str | None) -> str:
    if from_env is not None:
        value = os.environ.get(from_env)
        if not value:
            raise UsageError(f"the variable {from_env} is not set, or empty")
        return value
    if asker() is not None:
        return str(click.prompt("Private key", hide_input=True, err=True))
    return sys.stdin.read(_MAX_KEY_TEXT) if sys.stdin else ""
