"""Looks over a whole store and says what is damaged; makes a lost index again."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from gitprov.core.digest import Digest
from gitprov.errors import EnvironmentFault, GitprovError
from gitprov.platform.files import fault, fsync_dir
from gitprov.platform.locks import Waiting, file_lock
from gitprov.store.base import Progress
from gitprov.store.bigfile import hash_file
from gitprov.store.index import Index, Place
from gitprov.store.layout import Layout
from gitprov.store.packs import (
    RECORD_HEADER,
    Damage,
    DamagedRecordError,
    PackFile,
    Record,
    Row,
)
from gitprov.store.reading import Reader
from gitprov.store.sessions import Session, clear_dead

_BATCH = 10_000


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a store.

    Attributes:
        detail: a sentence that names the blob or the file.
        digest: the blob that is concerned, when it is known.
        path: the file that is concerned.
        is_lost_pack: whether that is a pack that is not there; each blob is a problem, too.
    """

    detail: str
    digest: bytes | None
    path: str
    is_lost_pack: bool = False


@dataclass(slots=True)
class Rebuilt:
    """What was found when the index was made again."""

    blobs: int = 0
    packs: int = 0
    problems: list[Problem] = field(default_factory=list)


class Checker:
    """One look over a store. Nothing is changed, unless damaged blobs are to be set aside."""

    def __init__(
        self,
        layout: Layout,
        reader: Reader,
        *,
        progress: Progress | None,
        quarantine: bool,
        chosen: Callable[[], bool] | None,
    ) -> None:
        """Looks at everything, or at the blobs for which `chosen` says so."""
        self._layout, self._reader = layout, reader
        self._progress = progress or (lambda _: None)
        self._quarantine, self._chosen = quarantine, chosen

    def run(self, waiting: Waiting | None) -> Iterator[Problem]:
        """Yields the problems; holds the shared lock meanwhile, so that nothing is collected."""
        if not os.path.isdir(self._layout.root):
            return
        with file_lock(self._layout.use_lock, shared=True, waiting=waiting):
            index = self._reader.existing_index()
            if index is not None:
                yield from self._packs(index)
            yield from self._objects()

    # ------------------------------------------------------------ packs

    def _packs(self, index: Index) -> Iterator[Problem]:
        yield from (
            Problem(f"the index is damaged: {detail}", None, self._layout.index)
            for detail in index.check()
        )
        counts: dict[str, int] = dict.fromkeys(index.packs().values(), 0)
        for digest, place in index.rows():
            if place[0] in counts:  # a writer may just have added a pack
                counts[place[0]] += 1
            if self._chosen is not None and self._chosen():
                yield from self._one(digest, place)
        suspects: set[str] = set()
        gone: set[str] = set()
        for name, count in sorted(counts.items()):
            path = self._layout.pack(name)
            if _is_gone(path):
                gone.add(name)
                said = f"the pack {path} is not there; it held {count:,} blobs"
                yield Problem(said, None, path, is_lost_pack=True)
            elif self._chosen is None:
                yield from self._pack(index, name, count, suspects)
        for digest, place in index.rows() if suspects else ():
            if place[0] in suspects:
                yield from self._one(digest, place)
        if gone:
            yield from self._lost(index, gone)

    def _lost(self, index: Index, packs: set[str]) -> Iterator[Problem]:
        for digest, place in index.rows():
            if place[0] in packs:
                path = self._layout.pack(place[0])
                yield Problem(f"{Digest(digest)} is lost with the pack {path}", digest, path)
        if self._quarantine:
            # As long as the index says that they are here, nobody can add them again.
            index.remove_lost(packs)

    def _pack(self, index: Index, name: str, count: int, suspects: set[str]) -> Iterator[Problem]:
        """Reads one pack from its start; it is a suspect when some of its blobs are not met."""
        path = self._layout.pack(name)
        damages: list[Damage] = []
        met = 0
        for batch in self._batches(PackFile(path), damages):
            places = index.lookup(record[0] for record in batch)
            met += sum(
                good and places.get(digest) == (name, offset, size, kind)
                for digest, offset, size, kind, good in batch
            )
        if met < count:
            suspects.add(name)
        for offset, reason in damages:
            if met < count or offset == 0:
                yield Problem(f"the pack {path} is damaged at byte {offset}: {reason}", None, path)

    def _batches(
        self, pack: PackFile, damages: list[Damage]
    ) -> Iterator[list[tuple[bytes, int, int, int, bool]]]:
        batch: list[tuple[bytes, int, int, int, bool]] = []
        for item in pack.scan():
            if isinstance(item, Damage):
                damages.append(item)
                continue
            size = len(item.data)
            self._progress(size)
            batch.append((item.digest, item.offset, size, item.kind, item.good))
            if len(batch) == _BATCH:
                yield batch
                batch = []
        yield batch

    def _one(self, digest: bytes, place: Place) -> Iterator[Problem]:
        name, offset, size, kind = place
        path = self._layout.pack(name)
        if self._quarantine and os.path.exists(path):
            try:
                self._reader.read(digest)
            except GitprovError as exc:
                yield Problem(str(exc), digest, path)
        else:
            try:
                self._reader.pack(name).read(digest, offset, size, kind)
            except DamagedRecordError:
                yield Problem(f"{Digest(digest)} is damaged in {path}", digest, path)
            except FileNotFoundError:
                yield Problem(f"{Digest(digest)} is lost with the pack {path}", digest, path)
        if self._chosen is not None:
            self._progress(size)

    # ------------------------------------------------------------ objects

    def _objects(self) -> Iterator[Problem]:
        for digest in self._reader.objects.digests():
            if self._chosen is not None and not self._chosen():
                continue
            path = self._layout.object(digest)
            try:
                if self._quarantine:
                    self._reader.verify_object(digest, self._progress)
                elif not self._intact(digest, path):
                    yield Problem(f"{Digest(digest)} is damaged: {path}", digest, path)
            except GitprovError as exc:
                yield Problem(str(exc), digest, path)
        for path in self._reader.objects.strangers():
            yield Problem(f"{path} does not belong into a store", None, path)

    def _intact(self, digest: bytes, path: str) -> bool:
        fd = self._reader.objects.open(digest)
        try:
            return hash_file(fd, path, self._progress)[0] == digest
        finally:
            os.close(fd)


