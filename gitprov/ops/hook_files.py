"""`gitprov install` and `gitprov uninstall`: git's hooks."""

from gitprov.git.hooks import HookStatus, install, uninstall
from gitprov.workspace import Workspace


def install_hooks(ws: Workspace, python: str) -> list[HookStatus]:
    """Installs the hooks for an interpreter; safe to repeat.

    Raises:
        UsageError: a hook of somebody else cannot be kept beside ours.
    """
    return install(ws.repo, python)


def uninstall_hooks(ws: Workspace) -> list[str]:
    """Removes our hooks, puts back what was there, and returns the names of those removed."""
    return uninstall(ws.repo)
