"""How a command gets its workspace; the only place of the commands that reads the environment."""

import os

from gitprov.cli.options import waiting
from gitprov.workspace import Workspace


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
