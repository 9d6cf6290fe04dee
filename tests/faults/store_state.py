"""What must hold for a store after whatever happened to it."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

from gitprov.store.local import LocalStore
from tests.faults.store_child import blobs_of, listing_of, live, play

ROOT = Path(__file__).parents[2]


def command(store: Path, first: int, last: int, *fault: str) -> list[str]:
    """Returns the command line of a child."""
    module = "tests.faults.store_child"
    return [sys.executable, "-m", module, str(store), str(first), str(last), *fault]


def start(store: Path, first: int, last: int) -> subprocess.Popen[str]:
    """Starts a child and returns when it begins its first round."""
    child = subprocess.Popen(
        command(store, first, last), cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def rounds_done(store: Path) -> list[int]:
    """Returns the rounds that a child has reported."""
    folder = Path(f"{store}.done")
    return sorted(int(path.name) for path in folder.iterdir()) if folder.exists() else []


def assert_whole(store: Path, last: int) -> None:
    """Everything that is live after round `last` reads back, and nothing is wrong anywhere."""
    with LocalStore(str(store)) as opened:
        problems = list(opened.verify_all())
        assert problems == []
        done = rounds_done(store)
        for number in done:
            listing = listing_of(number)
            # Which rounds were collected follows from how far the child came.
            if number % 4 != 3 or number == last:
                blobs = blobs_of(number)
                found = dict(opened.read_many(entry.digest for entry in listing.entries))
                assert sorted(found.values()) == sorted(blobs)
                assert opened.read(listing.root.raw) == listing.to_bytes()


def assert_recovers(store: Path, last: int) -> None:
    """Running the rounds again finishes them, and collecting leaves nothing that is not needed."""
    folder = Path(f"{store}.files")
    for path in (folder, Path(f"{store}.done")):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
    play(str(store), 0, last, folder)
    assert_whole(store, last)
    with LocalStore(str(store)) as opened:
        keep = live(last)
        collected = opened.collect(lambda: keep, dry_run=False)
        assert collected.kept == len(keep)
        assert collected.damaged == []
        assert list(opened.verify_all()) == []
        assert opened.has(keep) == keep
        assert list((store / "tmp").iterdir()) == []
        assert list((store / "quarantine").iterdir()) == []
        assert len(list((store / "packs").iterdir())) == opened.stats().packs


def pause(randomness: random.Random, most: float) -> float:
    """Returns a time to kill at: early ones are likelier, that is where most happens."""
    return most * randomness.random() ** 2
