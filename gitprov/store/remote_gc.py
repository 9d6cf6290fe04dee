"""Collects what a remote holds and nothing needs: announced first, removed after a grace time.

A remote has no locks, so the order does what a lock would (docs/adr/0012). What is live in a pack
that is to go is copied into a new one first. Then the packs are announced: who pushes from then on
does not count on them, and who is pushing sees it at the end. After the grace time they go, index
first, when a last look at all refs and indexes has found nothing live that lies only there.
"""

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from blake3 import blake3

from gitprov.core.digest import Digest
from gitprov.errors import UnavailableError, VerificationError
from gitprov.model.remote_index import Entry
from gitprov.model.remote_notice import MAX_PACKS, Notice
from gitprov.store.remote import Remote
from gitprov.store.remote_pack import index_name, pack_name
from gitprov.store.remote_send import Packer
from gitprov.store.remote_survey import Batch, FoundRecipe, batches, read, read_recipes

_LOOKS = 5
_DELETED_AT_ONCE = 1000
_REPAIR = "gitprov fsck --remote --repair, then collect again"


@dataclass(frozen=True, slots=True)
class Doomed:
    """A pack that is to go.

    Attributes:
        pack: its id.
        reason: `dead`: nothing in it is needed; `sparse`: less than half is, and is copied;
            `rest`: it has no index, so a push has died; `broken`: it has a recipe whose chunks go.
        size: its bytes.
        announced: when that was announced, in seconds since 1970; None when it was not yet.
    """

    pack: str
    reason: str
    size: int
    announced: int | None


@dataclass(slots=True)
class Collection:
    """What a collection did, or would do.

    Attributes:
        doomed: the packs that are to go, in the order of their names.
        copied: bytes that are live in them and lie nowhere else.
        removed: the packs that went.
        kept: how many packs stay.
        kept_bytes: their bytes.
    """

    doomed: list[Doomed] = field(default_factory=list)
    copied: int = 0
    removed: list[str] = field(default_factory=list)
    kept: int = 0
    kept_bytes: int = 0


def collect(
    remote: Remote,
    live: Callable[[], AbstractSet[bytes]],
    *,
    now: int,
    grace: int,
    act: bool,
    jobs: int,
) -> Collection:
    """Announces what nothing needs, and removes what was announced long enough ago.

    Args:
        remote: connected to for writing.
        live: returns the blobs and manifests to keep; asked again before anything goes.
        now: seconds since 1970.
        grace: seconds between announcement and removal.
        act: False only looks.
        jobs: transfers at once.

    Raises:
        VerificationError: something live is damaged; nothing was removed.
    """
    done = Collection()
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        for _ in range(_LOOKS):
            look = _Look(remote, live(), pool, jobs)
            done.doomed = look.doomed()
            done.kept, done.kept_bytes = look.kept()
            if not act:
                done.copied = look.copied()
                return done
            done.copied += look.rescue()
            new = [one.pack for one in done.doomed if one.announced is None]
            due = {
                pack
                for notice in remote.notices.values()
                if notice.time + grace <= now
                for pack in notice.packs
            }
            if not new:
                _remove(remote, due, done)
                return done
            _announce(remote, new, now)
            if grace and not due:
                return done
            # A push that ended before the announcement counted on what was there, and its commit
            # is in a clone by now: so all is looked at once more before anything goes.
            remote.look_again()
    raise UnavailableError(
        "others write and collect here all the time; nothing was removed",
        hint="gitprov gc --remote again, later",
    )


def _announce(remote: Remote, packs: list[str], now: int) -> None:
    for start in range(0, len(packs), MAX_PACKS):
        notice = Notice.of(now, packs[start : start + MAX_PACKS])
        remote.transport.put(notice.name, notice.to_bytes())


def _remove(remote: Remote, due: set[str], done: Collection) -> None:
    """Removes packs, the index first: what is named can be had, until the last moment."""
    there = {one.pack for one in done.doomed}
    going = sorted(due & there)
    for start in range(0, len(going), _DELETED_AT_ONCE):
        some = going[start : start + _DELETED_AT_ONCE]
        remote.transport.delete([index_name(pack) for pack in some])
        remote.transport.delete([pack_name(pack) for pack in some])
    done.removed = going
    # A notice goes last: a pusher who looks for it now sees that the packs are gone, too.
    over = [name for name, one in remote.notices.items() if set(one.packs) <= due]
    remote.transport.delete(over)


