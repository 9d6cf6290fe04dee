"""`gitprov init`: configuration, the log's key, hooks, and what `git fetch` brings along."""

import os
import sys
from dataclasses import dataclass

from gitprov.config import LOCAL_NAME, TRACKED_NAME
from gitprov.core.paths import RepoPath
from gitprov.errors import GitprovError, UsageError
from gitprov.git.hooks import HookState, HookStatus, install
from gitprov.git.log import LogKey
from gitprov.git.sync import configure, fetch, remotes
from gitprov.model.yaml_scalar import write_scalar
from gitprov.ops.record import log_key, repository_name
from gitprov.ops.shared_store import register
from gitprov.ops.staging import stage_paths
from gitprov.ops.tracked_keys import refuse_likely_keys
from gitprov.platform.files import atomic_write
from gitprov.workspace import Workspace

_FETCH_SECONDS = 30.0

_TRACKED_TEXT = """\
# gitprov's configuration for everybody who works here. docs/tutorial.md explains every key.
gitprov: 1
name: {name}

# store:
#   link: auto            # auto: reflink, else copy | copy | hardlink | symlink
# hooks:
#   check: all            # which pointers pre-commit compares with the disk: all | staged | off
#   max_staged_file: 10MiB
#   restore: auto         # restore artifacts after git checkout and merge: auto | off
# anchors:
#   networks: []          # beside the log: opentimestamps needs no key; ethereum, bitcoin, ipfs
# policy:
#   required: [tlog]      # the networks that must witness a commit
#   tlog:
#     keys: []            # the logs that count; `gitprov log --keys` prints their keys
"""


@dataclass(frozen=True, slots=True)
class Initialized:
    """What was set up, and what was so already.

    Attributes:
        worktree: the repository's worktree.
        config_written: whether `.gitprov.yaml` is new.
        key: the public key of this clone's log.
        hooks: the hooks, none when they were not wanted.
        remotes: the remotes whose notes and logs `git fetch` brings from now on.
        warnings: what did not work and can be done later.
    """

    worktree: str
    config_written: bool
    key: LogKey
    hooks: tuple[HookStatus, ...]
    remotes: tuple[str, ...]
    warnings: tuple[str, ...]


def init(ws: Workspace, *, hooks: bool = True, store: str | None = None) -> Initialized:
    """Sets gitprov up; what is there already stays as it is.

    Args:
        ws: the workspace.
        hooks: whether to install the git hooks.
        store: a folder for the content store that several repositories share.

    Raises:
        UsageError: the repository is bare, a hook cannot be kept, or a tracked file holds a
            private key.
    """
    refuse_likely_keys(ws)
    if store is not None:
        _share_store(ws, os.path.join(ws.cwd, store))
    written = _write_config(ws)
    key = log_key(ws)
    installed = tuple(install(ws.repo, sys.executable)) if hooks else ()
    names, warnings = _remotes(ws)
    foreign = [hook.name for hook in installed if hook.state is HookState.FOREIGN]
    if foreign:
        warnings.append(f"these hooks are not ours and were left alone: {', '.join(foreign)}")
    return Initialized(ws.worktree, written, key, installed, tuple(names), tuple(warnings))


def _write_config(ws: Workspace) -> bool:
    path = os.path.join(ws.worktree, TRACKED_NAME)
    if os.path.lexists(path):
        return False
    text = _TRACKED_TEXT.format(name=write_scalar(repository_name(ws)))
    atomic_write(path, text.encode())
    stage_paths(ws, [RepoPath(TRACKED_NAME.encode())])
    return True


def _share_store(ws: Workspace, folder: str) -> None:
    path = os.path.join(ws.repo.data_dir, LOCAL_NAME)
    wanted = os.path.abspath(folder)
    if os.path.exists(path):
        if ws.config.store.path == wanted:
            return
        raise UsageError(
            f"{path} exists already", hint=f"set store.path to {wanted} there, with an editor"
        )
    if ws.store.stats().packs or ws.store.stats().objects:
        raise UsageError(
            "this repository has a store of its own already",
            hint="share a store from the beginning, before the first `gitprov add`",
        )
    os.makedirs(wanted, exist_ok=True)
    atomic_write(path, f"store:\n  path: {write_scalar(wanted)}\n".encode())
    ws.forget_config()
    register(wanted, ws.repo.common_dir, waiting=ws.waiting)


def _remotes(ws: Workspace) -> tuple[list[str], list[str]]:
    names = remotes(ws.repo)
    warnings: list[str] = []
    for name in names:
        try:
            if configure(ws.repo, name):
                fetch(ws.repo, name, timeout=_FETCH_SECONDS)
        except GitprovError as exc:
            warnings.append(f"notes and logs of {name} could not be fetched: {exc}")
    return names, warnings
