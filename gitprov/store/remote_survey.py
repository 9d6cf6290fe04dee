"""Reading packs for upkeep: each block checked against its CID and its index, recipes followed."""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from blake3 import blake3

from gitprov.core import cid
from gitprov.core.digest import Digest
from gitprov.errors import MalformedError, VerificationError
from gitprov.model.manifest import Manifest
from gitprov.model.remote_index import Entry, Recipe, parse_recipe, recipe_chain
from gitprov.store.remote import Remote
from gitprov.store.remote_pack import pack_name
from gitprov.store.transport import Range, Transport, gaps_joined

BATCH_BYTES = 4 << 20
"""About so much is read at a time."""

_GAP_BYTES = 64 << 10
_AHEAD = 2
_ROW = struct.Struct(">32sI")

Batch = tuple[str, list[Entry]]
"""A pack's id, and some of what lies in it."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block that was read.

    Attributes:
        entry: what the index says of it.
        data: its bytes.
        wrong: what is wrong with it; "" when it is what the index says.
    """

    entry: Entry
    data: bytes
    wrong: str


@dataclass(frozen=True, slots=True)
class FoundRecipe:
    """A recipe as one pack has it.

    Attributes:
        pack: the pack.
        entry: its entry there.
        parts: digests of its earlier blocks.
        rows: digest and size of each chunk, 36 bytes each: there may be millions.
        wrong: why it cannot be used; "" when it can.
    """

    pack: str
    entry: Entry
    parts: tuple[bytes, ...] = ()
    rows: bytes = b""
    wrong: str = ""

    def chunks(self) -> Iterator[tuple[bytes, int]]:
        """Yields digest and size of each chunk."""
        return _ROW.iter_unpack(self.rows)


def batches(
    pack: str, entries: Iterable[Entry], size: int, *, most: int = BATCH_BYTES
) -> Iterator[Batch]:
    """Cuts what is to be read of a pack into parts of a few MiB, in the order of the bytes.

    Args:
        pack: its id.
        entries: what is to be read.
        size: the pack's size as it was listed; what ends later is left out.
        most: a part ends with the block that reaches so many bytes.
    """
    batch: list[Entry] = []
    total = 0
    for entry in sorted(entries, key=lambda one: one.offset):
        if is_cut_off(entry, size):
            continue
        batch.append(entry)
        total += entry.size
        if total >= most:
            yield pack, batch
            batch, total = [], 0
    if batch:
        yield pack, batch


def is_cut_off(entry: Entry, size: int) -> bool:
    """Whether a pack of this size cannot hold a block; its CID stands before it."""
    return entry.offset < cid.CID_BYTES or entry.offset + entry.size > size


def read(
    transport: Transport, pool: ThreadPoolExecutor, jobs: int, work: Iterable[Batch]
) -> Iterator[tuple[str, list[Block]]]:
    """Yields what was read, batch by batch, while the next ones are under way.

    Raises:
        UnavailableError: a pack cannot be read.
    """
    waiting: list[tuple[str, Future[list[Block]]]] = []
    rest = iter(work)
    try:
        while True:
            while len(waiting) < jobs * _AHEAD and (batch := next(rest, None)):
                waiting.append((batch[0], pool.submit(_read_batch, transport, *batch)))
            if not waiting:
                return
            pack, future = waiting.pop(0)
            yield pack, future.result()
    finally:
        for _, future in waiting:
            future.cancel()


def _read_batch(transport: Transport, pack: str, batch: Sequence[Entry]) -> list[Block]:
    wanted = [(one.offset - cid.CID_BYTES, one.size + cid.CID_BYTES) for one in batch]
    spans = gaps_joined(wanted, _GAP_BYTES)
    got = transport.get_ranges(pack_name(pack), spans)
    parts = [(span, memoryview(data)) for span, data in zip(spans, got, strict=True)]
    found: list[Block] = []
    at = 0
    for one, (start, length) in zip(batch, wanted, strict=True):
        while not _covers(parts[at][0], start, length):
            at += 1
        (first, _), view = parts[at]
        section = view[start - first : start - first + length]
        found.append(judged(one, bytes(section[: cid.CID_BYTES]), bytes(section[cid.CID_BYTES :])))
    return found


def _covers(span: Range, start: int, length: int) -> bool:
    return span[0] <= start and start + length <= span[0] + span[1]


def judged(entry: Entry, name: bytes, data: bytes) -> Block:
    """Compares a block with what stands before it in the pack, and with what the index says."""
    digest = blake3(data).digest()
    if name != cid.PREFIXES["raw"] + digest:
        return Block(entry, data, "its bytes have another digest")
    try:
        if entry.kind in {"b", "c"} and digest != entry.digest:
            raise MalformedError("the index names it wrongly")
        if entry.kind == "m" and Manifest.parse(data).root.raw != entry.digest:
            raise MalformedError("its entries do not give its root")
        if (
            entry.kind in {"B", "M"}
            and parse_recipe(data, what="its recipe").digest != entry.digest
        ):
            raise MalformedError("its recipe is of something else")
    except VerificationError as exc:
        return Block(entry, data, str(exc))
    return Block(entry, data, "")


def read_recipes(
    remote: Remote,
    pool: ThreadPoolExecutor,
    jobs: int,
    work: Iterable[Batch],
    sizes: Mapping[str, int],
) -> Iterator[FoundRecipe]:
    """Yields the recipes among what is read, those that span several blocks put together.

    Args:
        remote: the remote.
        pool: what reads.
        jobs: how many batches at once.
        work: the batches.
        sizes: of all packs that are there.
    """
    for pack, blocks in read(remote.transport, pool, jobs, work):
        for block in blocks:
            if block.wrong:
                yield FoundRecipe(pack, block.entry, wrong=block.wrong)
                continue
            try:
                yield _followed(remote, pack, block, sizes)
            except VerificationError as exc:
                yield FoundRecipe(pack, block.entry, wrong=str(exc))


def _followed(remote: Remote, pack: str, block: Block, sizes: Mapping[str, int]) -> FoundRecipe:
    def earlier(digest: bytes) -> bytes:
        place = remote.chunk(digest)
        if place is None or place.offset + place.size > sizes.get(place.pack, 0):
            raise VerificationError("a part of its recipe is missing")
        parts.append(digest)
        return remote.transport.get_range(pack_name(place.pack), place.offset, place.size)

    parts: list[bytes] = []
    last = parse_recipe(block.data, what=f"the recipe of {Digest(block.entry.digest)}")
    rows = [_rows(recipe) for recipe in recipe_chain(last, earlier)]
    found = FoundRecipe(pack, block.entry, tuple(parts), b"".join(reversed(rows)))
    if sum(size for _, size in found.chunks()) != last.size:
        raise VerificationError("its recipe has another size than its chunks")
    return found


def _rows(recipe: Recipe) -> bytes:
    return b"".join(_ROW.pack(digest, size) for digest, size in recipe.chunks)
