"""The pointers of the worktree: finding, reading and writing them, and their .gitignore lines."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gitprov.core.paths import RepoPath, show
from gitprov.errors import MalformedError, UnavailableError, UsageError
from gitprov.git.command import Git, split_nul
from gitprov.model.pointer import MAX_POINTER_BYTES, SUFFIX, Pointer, is_pointer_name
from gitprov.platform import files
from gitprov.platform.files import atomic_write, read_bounded

_SUFFIX = SUFFIX.encode()
_MAX_GITIGNORE = 4 << 20
_GLOB = b"\\*?["


@dataclass(frozen=True, slots=True)
class Tracked:
    """An artifact of the worktree and its pointer."""

    path: RepoPath
    pointer: Pointer

    @property
    def pointer_path(self) -> RepoPath:
        """Where the pointer lies."""
        return pointer_path(self.path)


def pointer_path(artifact: RepoPath) -> RepoPath:
    """Returns the path of an artifact's pointer."""
    return RepoPath(artifact.raw + _SUFFIX)


def artifact_path(pointer: RepoPath) -> RepoPath:
    """Returns the path of the artifact that a pointer stands for."""
    return RepoPath(pointer.raw.removesuffix(_SUFFIX))


def on_disk(worktree: str, path: RepoPath) -> bytes:
    """Returns the file system path of something in the worktree."""
    root = os.fsencode(worktree)
    return root + b"/" + path.raw if path.raw else root


def clear_leftovers(worktree: str, artifacts: Iterable[RepoPath]) -> None:
    """Removes what was left beside artifacts by who was killed while a pointer was written.

    The caller holds the lock of whoever writes pointers.
    """
    for folder in {artifact.parent for artifact in artifacts}:
        files.clear_leftovers(on_disk(worktree, folder))


def read_pointer(worktree: str, artifact: RepoPath) -> Pointer | None:
    """Returns an artifact's pointer as it lies in the worktree, or None when there is none.

    Raises:
        MalformedError: it is not well formed; the message names the file.
    """
    where = pointer_path(artifact)
    try:
        data = read_bounded(on_disk(worktree, where), MAX_POINTER_BYTES)
    except UnavailableError:
        return None
    return parse_pointer(where, data)


def parse_pointer(where: RepoPath, data: bytes) -> Pointer:
    """Parses a pointer's bytes; every error names the file and says what to do."""
    try:
        pointer = Pointer.parse(data)
        if pointer.path.encode() + _SUFFIX != where.name:
            raise MalformedError(f"it stands for '{pointer.path}', which is not its own name")
    except MalformedError as exc:
        raise MalformedError(
            f"the pointer {where} is not well formed: {exc}",
            hint=f"git checkout -- {where} restores it, "
            f"gitprov add {artifact_path(where)} writes it anew",
        ) from None
    return pointer


def tracked(git: Git, worktree: str) -> Iterator[Tracked]:
    """Yields the worktree's artifacts by path: of pointers that git tracks or would add."""
    for path in pointer_paths(git):
        artifact = artifact_path(path)
        if os.path.islink(on_disk(worktree, path)):
            continue  # a link of that name is no pointer, and the record has no leaf for it
        pointer = read_pointer(worktree, artifact)
        if pointer is not None:
            yield Tracked(artifact, pointer)


def pointer_paths(git: Git) -> list[RepoPath]:
    """Returns the paths of all pointers in the worktree, sorted."""
    output = git.run(
        "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", f"*{SUFFIX}"
    )
    return [RepoPath(raw) for raw in sorted(set(split_nul(output))) if is_pointer_name(raw)]


def select(
    artifacts: Iterable[RepoPath], wanted: Sequence[RepoPath]
) -> list[tuple[RepoPath, RepoPath]]:
    """Pairs artifacts with the part of each that is meant; everything when nothing is wanted.

    A wanted path may be an artifact, something inside one, a folder that holds some, or a pointer.
    No part lies inside another one.

    Raises:
        UsageError: a path is none of these.
    """
    known = list(artifacts)
    if not wanted:
        return [(path, path) for path in known]
    chosen: set[tuple[RepoPath, RepoPath]] = set()
    for path in wanted:
        target = artifact_path(path) if is_pointer_name(path.raw) else path
        found = [(item, item) for item in known if target.contains(item)]
        found += [(item, target) for item in known if item.contains(target)]
        if not found:
            raise UsageError(
                f"{path} is no artifact and holds none",
                hint="gitprov status lists the artifacts",
            )
        chosen.update(found)
    parts: list[tuple[RepoPath, RepoPath]] = []
    for artifact, part in sorted(chosen, key=lambda pair: pair[1].raw + b"/"):
        if not parts or not parts[-1][1].contains(part):
            parts.append((artifact, part))
    return parts


