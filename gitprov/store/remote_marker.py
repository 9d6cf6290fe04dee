"""The marker of a remote, which says that it is one, and of which layout."""

import secrets

from gitprov.core.canonical import Fields, dumps, loads
from gitprov.errors import MalformedError, UnavailableError
from gitprov.store.transport import Transport

MARKER = "gitprov-remote"
VERSION = 1

MAX_MARKER_BYTES = 4096


def write_marker(transport: Transport) -> None:
    """Makes an empty place a remote."""
    made = {"gitprov": VERSION, "id": secrets.token_hex(16), "type": "remote"}
    transport.put(MARKER, dumps(made) + b"\n")  # type: ignore[arg-type]  # JSON


def read_marker(data: bytes, url: str) -> str:
    """Returns the id of a remote whose marker this is.

    Raises:
        UnavailableError: a newer gitprov wrote it.
        MalformedError: it is none.
    """
    value = loads(data.removesuffix(b"\n"), what=f"{url}/{MARKER}", limit=MAX_MARKER_BYTES)
    if isinstance(value, dict) and isinstance(value.get("gitprov"), int):
        version = value["gitprov"]
        if isinstance(version, int) and version > VERSION:
            raise UnavailableError(
                f"{url} has the layout {version}, this gitprov knows {VERSION}",
                hint="install a newer gitprov",
            )
    fields = Fields(value, what=f"{url}/{MARKER}")
    fields.constant("gitprov", VERSION)
    fields.constant("type", "remote")
    found = fields.text("id")
    fields.end()
    if len(found) != 32 or not all(digit in "0123456789abcdef" for digit in found):
        raise MalformedError(f"{url}/{MARKER}: the id is not 32 hex digits")
    return found