class _Look:
    """What is live in a remote, and which packs are to go, as of one look."""

    def __init__(
        self, remote: Remote, live: AbstractSet[bytes], pool: ThreadPoolExecutor, jobs: int
    ) -> None:
        self._remote, self._live, self._pool, self._jobs = remote, live, pool, jobs
        # What is live may lie where nobody can tell: it would be taken for what is not there.
        wrong = [
            *remote.damaged.values(),
            *(f"the pack {pack} is damaged" for pack, _ in remote.false),
        ]
        if wrong:
            raise VerificationError(f"{wrong[0]}; nothing was removed", hint=_REPAIR)
        self._sizes = remote.pack_sizes()
        self._live_chunks: set[bytes] = set()
        self._dead_recipes: list[FoundRecipe] = []
        self._reasons: dict[str, str] = {}
        self._read_recipes()
        self._choose()
        self._close()

    def doomed(self) -> list[Doomed]:
        """The packs that are to go: announced or not, as far as anything is left of them."""
        times: dict[str, int] = {}
        for notice in self._remote.notices.values():
            for pack in notice.packs:
                times[pack] = min(notice.time, times.get(pack, notice.time))
        return [
            Doomed(pack, reason, self._sizes.get(pack, 0), times.get(pack))
            for pack, reason in sorted(self._reasons.items())
        ]

    def kept(self) -> tuple[int, int]:
        """How many packs stay, and their bytes."""
        staying = [size for pack, size in self._sizes.items() if pack not in self._reasons]
        return len(staying), sum(staying)

    def copied(self) -> int:
        """The bytes that would have to be copied."""
        return sum(entry.size for _, entries in self._endangered() for entry in entries)

    def rescue(self) -> int:
        """Copies what is live and lies only where it is to go; returns its bytes.

        Raises:
            VerificationError: some of it is damaged or missing.
        """
        size = 0
        for recipes in (False, True):  # these name chunks, which have to be there first
            with Packer(self._remote, self._jobs) as packer:
                for pack, blocks in read(
                    self._remote.transport, self._pool, self._jobs, self._work(recipes=recipes)
                ):
                    for block in blocks:
                        if block.wrong:
                            raise _damaged(pack, block.entry, block.wrong)
                        digest = blake3(block.data).digest()
                        packer.add(block.entry.kind, block.entry.digest, block.data, digest)
                        size += len(block.data)
                packer.flush()
        return size

    def _read_recipes(self) -> None:
        """Every recipe is read: those of what is live say which chunks are."""
        work = (
            batch
            for pack, entries in self._remote.indexes()
            for batch in batches(
                pack, [one for one in entries if one.kind in {"B", "M"}], self._sizes.get(pack, 0)
            )
        )
        good: set[bytes] = set()
        wrong: dict[bytes, FoundRecipe] = {}
        for recipe in read_recipes(self._remote, self._pool, self._jobs, work, self._sizes):
            digest = recipe.entry.digest
            if digest not in self._live:
                self._dead_recipes.append(recipe)
            elif recipe.wrong:
                wrong[digest] = recipe
            elif self._is_home(recipe.pack, recipe.entry):
                good.add(digest)
                self._live_chunks.update(recipe.parts)
                self._live_chunks.update(chunk for chunk, _ in recipe.chunks())
        for digest, recipe in wrong.items():
            if digest not in good:
                raise _damaged(recipe.pack, recipe.entry, recipe.wrong)
        for digest in self._live_chunks:
            if self._remote.chunk(digest) is None:
                raise VerificationError(
                    f"the remote lacks the chunk {Digest(digest)} of something that is needed; "
                    "nothing was removed",
                    hint=_REPAIR,
                )

    def _choose(self) -> None:
        """Finds the packs in which little or nothing is live."""
        for pack, entries in self._remote.indexes():
            size = self._sizes.get(pack, 0)
            needed = {one.offset: one.size for one in entries if self._is_live_here(pack, one)}
            total = sum({one.offset: one.size for one in entries}.values())
            if needed and max(at + length for at, length in needed.items()) > size:
                raise VerificationError(
                    f"the pack {pack} is missing or cut short, and something in it is needed; "
                    "nothing was removed",
                    hint=_REPAIR,
                )
            if not needed:
                self._reasons[pack] = "dead"
            elif pack in self._remote.announced or sum(needed.values()) * 2 < total:
                self._reasons[pack] = "sparse"
        for pack in self._sizes:
            if not self._remote.has_index(pack):
                self._reasons[pack] = "rest"

    def _close(self) -> None:
        """A recipe that stays must not name a chunk that goes, whoever may need it one day."""
        rest = [one for one in self._dead_recipes if one.pack not in self._reasons]
        while True:
            broken = {one.pack for one in rest if one.wrong or self._loses_chunks(one)}
            if not broken:
                return
            self._reasons.update(dict.fromkeys(broken, "broken"))
            rest = [one for one in rest if one.pack not in broken]

    def _loses_chunks(self, recipe: FoundRecipe) -> bool:
        needed = (*recipe.parts, *(digest for digest, _ in recipe.chunks()))
        return any(self._goes(digest) for digest in needed)

    def _goes(self, digest: bytes) -> bool:
        place = self._remote.chunk(digest)
        if place is None:
            return True
        is_live = digest in self._live_chunks or digest in self._live
        return place.pack in self._reasons and not is_live

    def _is_live_here(self, pack: str, entry: Entry) -> bool:
        return self._is_live(entry) and self._is_home(pack, entry)

    def _is_live(self, entry: Entry) -> bool:
        if entry.kind == "c":
            return entry.digest in self._live_chunks
        return entry.digest in self._live or (
            entry.kind == "b" and entry.digest in self._live_chunks
        )

    def _is_home(self, pack: str, entry: Entry) -> bool:
        """Whether this is the copy that counts, where there are several."""
        homes = [self._remote.place(entry.digest)] if entry.kind != "c" else []
        if entry.kind in {"b", "c"}:
            homes.append(self._remote.chunk(entry.digest))
        return any(home is not None and home[::2] == (pack, entry.offset) for home in homes)

    def _endangered(self) -> Iterator[tuple[str, list[Entry]]]:
        """What is live, and whose only place is in a pack that is to go."""
        for pack, entries in self._remote.indexes():
            if pack in self._reasons:
                yield pack, [one for one in entries if self._is_live_here(pack, one)]

    def _work(self, *, recipes: bool) -> Iterable[Batch]:
        for pack, entries in self._endangered():
            some = [one for one in entries if (one.kind in {"B", "M"}) == recipes]
            yield from batches(pack, some, self._sizes.get(pack, 0))


def _damaged(pack: str, entry: Entry, reason: str) -> VerificationError:
    return VerificationError(
        f"{Digest(entry.digest)} in the pack {pack} is needed, and damaged: {reason}; "
        "nothing was removed",
        hint=_REPAIR,
    )
