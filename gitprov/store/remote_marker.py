"""The marker of a remote, which says that it is one, and of which layout."""

import secrets

from gitprov.core.canonical import Fields, dumps, loads
from gitprov.errors import MalformedError, UnavailableError
from gitprov.store.transport import Transport

MARKER = "gitprov-remote"
VERSION = 1

MAX_MARKER_BYTES = 4096


class NothingPushedError(UnavailableError):
    """The place is there, and is no remote yet."""


class NoRemoteError(UnavailableError):
    """Something else is where the marker of a remote should be, or a damaged one."""


def nothing_pushed(transport: Transport) -> NothingPushedError:
    """Returns the error for a place without a marker."""
    if transport.read_only:
        return NothingPushedError(
            f"there is no gitprov remote at {transport.url}",
            hint="look at the path: it is that of the folder in which gitprov-remote lies",
        )
    return NothingPushedError(f"nothing was pushed to {transport.url} yet", hint="gitprov push")


def write_marker(transport: Transport) -> None:
    """Makes an empty place a remote."""
    made = {"gitprov": VERSION, "id": secrets.token_hex(16), "type": "remote"}
    transport.put(MARKER, dumps(made) + b"\n")  # type: ignore[arg-type]  # JSON


def read_marker(transport: Transport) -> str:
    """Returns the id of a remote.

    Raises:
        MissingError: there is no marker.
        UnavailableError: a newer gitprov wrote it; or (`NoRemoteError`) it is none, which the cause
            says more about.
    """
    try:
        return _parse(transport.get(MARKER, limit=MAX_MARKER_BYTES), transport.url)
    except MalformedError as exc:
        hint = "look at the address"
        if not transport.read_only:
            hint += "; of a remote that was damaged, gitprov fsck --remote --repair writes it anew"
        raise NoRemoteError(
            f"{transport.url} is no gitprov remote: its marker {MARKER} is not readable", hint=hint
        ) from exc


def _parse(data: bytes, url: str) -> str:
    value = loads(data.removesuffix(b"\n"), what=f"{url}/{MARKER}", limit=MAX_MARKER_BYTES)
    if isinstance(value, dict) and isinstance(value.get("gitprov"), int):
        version = value["gitprov"]
        if isinstance(version, int) and version > VERSION:
            raise UnavailableError(
                f"{url} has the layout {version}, this gitprov knows {VERSION}",
                hint="install a newer gitprov",
            )
    if not data.endswith(b"\n"):
        raise MalformedError(f"{url}/{MARKER} does not end in a line feed")
    fields = Fields(value, what=f"{url}/{MARKER}")
    fields.constant("gitprov", VERSION)
    fields.constant("type", "remote")
    found = fields.text("id")
    fields.end()
    if len(found) != 32 or not all(digit in "0123456789abcdef" for digit in found):
        raise MalformedError(f"{url}/{MARKER}: the id is not 32 hex digits")
    return found
