"""`gitprov fsck`: the store's own integrity, and which files of which artifacts are concerned."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gitprov.core.digest import Digest
from gitprov.core.paths import show
from gitprov.errors import MalformedError, UnavailableError, VerificationError
from gitprov.model.entry import Entry
from gitprov.ops.checkouts import checked_out
from gitprov.ops.claims import survey
from gitprov.ops.manifests import loader, top_entry
from gitprov.ops.named import MAX_NAMES
from gitprov.ops.pointers import Tracked, artifact_path, pointer_paths, read_pointer
from gitprov.store.check import Problem
from gitprov.workspace import Workspace


@dataclass(frozen=True, slots=True)
class StoreProblem:
    """One thing that is wrong.

    Attributes:
        kind: `damaged` bytes, a `missing` blob, a `pointer` that is nonsense or says what is not
            so, a lost `pack`, or something else about the `store`.
        detail: one sentence.
        digest: the blob, when it is known.
        files: files of current artifacts that hold it.
    """

    kind: str
    detail: str
    digest: Digest | None
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoreCheck:
    """What a check found.

    Attributes:
        problems: everything that is wrong.
        blobs: how many blobs the store has.
        size: their bytes.
        rebuilt: how many blobs a new index has, None when it was not made.
        not_here: how many files of current artifacts the store does not have, and never had as
            far as is known: nobody fetched them, which is no damage.
    """

    problems: tuple[StoreProblem, ...]
    blobs: int
    size: int
    rebuilt: int | None
    not_here: int


def fsck(
    ws: Workspace,
    *,
    sample: float | None = None,
    quarantine: bool = False,
    rebuild: bool = False,
    progress: Callable[[int], None] | None = None,
) -> StoreCheck:
    """Hashes what the store has, and looks for what current artifacts lack.

    Args:
        ws: the workspace.
        sample: the share of blobs to hash, between 0 and 1; all when None.
        quarantine: whether to set damaged blobs aside, so that adding them again repairs them.
        rebuild: whether to make the index anew from the packs first.
        progress: is told of bytes.
    """
    rebuilt = None
    problems: list[Problem] = []
    if rebuild:
        result = ws.store.rebuild_index(progress=progress)
        rebuilt = result.blobs
        problems += result.problems
    found = ws.store.verify_all(sample=sample, quarantine=quarantine, progress=progress)
    problems += list(found)
    artifacts, broken = _artifacts(ws)
    damaged = {problem.digest for problem in problems if problem.digest is not None}
    names, missing, not_here = _names(ws, artifacts, damaged)
    described = [_described(problem, names) for problem in problems]
    described += [
        StoreProblem(
            "missing", f"the store does not have {Digest(digest)}", Digest(digest), names[digest]
        )
        for digest in missing
    ]
    described += [StoreProblem("pointer", sentence, None, ()) for sentence in broken]
    described += [
        StoreProblem("pointer", f"{artifact.path}: {sentence}", None, ())
        for artifact in artifacts
        for sentence in _misstated(ws, artifact)
    ]
    stats = ws.store.stats()
    return StoreCheck(
        tuple(described),
        stats.packed_blobs + stats.objects,
        stats.packed_bytes + stats.object_bytes,
        rebuilt,
        not_here,
    )


def _artifacts(ws: Workspace) -> tuple[list[Tracked], list[str]]:
    """The artifacts of the worktree, and what is wrong with pointers that are nonsense."""
    found: list[Tracked] = []
    broken: list[str] = []
    for where in pointer_paths(ws.repo.git) if ws.repo.worktree else ():
        try:
            pointer = read_pointer(ws.worktree, artifact_path(where))
        except MalformedError as exc:
            broken.append(str(exc))
            continue
        if pointer is not None:
            found.append(Tracked(artifact_path(where), pointer))
    return found, broken


def _described(problem: Problem, names: dict[bytes, tuple[str, ...]]) -> StoreProblem:
    if problem.digest is None:
        kind = "pack" if problem.is_lost_pack else "store"
        return StoreProblem(kind, problem.detail, None, ())
    files = names.get(problem.digest, ())
    return StoreProblem("damaged", problem.detail, Digest(problem.digest), files)


def _misstated(ws: Workspace, artifact: Tracked) -> list[str]:
    try:
        return survey(ws.store, top_entry(artifact.pointer), artifact.pointer.files).wrong
    except (UnavailableError, VerificationError):
        return []  # that a manifest is damaged is known already


def _names(
    ws: Workspace, artifacts: list[Tracked], damaged: set[bytes]
) -> tuple[dict[bytes, tuple[str, ...]], list[bytes], int]:
    """Which files hold damaged or missing blobs; what is missing; and how many were never here."""
    names: dict[bytes, list[str]] = {}
    needed: dict[bytes, None] = {}
    had: set[bytes] = set()
    folders: set[bytes] = set()
    unlisted = 0
    for artifact in artifacts:
        before = _had(ws, artifact)
        had |= before
        top = artifact.pointer.root.raw
        known = top in damaged or top in before or ws.store.was_set_aside(top)
        if not known and not ws.store.has((top,)):
            unlisted += artifact.pointer.files
            continue  # a clone has pointers to data that never was here
        listed = 0
        for path, entry in _walk(ws, artifact.path.raw, top_entry(artifact.pointer)):
            needed[entry.digest] = None
            names.setdefault(entry.digest, []).append(show(path))
            if entry.kind == "d":
                folders.add(entry.digest)
            else:
                listed += 1
        unlisted += max(0, artifact.pointer.files - listed)  # in folders without their manifest
    here = ws.store.has(needed)
    lacking = [digest for digest in needed if digest not in here and digest not in damaged]
    missing = [digest for digest in lacking if digest in had or ws.store.was_set_aside(digest)]
    concerned = damaged.union(missing)
    never = set(lacking).difference(missing, folders)
    few = {
        digest: tuple(paths[:MAX_NAMES]) for digest, paths in names.items() if digest in concerned
    }
    return few, missing, unlisted + sum(len(names[digest]) for digest in never)


def _had(ws: Workspace, artifact: Tracked) -> set[bytes]:
    """What the store must have had once: what was added or checked out here, of any version."""
    known = checked_out(ws, artifact.path)
    tops = [(known.artifact, known.whole)] if known.whole is not None else []
    tops += [(path, part) for path, part in known.parts.items() if part.kind]
    return {entry.digest for path, top in tops for _, entry in _walk(ws, path.raw, top)}


def _walk(ws: Workspace, path: bytes, top: Entry) -> Iterator[tuple[bytes, Entry]]:
    """Every blob and manifest below an entry with its path; what cannot be read is passed over."""
    load = loader(ws.store)
    waiting = [(path, top)]
    while waiting:
        path, entry = waiting.pop()
        yield path, entry
        if entry.kind == "d":
            try:
                entries = load(entry.digest).entries
            except (UnavailableError, VerificationError):
                continue
            waiting += [(path + b"/" + below.name, below) for below in reversed(entries)]
