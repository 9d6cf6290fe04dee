"""The seam of the store: what every store promises, whatever it is made of."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from io import BufferedReader, BytesIO
from typing import Literal, Protocol

from gitprov.core.digest import DIGEST_BYTES, Digest
from gitprov.errors import EnvironmentFault, MalformedError, UnavailableError

LARGE = 256 * 1024
"""Blobs of at least this many bytes are files of their own; smaller ones share a pack."""

Kind = Literal["blob", "manifest"]
"""How a digest is checked: BLAKE3 of the bytes, or the Merkle root of the manifest they hold."""

LinkMode = Literal["auto", "copy", "hardlink", "symlink"]
"""How a large file gets in: reflink or else copy, copy, or hardlink (the last two)."""

Stream = BufferedReader | BytesIO
"""What a blob is read from."""

Progress = Callable[[int], None]
"""Is told how many more bytes are done."""


class FileChangedError(EnvironmentFault):
    """A file changed while it was read; reading it again may help."""


class StoreWriter(Protocol):
    """One command's additions: durable and visible together at `commit`, or not at all.

    While it is open nothing that the store has can be collected, so what `has` says yes to stays.
    Write the pointer that names the blobs after `commit` and before leaving the context.
    A writer belongs to one thread.
    """

    def add(self, data: bytes) -> bytes:
        """Adds a blob that is in memory and returns its digest."""
        ...

    def add_known(self, digest: bytes, data: bytes) -> None:
        """Adds a blob whose BLAKE3 digest the caller has just computed from these very bytes."""
        ...

    def add_manifest(self, root: bytes, data: bytes) -> None:
        """Adds a manifest's bytes under the Merkle root that the caller has just computed."""
        ...

    def add_file(self, path: str, *, fd: int, size: int, link: LinkMode) -> bytes:
        """Adds a file's content from its start and returns the digest of what was stored.

        Args:
            path: where the file is; used to hardlink it, and in messages.
            fd: the same file, open for reading; its position may move.
            size: how many bytes the caller believes it has.
            link: see `LinkMode`. A hardlinked file becomes read-only.

        Raises:
            FileChangedError: it does not have that size, or was written to meanwhile.
            EnvironmentFault: it cannot be read, or the store cannot be written.
        """
        ...

    def add_known_file(self, digest: bytes, path: str) -> None:
        """Takes over a file of `LARGE` bytes or more that the caller has written and hashed itself.

        It is moved, not copied, and so lies on the store's own file system; nobody writes to it any
        more. It has become read-only.

        Raises:
            EnvironmentFault: it cannot be moved.
        """
        ...

    def has(self, digest: bytes) -> bool:
        """Whether the store has it, or this writer added it."""
        ...

    def commit(self) -> None:
        """Makes everything added so far durable, then visible. May be called more than once."""
        ...


class BlobStore(Protocol):
    """Bytes by digest (32 raw bytes).

    What is handed out matches its name: a blob that does not is set aside, and the error names it;
    adding the same bytes again repairs it. Readers never wait for writers.
    """

    def has(self, digests: Iterable[bytes]) -> set[bytes]:
        """Returns those that the store has. Made for a hundred thousand at once."""
        ...

    def read(self, digest: bytes) -> bytes:
        """Returns a blob's or a manifest's bytes.

        Raises:
            UnavailableError: the store does not have it.
            VerificationError: its bytes are damaged; it has been set aside.
        """
        ...

    def read_many(self, digests: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Yields (digest, bytes) once per distinct digest, in the order that is fastest to read.

        For small blobs and manifests. Raises as `read` does, some pairs may have come before.
        """
        ...

    def open(self, digest: bytes) -> Stream:
        """Returns a stream of any blob's bytes; raises as `read` does.

        The read that would deliver the last byte raises instead when the whole does not match, so
        whoever reads to the end has verified bytes, and whoever stops before has not.
        """
        ...

    def size(self, digest: bytes) -> int:
        """Returns how many bytes a blob has.

        Raises:
            UnavailableError: the store does not have it.
        """
        ...

    def sizes(self, digests: Iterable[bytes]) -> dict[bytes, int]:
        """Returns the same of many at once; what the store does not have is left out."""
        ...

    def writer(self) -> AbstractContextManager[StoreWriter]:
        """Opens a writer; a clean exit commits, an exception leaves nothing visible."""
        ...


def check_digest(digest: bytes) -> bytes:
    """Returns a digest that may become part of a path.

    Raises:
        MalformedError: it does not have 32 bytes.
    """
    if len(digest) != DIGEST_BYTES:
        raise MalformedError(f"a digest has {DIGEST_BYTES} bytes, this one {len(digest)}")
    return digest


def missing(digest: bytes) -> UnavailableError:
    """Returns the error for a blob that the store does not have."""
    return UnavailableError(
        f"the store does not have {Digest(check_digest(digest))}",
        hint="fetch it from a remote, or add the file again",
    )


def changed(path: str) -> FileChangedError:
    """Returns the error for a file that did not hold still."""
    return FileChangedError(f"{path} changed while it was read", hint="run the command again")
