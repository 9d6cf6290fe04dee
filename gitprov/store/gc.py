"""Collects blobs that nothing needs, and keeps the packs few and full.

Everything here runs under the exclusive lock, so no writer relies on what goes; readers go on, and
look again when a pack has moved under them. The order makes each step safe to be the last one: new
packs are synced before the index points at them, and old ones go when nothing points there.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from gitprov.platform.files import fault, fsync_dir
from gitprov.platform.locks import Waiting, file_lock
from gitprov.store.index import Index, Place
from gitprov.store.layout import Layout
from gitprov.store.packs import (
    MAGIC,
    RECORD_HEADER,
    DamagedRecordError,
    PackFile,
    PackWriter,
    Record,
    Row,
)
from gitprov.store.reading import Reader
from gitprov.store.sessions import Session, clear_dead

_SMALL_PACK = 4 << 20
"""Packs below this size are joined."""

_GROUP_BYTES = 256 << 20
"""About so many bytes are rewritten into one new pack at a time."""

_ADOPT_BATCH = 10_000


@dataclass(slots=True)
class Collected:
    """What a collection did, or would do.

    Attributes:
        removed: blobs that nothing needs.
        removed_bytes: their bytes; those in a pack that stays come free when it is rewritten.
        kept: blobs that stay.
        kept_bytes: their bytes.
        packs_rewritten: packs that were joined or cleared of dead blobs.
        damaged: blobs that were met damaged, and set aside.
    """

    removed: int = 0
    removed_bytes: int = 0
    kept: int = 0
    kept_bytes: int = 0
    packs_rewritten: int = 0
    damaged: list[bytes] = field(default_factory=list)


def collect(
    layout: Layout,
    reader: Reader,
    live: Callable[[], set[bytes]],
    *,
    dry_run: bool,
    waiting: Waiting | None,
) -> Collected:
    """See `LocalStore.collect`."""
    if not os.path.isdir(layout.root):
        return Collected()
    if dry_run:
        with file_lock(layout.use_lock, shared=True, waiting=waiting):
            return _Collection(layout, reader, live(), waiting).look()
    layout.create()
    with file_lock(layout.use_lock, waiting=waiting):
        try:
            clear_dead(layout)
            # Before `live`: it reads manifests, and they may be in a pack that has no rows yet.
            adopt_packs(layout, reader.index())
            collection = _Collection(layout, reader, live(), waiting)
            collection.look()
            return collection.act()
        except OSError as exc:
            raise fault(exc, "write", layout.root) from exc


def adopt_packs(layout: Layout, index: Index) -> None:
    """Takes in packs whose writer was killed before it could commit their rows."""
    known = set(index.packs().values())
    for name in layout.pack_names():
        if name in known:
            continue
        pack = PackFile(layout.pack(name))
        rows = [row for batch in _batches(pack) for row in _not_in(index, batch)]
        pack.close()
        if rows:
            index.add_pack(name, rows)
        else:
            os.unlink(layout.pack(name))


def _batches(pack: PackFile) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for item in pack.scan():
        if isinstance(item, Record) and item.good:
            batch.append((item.digest, item.offset, len(item.data), item.kind))
            if len(batch) == _ADOPT_BATCH:
                yield batch
                batch = []
    yield batch


def _not_in(index: Index, rows: list[Row]) -> list[Row]:
    known = index.present(row[0] for row in rows)
    return [row for row in rows if row[0] not in known]


class _Collection:
    """One run: first it looks, then it acts on what it saw."""

    def __init__(
        self, layout: Layout, reader: Reader, live: set[bytes], waiting: Waiting | None
    ) -> None:
        self._layout, self._reader, self._live, self._waiting = layout, reader, live, waiting
        self._done = Collected()
        self._dead: list[bytes] = []
        self._dead_objects: list[bytes] = []
        self._live_bytes: dict[str, int] = {}

    def look(self) -> Collected:
        index = self._reader.existing_index()
        if index is not None:
            self._live_bytes = dict.fromkeys(index.packs().values(), 0)
            for digest, (name, _, size, _) in index.rows():
                if self._count(digest, size):
                    # In a dry run a writer may add packs meanwhile.
                    live = self._live_bytes.get(name, 0)
                    self._live_bytes[name] = live + RECORD_HEADER + size
                else:
                    self._dead.append(digest)
        for digest in self._reader.objects.digests():
            status = self._reader.objects.status(digest)
            if status is not None and not self._count(digest, status.st_size):
                self._dead_objects.append(digest)
        return self._done

    def _count(self, digest: bytes, size: int) -> bool:
        keep = digest in self._live
        if keep:
            self._done.kept += 1
            self._done.kept_bytes += size
        else:
            self._done.removed += 1
            self._done.removed_bytes += size
        return keep

    def act(self) -> Collected:
        empty = [name for name, count in self._live_bytes.items() if not count]
        if self._dead or empty:
            with self._publishing():
                self._reader.index().remove(self._dead, empty)
        self._unlink(empty)
        for group in self._groups():
            self._rewrite(group)
        for digest in self._dead_objects:
            self._reader.objects.remove(digest)
        return self._done

    @contextlib.contextmanager
    def _publishing(self) -> Iterator[None]:
        with file_lock(self._layout.publish_lock, waiting=self._waiting):
            yield

    def _unlink(self, names: list[str]) -> None:
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._layout.pack(name))

    def _groups(self) -> Iterator[list[str]]:
        """Yields the packs to rewrite, those together that become one."""
        sparse: list[str] = []
        small: list[str] = []
        for name, live in sorted(self._live_bytes.items()):
            try:
                size = os.stat(self._layout.pack(name)).st_size
            except FileNotFoundError:
                continue
            if not live:
                continue
            if live * 2 < size - len(MAGIC):
                sparse.append(name)
            elif size < _SMALL_PACK:
                small.append(name)
        group: list[str] = []
        count = 0
        for name in [*sparse, *(small if len(small) + len(sparse) > 1 else [])]:
            group.append(name)
            count += self._live_bytes[name]
            if count >= _GROUP_BYTES:
                yield group
                group, count = [], 0
        if len(group) > 1 or (group and group[0] in sparse):
            yield group

    def _rewrite(self, names: list[str]) -> None:
        index = self._reader.index()
        wanted = set(names)
        rows = [(place, digest) for digest, place in index.rows() if place[0] in wanted]
        rows.sort()
        session = Session(self._layout)
        try:
            writer = PackWriter(session.new_path())
            try:
                moves, stuck = self._copy(rows, writer)
                writer.finish()
            finally:
                writer.close()
            with self._publishing():
                new = os.urandom(16).hex()
                os.rename(writer.path, self._layout.pack(new))
                fsync_dir(self._layout.packs)
                emptied = [name for name in names if name not in stuck]
                index.switch(new, moves, emptied)
            self._unlink(emptied)
            self._done.packs_rewritten += len(emptied)
        finally:
            session.close()

    def _copy(
        self, rows: list[tuple[Place, bytes]], writer: PackWriter
    ) -> tuple[list[tuple[Place, Row]], set[str]]:
        """Copies records; returns their moves, and packs that must stay for what is stuck there."""
        moves: list[tuple[Place, Row]] = []
        stuck: set[str] = set()
        for place, digest in rows:
            name, offset, size, kind = place
            try:
                data = self._reader.pack(name).read(digest, offset, size, kind)
            except DamagedRecordError:
                self._done.damaged.append(digest)
                self._reader.judged(digest)
                if self._reader.place(digest) == place:
                    stuck.add(name)
                continue
            writer.append(kind, digest, data)
            moves.append((place, writer.rows[-1]))
        return moves, stuck
