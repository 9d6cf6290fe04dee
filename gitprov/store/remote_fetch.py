"""Fetching from a remote: what arrives is checked before it enters the store."""

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import BinaryIO

from blake3 import blake3

from gitprov.core.digest import Digest
from gitprov.errors import UnavailableError, VerificationError
from gitprov.model.manifest import Manifest
from gitprov.platform.files import fault
from gitprov.platform.stream import StreamWriter
from gitprov.store.base import StoreWriter
from gitprov.store.bigfile import file_buffers
from gitprov.store.partial import discard, kept_chunks, partial_file
from gitprov.store.remote import Claim, Place, Remote, Wanted
from gitprov.store.remote_blocks import Blocks, Chunk
from gitprov.store.remote_send import Sent
from gitprov.store.remote_survey import is_cut_off
from gitprov.store.transport import MissingError, TransientError

_COMMIT_BYTES = 256 << 20
_COMMIT_SECONDS = 10.0
"""So much, of small blobs, is lost at most when a fetch is killed. Each commit makes a pack."""

_LARGE_COMMIT_BYTES = 64 << 20
"""The same of large blobs, which need no pack."""

_LOOKS = 1000
"""So often a fetch looks at what the remote has, at most."""

_NAMED = 10


@dataclass
class Fetched:
    """What a fetch did.

    Attributes:
        objects: how many blobs and manifests came.
        received_bytes: what travelled.
        absent: what the remote does not have.
        wrong: what it has, but not as it is named; none of it entered the store.
    """

    objects: int = 0
    received_bytes: int = 0
    absent: list[bytes] = field(default_factory=list)
    wrong: list[tuple[bytes, str]] = field(default_factory=list)


