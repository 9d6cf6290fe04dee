"""Imports every revision: branches of new commits beside the old ones, with pointers in them.

A record binds what is in its commit, so pointers have to be in commits. The old commits, branches
and tags stay; each new commit names the one that it was made from.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from gitprov.core.paths import RepoPath
from gitprov.errors import MalformedError, UnavailableError, UsageError
from gitprov.git.command import split_nul
from gitprov.git.objects import LINK_MODE, TREE_MODE, ObjectReader, TreeEntry
from gitprov.git.rewrite import Files, OldCommit, imported_from, let_go, move_refs, rewrite
from gitprov.git.tags import moved_tag, write_tag
from gitprov.model.pointer import MAX_POINTER_BYTES, is_pointer_name
from gitprov.ops.migrated import Left, Lefts, is_same_version
from gitprov.ops.pointers import (
    artifact_path,
    ignore_line,
    ignore_path,
    parse_pointer,
    pointer_path,
)
from gitprov.ops.record import record_commits
from gitprov.workspace import Workspace

PREFIX = "imported"
_HEADS, _TAGS = "refs/heads/", "refs/tags/"
_MAX_GITIGNORE = 4 << 20
_MAX_COMMIT = 16 << 20
_KEPT_TREES = 10_000

MAX_TREE_FILES = 500_000
"""A commit with more files of the other tool is left: a few trees that hold each other many times
over stand for more than any machine holds."""


class TreeChange(NamedTuple):
    """What an import changes in one git tree.

    Attributes:
        files: contents by path; None takes away.
        artifacts: whose pointers are new.
        left: what is not imported.
    """

    files: Files
    artifacts: tuple[RepoPath, ...]
    left: tuple[Left, ...]


@dataclass(frozen=True, slots=True)
class History:
    """What importing a history did, or would do.

    Attributes:
        commits: how many were looked at.
        rewritten: how many new commits there are; the others need none.
        recorded: how many of them have a record now.
        artifacts: the artifacts that are in any of them.
        branches: new refs and their commits; in a dry run the old ones.
        left: what is not imported.
        new: how many of the new commits were not there before.
        unchanged: those of `branches` that pointed there already.
        files: distinct files that were read.
        size: their bytes.
    """

    commits: int
    rewritten: int
    recorded: int
    artifacts: tuple[RepoPath, ...]
    branches: Mapping[str, str]
    left: tuple[Left, ...]
    new: int = 0
    unchanged: tuple[str, ...] = ()
    files: int = 0
    size: int = 0

    def counted(self, files: int, size: int) -> "History":
        """Returns the same with what was read."""
        return replace(self, files=files, size=size)


class _Tip(NamedTuple):
    """The commit of a branch or a tag; `oid` is the tag object's id where it is annotated."""

    commit: str
    oid: str


def too_many() -> MalformedError:
    """The error for a commit that passes `MAX_TREE_FILES`."""
    return MalformedError(f"it has more than {MAX_TREE_FILES:,} files of the other tool")


class Trees:
    """Git's trees, read once each."""

    def __init__(self, objects: ObjectReader) -> None:
        """Takes what reads them."""
        self.objects = objects
        self._known: dict[str, list[TreeEntry]] = {}
        self._ignored: dict[tuple[str | None, tuple[bytes, ...]], bytes | None] = {}

    def read(self, oid: str) -> list[TreeEntry]:
        """Returns the entries of a tree."""
        if oid not in self._known:
            if len(self._known) >= _KEPT_TREES:
                self._known.clear()
            self._known[oid] = self.objects.tree(oid)
        return self._known[oid]

    def at(self, tree: str, path: RepoPath) -> TreeEntry | None:
        """Returns the entry at a path below a tree, None when there is none."""
        found: TreeEntry | None = None
        for part in path.parts:
            if found is not None:
                if not found.is_tree:
                    return None
                tree = found.oid.hex()
            found = next((entry for entry in self.read(tree) if entry.name == part), None)
            if found is None:
                return None
        return found

    def with_pointers(self, tree: str, pointers: Mapping[RepoPath, bytes]) -> dict[bytes, bytes]:
        """Returns pointers, and the .gitignore files beside them with a line for each artifact."""
        files = {pointer_path(artifact).raw: data for artifact, data in pointers.items()}
        wanted: dict[RepoPath, list[bytes]] = {}
        for artifact in pointers:
            wanted.setdefault(ignore_path(artifact), []).append(ignore_line(artifact.name))
        for where, lines in wanted.items():
            entry = self.at(tree, where)
            if entry is not None and entry.mode in (TREE_MODE, LINK_MODE):
                continue
            # The same in thousands of commits is made, and kept, once.
            key = entry and entry.oid.hex(), tuple(lines)
            if key not in self._ignored:
                self._ignored[key] = self._ignoring(*key)
            changed = self._ignored[key]
            if changed is not None:
                files[where.raw] = changed
        return files

    def _ignoring(self, oid: str | None, lines: Sequence[bytes]) -> bytes | None:
        """Returns a .gitignore with those lines, None when it has them."""
        old = self.objects.need(oid, "blob", limit=_MAX_GITIGNORE) if oid else b""
        there = {*old.split(b"\n")}
        missing = [line for line in lines if line not in there]
        if not missing:
            return None
        start = old if not old or old.endswith(b"\n") else old + b"\n"
        return start + b"\n".join([*missing, b""])

    def has_pointer(self, tree: str, artifact: RepoPath) -> bool:
        """Whether a tree has something under the name of an artifact's pointer."""
        return self.at(tree, pointer_path(artifact)) is not None

    def is_other(self, tree: str, artifact: RepoPath, pointer: bytes) -> bool:
        """Whether a tree has a pointer of an artifact that stands for other bytes than this one."""
        where = pointer_path(artifact)
        entry = self.at(tree, where)
        if entry is None:
            return False
        try:
            old = parse_pointer(
                where, self.objects.need(entry.oid.hex(), "blob", limit=MAX_POINTER_BYTES)
            )
        except MalformedError:
            return True
        return not is_same_version(old, parse_pointer(where, pointer))


