"""A file that git itself tracks, as its commit has it."""

import hashlib
import io
import os
import tempfile

from gitprov.errors import UnavailableError, VerificationError
from gitprov.git.repo import Repository
from gitprov.store.range_file import RangeFile

_IN_MEMORY = 8 << 20


class TemporaryFile(RangeFile):
    """Reads a file without a name; by offset, so that forks do not disturb each other."""

    def __init__(self, fd: int, size: int) -> None:
        """Owns the descriptor from now on."""
        super().__init__(size)
        self._fd = fd

    def _read_at(self, view: memoryview, at: int) -> int:
        return os.preadv(self._fd, [view], at)

    def close(self) -> None:
        """Lets go of the file."""
        if not self.closed:
            os.close(self._fd)
        super().close()


def open_git_file(repo: Repository, oid: str, size: int) -> io.BytesIO | RangeFile:
    """Returns a blob of git, checked against its id.

    Raises:
        UnavailableError: this clone does not have it.
        VerificationError: git gave other bytes.
    """
    hasher = hashlib.new(repo.object_format, b"blob %d\0" % size, usedforsecurity=False)
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:

        def take(piece: bytes) -> None:
            hasher.update(piece)
            file.write(piece)

        if repo.objects.feed(oid, take) is None:
            raise UnavailableError(f"the git blob {oid} is not in this clone")
        if hasher.hexdigest() != oid:
            raise VerificationError(f"git gave other bytes than those of {oid}", hint="git fsck")
        if size > _IN_MEMORY:
            file.flush()
            return TemporaryFile(os.dup(file.fileno()), size)
        file.seek(0)
        return io.BytesIO(file.read())
