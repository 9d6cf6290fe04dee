"""The check `anchor:ipfs`: the signed head can be had from somewhere. No time is proven."""

from gitprov.core import cid
from gitprov.core.digest import Digest
from gitprov.core.paths import printable
from gitprov.errors import VerificationError
from gitprov.model.note import AnchorLine
from gitprov.model.receipt_ipfs import IpfsReceipt
from gitprov.model.report import Verdict
from gitprov.model.signed_note import TreeHead, read_unverified
from gitprov.verify.evidence import Answer
from gitprov.verify.settled import Circumstances, Outcome

_WHAT = "availability, not time"


def judge(line: AnchorLine, answer: Answer | None, case: Circumstances) -> Outcome:
    """Judges one line whose inclusion proof up to the digest holds."""
    try:
        receipt = IpfsReceipt.parse(line.receipt)
        head = check(receipt, line)
    except VerificationError as exc:
        return Verdict.FAIL, str(exc)
    name = cid.to_text(receipt.digest)
    if answer is None or answer.problem:
        why = answer.problem if answer else "no node was asked"
        return Verdict.UNKNOWN, f"nobody was found who has {name}: {why} ({_WHAT})"
    if answer.contradiction:
        return Verdict.FAIL, answer.contradiction
    if answer.final:
        return (
            Verdict.PASS,
            f"{answer.asked} served {name}, the head of {printable(head.origin)} ({_WHAT})",
        )
    return case.unsettled(f"{answer.asked} does not have {name} ({_WHAT})")


def check(receipt: IpfsReceipt, line: AnchorLine) -> TreeHead:
    """Returns the head, which the CID names, and which is the line's; whose it is is not judged.

    Raises:
        VerificationError: it is not so.
    """
    if Digest.of(receipt.checkpoint.encode()) != receipt.digest:
        raise VerificationError("the CID is not that of the signed head in the receipt")
    head = read_unverified(receipt.checkpoint)
    if (head.size, head.root) != (line.size, line.digest):
        raise VerificationError(
            f"the signed head has size {head.size} and root {head.root}, the line says "
            f"size {line.size} and root {line.digest}"
        )
    return head
