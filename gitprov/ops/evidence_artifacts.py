"""What is here of a commit's artifacts: in the worktree, in the store, and whether it is intact."""

import os
from collections.abc import Iterable, Iterator

from gitprov.core.paths import RepoPath, show
from gitprov.errors import GitprovError, UnavailableError, VerificationError
from gitprov.model.record import ArtifactLeaf
from gitprov.ops.compare import leaf_entry
from gitprov.ops.differences import differences, ignored, is_same, odd_names
from gitprov.ops.manifests import loader, reachable, walk
from gitprov.ops.pointers import on_disk
from gitprov.ops.store_link import store_link
from gitprov.ops.weights import ENDING, weights_in
from gitprov.verify.evidence import ArtifactEvidence, ArtifactState, Change, How
from gitprov.workspace import Workspace
from gitprov.worktree.scan import Progress, Scanner
from gitprov.worktree.statcache import Row, StatCache
from gitprov.worktree.tree import Tree

_CHUNK = 4 << 20


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
        self._stored: dict[tuple[bytes, str], tuple[Change, ...] | None] = {}

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
        except GitprovError as exc:
            return ArtifactEvidence(leaf.path, "unreadable", problem=str(exc))
        corrupt = tuple(change for change in stored or () if change.how == "corrupt")
        if changes or corrupt:
            state: ArtifactState = "modified" if changes else "corrupt"
            return ArtifactEvidence(
                leaf.path, state, changes=(*corrupt, *changes), same_weights=same_weights
            )
        if tree is not None and whole:
            rehashed = self._deep and stored == ()
            return ArtifactEvidence(leaf.path, "clean", rehashed=rehashed, ignored=ignored(tree))
        if stored is None:
            return ArtifactEvidence(leaf.path, "absent")
        if stored:
            return ArtifactEvidence(leaf.path, "missing", changes=stored)
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
        is_model = leaf.weights is not None and path.raw.lower().endswith(ENDING)
        if not is_model or tree is None or tree.kind not in {"f", "x"}:
            return False
        try:
            return weights_in(on_disk(self._ws.worktree, path)).root == leaf.weights
        except GitprovError:
            return False  # that it differs is known already

    def _in_store(self, leaf: ArtifactLeaf) -> tuple[Change, ...] | None:
        """What the store lacks or has damaged; None when it has nothing of the artifact."""
        key = (leaf.root.raw, leaf.path)
        if key not in self._stored:
            self._stored[key] = self._look_in_store(leaf)
        return self._stored[key]

    def _look_in_store(self, leaf: ArtifactLeaf) -> tuple[Change, ...] | None:
        store = self._ws.store
        top = leaf_entry(leaf)
        if not store.has((top.digest,)):
            return None
        try:
            needed, lost = reachable(store, [(top.digest, top.kind == "d")])
        except VerificationError as exc:
            return (Change("corrupt", f"{leaf.path} (a manifest: {exc})"),)
        lacking = needed - store.has(needed)
        damaged = self._damaged(needed - lacking) if self._hash_store else set()
        changes = [Change("missing", f"{leaf.path} ({sentence})") for sentence in lost]
        if (lacking or damaged) and not lost:
            for path, entry in walk(loader(store), top, leaf.path.encode()):
                if entry.digest in damaged:
                    changes.append(Change("corrupt", show(path)))
                elif entry.digest in lacking:
                    changes.append(Change("missing", show(path)))
        return tuple(changes)

    def _damaged(self, digests: set[bytes]) -> set[bytes]:
        """Those whose bytes do not match their name; the store sets them aside as it meets them."""
        damaged: set[bytes] = set()
        for digest in digests:
            try:
                self._hash(digest)
            except VerificationError:
                damaged.add(digest)
        return damaged

    def _hash(self, digest: bytes) -> None:
        size = 0
        with self._ws.store.open(digest) as stream:
            while piece := stream.read(_CHUNK):
                size += len(piece)
        if self._progress is not None:
            self._progress.done(1, size)