def write_pointer(worktree: str, artifact: RepoPath, pointer: Pointer) -> bool:
    """Writes a pointer durably; returns whether its bytes changed."""
    where = on_disk(worktree, pointer_path(artifact))
    data = pointer.to_bytes()
    try:
        if read_bounded(where, MAX_POINTER_BYTES) == data:
            return False
    except (MalformedError, UnavailableError):
        pass
    atomic_write(os.fsdecode(where), data)
    return True


def ignore_line(name: bytes) -> bytes:
    """Returns the .gitignore pattern that matches exactly this name in this folder."""
    escaped = b"".join(b"\\" + bytes([char]) if char in _GLOB else bytes([char]) for char in name)
    if escaped.endswith(b" "):
        escaped = escaped[:-1] + b"\\ "
    return b"/" + escaped


def ignore(git: Git, worktree: str, artifacts: Iterable[RepoPath]) -> None:
    """Makes git ignore artifacts, by lines in the .gitignore files beside them."""
    wanted = list(artifacts)
    for artifact in wanted:
        _add_ignore_line(worktree, artifact)
    names = b"".join(path.raw + b"\0" for path in wanted)
    ignored = git.run("check-ignore", "-z", "--stdin", "--no-index", input=names, ok=(0, 1))
    for artifact in wanted:
        if artifact.raw not in split_nul(ignored):
            # A line below ours takes it back; the last one that matches counts.
            drop_ignore_line(worktree, artifact)
            _add_ignore_line(worktree, artifact)


def _add_ignore_line(worktree: str, artifact: RepoPath) -> None:
    where, lines = _ignore_file(worktree, artifact)
    line = ignore_line(artifact.name)
    if line in lines:
        return
    if lines and lines[-1] == b"":
        lines.pop()
    _write_ignore(where, [*lines, line, b""])


def drop_ignore_line(worktree: str, artifact: RepoPath) -> bool:
    """Takes the artifact out of the .gitignore beside it; an empty file is removed."""
    where, lines = _ignore_file(worktree, artifact)
    line = ignore_line(artifact.name)
    if line not in lines:
        return False
    rest = [other for other in lines if other != line]
    if any(rest):
        _write_ignore(where, rest)
    else:
        os.unlink(where)
    return True


def ignore_path(artifact: RepoPath) -> RepoPath:
    """Returns the path of the .gitignore beside an artifact."""
    return artifact.parent / b".gitignore"


def _ignore_file(worktree: str, artifact: RepoPath) -> tuple[bytes, list[bytes]]:
    where = on_disk(worktree, ignore_path(artifact))
    try:
        return where, read_bounded(where, _MAX_GITIGNORE).split(b"\n")
    except UnavailableError:
        return where, []


def _write_ignore(where: bytes, lines: list[bytes]) -> None:
    atomic_write(os.fsdecode(where), b"\n".join(lines))


def repo_path(worktree: str, cwd: str, text: str | bytes) -> RepoPath:
    """Returns the path in the repository that a user means; the last component may be a symlink.

    Raises:
        UsageError: it lies outside the worktree, or inside git's own folder.
        MalformedError: a component has a name that is refused.
    """
    raw = os.fsencode(text)
    shown = show(raw)
    if not raw or b"\0" in raw:
        raise UsageError("an empty path" if not raw else f"not a path: {shown}")
    whole = os.path.normpath(os.path.join(os.fsencode(cwd), raw))
    # Only the folder is resolved: the thing itself may be a link, which the caller must see.
    folder, name = os.path.split(whole)
    real = os.path.realpath(folder)
    whole = os.path.join(real, name) if name else real
    root = os.path.realpath(os.fsencode(worktree))
    if whole != root and not whole.startswith(root.rstrip(b"/") + b"/"):
        raise UsageError(
            f"{shown} lies outside the repository {show(root)}",
            hint="copy or link the data into the repository's folder",
        )
    below = whole[len(root) :].lstrip(b"/")
    if below.split(b"/", 1)[0] == b".git":
        raise UsageError(f"{shown} lies inside git's own folder")
    return RepoPath.parse(below)
