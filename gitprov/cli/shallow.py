"""What commands say in a shallow clone, which lacks commits that were meant."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gitprov.cli.options import note

if TYPE_CHECKING:
    from gitprov.workspace import Workspace


def tell_shallow(ws: "Workspace", revs: Sequence[str], *, everything: bool) -> None:
    """Says that a shallow clone does not have all the commits that were meant."""
    if ws.repo.is_shallow and (everything or any(".." in rev for rev in revs)):
        note("gitprov: this clone is shallow: commits that it lacks were not looked at")
        note("gitprov: hint: git fetch --unshallow")
