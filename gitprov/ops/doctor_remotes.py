"""What `gitprov doctor` says about the remotes that data travels to, and how it is cut for them."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Final

from gitprov.config.remotes import RemotesConfig
from gitprov.core.chunking import ENGINES, Chunker
from gitprov.errors import GitprovError
from gitprov.store.remote_marker import nothing_pushed, read_marker
from gitprov.store.transport import MissingError, Patience
from gitprov.store.transports import open_transport

Found = tuple[str, bool, str, str | None]
"""A name, whether it is well, what it is, and what to do."""

_PATIENCE: Final = Patience(connect=5.0, silence=5.0, sending=5.0, pauses=())


def data_remotes(config: RemotesConfig, environ: Mapping[str, str]) -> Iterator[Found]:
    """Asks every remote for one small object.

    Args:
        config: the remotes.
        environ: where credentials are looked for.
    """
    for remote in config.remotes.values():
        name = f"data remote {remote.name}"
        try:
            transport = open_transport(remote.url, remote.options(), environ, patience=_PATIENCE)
            with closing(transport):
                try:
                    read_marker(transport)
                except MissingError:
                    nothing = nothing_pushed(transport)
                    yield name, not transport.read_only, f"it answers; {nothing}", nothing.hint
                    continue
        except GitprovError as exc:
            yield name, False, str(exc), exc.hint
        else:
            yield name, True, f"{remote.url} answers", None


def chunker() -> Found:
    """Says which of the engines cuts large files into chunks."""
    engine = Chunker().engine
    fast = engine == next(iter(ENGINES))
    hint = None if fast else "pip install pyfastcdc: the same cuts, eight times as fast or more"
    return "chunks", fast, f"large files are cut by {engine}", hint
