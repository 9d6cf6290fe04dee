"""What the fault tests run as a process of its own: rounds of adding and collecting.

`python -m tests.faults.store_child STORE FIRST LAST [NAME N once|on]`: round by round it adds blobs
that follow from the round's number, makes the folder `STORE.done/<round>`, and now and then
collects. With NAME and N the N-th call of that libfiu failure point fails, once or from then on;
with N = 0 none fails, and how many there were is printed.
"""

import contextlib
import ctypes
import errno
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random

from blake3 import blake3

from gitprov.errors import GitprovError
from gitprov.model.entry import Entry
from gitprov.model.manifest import Manifest
from gitprov.store.base import LARGE
from gitprov.store.local import LocalStore

FAILED = 9
"""The exit code after an error that gitprov reported, or that struck the child's own calls."""

_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(ctypes.c_int), ctypes.c_void_p, ctypes.c_uint
)


class _OwnFault(Exception):
    """A call of this script failed, and not one of the store."""


@contextlib.contextmanager
def _own() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise _OwnFault from exc


_KEPT: list[object] = []
"""What C code calls must not be collected."""


def blobs_of(number: int) -> list[bytes]:
    """Returns the blobs of a round; the last one is large."""
    random = Random(number)
    small = [random.randbytes(random.randrange(1, 6000)) for _ in range(20)]
    return [*small, b"the same in every round", random.randbytes(LARGE + random.randrange(9000))]


def listing_of(number: int) -> Manifest:
    """Returns the manifest of a round."""
    return Manifest.of(
        Entry(str(at).encode(), "f", blake3(blob).digest(), len(blob))
        for at, blob in enumerate(blobs_of(number))
    )


def live(last: int) -> set[bytes]:
    """Returns the digests of every round up to the last, but of every fourth."""
    kept: set[bytes] = set()
    for number in range(last + 1):
        if number % 4 != 3 or number == last:
            listing = listing_of(number)
            kept.update(entry.digest for entry in listing.entries)
            kept.add(listing.root.raw)
    return kept


def play(root: str, first: int, last: int, folder: Path) -> None:
    """Runs the rounds."""
    for number in range(first, last + 1):
        with LocalStore(root) as store:
            *small, large = blobs_of(number)
            path = folder / f"large-{number}"
            with _own():
                path.write_bytes(large)
                fd = os.open(path, os.O_RDONLY)
            with store.writer() as writer:
                for blob in small:
                    writer.add(blob)
                writer.add_file(str(path), fd=fd, size=len(large), link="hardlink")
                listing = listing_of(number)
                writer.add_manifest(listing.root.raw, listing.to_bytes())
            with _own():
                os.close(fd)
                path.unlink()
            # Not a line on stdout: writing is one of the things that are made to fail.
            with _own():
                Path(f"{root}.done", str(number)).mkdir()
            if number % 3 == 2:
                store.collect(partial(live, number), dry_run=False)


def fail_from(name: str, number: int, *, once: bool) -> list[int]:
    """Makes the n-th call of a failure point fail; returns where the calls are counted."""
    count = [0]

    def decide(_name: bytes, _number: object, _info: object, _flags: int) -> int:
        count[0] += 1
        return int(count[0] == number or (count[0] > number > 0 and not once))

    callback = _CALLBACK(decide)
    _KEPT.append(callback)
    reason = errno.ENOSPC if "write" in name or "open" in name else errno.EIO
    fiu = ctypes.CDLL("libfiu.so.0")
    fiu.fiu_enable_external(
        name.encode(), ctypes.c_int(1), ctypes.c_void_p(reason), ctypes.c_uint(0), callback
    )
    return count


def main() -> int:
    """Runs what the command line says."""
    root, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    folder = Path(f"{root}.files")
    for path in (folder, Path(f"{root}.done")):
        path.mkdir(exist_ok=True)
    print("ready", flush=True)
    count = [0]
    if len(sys.argv) > 4:
        count = fail_from(sys.argv[4], int(sys.argv[5]), once=sys.argv[6] == "once")
    try:
        play(root, first, last, folder)
    except (GitprovError, _OwnFault):
        # Not sys.exit: flushing and closing may be what has been made to fail.
        os._exit(FAILED)
    print(count[0], flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
