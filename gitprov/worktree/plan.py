"""Decides what has to be written and removed so that the worktree holds an artifact."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gitprov.core.paths import MAX_PATH_BYTES, RepoPath, check_names, show
from gitprov.errors import MalformedError, UnavailableError, UsageError
from gitprov.model.entry import Entry
from gitprov.worktree.compare import Load
from gitprov.worktree.folders import join
from gitprov.worktree.scan import Scanner
from gitprov.worktree.tree import Tree
from gitprov.worktree.walk import IGNORED

_SHOWN = 10

ANYTHING = b""
"""In `Write.before`: whatever is there may go."""


class Write(NamedTuple):
    """One file or symlink to write.

    Attributes:
        folder: its folder, relative to the repository.
        entry: what to write.
        before: the `STAT` of the file that it replaces, None when nothing is there.
    """

    folder: bytes
    entry: Entry
    before: bytes | None


class Removal(NamedTuple):
    """One file or symlink to remove; `before` as in `Write`."""

    folder: bytes
    name: bytes
    before: bytes


class Conflict(NamedTuple):
    """A path, relative to the repository, that must not be written over, and why."""

    path: bytes
    why: str


@dataclass(slots=True)
class Plan:
    """What has to be done, in the order of the attributes.

    Attributes:
        path: the artifact, or the part of it, that is written.
        artifact: the artifact.
        conflicts: what forbids it all.
        leftovers: temporary files of an interrupted run.
        removals: files and links.
        remove_folders: deepest first; one that is not empty then stays.
        make_folders: outermost first.
        writes: files and links.
    """

    path: RepoPath
    artifact: RepoPath
    conflicts: list[Conflict] = field(default_factory=list)
    leftovers: list[tuple[bytes, bytes]] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)
    remove_folders: list[bytes] = field(default_factory=list)
    make_folders: list[bytes] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether everything is as it should be."""
        return not (
            self.conflicts
            or self.leftovers
            or self.removals
            or self.remove_folders
            or self.make_folders
            or self.writes
        )

    def spare(self, paths: Collection[bytes]) -> None:
        """Leaves files alone that are somebody else's: they stay, and are in nobody's way."""
        self.removals = [one for one in self.removals if join(one.folder, one.name) not in paths]
        self.conflicts = [one for one in self.conflicts if one.path not in paths]
        above = {folder.raw for path in paths for folder in RepoPath(path).ancestors()}
        self.remove_folders = [folder for folder in self.remove_folders if folder not in above]


def refuse_conflicts(plans: Sequence[Plan]) -> None:
    """Raises when a plan would lose what the user has changed.

    Raises:
        UsageError: lists what is in the way.
    """
    conflicts = [conflict for plan in plans for conflict in plan.conflicts]
    if not conflicts:
        return
    shown = "; ".join(f"{show(path)} {why}" for path, why in conflicts[:_SHOWN])
    more = f"; and {len(conflicts) - _SHOWN} more" if len(conflicts) > _SHOWN else ""
    raise UsageError(
        f"nothing was written, because changes would be lost: {shown}{more}",
        hint="add them first, or write over them with --force",
    )


class _Have(NamedTuple):
    """What is there: the entry, and its tree when it is a folder or else its `STAT`."""

    entry: Entry
    tree: Tree | None
    stat: bytes


class _Node(NamedTuple):
    path: bytes
    have: _Have | None
    want: Entry | None
    expect: Entry | None


def make_plan(
    scanner: Scanner,
    load: Load,
    path: RepoPath,
    want: Entry | None,
    *,
    expected: Entry | None,
    artifact: RepoPath | None = None,
    force: bool = False,
) -> Plan:
    """Returns what turns what is in the worktree into what is wanted; it changes nothing.

    A file that already is as wanted is left alone. One that is as expected may be replaced or
    removed. One that is neither is a conflict, and so is anything in the way; with force it goes.
    A file that neither tree knows stays, unless forced; one that is ignored always stays.

    Args:
        scanner: one that only hashes.
        load: fetches manifests.
        path: the artifact, or a part of it.
        want: what it should be; None when it should be gone. Its name does not matter.
        expected: what was checked out there last, as far as is known.
        artifact: the whole, when the path is only a part.
        force: whether what the user has changed may be lost.

    Raises:
        MalformedError: a symlink is on the way to the path; a manifest is malformed.
        UnavailableError: a manifest is missing.
    """
    return _Planner(scanner, load, path, artifact or path, force=force).plan(want, expected)


