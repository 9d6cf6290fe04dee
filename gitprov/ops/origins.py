"""The origins of the worktree: finding, reading, writing and removing them."""

import contextlib
import os

from gitprov.config.git_url import GitUrl
from gitprov.core.paths import MAX_NAME_BYTES, RepoPath
from gitprov.errors import MalformedError, UnavailableError, UsageError
from gitprov.git.command import Git, split_nul
from gitprov.model.origin import ENDING, MAX_ORIGIN_BYTES, Origin
from gitprov.model.pointer import SUFFIX, is_pointer_name
from gitprov.ops.pointers import artifact_path, on_disk, pointer_path
from gitprov.platform.files import atomic_write, read_bounded


def origin_path(artifact: RepoPath) -> RepoPath:
    """Returns where an artifact's origin lies: beside its pointer."""
    return RepoPath(pointer_path(artifact).raw + ENDING.encode())


def check_room(artifact: RepoPath) -> None:
    """Refuses an artifact whose name leaves no room for the name of an origin."""
    if len(origin_path(artifact).name) > MAX_NAME_BYTES:
        raise UsageError(f"{artifact} has a name too long for an origin beside it")


def imported(git: Git, worktree: str) -> list[RepoPath]:
    """Returns the artifacts that have an origin which git tracks or would add, sorted.

    An origin without a pointer beside it is passed over: somebody has moved the pointer alone.
    """
    pattern = f"*{SUFFIX}{ENDING}"
    output = git.run("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", pattern)
    pointers = {raw.removesuffix(ENDING.encode()) for raw in split_nul(output)}
    artifacts = sorted(artifact_path(RepoPath(raw)) for raw in pointers if is_pointer_name(raw))
    return [path for path in artifacts if os.path.isfile(on_disk(worktree, pointer_path(path)))]


def read_origin(worktree: str, artifact: RepoPath) -> Origin | None:
    """Returns where an artifact comes from, None when it was not imported.

    Raises:
        MalformedError: its origin is not well formed, or names an address that is refused.
    """
    where = origin_path(artifact)
    try:
        origin = Origin.parse(read_bounded(on_disk(worktree, where), MAX_ORIGIN_BYTES))
        GitUrl.parse(origin.url)
    except UnavailableError:
        return None
    except (MalformedError, UsageError) as exc:
        raise MalformedError(
            f"{where} is not well formed: {exc}", hint=f"git checkout -- {where} restores it"
        ) from None
    return origin


def write_origin(worktree: str, artifact: RepoPath, origin: Origin) -> None:
    """Writes an origin durably."""
    atomic_write(os.fsdecode(on_disk(worktree, origin_path(artifact))), origin.to_bytes())


def drop_origin(worktree: str, artifact: RepoPath) -> None:
    """Removes an origin, if there is one."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(on_disk(worktree, origin_path(artifact)))
