"""What `gitprov trace` is asked by: paths on disk, and digests or the beginnings of some."""

import os
import re
from dataclasses import dataclass

from blake3 import blake3

from gitprov.core.digest import DIGEST_BYTES, Digest
from gitprov.core.paths import RepoPath, show
from gitprov.errors import GitprovError, UsageError
from gitprov.model.pointer import Pointer, is_pointer_name
from gitprov.ops.manifests import find, loader, top_entry
from gitprov.ops.pointers import artifact_path, on_disk, read_pointer, repo_path
from gitprov.ops.store_link import store_link
from gitprov.ops.trace_query import Query
from gitprov.ops.traced import Asked
from gitprov.ops.weights_files import TORCH_ENDINGS, is_safetensors, load_weights_file
from gitprov.platform.files import fault
from gitprov.workspace import Workspace
from gitprov.worktree.scan import Progress, Scanner

MIN_DIGITS = 8
"""The shortest beginning of a digest that is taken for one."""

_TAGGED = re.compile(r"blake3:([0-9a-f]*)", re.ASCII)
_BARE = re.compile(r"[0-9a-f]{8,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Target:
    """What a word of the command line stands for.

    Attributes:
        word: the word.
        digests: what is to be looked for; none when no digest is known that begins like that.
        remarks: what could not be looked at.
    """

    word: str
    digests: tuple[Asked, ...]
    remarks: tuple[str, ...] = ()


def resolve(ws: Workspace, query: Query, word: str, *, progress: Progress | None = None) -> Target:
    """Returns what a word stands for.

    Args:
        ws: the workspace.
        query: the index, for digests that are not given in full.
        word: a path, `blake3:` and hex digits, or hex digits alone.
        progress: is told of data that is hashed.

    Raises:
        UsageError: it is none of these, or may mean several things; or it is code.
        MalformedError: the pointer beside it is not well formed.
        UnavailableError: it is not on disk, and the store lacks what would tell its digest.
        EnvironmentFault: it cannot be read.
    """
    tagged = _TAGGED.fullmatch(word)
    path = os.path.join(ws.cwd, word)
    if tagged is None and (not _BARE.fullmatch(word) or os.path.lexists(path)):
        return _of_path(ws, word, path, progress)
    digits = tagged[1] if tagged is not None else word
    if not MIN_DIGITS <= len(digits) <= 2 * DIGEST_BYTES:
        raise UsageError(
            f"{show(word.encode('utf-8', 'surrogateescape'))} is no digest and no beginning of one",
            hint=f"blake3: and {MIN_DIGITS} to {2 * DIGEST_BYTES} hexadecimal digits",
        )
    found = [Digest(bytes.fromhex(digits))] if len(digits) == 2 * DIGEST_BYTES else []
    found = found or query.starting_with(digits)
    if len(found) > 1:
        some = ", ".join(one.hex[: len(digits) + 8] for one in found[:5])
        raise UsageError(f"{word} may mean several digests: {some}", hint="give more digits")
    return Target(word, tuple(Asked("content", digest) for digest in found))


def _of_path(ws: Workspace, word: str, path: str, progress: Progress | None) -> Target:
    if ws.repo.worktree is None or _is_elsewhere(ws.repo.worktree, path):
        return _of_file(word, path)
    where = repo_path(ws.worktree, ws.cwd, word)
    if is_pointer_name(where.raw) and os.path.lexists(on_disk(ws.worktree, where)):
        where = artifact_path(where)
    for artifact in (where, *where.ancestors()):
        pointer = read_pointer(ws.worktree, artifact) if artifact.raw else None
        if pointer is not None:
            return _of_artifact(ws, word, where, artifact, pointer, progress)
    if where.raw and ws.repo.git.run("ls-files", "-z", "--", f":(top,literal){_text(where)}"):
        raise UsageError(
            f"{where} is tracked by git itself, not by gitprov", hint=f"git log -- {where}"
        )
    if not os.path.isdir(path) or not where.raw:
        return _of_file(word, path)
    digest = Digest(
        Scanner(ws.worktree, ws.stats, progress=progress).scan(where, lenient=True).root
    )
    return Target(word, (Asked("content", digest),))


def _of_artifact(
    ws: Workspace,
    word: str,
    where: RepoPath,
    artifact: RepoPath,
    pointer: Pointer,
    progress: Progress | None,
) -> Target:
    disk = on_disk(ws.worktree, where)
    if os.path.lexists(disk):
        scanner = Scanner(ws.worktree, ws.stats, progress=progress, store_link=store_link(ws))
        tree = scanner.scan(where, artifact=artifact, lenient=True)
        weights, remarks = _weights(word, disk) if tree.kind in ("f", "x") else ((), ())
        return Target(word, (Asked("content", Digest(tree.root)), *weights), remarks)
    names = where.below(artifact)
    entry = find(loader(ws.store), top_entry(pointer), names.split(b"/") if names else [])
    if entry is None:
        raise UsageError(
            f"there is no {where} in the artifact {artifact}",
            hint=f"gitprov ls {artifact} lists its files",
        )
    digests = [Asked("content", Digest(entry.digest))]
    if not names and pointer.weights is not None:
        digests.append(Asked("weights", pointer.weights))
    return Target(word, tuple(digests))


def _of_file(word: str, path: str) -> Target:
    """A file that need not be in the repository: it may be a copy that came from it."""
    shown = show(os.fsencode(word))
    if not os.path.isfile(path):
        what = "is no file" if os.path.lexists(path) else "is not here"
        raise UsageError(
            f"{shown} {what}",
            hint="what is not on disk can be asked for by its digest: gitprov ls REV:PATH",
        )
    try:
        hasher = blake3(max_threads=blake3.AUTO).update_mmap(path)
    except OSError as exc:
        raise fault(exc, "read", path) from exc
    weights, remarks = _weights(word, os.fsencode(path))
    return Target(word, (Asked("content", Digest(hasher.digest())), *weights), remarks)


def _weights(word: str, path: bytes) -> tuple[tuple[Asked, ...], tuple[str, ...]]:
    """The weights root of a model file, so that the same weights in another container are found."""
    name = os.fsdecode(path)
    if not is_safetensors(name) and not name.lower().endswith(TORCH_ENDINGS):
        return (), ()
    try:
        return (Asked("weights", load_weights_file(name).root),), ()
    except GitprovError as exc:
        # Bytes like any others, whatever the file is called.
        return (), (f"{show(os.fsencode(word))} was looked for as a file, not as weights: {exc}",)


def _is_elsewhere(worktree: str, path: str) -> bool:
    folder = os.path.realpath(os.path.dirname(os.path.normpath(path)))
    top = os.path.realpath(worktree)
    return folder != top and not folder.startswith(top.rstrip("/") + "/")


def _text(path: RepoPath) -> str:
    return os.fsdecode(path.raw)