class _Planner:
    def __init__(
        self, scanner: Scanner, load: Load, path: RepoPath, artifact: RepoPath, *, force: bool
    ) -> None:
        self._scanner = scanner
        self._load = load
        self._force = force
        self._plan = Plan(path, artifact)
        self._waiting: list[_Node] = []

    def plan(self, want: Entry | None, expected: Entry | None) -> Plan:
        plan = self._plan
        have = self._look(plan.path, ignoring=True)
        if have is None and want is not None:
            # Those that are there already are left alone.
            above = [folder.raw for folder in plan.path.ancestors() if folder.raw]
            plan.make_folders.extend(reversed(above))
        if have is not None and have.tree is not None:
            self._find_leftovers(plan.path.raw, have.tree)
        named = [e and e._replace(name=plan.path.name) for e in (want, expected)]
        self._waiting = [_Node(plan.path.raw, have, *named)]
        while self._waiting:
            node = self._waiting.pop()
            if len(node.path) > MAX_PATH_BYTES:
                raise MalformedError("a manifest's folders are nested too deeply")
            if node.want is not None and node.want.kind == "d":
                self._folder(node, node.want)
            elif node.have is not None and node.have.tree is not None:
                self._clear(node.path, node.have.tree, node.expect, bool(node.want))
                if node.want is not None:
                    self._write(node.path, node.want, None)
            else:
                self._file(node)
        plan.remove_folders.sort(reverse=True)  # which puts "a/b" before "a"
        return plan

    def _look(self, path: RepoPath, *, ignoring: bool) -> _Have | None:
        artifact = self._plan.artifact
        try:
            tree = self._scanner.scan(path, artifact=artifact, lenient=True, ignoring=ignoring)
        except UnavailableError:
            return None
        entry = Entry(path.name, tree.kind, tree.root, tree.size)
        if tree.kind == "d":
            return _Have(entry, tree, b"")
        return _Have(entry, None, tree.stat)

    def _find_leftovers(self, top: bytes, tree: Tree) -> None:
        waiting = [(top, tree)]
        while waiting:
            path, folder = waiting.pop()
            self._plan.leftovers.extend((path, name) for name in folder.leftovers)
            waiting.extend((join(path, name), below) for name, below in folder.children.items())

    def _conflict(self, path: bytes, why: str) -> None:
        self._plan.conflicts.append(Conflict(path, why))

    def _write(self, path: bytes, want: Entry, before: bytes | None) -> None:
        self._plan.writes.append(Write(path.rpartition(b"/")[0], want, before))

    def _remove(self, path: bytes, before: bytes) -> None:
        folder, _, name = path.rpartition(b"/")
        self._plan.removals.append(Removal(folder, name, before))

    def _may_go(self, path: bytes, have: Entry, expect: Entry | None) -> bool:
        if self._force or (expect is not None and have[1:3] == expect[1:3]):
            return True
        self._conflict(path, "is in the way" if expect is None else "was changed")
        return False

    def _file(self, node: _Node) -> None:
        """Plans for a path that is no folder now, and is not wanted to be one."""
        path, have, want, expect = node
        if have is None:
            if want is not None:
                self._write(path, want, None)
        elif want is not None:
            if have.entry[1:3] != want[1:3] and self._may_go(path, have.entry, expect):
                self._write(path, want, have.stat)
        elif (self._force or expect is not None) and self._may_go(path, have.entry, expect):
            self._remove(path, have.stat)

    def _folder(self, node: _Node, want: Entry) -> None:
        path, have, _, expect = node
        tree = have.tree if have is not None else None
        if have is not None and tree is None and self._may_go(path, have.entry, expect):
            self._remove(path, have.stat)
        if tree is None:
            self._plan.make_folders.append(path)
            self._fresh(path, want)
        elif b"" in tree.odd:
            self._conflict(path, f"cannot be looked into: {tree.odd[b'']}")
        elif tree.root != want.digest:
            self._merge(path, tree, want, expect)

    def _wanted(self, want: Entry) -> tuple[Entry, ...]:
        entries = self._load(want.digest).entries
        # The manifest may come from anywhere, and the names are about to be written.
        check_names([entry.name for entry in entries])
        return entries

    def _expected(self, expect: Entry | None) -> dict[bytes, Entry]:
        if expect is None or expect.kind != "d":
            return {}
        try:
            return {entry.name: entry for entry in self._load(expect.digest).entries}
        except UnavailableError:
            return {}  # then nothing is known to be unchanged, which is the safe side

    def _fresh(self, path: bytes, want: Entry) -> None:
        writes = self._plan.writes
        for entry in self._wanted(want):
            if entry.kind == "d":
                self._waiting.append(_Node(join(path, entry.name), None, entry, None))
            else:
                writes.append(Write(path, entry, None))

    def _merge(self, path: bytes, tree: Tree, want: Entry, expect: Entry | None) -> None:
        wanted = {entry.name: entry for entry in self._wanted(want)}
        expected = self._expected(expect)
        stats = tree.stats()
        found = {
            entry.name: _Have(entry, tree.children.get(entry.name), stats[entry.name])
            for entry in tree.entries
        }
        for name in sorted(found.keys() | wanted.keys()):
            have, below = found.get(name), join(path, name)
            if have is None and name in tree.odd:
                if tree.odd[name] != IGNORED:
                    self._odd(below, wanted[name], tree.odd[name])
                    continue
                have = self._look(RepoPath(below), ignoring=False)
            node = _Node(below, have, wanted.get(name), expected.get(name))
            self._waiting.append(node)

    def _odd(self, path: bytes, want: Entry, why: str) -> None:
        if not self._force:
            self._conflict(path, f"is in the way: {why}")
        elif want.kind == "d":
            self._remove(path, ANYTHING)
            self._waiting.append(_Node(path, None, want, None))
        else:
            self._write(path, want, ANYTHING)

    def _clear(self, top: bytes, tree: Tree, expect: Entry | None, in_the_way: bool) -> None:
        """Plans to remove a folder that is not wanted, or in whose place a file is wanted."""
        waiting = [(top, tree, expect)]
        while waiting:
            path, folder, known = waiting.pop()
            whole = known is not None and known[1:3] == ("d", folder.root)
            expected = {} if whole or self._force else self._expected(known)
            stats = folder.stats()
            if in_the_way and folder.odd:
                name = next(iter(folder.odd))
                self._conflict(path, f"is in the way, and holds '{show(name)}', which is no data")
            for entry in folder.entries:
                below = join(path, entry.name)
                was = entry if whole else expected.get(entry.name)
                if entry.kind == "d":
                    waiting.append((below, folder.children[entry.name], was))
                elif (self._force or was is not None or in_the_way) and self._may_go(
                    below, entry, was
                ):
                    self._remove(below, stats[entry.name])
            if self._force or in_the_way or known is not None:
                self._plan.remove_folders.append(path)
