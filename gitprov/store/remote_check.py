"""Checks a remote: every index and recipe, and the bytes of all packs or of a sample of them."""

import io
import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from blake3 import blake3

from gitprov.core import car, cid
from gitprov.core.digest import Digest
from gitprov.errors import MalformedError
from gitprov.model.remote_index import MAX_INDEX_BYTES, Entry, parse_index
from gitprov.model.remote_notice import MAX_NOTICE_BYTES, Notice
from gitprov.store.remote import MAX_ALL_NOTICE_BYTES, MAX_NOTICES, Claim, Remote, bounded_ids
from gitprov.store.remote_pack import index_name, pack_name
from gitprov.store.remote_survey import (
    Batch,
    batches,
    is_cut_off,
    judged,
    read,
    read_recipes,
)
from gitprov.store.transport import MissingError

WHOLE_PACK_BYTES = 64 << 20
"""A pack of at most this size is held in memory while it is checked; larger ones go in parts."""

_AT_ONCE = 64
_RUN_BYTES = 1 << 20
"""A sample is taken in runs of about so much."""


@dataclass(frozen=True, slots=True)
class RemoteProblem:
    """One thing that is wrong.

    Attributes:
        kind: `index`, `pack`, `block`, `recipe` or `notice`.
        detail: one sentence.
        digest: the blob, manifest or chunk that is concerned, when it is known.
    """

    kind: str
    detail: str
    digest: bytes | None = None


@dataclass
class Inspection:
    """What a check found.

    Attributes:
        problems: everything that is wrong.
        unindexed: packs whose index is damaged.
        bad_packs: packs that are missing, cut short, or not what they are called.
        false: what indexes say, and is not so.
        bad_notices: names of notices that are damaged.
        rests: packs without an index: a push has died.
        packs: how many packs there are with an index.
        blocks: how many blocks were read.
        size: their bytes.
    """

    problems: list[RemoteProblem] = field(default_factory=list)
    unindexed: set[str] = field(default_factory=set)
    bad_packs: set[str] = field(default_factory=set)
    false: set[Claim] = field(default_factory=set)
    bad_notices: list[str] = field(default_factory=list)
    rests: list[str] = field(default_factory=list)
    packs: int = 0
    blocks: int = 0
    size: int = 0

    def says(self, kind: str, detail: str, digest: bytes | None = None) -> None:
        """Adds a problem."""
        self.problems.append(RemoteProblem(kind, detail, digest))


