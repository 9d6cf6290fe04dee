"""Which files of any version a digest belongs to: people know files by their paths."""

from collections.abc import Collection, Iterable, Mapping

from gitprov.core.paths import show
from gitprov.model.entry import Entry

MAX_NAMES = 5
"""So many files are named for one blob; identical files share a blob."""

_MAX_PLACES = 50
"""So many manifests that list a blob are remembered: of a thousand versions, most repeat a path."""

_MAX_STEPS = 1000


def paths_of(
    concerned: Collection[bytes],
    tops: Iterable[tuple[bytes, bytes]],
    manifests: Iterable[tuple[bytes, Iterable[Entry]]],
) -> dict[bytes, tuple[str, ...]]:
    """Returns a few paths of each blob or manifest; none of what no manifest lists.

    Args:
        concerned: the digests.
        tops: paths and digests of artifacts.
        manifests: all that are below the artifacts, with their roots.
    """
    above: dict[bytes, list[tuple[bytes, bytes]]] = {}
    for root, entries in manifests:
        for entry in entries:
            if entry.kind == "d" or entry.digest in concerned:
                places = above.setdefault(entry.digest, [])
                if len(places) < _MAX_PLACES:
                    places.append((root, entry.name))
    begins: dict[bytes, dict[bytes, None]] = {}
    for path, digest in tops:
        begins.setdefault(digest, {})[path] = None
    found = {digest: _paths(digest, begins, above) for digest in sorted(concerned)}
    return {digest: paths for digest, paths in found.items() if paths}


def _paths(
    digest: bytes,
    begins: Mapping[bytes, Iterable[bytes]],
    above: Mapping[bytes, Iterable[tuple[bytes, bytes]]],
) -> tuple[str, ...]:
    """Goes up from what is named to the artifacts that it lies in."""
    found: set[bytes] = set()
    waiting = [(digest, b"")]
    for _ in range(_MAX_STEPS):
        if not waiting or len(found) >= MAX_NAMES:
            break
        here, below = waiting.pop()
        found.update(path + below for path in begins.get(here, ()))
        waiting += [(root, b"/" + name + below) for root, name in above.get(here, ())]
    return tuple(show(path) for path in sorted(found)[:MAX_NAMES])
