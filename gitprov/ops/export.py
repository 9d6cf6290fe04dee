"""`gitprov anchor export --ots`: a commit's proof in Bitcoin's chain, for the stock client."""

from dataclasses import dataclass

from gitprov.errors import UnavailableError
from gitprov.git.notes import Notes
from gitprov.model.note import AnchorLine
from gitprov.model.receipt_bitcoin import BitcoinReceipt
from gitprov.model.receipt_opentimestamps import OpenTimestampsReceipt
from gitprov.ops.record import compute_record
from gitprov.verify import ots
from gitprov.verify.tlog import check_line
from gitprov.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ExportedOts:
    """The two files, and whether the proof is complete.

    Attributes:
        commit: the commit's id.
        target: what is stamped: 0x00 and the 32 bytes of the record root. Its SHA-256 is the leaf
            of the log.
        ots: the timestamp file.
        complete: whether it leads to a block; else it is a calendar's promise still.
    """

    commit: str
    target: bytes
    ots: bytes
    complete: bool


def export_ots(ws: Workspace, rev: str) -> ExportedOts:
    """Makes a timestamp file from the best anchor of a commit.

    A complete OpenTimestamps anchor, else one of our own Bitcoin transactions, else a promise.

    Raises:
        UnavailableError: the commit has no such anchor.
        VerificationError: the anchor does not lead from the record to what is stamped.
    """
    commit = ws.repo.resolve(rev)
    root = compute_record(ws, commit).root
    found: list[tuple[int, AnchorLine, bytes]] = []
    for line in Notes(ws.repo).lines(commit):
        if isinstance(line, AnchorLine) and (line.commit, line.root) == (commit, root):
            rank, inner = _inner(line)
            if inner:
                found.append((rank, line, inner))
    if not found:
        raise UnavailableError(
            f"{commit[:12]} has no anchor that a timestamp can be made from",
            hint="gitprov anchor --network opentimestamps",
        )
    rank, line, inner = max(found, key=lambda one: one[0])
    check_line(line)
    made = ots.for_leaf(root.raw, line.index, line.size, line.path, inner)
    return ExportedOts(commit, b"\0" + root.raw, made, complete=rank > 0)


def _inner(line: AnchorLine) -> tuple[int, bytes]:
    """The timestamp file of the line's head, and how good it is."""
    if line.network == "opentimestamps":
        inner = OpenTimestampsReceipt.parse(line.receipt).ots
        return (2 if ots.read(inner).bitcoin else 0), inner
    if line.network == "bitcoin" and line.status in {"included", "final"}:
        receipt = BitcoinReceipt.parse(line.receipt)
        place = receipt.place
        if place is not None:
            made = ots.from_bitcoin(
                line.digest.raw, receipt.raw, place.index, place.branch, place.height
            )
            return 1, made
    return 0, b""
