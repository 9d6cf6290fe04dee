"""Reading single things from a remote while a program runs: connected once, asked again later."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from gitprov.core.digest import Digest
from gitprov.errors import GitprovError, UnavailableError, VerificationError
from gitprov.store.base import StoreWriter
from gitprov.store.remote import Remote, Wanted
from gitprov.store.remote_blocks import Blocks, Chunk
from gitprov.store.remote_fetch import Fetcher
from gitprov.store.remote_file import ChunkCache
from gitprov.store.transport import MissingError

_T = TypeVar("_T")

_JOBS = 4
_ASK_AGAIN_SECONDS = 5.0
"""What a remote did not have a moment ago it does not have now either."""

_LOOKS = 3
"""So often it is looked again what a remote has, when a pack is not where it was."""


class RemoteReader:
    """What a remote has, for a program that reads. Safe for several threads, not across a fork.

    Attributes:
        cache: the chunks of large files that came last.
    """

    def __init__(self, connect: Callable[[], Remote], folder: str) -> None:
        """Connects when something is asked for first.

        Args:
            connect: returns the remote, connected.
            folder: where files lie for a moment.
        """
        self._connect, self._folder = connect, folder
        self._lock = threading.Lock()
        self._remote: Remote | None = None
        self._old: list[Remote] = []
        self._busy = 0
        self._vanished: set[str] = set()
        self._asked = 0.0
        self.cache = ChunkCache()
        self._received = 0

    @property
    def received(self) -> int:
        """The bytes of packs that have travelled."""
        with self._lock:
            remotes = [*self._old, self._remote] if self._remote is not None else self._old
            return self._received + sum(remote.transport.unasked for remote in remotes)

    def close(self) -> None:
        """Ends the connection; the next question makes a new one."""
        with self._lock:
            remotes, self._old = self._old, []
            if self._remote is not None:
                remotes.append(self._remote)
            self._remote = None
        self._let_go(remotes)

    def fetch(
        self,
        wanted: Sequence[Wanted],
        sizes: Mapping[bytes, int],
        writer: StoreWriter,
        *,
        some: bool = False,
    ) -> None:
        """Brings blobs and manifests, each checked.

        Args:
            wanted: what is to come.
            sizes: how large blobs are by what names them.
            writer: where they go.
            some: whether it is fine if the remote lacks some, or has them wrong.

        Raises:
            UnavailableError: the remote lacks one, or cannot be reached.
            VerificationError: it has one, but not as it is named.
        """
        result = self._ask(wanted, lambda remote: self._fetch(remote, wanted, sizes, writer))
        if not some and result is not None:
            raise result

    def _fetch(
        self,
        remote: Remote,
        wanted: Sequence[Wanted],
        sizes: Mapping[bytes, int],
        writer: StoreWriter,
    ) -> GitprovError | None:
        """Brings them, and returns what is the matter with one that did not come."""
        with ThreadPoolExecutor(max_workers=_JOBS) as pool:
            fetcher = Fetcher(remote, writer, pool, _JOBS, self._folder, again=False)
            try:
                fetcher.fetch(wanted, sizes=sizes)
            finally:
                self._count(fetcher.result.received_bytes)
        if fetcher.result.wrong:
            digest, reason = fetcher.result.wrong[0]
            return _wrong(remote, f"{Digest(digest)}: {reason}")
        if fetcher.result.absent:
            return _absent(remote, fetcher.result.absent[0])
        return None

    def recipe(self, digest: bytes, size: int) -> list[Chunk]:
        """Returns the chunks of a large blob of that size.

        Raises:
            UnavailableError: the remote does not have it, or cannot be reached.
            VerificationError: its recipe is of something else, or of another size.
        """
        one = Wanted(digest, is_manifest=False)
        return self._ask([one], lambda remote: self._recipe(remote, one, size))

    def _recipe(self, remote: Remote, one: Wanted, size: int) -> list[Chunk]:
        place = remote.place(one.digest)
        if place is None:
            raise _absent(remote, one.digest)
        shown = Digest(one.digest)
        if place.kind != "B":
            raise _wrong(remote, f"{shown} is smaller there")
        with ThreadPoolExecutor(max_workers=1) as pool:
            blocks = Blocks(remote, pool, 1)
            try:
                return blocks.recipe(one, place, size)
            except VerificationError as exc:
                raise _wrong(remote, f"{shown}: {exc}") from exc
            finally:
                self._count(blocks.received)

    def chunks(self, chunks: Sequence[Chunk]) -> Iterator[bytes]:
        """Yields chunks' bytes in order, each checked.

        Raises:
            UnavailableError: the remote cannot be reached.
            VerificationError: a chunk is missing, or has other bytes.
        """
        done = 0
        with self._reading():
            remote = self._connected()
            for left in reversed(range(_LOOKS)):
                try:
                    for data in self._chunks(remote, chunks[done:]):
                        done += 1
                        yield data
                except MissingError as exc:
                    if not left:
                        raise
                    remote = self._looked_again(remote, exc.name)
                else:
                    return

    def _chunks(self, remote: Remote, chunks: Sequence[Chunk]) -> Iterator[bytes]:
        with ThreadPoolExecutor(max_workers=_JOBS) as pool:
            blocks = Blocks(remote, pool, _JOBS)
            try:
                yield from blocks.chunks(chunks)
            except VerificationError as exc:
                raise _wrong(remote, str(exc)) from exc
            finally:
                self._count(blocks.received)

    def _ask(self, wanted: Sequence[Wanted], work: Callable[[Remote], _T]) -> _T:
        """Does what needs these of the remote, again when a pack is not where it was."""
        with self._reading():
            remote = self._having(wanted)
            for _ in range(_LOOKS - 1):
                try:
                    return work(remote)
                except MissingError as exc:
                    remote = self._looked_again(remote, exc.name)
            return work(remote)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Whoever is last lets go of the connections that were replaced meanwhile."""
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            old: list[Remote] = []
            with self._lock:
                self._busy -= 1
                if not self._busy:
                    old, self._old = self._old, old
            self._let_go(old)

    def _let_go(self, remotes: Sequence[Remote]) -> None:
        for remote in remotes:
            remote.transport.close()
            self._count(remote.transport.unasked)

    def _count(self, size: int) -> None:
        with self._lock:
            self._received += size

    def _connected(self) -> Remote:
        with self._lock:
            if self._remote is None:
                self._remote = self._connect()
                self._asked = time.monotonic()
            return self._remote

    def _having(self, wanted: Sequence[Wanted]) -> Remote:
        """Looks again when something is missing: somebody may have pushed it meanwhile."""
        remote = self._connected()
        if all(remote.place(one.digest) is not None for one in wanted):
            return remote
        with self._lock:
            is_old = time.monotonic() - self._asked > _ASK_AGAIN_SECONDS
        return self._looked_again(remote) if is_old else remote

    def _looked_again(self, remote: Remote, missing: str = "") -> Remote:
        """Returns the remote as it is now.

        It is another object: threads that read from the one before are not disturbed.

        Args:
            remote: the one that something is missing of.
            missing: the pack that is not where it was: what was live in it lies in another now.
        """
        with self._lock:
            if self._remote is None or self._remote is remote:
                new = self._connect()
                self._asked = time.monotonic()
                pack = missing.removeprefix("packs/").removesuffix(".car")
                if pack and new.has_index(pack):
                    self._vanished.add(pack)  # its index says what is not so
                if self._vanished:
                    for one in self._vanished:
                        new.set_vanished(one)
                    new.look_again()
                self._old.append(remote)
                self._remote = new
            return self._remote


def _absent(remote: Remote, digest: bytes) -> UnavailableError:
    return UnavailableError(
        f"neither the store nor {remote.transport.url} has {Digest(digest)}",
        hint="`gitprov push`, where somebody has it, sends it there",
    )


def _wrong(remote: Remote, reason: str) -> VerificationError:
    return VerificationError(
        f"{remote.transport.url} does not have what it says: {reason}",
        hint="gitprov fsck --remote --repair, in a clone that has it",
    )
