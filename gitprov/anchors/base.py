"""What every network is to the rest of gitprov: one protocol, and the values that pass through it.

A network that costs money is paid by a signed transaction. `prepare` makes it and sends nothing;
the outbox makes it durable; `submit` sends it, as often as it takes. So a crash at any point leads
to the same transaction being sent again, and never to a second one (docs/adr/0007).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from gitprov.core.canonical import Json
from gitprov.core.digest import Sha256Digest
from gitprov.verify.evidence import Answer

Receipt = dict[str, Json]
"""A network's own evidence as the note keeps it (docs/formats.md section 7)."""

State = Literal["pending", "included", "final", "reorged", "failed"]
"""Where an anchoring is. The first four are the note's statuses; `failed` stays in the outbox: the
network has taken the transaction and undone what it was for (a revert), and asking again is no use.
"""


def _nothing() -> Iterable[bytes]:
    return ()


@dataclass(frozen=True, slots=True)
class Statement:
    """The tree head that is to be witnessed.

    Attributes:
        digest: the log's root: what a chain is given.
        size: the log's size.
        signed: the signed head (C2SP tlog-checkpoint), for networks that keep bytes.
        blocks: gives what a network that keeps bytes publishes beside the head, each at most
            `MAX_BLOCK_BYTES`: the records of the commits that this head newly covers.
    """

    digest: Sha256Digest
    size: int
    signed: str
    blocks: Callable[[], Iterable[bytes]] = field(default=_nothing, compare=False)


@dataclass(frozen=True, slots=True)
class Submission:
    """What is ready to be sent, and is durable before it is.

    Attributes:
        locator: what the network calls it: transaction hash, txid, CID, digest.
        raw: the bytes that are sent, again and again the same: a signed transaction.
        slot: what it uses up (a nonce, an outpoint): of several with one slot the network takes
            one. "" where nothing is paid.
        receipt: the pending receipt.
        created: when it was made durable, in seconds since 1970; 0 before that.
    """

    locator: str
    raw: bytes
    slot: str
    receipt: Receipt
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one anchoring is.

    Attributes:
        state: see `State`.
        locator: the submission that counts; of several for one slot, the one the network took.
        receipt: its receipt, as complete as can be now.
        detail: one sentence for people.
        missing: the network does not know it (any more), so it is to be sent again.
        stuck: it has waited long enough that paying more for the same slot would help.
        lost: its slot was used up by something else, so it can never be taken: a new one may be
            prepared without paying twice.
    """

    state: State
    locator: str
    receipt: Receipt
    detail: str
    missing: bool = False
    stuck: bool = False
    lost: bool = False


class Anchor(Protocol):
    """A public, append-only place that can witness the digest of a tree head.

    Implementations raise `UnavailableError` when asking again later may help, `UsageError` when the
    configuration, the key or the money is at fault. Every method may be repeated safely: the outbox
    does, after a crash. Replies are bounded and validated.
    """

    @property
    def name(self) -> str:
        """The network's name in notes, policy and configuration."""
        ...

    def target(self) -> str:
        """Returns which chain this is (CAIP-2, with the genesis where the id is not unique).

        Heads are witnessed once per target. Asks the node, and compares with the configuration.
        """
        ...

    def prepare(
        self,
        statement: Statement,
        earlier: Sequence[Submission],
        *,
        replaces: Submission | None = None,
    ) -> Submission:
        """Makes what `submit` will send. Nothing leaves this machine but questions.

        Args:
            statement: the head.
            earlier: this clone's submissions on the same target that are not known to be final,
                the oldest first: their slots are taken, and their change may be spent.
            replaces: the one whose slot is used again, with a higher fee.
        """
        ...

    def submit(self, submission: Submission) -> Progress:
        """Sends it. What the network has already is a success."""
        ...

    def refresh(self, submissions: Sequence[Submission], *, was: State) -> Progress:
        """Asks how far one anchoring is: all submissions ever made for it, the newest last.

        `reorged` when it was included, and its block is no longer in the chain. The submission's
        receipt is the newest one known.
        """
        ...

    def gather(self, receipts: Sequence[Receipt]) -> list[Answer]:
        """Asks what the network says now about receipts from notes, hostile ones too.

        One answer per receipt, in order, with as few requests as possible. It does not raise for
        what a receipt holds, and "nobody answered" is an answer (`Answer.problem`).
        """
        ...
