"""One of a crowd of processes that use a store at once: it adds, collects, or just holds it.

`python -m tests.faults.store_crowd STORE ROUNDS NUMBER|collect|hold`
"""

import sys
from functools import partial
from random import Random

from blake3 import blake3

from gitprov.store.base import LARGE
from gitprov.store.local import LocalStore

GARBAGE = b"collected again and again"


def blobs_of(writer: int, number: int) -> list[bytes]:
    """Returns what a writer adds in a round; half of it everybody adds."""
    own, shared = Random(writer * 1000 + number), Random(-1 - number)
    return [
        own.randbytes(3000),
        own.randbytes(LARGE),
        shared.randbytes(3001),
        shared.randbytes(LARGE + 1),
    ]


def live(writers: int, rounds: int) -> set[bytes]:
    """Returns the digests of everything that the writers add, but of the garbage."""
    return {
        blake3(blob).digest()
        for writer in range(writers)
        for number in range(rounds)
        for blob in blobs_of(writer, number)
    }


def write(store: LocalStore, writer_number: int, rounds: int) -> None:
    """Adds, and sees that nothing goes while a writer is open."""
    for number in range(rounds):
        blobs = blobs_of(writer_number, number)
        with store.writer() as writer:
            digests = [writer.add(blob) for blob in [*blobs, GARBAGE]]
            writer.commit()
            if store.has(digests) != set(digests):
                raise AssertionError("something was collected under an open writer")
        for blob in blobs:
            if store.read(blake3(blob).digest()) != blob:
                raise AssertionError("something else came back")


def main() -> int:
    """Plays the part that the command line says."""
    root, rounds, role = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    with LocalStore(root) as store:
        if role == "collect":
            for _ in range(rounds):
                store.collect(partial(live, 8, rounds), dry_run=False)
        elif role == "hold":
            with store.writer() as writer:
                writer.add(b"something")
            store.collect(_hold, dry_run=False)
        else:
            write(store, int(role), rounds)
    return 0


def _hold() -> set[bytes]:
    print("held", flush=True)
    sys.stdin.read()
    return set()


if __name__ == "__main__":
    sys.exit(main())
