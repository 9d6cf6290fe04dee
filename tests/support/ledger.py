"""A small network of its own, in one folder: numbered slots, blocks, reorgs, and whatever is asked
of it. It lets the worker meet in milliseconds what real chains do now and then.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from gitprov.anchors.base import Anchor, Progress, Receipt, State, Statement, Submission
from gitprov.errors import UnavailableError
from gitprov.verify.evidence import Answer


@dataclass
class Ledger:
    """The network: what it was sent, in which block it stands, and what it charges."""

    sent: list[bytes] = field(default_factory=list)
    pool: dict[str, bytes] = field(default_factory=dict)
    blocks: list[dict[str, bytes]] = field(default_factory=list)
    slots: dict[str, str] = field(default_factory=dict)
    reverts: bool = False
    down: bool = False
    fork: int = 0

    def take(self, raw: bytes) -> None:
        """Takes a transaction; one slot pays once, the higher fee wins in the pool."""
        if self.down:
            raise UnavailableError("the ledger does not answer")
        self.sent.append(raw)
        name, value = locator(raw), json.loads(raw)
        if self.block_of(name) is not None or self.slots.get(value["slot"], name) != name:
            return
        rivals = [n for n, r in self.pool.items() if json.loads(r)["slot"] == value["slot"]]
        for rival in rivals:
            if json.loads(self.pool[rival])["fee"] < value["fee"]:
                del self.pool[rival]
        if not any(json.loads(r)["slot"] == value["slot"] for r in self.pool.values()):
            self.pool[name] = raw

    def mine(self, blocks: int = 1) -> None:
        """Puts the pool into a block, and empty ones on top."""
        self.blocks.append(dict(self.pool))
        self.slots |= {json.loads(raw)["slot"]: name for name, raw in self.pool.items()}
        self.pool.clear()
        self.blocks += [{} for _ in range(blocks - 1)]

    def reorg(self, depth: int) -> None:
        """Forgets the newest blocks, and what was in them."""
        self.fork += 1
        for block in self.blocks[-depth:]:
            for name, raw in block.items():
                self.slots.pop(json.loads(raw)["slot"])
                del name
        del self.blocks[-depth:]

    def block_of(self, name: str) -> int | None:
        return next((n for n, block in enumerate(self.blocks) if name in block), None)

    def paid(self) -> list[str]:
        """The digests that stand in blocks: each was paid for."""
        return [json.loads(raw)["digest"] for block in self.blocks for raw in block.values()]


def locator(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


@dataclass
class LedgerAnchor(Anchor):
    """A client of the ledger; final after three blocks, stuck when the test says so."""

    ledger: Ledger
    stuck: bool = False

    @property
    def name(self) -> str:
        return "ethereum"

    def target(self) -> str:
        if self.ledger.down:
            raise UnavailableError("the ledger does not answer")
        return "ledger"

    def prepare(
        self,
        statement: Statement,
        earlier: Sequence[Submission],
        *,
        replaces: Submission | None = None,
    ) -> Submission:
        used = [int(one.slot) for one in earlier]
        used += [int(slot) for slot in self.ledger.slots]
        slot = replaces.slot if replaces else str(max(used, default=-1) + 1)
        fee = json.loads(replaces.raw)["fee"] * 2 if replaces else 1
        raw = json.dumps({"digest": str(statement.digest), "slot": slot, "fee": fee}).encode()
        return Submission(locator(raw), raw, slot, {"tx": locator(raw)})

    def submit(self, submission: Submission) -> Progress:
        self.ledger.take(submission.raw)
        return self._progress(submission, "pending")

    def refresh(self, submissions: Sequence[Submission], *, was: State) -> Progress:
        if self.ledger.down:
            raise UnavailableError("the ledger does not answer")
        mined = [s for s in submissions if self.ledger.block_of(s.locator) is not None]
        return self._progress(mined[0] if mined else submissions[-1], was)

    def _progress(self, submission: Submission, was: State) -> Progress:
        name, ledger = submission.locator, self.ledger
        height = ledger.block_of(name)
        if height is None:
            if was in {"included", "final"}:
                gone: Receipt = {"tx": name, "block": f"{ledger.fork - 1}"}
                return Progress("reorged", name, gone, "its block is gone")
            known = name in ledger.pool
            lost = not known and ledger.slots.get(submission.slot, name) != name
            return Progress(
                "pending",
                name,
                {"tx": name},
                "pending",
                missing=not known and not lost,
                stuck=known and self.stuck,
                lost=lost,
            )
        if ledger.reverts:
            return Progress("failed", name, {"tx": name}, "it was reverted")
        receipt: Receipt = {"tx": name, "block": f"{ledger.fork}", "height": height}
        state: State = "final" if len(ledger.blocks) - height >= 3 else "included"
        return Progress(state, name, receipt, state)

    def gather(self, receipts: Sequence[Receipt]) -> list[Answer]:
        return [Answer("the ledger", block=str(receipt.get("block"))) for receipt in receipts]
