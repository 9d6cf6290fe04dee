"""The object `list` of a remote that is also served by a web server, which cannot list.

Whoever adds objects to a remote or deletes some calls `refresh_listing` afterwards (push, and what
collects garbage): a list that says less than there is hides data, one that says more breaks reads.
"""

from gitprov.errors import MalformedError, UnavailableError
from gitprov.store.transport import (
    LIST_NAME,
    MAX_LIST_BYTES,
    MissingError,
    Transport,
    write_list,
)

_ROUNDS = 20
"""Each means that somebody else has changed the remote meanwhile."""


def refresh_listing(transport: Transport) -> int | None:
    """Writes the list anew, if the remote has one.

    Returns:
        How many objects it names; None when the remote has none, and then nothing is written.

    Raises:
        UnavailableError: the remote cannot be reached, or never stands still.
        EnvironmentFault: it cannot be written to.
    """
    try:
        there = transport.get(LIST_NAME, limit=MAX_LIST_BYTES)
    except MissingError:
        return None
    return write_listing(transport, there)


def write_listing(transport: Transport, there: bytes | None = None) -> int:
    """Writes what a remote has into its object `list`, and returns how many objects that are.

    It is looked at again afterwards: of two that do this at once, the one that writes last sees
    what the other one has added.

    Args:
        transport: the remote.
        there: the list that it has now, where that is known.

    Raises:
        UnavailableError: the remote cannot be reached, or never stands still.
        MalformedError: there is more than a reader would take.
        EnvironmentFault: it cannot be written to.
    """
    written = there
    for _ in range(_ROUNDS):
        objects = [one for one in transport.list() if one.name != LIST_NAME]
        data = write_list(objects)
        if data == written:
            return len(objects)
        if len(data) > MAX_LIST_BYTES:
            raise MalformedError(f"the list of {transport.url} would have {len(data):,} bytes")
        transport.replace(LIST_NAME, data)
        written = data
    raise UnavailableError(
        f"{transport.url} changed while it was listed, {_ROUNDS} times", hint="try again later"
    )
