"""What a worker does with a dataset elsewhere: it hashes objects with its own credentials.

This is the one place outside the front doors that reads the environment: it runs in processes
that have no front door, on machines whose secrets nobody else should be sent.
"""

import os
import threading

from gitprov.platform.tasks import Failure, attempt
from gitprov.store.source import Address, Item
from gitprov.store.source_object import ObjectSource

_lock = threading.Lock()
_sources: dict[tuple[int, Address], ObjectSource] = {}
_MAX_OPEN = 16


def hash_items(address: Address, items: list[Item], version: str) -> list[bytes] | Failure:
    """Returns the digests of objects, see `ObjectSource.digests`.

    Args:
        address: where they lie.
        items: as they were listed.
        version: the gitprov that asks.
    """
    return attempt(version, lambda: _source(address).digests(items))


def _source(address: Address) -> ObjectSource:
    """The source at an address, opened once in a process; connections do not survive a fork."""
    key = os.getpid(), address
    with _lock:
        if key not in _sources:
            while len(_sources) >= _MAX_OPEN:
                _sources.pop(next(iter(_sources)))
            _sources[key] = ObjectSource(address, dict(os.environ))
        return _sources[key]
