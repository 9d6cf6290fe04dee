"""The data sets, made from a seed: the same bytes on every machine, and none that compress.

Run as a process of its own (`python -m bench.data S1 FOLDER 1`), because the peak memory of whoever
starts a measured command counts as that command's own (see bench/measure.py).
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
_CHUNK = MIB


@dataclass(frozen=True, slots=True)
class Dataset:
    """One shape of data: how many files of what size, in how many folders."""

    key: str
    files: int
    size: int
    folders: int
    spread: float = 0.0
    """Sizes vary evenly by this share of `size`, up and down."""

    @property
    def single(self) -> bool:
        """Whether the artifact is one file and not a folder."""
        return self.files == 1

    def scaled(self, divisor: int) -> Dataset:
        """Returns the same shape with a share of the files, or of the bytes if it is one file."""
        if self.single:
            return Dataset(self.key, 1, self.size // divisor, 1)
        return Dataset(self.key, self.files // divisor, self.size, self.folders, self.spread)

    def describe(self) -> str:
        """Returns the shape in words."""
        if self.single:
            return f"one file of {self.size:,} bytes"
        about = "about " if self.spread else ""
        size = f"{self.size // MIB} MiB" if self.size >= MIB else f"{self.size // KIB} KiB"
        return f"{self.files:,} × {about}{size} in {self.folders} folders"


DATASETS: dict[str, Dataset] = {
    "S1": Dataset("S1", 100_000, 4 * KIB, 100),
    # One byte more than 4 GiB: git's index keeps sizes in 32 bits, and 4 GiB would be 0 there.
    "S2": Dataset("S2", 1, 4 * GIB + 1, 1),
    "S3": Dataset("S3", 200, 16 * MIB, 10),
    "S4": Dataset("S4", 20_000, 110 * KIB, 100, spread=0.5),
}

SHARED: dict[str, Dataset] = {
    "R1": Dataset("R1", 100_000, 4 * KIB, 100),
    "R2": Dataset("R2", 1, 2 * GIB, 1),
}
"""What is sent to remotes and brought from there (issue 5)."""


def file_name(dataset: Dataset, number: int) -> str:
    """Returns the name of the numbered file below the artifact's folder."""
    return f"d{number % dataset.folders:03}/f{number:06}.bin"


def generate(dataset: Dataset, target: Path) -> int:
    """Writes the data set to `target` (a new file or folder) and returns its size in bytes."""
    if dataset.single:
        return _write(target, f"{dataset.key}/0", dataset.size)
    for folder in range(dataset.folders):
        (target / f"d{folder:03}").mkdir(parents=True)
    return sum(
        _write(
            target / file_name(dataset, number), f"{dataset.key}/{number}", _size(dataset, number)
        )
        for number in range(dataset.files)
    )


def replace_one(dataset: Dataset, target: Path) -> None:
    """Gives one file new content, as a new file: the old one may be a link into a store."""
    path = target / file_name(dataset, dataset.files // 2)
    path.unlink()
    _write(path, f"{dataset.key}/changed", dataset.size)


def put_in_front(path: Path) -> None:
    """Gives a file one byte more at its beginning, as a new file."""
    old = path.with_name(path.name + ".old")
    path.rename(old)
    with old.open("rb") as source, path.open("wb") as out:
        out.write(b"!")
        shutil.copyfileobj(source, out, _CHUNK)
    old.unlink()


def _size(dataset: Dataset, number: int) -> int:
    drawn = int.from_bytes(blake3(f"{dataset.key}/size/{number}".encode()).digest(4))
    return round(dataset.size * (1 + dataset.spread * (drawn / 2**31 - 1)))


def _write(path: Path, seed: str, size: int) -> int:
    stream = blake3(seed.encode())
    with path.open("wb") as out:
        for start in range(0, size, _CHUNK):
            out.write(stream.digest(length=min(_CHUNK, size - start), seek=start))
    return size


if __name__ == "__main__":
    key, folder, scale = sys.argv[1:]
    generate((DATASETS | SHARED)[key].scaled(int(scale)), Path(folder))
