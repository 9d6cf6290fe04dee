"""What is here of a commit's artifacts: in the worktree, in the store, and whether it is intact."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath, show
from gitprov.errors import GitprovError, UnavailableError, VerificationError
from gitprov.model.record import ArtifactLeaf
from gitprov.ops.checkouts import checked_out
from gitprov.ops.claims import contradictions, misstated, survey, wrong_sizes
from gitprov.ops.compare import leaf_entry
from gitprov.ops.differences import differences, ignored, is_same, odd_names
from gitprov.ops.manifests import loader, walk
from gitprov.ops.pointers import on_disk
from gitprov.ops.store_link import store_link
from gitprov.ops.weights import weights_if_any, weights_in, weights_read
from gitprov.verify.evidence import ArtifactEvidence, ArtifactState, Change, How
from gitprov.workspace import Workspace
from gitprov.worktree.scan import Progress, Scanner
from gitprov.worktree.statcache import Row, StatCache
from gitprov.worktree.tree import Tree

_CHUNK = 4 << 20


class _Stored(NamedTuple):
    """What the store lacks or has damaged of an artifact, and what is stated wrongly of it."""

    changes: tuple[Change, ...] = ()
    wrong: tuple[str, ...] = ()


class _Forgetful(StatCache):
    """Knows nothing, so that every file is read; what is learnt then corrects the real one."""

    def __init__(self, kept: StatCache) -> None:
        self._kept = kept

    def load(self, path: bytes) -> dict[bytes, Row]:
        del path
        return {}

    def store(self, changed: Iterable[tuple[bytes, Row]], gone: Iterable[bytes]) -> None:
        self._kept.store(changed, gone)


class ArtifactLooker:
    """Looks at artifacts; what it learnt of a version is not looked at twice."""

    def __init__(
        self, ws: Workspace, *, deep: bool, progress: Progress | None, hash_store: bool = False
    ) -> None:
        """Takes the workspace, and how closely to look.

        Args:
            ws: the workspace.
            deep: trust no cache, and hash what the store has.
            progress: is told of what is hashed.
            hash_store: hash what only the store has.
        """
        self._ws = ws
        self._deep = deep
        self._hash_store = deep or hash_store
        self._progress = progress
        self._head = ws.repo.head() if ws.repo.worktree else None
        self._stored: dict[ArtifactLeaf, _Stored | None] = {}

    def look(self, commit: str, leaf: ArtifactLeaf) -> ArtifactEvidence:
        """Returns what is here of one artifact; the worktree speaks only for the current commit."""
        path = RepoPath(leaf.path.encode())
        in_worktree = commit == self._head and os.path.lexists(on_disk(self._ws.worktree, path))
        try:
            tree = self._scan(path) if in_worktree else None
            changes = () if tree is None else tuple(self._changes(path, leaf, tree))
            # Nothing differs and it is not whole: only parts of it were checked out.
            whole = tree is not None and not changes and is_same(tree, leaf_entry(leaf))
            ask_store = self._deep or not (whole or changes)
            stored = self._in_store(leaf) if ask_store else None
            same_weights = bool(changes) and self._same_weights(path, leaf, tree)
            wrong = stored.wrong if stored is not None else ()
            if tree is not None and not changes:
                wrong = (*self._misstated(path, leaf, tree, stored), *wrong)
        except GitprovError as exc:
            return ArtifactEvidence(leaf.path, "unreadable", problem=str(exc))
        found = self._judged(leaf, changes, stored, tree if whole else None)
        # The store and the worktree mostly say the same of an artifact.
        return replace(found, misstated=tuple(dict.fromkeys(wrong)), same_weights=same_weights)

    def _judged(
        self,
        leaf: ArtifactLeaf,
        changes: tuple[Change, ...],
        stored: _Stored | None,
        whole: Tree | None,
    ) -> ArtifactEvidence:
        lacks = stored.changes if stored is not None else ()
        corrupt = tuple(change for change in lacks if change.how == "corrupt")
        if changes or corrupt:
            state: ArtifactState = "modified" if changes else "corrupt"
            return ArtifactEvidence(leaf.path, state, changes=(*corrupt, *changes))
        if whole is not None:
            rehashed = self._deep and stored is not None and not lacks
            return ArtifactEvidence(leaf.path, "clean", rehashed=rehashed, ignored=ignored(whole))
        if stored is None:
            return ArtifactEvidence(leaf.path, "absent")
        if lacks:
            return ArtifactEvidence(leaf.path, "missing", changes=lacks)
        return ArtifactEvidence(leaf.path, "not-checked-out", rehashed=self._hash_store)

    def _scan(self, path: RepoPath) -> Tree:
        ws = self._ws
        link = store_link(ws)
        stats = _Forgetful(ws.stats) if self._deep else ws.stats
        scanner = Scanner(ws.worktree, stats, progress=self._progress, store_link=link)
        return scanner.scan(path, lenient=True)

    def _changes(self, path: RepoPath, leaf: ArtifactLeaf, tree: Tree) -> Iterator[Change]:
        try:
            for change in differences(self._ws, path, leaf_entry(leaf), tree):
                where = f"{leaf.path}/{show(change.path)}" if change.path else leaf.path
                how: How = "modified" if change.how == "type" else change.how
                yield Change(how, where)
        except UnavailableError:
            # Without the manifest it is known that it differs, and not where.
            yield Change("modified", leaf.path)
        for name, _ in odd_names(tree):
            yield Change("added", f"{leaf.path}/{show(name)}")

    def _same_weights(self, path: RepoPath, leaf: ArtifactLeaf, tree: Tree | None) -> bool:
        """Whether a model that differs was only saved in another way."""
        if leaf.weights is None or tree is None or tree.kind not in {"f", "x"}:
            return False
        try:
            return weights_in(on_disk(self._ws.worktree, path)).root == leaf.weights
        except GitprovError:
            return False  # that it differs is known already

    def _misstated(
        self, path: RepoPath, leaf: ArtifactLeaf, tree: Tree, stored: _Stored | None
    ) -> Iterator[str]:
        """What is stated wrongly of the data in the worktree, of which no file differs."""
        top = leaf_entry(leaf)
        if not is_same(tree, top):
            if not checked_out(self._ws, path).is_partial:
                yield from contradictions(self._ws.store, top, leaf.files)
            return
        yield from misstated(top, leaf.files, tree)
        if self._deep and stored is None and leaf.weights is not None:
            where = on_disk(self._ws.worktree, path)
            yield from _about_weights(leaf, weights_if_any(where, path.raw, leaf.root, tree.size))

    def _in_store(self, leaf: ArtifactLeaf) -> _Stored | None:
        """What the store has of an artifact; None when it has nothing of it."""
        if leaf not in self._stored:
            self._stored[leaf] = self._look_in_store(leaf)
        return self._stored[leaf]

    def _look_in_store(self, leaf: ArtifactLeaf) -> _Stored | None:
        store = self._ws.store
        top = leaf_entry(leaf)
        if not store.has((top.digest,)):
            return None
        stated: dict[bytes, int] | None = {} if self._hash_store else None
        try:
            found = survey(store, top, leaf.files, stated)
        except VerificationError as exc:
            return _Stored((Change("corrupt", f"{leaf.path} (a manifest: {exc})"),))
        here = store.has(found.needed)
        lacking, damaged = found.needed - here, set[bytes]()
        wrong = found.wrong
        if stated is not None:
            sizes, about_weights = self._hashed(here, leaf)
            damaged = here - sizes.keys()
            wrong = [*wrong, *wrong_sizes(store, top, stated, sizes), *about_weights]
        changes = [Change("missing", f"{leaf.path} ({sentence})") for sentence in found.lost]
        if (lacking or damaged) and not found.lost:
            for path, entry in walk(loader(store), top, leaf.path.encode()):
                if entry.digest in damaged:
                    changes.append(Change("corrupt", show(path)))
                elif entry.digest in lacking:
                    changes.append(Change("missing", show(path)))
        return _Stored(tuple(changes), tuple(wrong))

    def _hashed(
        self, digests: Iterable[bytes], leaf: ArtifactLeaf
    ) -> tuple[dict[bytes, int], list[str]]:
        """Returns the sizes of what matches its name; the store sets the rest aside as it meets it.

        With them comes what the tensors say against the leaf's weights root.
        """
        sizes: dict[bytes, int] = {}
        about_weights: list[str] = []
        for digest in digests:
            is_model = leaf.weights is not None and digest == leaf.root.raw
            try:
                size, weights = self._read(digest, is_model=is_model)
            except VerificationError:
                continue
            sizes[digest] = size
            if is_model:
                about_weights += _about_weights(leaf, weights)
            if self._progress is not None:
                self._progress.done(1, size)
        return sizes, about_weights

    def _read(self, digest: bytes, *, is_model: bool) -> tuple[int, Digest | None]:
        store, size, weights = self._ws.store, 0, None
        with store.open(digest) as stream:
            if is_model:  # its tensors are read on the way
                size = store.size(digest)
                weights = weights_read(stream.read, size)
                while stream.read(_CHUNK):
                    pass
                return size, weights
            while piece := stream.read(_CHUNK):
                size += len(piece)
        return size, None


def _about_weights(leaf: ArtifactLeaf, weights: Digest | None) -> list[str]:
    if weights == leaf.weights:
        return []
    truth = f"its tensors give {weights}" if weights else "it is no safetensors file"
    return [f"the pointer says weights {leaf.weights}, and {truth}"]
