"""The notes of commits in `refs/notes/gitprov`, and those that remotes have sent."""

import re
from collections.abc import Iterable, Iterator, Mapping

from gitprov.core.paths import show
from gitprov.errors import MalformedError
from gitprov.git.objects import ObjectReader, TreeEntry
from gitprov.git.repo import Repository
from gitprov.model.note import MAX_NOTE_BYTES, MalformedLine, NoteLine, parse_note

NOTES_REF = "refs/notes/gitprov"

_FLAT = 256
"""A folder of notes with more entries than this is fanned out."""

MAX_NOTES = 1 << 22
"""A tree with more notes than this is refused."""

_PAIR = re.compile(rb"[0-9a-f]{2}")


_UNREADABLE = (MalformedLine(b"", f"a note is missing or larger than {MAX_NOTE_BYTES} bytes"),)


class NotesTree:
    """One tree of notes, with any fan-out that git writes, also a mixed one; read lazily."""

    def __init__(
        self, objects: ObjectReader, tree: str | None, hash_len: int, *, ref: str = NOTES_REF
    ) -> None:
        """Takes the id of the tree, None for no notes at all, and the ref's name for errors."""
        self.ref = ref
        self._objects = objects
        self._hex_len = 2 * hash_len
        self._root = tree
        self._folders: dict[bytes, list[TreeEntry]] = {}

    @classmethod
    def at(cls, repo: Repository, commit: str | None, *, ref: str = NOTES_REF) -> "NotesTree":
        """Returns the notes as of a commit of a notes ref."""
        found = None if commit is None else repo.objects.commit(commit)
        return cls(repo.objects, found.tree if found else None, repo.hash_len, ref=ref)

    def find(self, commit: str) -> dict[bytes, str]:
        """Returns where a commit's note is: paths with git blob ids; a mixed tree may hold two."""
        found: dict[bytes, str] = {}
        self._search(b"", self._root, commit.encode(), found)
        return found

    def items(self) -> Iterator[tuple[str, bytes, str]]:
        """Gives every note: commit, path, git blob id. Foreign entries are passed over.

        Raises:
            MalformedError: nobody could have written so many notes.
        """
        seen: set[str] = set()
        for count, item in enumerate(self._walk(b"", b"", self._root, seen)):
            if count == MAX_NOTES:
                raise MalformedError(f"{self.ref} holds more than {MAX_NOTES} notes")
            yield item

    def place(self, commits: Iterable[str]) -> dict[str, bytes]:
        """Returns the paths at which new notes belong, fanned out as far as the tree asks for."""
        places: dict[str, bytes] = {}
        self._place(b"", self._root, sorted(commits), 0, places)
        return places

    def _entries(self, folder: bytes, tree: str | None) -> list[TreeEntry]:
        if folder not in self._folders:
            entries = [] if tree is None else self._objects.tree(tree)
            if len({entry.name for entry in entries}) != len(entries):
                raise MalformedError(f"{self.ref}: the folder '{show(folder)}' has a name twice")
            self._folders[folder] = entries
        return self._folders[folder]

    def _search(
        self, folder: bytes, tree: str | None, rest: bytes, found: dict[bytes, str]
    ) -> None:
        for entry in self._entries(folder, tree):
            if entry.name == rest and not entry.is_tree:
                found[folder + entry.name] = entry.oid.hex()
            elif entry.is_tree and entry.name == rest[:2] and len(rest) > 2:
                below = folder + entry.name + b"/"
                self._search(below, entry.oid.hex(), rest[2:], found)

    def _walk(
        self, folder: bytes, prefix: bytes, tree: str | None, seen: set[str]
    ) -> Iterator[tuple[str, bytes, str]]:
        # The rest of a commit's id does not occur twice; twenty folders, each with ten times the
        # one below it, would stand for more notes than there are commits.
        if tree is not None and tree in seen:
            raise MalformedError(f"{self.ref}: the folder '{show(folder)}' is there twice")
        if tree is not None:
            seen.add(tree)
        for entry in self._entries(folder, tree):
            name = prefix + entry.name
            if entry.is_tree and _PAIR.fullmatch(entry.name) and len(name) < self._hex_len:
                yield from self._walk(folder + entry.name + b"/", name, entry.oid.hex(), seen)
            elif not entry.is_tree and len(name) == self._hex_len and _is_hex(name):
                yield name.decode("ascii"), folder + entry.name, entry.oid.hex()

    def _place(
        self,
        folder: bytes,
        tree: str | None,
        commits: list[str],
        done: int,
        places: dict[str, bytes],
    ) -> None:
        entries = self._entries(folder, tree)
        below = {e.name: e.oid.hex() for e in entries if e.is_tree and _PAIR.fullmatch(e.name)}
        if not below and len(entries) + len(commits) <= _FLAT:
            for commit in commits:
                places[commit] = folder + commit[done:].encode()
            return
        groups: dict[str, list[str]] = {}
        for commit in commits:
            groups.setdefault(commit[done : done + 2], []).append(commit)
        for pair, group in groups.items():
            name = pair.encode()
            self._place(folder + name + b"/", below.get(name), group, done + 2, places)