# ---------------------------------------------------------------- making the index again


def rebuild_index(
    layout: Layout, reader: Reader, *, progress: Progress | None, waiting: Waiting | None
) -> Rebuilt:
    """See `LocalStore.rebuild_index`."""
    rebuilt = Rebuilt()
    layout.create()
    with file_lock(layout.use_lock, waiting=waiting):
        reader.close()
        try:
            clear_dead(layout)
            packs = _all_packs(layout, rebuilt, progress or (lambda _: None))
            if (index := _usable(layout.index)) is not None:
                # Others may have it open, and SQLite does not bear a swap of the file under it.
                with contextlib.closing(index):
                    index.replace(packs)
            else:
                _replace_file(layout, packs)
        except OSError as exc:
            raise fault(exc, "write", layout.index) from exc
    return rebuilt


def _usable(path: str) -> Index | None:
    if not os.path.exists(path):
        return None
    try:
        index = Index(path)
    except EnvironmentFault:
        return None
    try:
        if not index.check():
            return index
    except EnvironmentFault:
        pass
    index.close()
    return None


def _replace_file(layout: Layout, packs: Iterable[tuple[str, list[Row]]]) -> None:
    session = Session(layout)
    try:
        path = session.new_path()
        with contextlib.closing(Index(path)) as index:
            index.replace(packs)
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(layout.index + suffix)
        os.rename(path, layout.index)
        fsync_dir(layout.root)
    finally:
        session.close()


def _all_packs(
    layout: Layout, rebuilt: Rebuilt, progress: Progress
) -> Iterator[tuple[str, list[Row]]]:
    seen: set[bytes] = set()
    for name in layout.pack_names():
        path = layout.pack(name)
        rows: list[Row] = []
        pack = PackFile(path)
        for item in pack.scan():
            if isinstance(item, Record) and item.good:
                rows.append((item.digest, item.offset, len(item.data), item.kind))
                progress(RECORD_HEADER + len(item.data))
            else:
                rebuilt.problems.append(_problem(item, path))
        pack.close()
        seen.update(row[0] for row in rows)
        rebuilt.packs += 1
        rebuilt.blobs = len(seen)
        yield name, rows


def _problem(item: Record | Damage, path: str) -> Problem:
    if isinstance(item, Damage):
        return Problem(f"{path} is damaged at byte {item.offset}: {item.reason}", None, path)
    return Problem(f"{Digest(item.digest)} is damaged in {path}", item.digest, path)


def _is_gone(path: str) -> bool:
    """Whether there is no such file; one that only cannot be looked at is another problem."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return os.path.isdir(os.path.dirname(path))
    except OSError:
        return False
    return False