def import_history(
    ws: Workspace,
    change: Callable[[str], TreeChange],
    *,
    prefix: str,
    store: Callable[[], None] | None,
    check: Callable[[Sequence[RepoPath]], None] = lambda _: None,
) -> History:
    """Makes new commits of all branches and tags whose trees an import changes.

    Args:
        ws: the workspace.
        change: what the import changes in a tree; asked once for each distinct one.
        prefix: what stands before the names of the new branches and tags.
        store: makes what `change` brought durable; None only counts (`--dry-run`).
        check: raises when one of the artifacts cannot be.

    Raises:
        UsageError: the clone is shallow, or a new branch would write over somebody's commits.
        EnvironmentFault: git refuses.
    """
    if ws.repo.is_shallow:
        raise UsageError("this clone is shallow: it lacks commits", hint="git fetch --unshallow")
    tips = _tips(ws, prefix)
    commits = _commits(ws, {tip.commit for tip in tips.values()})
    changes, left = _changes(commits, change)
    touched: set[str] = set()
    for old in commits:
        if changes[old.commit.tree].files or touched.intersection(old.commit.parents):
            touched.add(old.oid)
    rewritten = [old for old in commits if old.oid in touched]
    artifacts = sorted({path for found in changes.values() for path in found.artifacts})
    check(artifacts)
    tips = {ref: tip for ref, tip in tips.items() if tip.commit in touched}
    refs = {ref: tip.commit for ref, tip in tips.items()}
    done = History(len(commits), len(rewritten), 0, tuple(artifacts), refs, left.all())
    if store is None or not rewritten:
        return done
    store()
    before = {name: oid for below in (_HEADS, _TAGS) for name, oid in ws.repo.refs(below).items()}
    before = {ref: before[ref] for ref in refs if ref in before}
    try:
        new = rewrite(ws.repo, rewritten, lambda old: changes[old.commit.tree].files)
        branches = {ref: new[oid] for ref, oid in refs.items()}
        moved = {ref: _object(ws, ref, tips[ref], new) for ref in _moved(ws, branches, before)}
        move_refs(ws.repo, [(ref, oid, before.get(ref)) for ref, oid in moved.items()])
    finally:
        let_go(ws.repo)
    made = set(new.values()).difference(_reachable(ws, before.values()))
    recorded = 0
    try:
        recorded = len(record_commits(ws, [new[old.oid] for old in rewritten]))
    except MalformedError as exc:
        left.add(Left("records", str(exc), 1, "gitprov record says more"))
    return replace(
        done,
        recorded=recorded,
        branches=branches,
        left=left.all(),
        new=len(made),
        unchanged=tuple(ref for ref in branches if ref not in moved),
    )


def _object(ws: Workspace, ref: str, tip: _Tip, new: Mapping[str, str]) -> str:
    """Returns what a new ref points to: the new commit, or an annotated tag of it."""
    commit = new[tip.commit]
    if tip.oid == tip.commit:
        return commit
    data = ws.objects.need(tip.oid, "tag", limit=_MAX_COMMIT)
    return write_tag(ws.repo, moved_tag(data, ref.removeprefix(_TAGS), commit))