class Notes:
    """Reads notes: for each commit the union of the local ref and of what remotes have sent."""

    def __init__(self, repo: Repository, *, refs: Mapping[str, str] | None = None) -> None:
        """Takes the repository.

        Args:
            repo: the repository.
            refs: notes refs with their commits; by default the local and the tracking ones.
        """
        self._repo = repo
        self.refs = dict(notes_refs(repo) if refs is None else refs)
        self._trees = {
            ref: NotesTree.at(repo, commit, ref=ref) for ref, commit in self.refs.items()
        }
        self._problems: dict[str, MalformedLine] = {}

    def lines(self, commit: str) -> tuple[NoteLine, ...]:
        """Returns the lines of a commit's notes, sorted by their bytes, each once.

        Raises:
            MalformedError: a note is too large to be ours.
        """
        oids = {oid for tree in self._trees.values() for oid in tree.find(commit).values()}
        return self._union(
            commit, [self._repo.objects.need(o, "blob", limit=MAX_NOTE_BYTES) for o in oids]
        )

    def lines_many(self, commits: Iterable[str]) -> dict[str, tuple[NoteLine, ...]]:
        """Returns the lines of many commits at once; a commit without a note has none.

        A note that is missing or too large is one malformed line, and so is every remote whose
        notes cannot be listed: somebody who may push notes must not be able to keep us from the
        others.
        """
        texts = list(self.texts(commits))
        problems = tuple(self._problems.values())
        return {
            commit: problems
            + (_UNREADABLE if text is None or len(text) > MAX_NOTE_BYTES else parse_note(text))
            for commit, text in texts
        }

    def texts(self, commits: Iterable[str]) -> Iterator[tuple[str, bytes | None]]:
        """Yields the joined notes of commits unparsed; None when one of them cannot be read."""
        wanted = {commit: set[str]() for commit in commits}
        for commit, oid in self._items():
            if commit in wanted:
                wanted[commit].add(oid)
        blobs: dict[str, bytes] = {}
        oids = sorted({oid for some in wanted.values() for oid in some})
        for oid, found in self._repo.objects.get_many(oids, limit=MAX_NOTE_BYTES, skip_larger=True):
            if found is not None and found.type == "blob":
                blobs[oid] = found.data
        for commit, some in wanted.items():
            whole = all(oid in blobs for oid in some)
            yield commit, union(blobs[oid] for oid in some) if whole else None

    def commits(self) -> set[str]:
        """Returns the commits that have a note anywhere."""
        return {commit for commit, _ in self._items()}

    def _items(self) -> Iterator[tuple[str, str]]:
        """Gives commits with the git blob ids of their notes; a remote's odd tree gives none."""
        for ref, tree in self._trees.items():
            try:
                items = [(commit, oid) for commit, _, oid in tree.items()]
            except MalformedError as exc:
                if ref == NOTES_REF:
                    raise
                self._problems[ref] = MalformedLine(ref.encode("utf-8", "replace"), str(exc))
            else:
                yield from items

    def _union(self, commit: str, notes: list[bytes]) -> tuple[NoteLine, ...]:
        try:
            return parse_note(union(notes))
        except MalformedError as exc:
            raise MalformedError(f"the notes of {commit}: {exc}") from exc


def union(notes: Iterable[bytes]) -> bytes:
    """Joins notes as git's `cat_sort_uniq` does: every line once, sorted, none of them empty."""
    lines = {line for note in notes for line in note.split(b"\n") if line}
    return b"".join(line + b"\n" for line in sorted(lines))


def notes_refs(repo: Repository) -> dict[str, str]:
    """Returns the local notes ref and the remotes' tracking refs, with their commits."""
    refs = repo.refs("refs/notes/")
    return {ref: oid for ref, oid in refs.items() if ref == NOTES_REF or is_tracking(ref)}


def is_tracking(ref: str) -> bool:
    """Whether a ref is where we keep a remote's notes: `refs/notes/<remote>/gitprov`."""
    return ref != NOTES_REF and ref.startswith("refs/notes/") and ref.endswith("/gitprov")


def tracking_ref(remote: str) -> str:
    """Returns where a remote's notes are kept."""
    return f"refs/notes/{remote}/gitprov"


def _is_hex(name: bytes) -> bool:
    return re.fullmatch(rb"[0-9a-f]+", name) is not None
