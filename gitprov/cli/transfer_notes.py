"""What push, fetch and pull do about notes and log."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitprov.cli.options import note
from gitprov.core.paths import printable
from gitprov.errors import GitprovError
from gitprov.ops.notes_exchange import bring_notes, git_remote, send_notes

if TYPE_CHECKING:
    from gitprov.core.canonical import Json
    from gitprov.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Notes:
    """What became of notes and log; the data has travelled whatever it is.

    Attributes:
        remote: the git remote, None when there is none, or none was wanted.
        refs: what moved.
        problem: why they could not travel.
    """

    remote: str | None = None
    refs: tuple[str, ...] = ()
    problem: GitprovError | None = None

    def to_json(self) -> "Json":
        """Returns the value of the key `notes`: None when nothing was tried."""
        if self.remote is None:
            return None
        problem = None if self.problem is None else str(self.problem)
        return {"remote": self.remote, "refs": list(self.refs), "problem": problem}

    def tell(self) -> None:
        """Says on stderr why they did not travel."""
        if self.problem is None:
            return
        note(f"gitprov: notes and log: {printable(str(self.problem))}")
        if self.problem.hint:
            note(f"gitprov: hint: {printable(self.problem.hint)}")
        if self.problem.exit_code != 1:
            note("gitprov: nothing is lost; --no-notes leaves them to git push and git fetch")


def exchange(ws: "Workspace", *, send: bool, skip: bool) -> Notes:
    """Sends or brings notes and log; what goes wrong is told and does not undo the data."""
    remote = None if skip else git_remote(ws, pushing=send)
    if remote is None:
        return Notes()
    try:
        done = send_notes(ws, remote) if send else bring_notes(ws, remote)
    except GitprovError as exc:
        return Notes(remote, problem=exc)
    return Notes(remote, done.refs)
