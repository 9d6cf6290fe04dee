"""`gitprov remote index`: the list that lets a web server stand in for a remote."""

from dataclasses import dataclass

from gitprov.errors import UsageError
from gitprov.ops.remote_setup import remotes_config
from gitprov.ops.transfer import is_accepted
from gitprov.store.remote_listing import write_listing
from gitprov.store.remote_marker import nothing_pushed, read_marker
from gitprov.store.transport import MissingError, Transport
from gitprov.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Indexed:
    """What was written: where, and how many objects the list names."""

    url: str
    objects: int


def index_remote(ws: Workspace, name: str, transport: Transport) -> Indexed:
    """Writes the list of what a remote has beside it; every push keeps it fresh from then on.

    Args:
        ws: the workspace.
        name: the remote.
        transport: the same, opened.

    Raises:
        UsageError: it can only be read; or a tracked file names it and nobody has agreed to it.
        UnavailableError: it cannot be reached, nothing was pushed to it, or a newer gitprov did.
        EnvironmentFault: it cannot be written to.
    """
    if transport.read_only:
        raise UsageError(
            f"{transport.url} can only be read",
            hint="write the list through the folder, bucket or ssh that the web server serves",
        )
    chosen = remotes_config(ws).chosen(name)
    if chosen.shared and not is_accepted(ws, chosen.url):
        raise UsageError(
            f"nothing was sent to {chosen.url} yet, and a tracked file names it",
            hint=f"gitprov push --yes -r {name}, once: it is remembered",
        )
    try:
        read_marker(transport)  # of a newer layout nothing is known, nor what lies there
    except MissingError:
        raise nothing_pushed(transport) from None
    return Indexed(transport.url, write_listing(transport))
