"""How a command gets its workspace; the only place of the commands that reads the environment."""

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from gitprov.cli.options import waiting
from gitprov.workspace import Workspace

if TYPE_CHECKING:
    from gitprov.anchors.registry import Means
    from gitprov.config.remotes import RemoteConfig
    from gitprov.store.transport import Transport

_REQUEST_SECONDS = 10.0


def workspace() -> Workspace:
    """Opens the repository around the current folder, or the one that GIT_DIR names."""
    git_dir = os.environ.get("GIT_DIR")
    work_tree = os.environ.get("GIT_WORK_TREE")
    return Workspace.open(
        os.getcwd(),
        waiting=waiting,
        git_dir=os.path.abspath(git_dir) if git_dir else None,
        work_tree=os.path.abspath(work_tree) if work_tree else None,
    )


def open_remote(chosen: "RemoteConfig") -> "Transport":
    """Opens a remote; what takes long there is told once."""
    from gitprov.store.patience import told_once  # not for the commands that need no remote
    from gitprov.store.transport import Patience
    from gitprov.store.transports import open_transport

    patience = Patience(tell=told_once(waiting))
    return open_transport(chosen.url, chosen.options(), dict(os.environ), patience=patience)


def means(ws: Workspace, *, seconds: float) -> "Means":
    """Returns what networks are given: the environment, somebody to ask, and so many seconds."""
    from gitprov.anchors.registry import Means  # not for the commands that talk to no network

    return Means(
        environ=dict(os.environ),
        data_dir=ws.repo.data_dir,
        ask=asker(),
        timeout=min(_REQUEST_SECONDS, seconds),
        deadline=time.monotonic() + seconds,
    )


def asker() -> Callable[[str], str] | None:
    """Returns what asks a person for a passphrase, None where there is nobody to ask."""
    if not (sys.stdin and sys.stdin.isatty()):
        return None
    import click

    return lambda sentence: str(click.prompt(sentence, hide_input=True, err=True))