class Fetcher:
    """Brings objects into a store; used by one thread, which owns the writer."""

    def __init__(
        self,
        remote: Remote,
        writer: StoreWriter,
        pool: ThreadPoolExecutor,
        jobs: int,
        folder: str,
        *,
        again: bool = True,
    ) -> None:
        """Takes the remote, the store's writer, and a folder for large files on their way.

        Args:
            remote: where things come from.
            writer: where they go.
            pool: runs requests.
            jobs: how many of them at once.
            folder: for large files on their way.
            again: whether it is looked again what the remote has, when a pack is not as it was said
                to be; not where others use the remote at the same time.
        """
        self._again = again
        self._remote, self._writer, self._folder = remote, writer, folder
        self._blocks = Blocks(remote, pool, jobs)
        self._uncommitted = 0
        self._committed = time.monotonic()
        self._buffers = file_buffers()
        self._reasons: dict[bytes, str] = {}
        self._cut: set[Claim] = set()
        self._missed: set[str] = set()
        self.result = Fetched()

    def fetch(
        self,
        wanted: Iterable[Wanted],
        sent: Sent | None = None,
        *,
        sizes: Mapping[bytes, int] | None = None,
    ) -> None:
        """Fetches what the remote has of these; the rest is named in the result.

        Args:
            wanted: what is to come.
            sent: is told of what is done.
            sizes: how large blobs are by what names them: a remote cannot make them larger.

        Raises:
            UnavailableError: the remote cannot be reached; what came before is kept.
        """
        waiting = dict.fromkeys(wanted)
        # Each look is without a pack or a claim that the ones before counted on; who makes up new
        # ones whenever it is asked must not keep us.
        for _ in range(_LOOKS):
            try:
                with self._keeping():
                    self._bring(waiting, sent, sizes or {})
            except MissingError as exc:
                if not self._again or exc.name in self._missed:
                    raise
                self._pack_is_missing(exc.name)
            except TransientError:
                raise
            except UnavailableError:
                if not self._again or not self._packs_are_cut():
                    raise
            else:
                false, self._blocks.false = self._blocks.false, set()
                if not false or not self._again:
                    break
                self._remote.disbelieve(false)  # another pack may have it, too
            finally:
                self.result.received_bytes = self._blocks.received
        else:
            raise UnavailableError(
                f"{self._remote.transport.url} lists something else whenever it is asked",
                hint="fetch again: what arrived stays",
            )
        self.result.wrong += [(one.digest, self._reasons[one.digest]) for one in waiting]
        self._commit()

    @contextlib.contextmanager
    def _keeping(self) -> Iterator[None]:
        """Keeps what has come when the remote is lost."""
        try:
            yield
        except UnavailableError:
            self._commit()
            raise

    def _commit(self) -> None:
        self._writer.commit()
        self._uncommitted = 0
        self._committed = time.monotonic()

    def _pack_is_missing(self, name: str) -> None:
        """A collection may have taken a pack away: what was live in it lies in another one now."""
        self._missed.add(name)
        pack = name.removeprefix("packs/").removesuffix(".car")
        self._remote.look_again()
        if self._remote.has_index(pack):
            self._remote.set_vanished(pack)  # its index says what is not so
            # Where one is lost others may be, and each look takes its time.
            self._remote.look_again(listed=self._remote.with_packs(self._remote.glance()))

    def _packs_are_cut(self) -> bool:
        """Whether packs end earlier than it was known; what lies beyond is not counted on then."""
        try:
            sizes = self._remote.pack_sizes()
            cut = {
                (pack, one)
                for pack, entries in self._remote.indexes()
                for one in entries
                if pack in sizes and is_cut_off(one, sizes[pack])
            }
            if not cut - self._cut:
                return False
            self._remote.disbelieve(cut)
        except UnavailableError:
            return False  # what was wrong first is what is told
        self._cut |= cut
        for pack, one in cut:
            self._reasons.setdefault(one.digest, f"the pack {pack} is cut short")
        return True

    def _bring(
        self, waiting: dict[Wanted, None], sent: Sent | None, sizes: Mapping[bytes, int]
    ) -> None:
        """Brings what is waited for, and crosses it out; what is wrong stays."""
        places: list[tuple[Wanted, Place]] = []
        for one in list(waiting):
            place = self._remote.place(one.digest)
            if place is not None:
                places.append((one, place))
            elif not self._is_lost(one.digest):
                self.result.absent.append(one.digest)
                del waiting[one]
        small = [item for item in places if item[1].kind not in {"B", "M"}]
        large = [item for item in places if item[1].kind in {"B", "M"}]
        for one, data in self._blocks.blocks(small):
            try:
                self._take(one, data)
            except VerificationError as exc:
                self._is_wrong(one.digest, self._remote.place(one.digest), exc)
            else:
                del waiting[one]
                self._tell(sent, len(data))
        for one, place in large:
            before = self._blocks.blamed
            try:
                self._assemble(one, place, sizes.get(one.digest), sent)
            except VerificationError as exc:
                was_part = self._blocks.blamed > before
                self._is_wrong(one.digest, None if was_part else place, exc)
            else:
                del waiting[one]
                self._tell(sent, 0)

    def _is_lost(self, digest: bytes) -> bool:
        """Whether the remote had it, or may have it where nobody can tell."""
        reason = next(iter(self._remote.damaged.values()), None)
        if reason is not None:
            self._reasons.setdefault(digest, reason)
        return digest in self._reasons

    def _is_wrong(self, digest: bytes, place: Place | None, exc: VerificationError) -> None:
        self._reasons.setdefault(digest, str(exc))
        if place is not None:
            self._blocks.blame(digest, place)

    def _tell(self, sent: Sent | None, size: int) -> None:
        self._uncommitted += size
        late = time.monotonic() - self._committed >= _COMMIT_SECONDS
        if late or self._uncommitted >= _COMMIT_BYTES:
            self._commit()
        if sent is not None:
            sent(1, size)

    def _take(self, one: Wanted, data: bytes) -> None:
        """Checks a block and keeps it."""
        if one.is_manifest:
            if Manifest.parse(data).root.raw != one.digest:
                raise VerificationError("its entries do not give its root")
            self._writer.add_manifest(one.digest, data)
        else:
            if blake3(data).digest() != one.digest:
                raise VerificationError("its bytes have another digest")
            self._writer.add_known(one.digest, data)
        self.result.objects += 1

    def _assemble(self, one: Wanted, place: Place, expected: int | None, sent: Sent | None) -> None:
        """Puts a large blob together from its chunks, each checked, and the whole once more."""
        chunks = self._blocks.recipe(one, place, expected)
        size = sum(length for _, length in chunks)
        try:
            with partial_file(self._folder, one.digest) as file:
                try:
                    self._keep(one, file, self._pour(file, chunks, sent))
                except VerificationError:
                    discard(file)
                    raise
        except OSError as exc:
            raise fault(exc, "write", self._folder) from exc
        self.result.objects += 1
        self._uncommitted += size
        if self._uncommitted >= _LARGE_COMMIT_BYTES:
            self._commit()

    def _pour(self, file: BinaryIO, chunks: Sequence[Chunk], sent: Sent | None) -> bytes:
        """Fills a file with chunks, going on where it ends, and returns the digest of all of it."""
        whole = blake3()
        here = 0
        for data in kept_chunks(file, chunks):
            whole.update(data)
            here += 1
            _tell_bytes(sent, data)
        stream = StreamWriter(file.fileno(), self._buffers)
        try:
            for data in self._blocks.chunks(chunks[here:]):
                whole.update(data)
                stream.write(data)
                _tell_bytes(sent, data)
            stream.end()
        except UnavailableError:
            with contextlib.suppress(OSError):
                stream.end()  # what came is kept
            raise
        finally:
            stream.stop()
        return whole.digest()

    def _keep(self, one: Wanted, file: BinaryIO, digest: bytes) -> None:
        if one.is_manifest:
            file.seek(0)
            data = file.read()
            if Manifest.parse(data).root.raw != one.digest:
                raise VerificationError("its entries do not give its root")
            self._writer.add_manifest(one.digest, data)
            discard(file)
            return
        if digest != one.digest:
            raise VerificationError("its chunks together have another digest")
        # On the disk before it leaves the name under which the next fetch would go on with it.
        os.fsync(file.fileno())
        self._writer.add_known_file(one.digest, file.name)


def _tell_bytes(sent: Sent | None, data: bytes) -> None:
    if sent is not None:
        sent(0, len(data))


def refusal(fetched: Fetched, url: str, paths: Mapping[bytes, str]) -> VerificationError | None:
    """Returns what is to be said of what a remote had wrongly, None where there is nothing.

    Args:
        fetched: what came.
        url: the remote.
        paths: where some of it lies in artifacts.
    """
    if not fetched.wrong:
        return None
    digest, reason = fetched.wrong[0]
    place = f"{paths[digest]}, " if digest in paths else ""
    others = [paths.get(one, str(Digest(one))) for one, _ in fetched.wrong[1:]]
    more = f"; nor {', '.join(others[:_NAMED])}" if others else ""
    if len(others) > _NAMED:
        more += f" and {len(others) - _NAMED:,} more"
    return VerificationError(
        f"{url} does not have what it says: {place}{Digest(digest)}: {reason}{more}",
        hint="nothing of it entered the store; in a clone that has it: "
        "gitprov fsck --remote --repair",
    )
