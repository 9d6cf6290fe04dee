"""A dataset that lies elsewhere: where, and what its objects are. Values that travel to workers."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

MAX_OBJECTS = 10_000_000
"""A place with more is refused: its manifest would be larger than what is read back."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a dataset lies. It holds no credentials: whoever reads has their own.

    Attributes:
        url: of an object store, `s3://bucket/prefix`.
        options: `endpoint`, `region`, `profile`, `instance_metadata`, those that are set; sorted.
    """

    url: str
    options: tuple[tuple[str, str], ...] = ()


class Item(NamedTuple):
    """One object as the listing shows it; what is read later must still be that.

    Attributes:
        name: relative to the address, components joined by "/".
        size: bytes.
        etag: what the server calls these bytes, without quotes; "" when it says nothing.
        modified: seconds since 1970.
    """

    name: str
    size: int
    etag: str
    modified: int


def batches(items: Iterable[Item], *, count: int, size: int) -> Iterator[list[Item]]:
    """Cuts items into lists of at most so many and about so many bytes; a big one is alone."""
    batch: list[Item] = []
    held = 0
    for item in items:
        if batch and (len(batch) >= count or held + item.size > size):
            yield batch
            batch, held = [], 0
        batch.append(item)
        held += item.size
    if batch:
        yield batch