class Inspector:
    """One look over a remote; nothing is changed. The remote is identified, not yet looked at."""

    def __init__(
        self,
        remote: Remote,
        pool: ThreadPoolExecutor,
        jobs: int,
        progress: Callable[[int], None],
    ) -> None:
        """Takes the remote, what reads, and who is told of bytes."""
        self._remote, self._pool, self._jobs = remote, pool, jobs
        self._progress = progress
        self._found = Inspection()
        self._sizes: dict[str, int] = {}

    def indexes(self) -> int:
        """Reads every index and notice; returns the bytes of the packs that there are."""
        self._notices()
        listed = [*self._remote.list_indexes().items()]
        for start in range(0, len(listed), _AT_ONCE):
            some = listed[start : start + _AT_ONCE]
            for (name, _), data in zip(some, self._pool.map(self._index, some), strict=True):
                if data is None:
                    continue  # collected meanwhile
                try:
                    if isinstance(data, MalformedError):
                        raise data
                    parse_index(data, what=f"the index of {name}")
                except MalformedError as exc:
                    self._found.says("index", str(exc))
                    self._found.unindexed.add(name)
                    self._remote.set_vanished(name)
                else:
                    self._remote.keep_index(name, data)
        self._sizes = self._remote.pack_sizes()
        self._remote.look_again()
        known = {name for name, _ in listed}
        self._found.rests = sorted(name for name in self._sizes if name not in known)
        self._found.packs = len(listed)
        return sum(self._sizes.get(name, 0) for name in known)

    def run(self, sample: float | None, seed: int) -> Inspection:
        """Reads all packs, or a share of their blocks, and follows every recipe."""
        self._lengths()
        if sample is None:
            self._all()
        else:
            self._some(sample, random.Random(seed))  # noqa: S311  # a sample, no secret
        self._recipes()
        return self._found

    def _index(self, one: tuple[str, int]) -> bytes | MalformedError | None:
        """Reads an index; one that is larger than any may be is as good as damaged."""
        try:
            limit = min(one[1], MAX_INDEX_BYTES)
            return self._remote.transport.get(index_name(one[0]), limit=limit)
        except MissingError:
            return None
        except MalformedError as exc:
            return exc

    def _notices(self) -> None:
        transport = self._remote.transport
        listed = bounded_ids(transport.list("gc"), MAX_NOTICES, MAX_ALL_NOTICE_BYTES, transport.url)
        for name in (f"gc/{one}" for one in sorted(listed)):
            try:
                notice = Notice.parse(transport.get(name, limit=MAX_NOTICE_BYTES), what=name)
                if notice.name != name:
                    raise MalformedError(f"{name} is not what it is called")
            except MissingError:
                continue
            except MalformedError as exc:
                self._found.says("notice", f"a notice is damaged: {exc}")
                self._found.bad_notices.append(name)

    def _lengths(self) -> None:
        """What is missing or too short needs no reading."""
        for pack, entries in self._remote.indexes():
            size = self._sizes.get(pack)
            if size is None:
                self._found.says(
                    "pack", f"the pack {pack} is missing; {len(entries):,} things were in it"
                )
                self._found.bad_packs.add(pack)
                self._found.false.update((pack, one) for one in entries)
                continue
            cut = [(pack, one) for one in entries if is_cut_off(one, size)]
            if cut:
                self._found.says(
                    "pack",
                    f"the pack {pack} is cut short at byte {size:,}; {len(cut):,} things are lost",
                )
                self._found.bad_packs.add(pack)
                self._found.false.update(cut)

    def _all(self) -> None:
        small: list[tuple[str, list[Entry]]] = []
        for pack, entries in self._remote.indexes():
            if pack in self._found.bad_packs or self._sizes[pack] > WHOLE_PACK_BYTES:
                self._blocks(batches(pack, entries, self._sizes.get(pack, 0)))
                continue
            small.append((pack, entries))
            if len(small) == self._jobs:
                self._whole_packs(small)
                small = []
        self._whole_packs(small)

    def _whole_packs(self, some: list[tuple[str, list[Entry]]]) -> None:
        for (pack, entries), (reason, bad) in zip(
            some, self._pool.map(self._whole_pack, some), strict=True
        ):
            for entry, reason in bad:
                self._is_wrong(pack, entry, reason)
            if reason:
                self._found.bad_packs.add(pack)
                if not bad:
                    self._found.says("pack", f"the pack {pack} {reason}; all in it is intact")
            self._found.blocks += len(entries)
            self._found.size += self._sizes[pack]
            self._progress(self._sizes[pack])

    def _whole_pack(self, one: tuple[str, list[Entry]]) -> tuple[str, list[tuple[Entry, str]]]:
        """What is wrong with a pack, "" for nothing, and which of its entries are."""
        pack, entries = one
        data = self._remote.transport.get_range(pack_name(pack), 0, self._sizes[pack])
        view = memoryview(data)
        bad: list[tuple[Entry, str]] = []
        for entry in entries:
            begin, end = entry.offset - cid.CID_BYTES, entry.offset + entry.size
            block = judged(
                entry, bytes(view[begin : entry.offset]), bytes(view[entry.offset : end])
            )
            if block.wrong:
                bad.append((entry, block.wrong))
        if blake3(data).hexdigest() != pack:
            return "is not what it is called", bad
        try:
            car.check_one_pin(io.BytesIO(data))
        except MalformedError as exc:
            return f"is not kept whole by IPFS ({exc})", bad
        return "", bad

    def _some(self, share: float, chance: random.Random) -> None:
        """Reads a share of the bytes, in runs, and at least one; all of a pack that is damaged."""
        spare: list[Batch] = []
        before = self._found.blocks

        def chosen() -> Iterator[Batch]:
            for pack, entries in self._remote.indexes():
                for batch in batches(pack, entries, self._sizes.get(pack, 0), most=_RUN_BYTES):
                    spare[:] = spare or [batch]
                    if chance.random() < share:
                        yield batch

        self._blocks(chosen())
        if self._found.blocks == before:
            self._blocks(spare)
        bad = set(self._found.bad_packs)
        for pack, entries in self._remote.indexes() if bad else ():
            if pack in bad:
                self._blocks(batches(pack, entries, self._sizes.get(pack, 0)))

    def _blocks(self, work: Iterable[Batch]) -> None:
        for pack, blocks in read(self._remote.transport, self._pool, self._jobs, work):
            for block in blocks:
                self._found.blocks += 1
                self._found.size += block.entry.size
                self._progress(block.entry.size)
                if block.wrong:
                    self._is_wrong(pack, block.entry, block.wrong)

    def _is_wrong(self, pack: str, entry: Entry, reason: str) -> None:
        if (pack, entry) not in self._found.false:
            shown = Digest(entry.digest)
            self._found.says(
                "block", f"{shown} is damaged in the pack {pack}: {reason}", entry.digest
            )
            self._found.false.add((pack, entry))
            self._found.bad_packs.add(pack)

    def _recipes(self) -> None:
        """Every recipe is followed; its chunks must be somewhere, in a copy that is not wrong."""
        lost = self._lost_chunks()
        work = (
            batch
            for pack, entries in self._remote.indexes()
            for batch in batches(
                pack, [one for one in entries if one.kind in {"B", "M"}], self._sizes.get(pack, 0)
            )
        )
        for recipe in read_recipes(self._remote, self._pool, self._jobs, work, self._sizes):
            if (recipe.pack, recipe.entry) in self._found.false:
                continue
            reason = recipe.wrong
            for digest, size in () if reason else recipe.chunks():
                place = self._remote.chunk(digest)
                if place is None or digest in lost or place.size != size:
                    reason = f"its chunk {Digest(digest)} is missing or damaged"
                    break
            if reason:
                shown = Digest(recipe.entry.digest)
                self._found.says(
                    "recipe", f"{shown} cannot be put together: {reason}", recipe.entry.digest
                )
                self._found.false.add((recipe.pack, recipe.entry))

    def _lost_chunks(self) -> set[bytes]:
        """Chunks that are wrong or missing in every pack that is said to have them."""
        suspects = {one.digest for _, one in self._found.false if one.kind in {"b", "c"}}
        if suspects:
            for pack, entries in self._remote.indexes():
                for one in entries:
                    is_suspect = one.kind in {"b", "c"} and one.digest in suspects
                    if is_suspect and (pack, one) not in self._found.false:
                        suspects.discard(one.digest)
        return suspects