def _reachable(ws: Workspace, tips: Collection[str]) -> list[str]:
    if not tips:
        return []  # git would explain how rev-list is used
    given = "".join(f"{oid}\n" for oid in sorted(tips)).encode()
    output = ws.repo.git.run("rev-list", "--topo-order", "--reverse", "--stdin", input=given)
    return output.decode("ascii").split()


def _tips(ws: Workspace, prefix: str) -> dict[str, _Tip]:
    """The tips of branches and tags, under the names that the new ones will have."""
    checked = ws.repo.git.call("check-ref-format", f"{_HEADS}{prefix}/x")
    if checked.returncode or prefix.startswith("-"):
        raise UsageError(f"{prefix!r} cannot stand before the name of a branch")
    tips: dict[str, _Tip] = {}
    for below in (_HEADS, _TAGS):
        there = ws.repo.refs(below)
        for name, oid in there.items():
            commit = ws.repo.ref(name)
            if commit is not None and not name.startswith(f"{below}{prefix}/"):
                tips[f"{below}{prefix}/{name.removeprefix(below)}"] = _Tip(commit, oid)
        _refuse_collision(tips, there)
    if not tips:
        raise UsageError("there is no branch with commits yet")
    return tips


def _refuse_collision(new: Collection[str], there: Collection[str]) -> None:
    """For git a name is a ref, or a folder of refs."""
    folders = {folder: ref for ref in there for folder in _above(ref)}
    for ref in new:
        other = next((name for name in _above(ref) if name in there), folders.get(ref))
        if other is not None:
            raise UsageError(
                f"{ref} cannot be made, because there is {other}",
                hint="choose another --branch PREFIX",
            )


def _above(ref: str) -> list[str]:
    parts = ref.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _commits(ws: Workspace, tips: set[str]) -> list[OldCommit]:
    commits: list[OldCommit] = []
    for oid, found in ws.objects.get_many(_reachable(ws, tips), limit=_MAX_COMMIT):
        if found is None:
            raise UnavailableError(f"the commit {oid} is not in this clone")
        commits.append(OldCommit.parse(oid, found.data))
    return commits


def _changes(
    commits: list[OldCommit], change: Callable[[str], TreeChange]
) -> tuple[dict[str, TreeChange], Lefts]:
    changes: dict[str, TreeChange] = {}
    lefts = Lefts()
    for old in commits:
        tree = old.commit.tree
        if tree not in changes:
            try:
                changes[tree] = change(tree)
            except MalformedError as exc:  # a tree with a name that no path can have, or too deep
                left = Left(f"commit {old.oid[:12]}", str(exc), 1)
                changes[tree] = TreeChange({}, (), (left,))
        for left in changes[tree].left:
            lefts.add(left, 1)
    return changes, lefts


def _moved(ws: Workspace, branches: Mapping[str, str], before: Mapping[str, str]) -> list[str]:
    """Returns the refs that have to be made or moved.

    Raises:
        UsageError: one has what this import did not make.
    """
    output = ws.repo.git.run("worktree", "list", "--porcelain").decode("utf-8", "replace")
    used = {line[7:] for line in output.splitlines() if line.startswith("branch ")}
    moved: list[str] = []
    for ref, new in branches.items():
        old = before.get(ref)
        if old == new or (old is not None and _is_ancestor(ws, new, old)):
            continue
        if old is not None and ref in used:
            raise UsageError(
                f"{ref} is checked out, and would move", hint="git switch to another branch"
            )
        if old is not None and not (_is_ancestor(ws, old, new) or _is_ours(ws, old)):
            raise UsageError(
                f"{ref} has commits that no import made", hint="choose another --branch PREFIX"
            )
        if old is not None and not _is_ancestor(ws, old, new) and (lost := _lost(ws, old, new)):
            raise UsageError(
                f"{ref} has artifacts that this import does not make: {lost[0]} for one",
                hint="choose another --branch PREFIX, or delete that branch first",
            )
        moved.append(ref)
    return moved


def _lost(ws: Workspace, old: str, new: str) -> list[RepoPath]:
    """The artifacts that one commit has and another has not: another import may have made them."""
    output = ws.repo.git.run(
        "diff-tree", "-r", "-z", "--name-only", "--no-renames", "--diff-filter=D", old, new
    )
    paths = (RepoPath(raw) for raw in split_nul(output))
    return [artifact_path(path) for path in paths if is_pointer_name(path.name)]


def _is_ancestor(ws: Workspace, older: str, newer: str) -> bool:
    return ws.repo.git.call("merge-base", "--is-ancestor", older, newer).returncode == 0


def _is_ours(ws: Workspace, oid: str) -> bool:
    commit = ws.objects.commit(oid)
    return commit is not None and imported_from(commit.message) is not None
