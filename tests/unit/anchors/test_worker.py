"""The outbox and the worker: whatever happens, each head is paid once and nothing is forgotten."""

import contextlib
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitprov.anchors.base import Statement
from gitprov.anchors.outbox import Event, Job, Outbox
from gitprov.anchors.worker import Passed, Wanted, work
from gitprov.core.digest import Sha256Digest
from gitprov.errors import UnavailableError
from tests.support.ledger import Ledger, LedgerAnchor

LOG = "ab" * 8


def head(size: int) -> Statement:
    return Statement(Sha256Digest(bytes([size]) * 32), size, f"signed {size}")


class Clone:
    """A folder with an outbox, and a network."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.ledger = Ledger()
        self.anchor = LedgerAnchor(self.ledger)
        self.now = 1000.0

    def go(self, size: int | None = None, *, retry: bool = False) -> Passed:
        self.now += 1
        wanted = Wanted(LOG, head(size) if size else None, retry)
        return work(self.folder, self.anchor, wanted, clock=lambda: self.now)

    def outbox(self) -> Outbox:
        return Outbox(self.folder)

    def untold(self) -> list[Event]:
        outbox = self.outbox()
        events = outbox.untold()
        outbox.close()
        return events

    def tell(self) -> list[tuple[int, str]]:
        outbox = self.outbox()
        events = outbox.untold()
        outbox.told(events)
        outbox.close()
        return [(event.job.size, event.state) for event in events]


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def newest(passed: Passed) -> Job:
    return passed.jobs[-1]


def test_a_head_becomes_pending_included_and_final(clone: Clone) -> None:
    assert newest(clone.go(5)).state == "pending"
    clone.ledger.mine()
    assert newest(clone.go()).state == "included"
    clone.ledger.mine(3)
    assert newest(clone.go()).state == "final"
    assert len(clone.ledger.paid()) == 1


def test_a_head_that_is_on_its_way_is_not_begun_again(clone: Clone) -> None:
    assert clone.go(5).made is not None
    assert clone.go(5).made is None
    assert clone.go(4).made is None
    assert len(clone.go(6).jobs) == 2


def test_what_could_not_be_sent_is_sent_with_the_same_bytes(clone: Clone) -> None:
    clone.go(1)
    clone.ledger.pool.clear()
    sent = clone.ledger.sent[0]
    clone.go()
    assert clone.ledger.sent == [sent, sent]


def test_a_network_that_is_down_keeps_the_work(clone: Clone) -> None:
    clone.go(1)
    clone.ledger.down = True
    with pytest.raises(UnavailableError):
        clone.go(2)
    clone.ledger.down = False
    clone.go(2)
    clone.ledger.mine()
    assert [job.state for job in clone.go().jobs] == ["included", "included"]


def test_a_transaction_that_is_stuck_is_replaced_on_the_same_slot(clone: Clone) -> None:
    clone.go(1)
    clone.anchor.stuck = True
    clone.go()
    clone.anchor.stuck = False
    assert len(clone.ledger.pool) == 1
    clone.ledger.mine()
    assert newest(clone.go()).state == "included"
    assert len(clone.ledger.paid()) == 1


def test_the_replaced_transaction_may_win_all_the_same(clone: Clone) -> None:
    clone.go(1)
    first = dict(clone.ledger.pool)
    clone.anchor.stuck = True
    clone.go()
    clone.anchor.stuck = False
    clone.ledger.pool = dict(first)
    clone.ledger.mine()
    job = newest(clone.go())
    assert (job.state, job.locator) == ("included", next(iter(first)))


def test_a_slot_that_somebody_else_took_leads_to_another_one(clone: Clone) -> None:
    clone.go(1)
    clone.ledger.pool.clear()
    clone.ledger.slots["0"] = "a foreign transaction"
    clone.go()
    clone.ledger.mine()
    assert newest(clone.go()).state == "included"
    assert len(clone.ledger.paid()) == 1


def test_a_reorged_transaction_is_sent_again_and_the_notes_hear_of_it(clone: Clone) -> None:
    clone.go(1)
    clone.ledger.mine()
    clone.go()
    assert clone.tell() == [(1, "included")]
    clone.ledger.reorg(1)
    clone.go()
    assert clone.tell() == [(1, "reorged"), (1, "pending")]
    clone.ledger.mine(3)
    assert newest(clone.go()).state == "final"
    assert clone.tell() == [(1, "final")]


def test_a_reverted_transaction_is_not_paid_again_unless_asked(clone: Clone) -> None:
    clone.go(3)
    clone.ledger.reverts = True
    clone.ledger.mine()
    assert newest(clone.go(3)).state == "failed"
    assert clone.go(3).made is None
    clone.ledger.reverts = False
    assert clone.go(3, retry=True).made is not None


def test_the_next_head_covers_what_a_failed_one_did_not(clone: Clone) -> None:
    clone.go(3)
    clone.go(5)
    outbox = clone.outbox()
    second = outbox.jobs()[1]
    assert outbox.first_of(second) == 3
    outbox.close()
    clone.tell()
    clone.ledger.reverts = True
    clone.ledger.pool.pop(next(iter(clone.ledger.pool)))
    clone.ledger.reverts = False
    clone.ledger.mine()
    fail_first(clone)
    outbox = clone.outbox()
    assert outbox.first_of(second) == 0
    outbox.close()
    assert (5, "pending") in clone.tell()


def fail_first(clone: Clone) -> None:
    from gitprov.anchors.base import Progress

    outbox = clone.outbox()
    job = outbox.jobs()[0]
    outbox.advance(job, Progress("failed", job.locator, job.receipt, "reverted"), clone.now)
    outbox.close()


def test_an_event_is_told_until_it_is_marked(clone: Clone) -> None:
    clone.go(1)
    assert [event.state for event in clone.untold()] == ["pending"]
    assert [event.state for event in clone.untold()] == ["pending"]
    assert clone.tell() == [(1, "pending")]
    assert clone.untold() == []


def test_of_several_untold_events_only_the_last_is_told(clone: Clone) -> None:
    clone.go(1)
    clone.ledger.mine()
    clone.go()
    assert clone.tell() == [(1, "included")]
    assert clone.untold() == []


class Killed(BaseException):
    """The process ended here."""


class MortalLedger(Ledger):
    """Dies before or after it takes a transaction, when its number comes up."""

    def __init__(self) -> None:
        super().__init__()
        self.countdown = -1

    def take(self, raw: bytes) -> None:
        self.tick()
        super().take(raw)
        self.tick()

    def tick(self) -> None:
        self.countdown -= 1
        if self.countdown == 0:
            raise Killed


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(steps=st.lists(st.sampled_from("hkmrs"), min_size=1, max_size=25), seed=st.integers())
def test_each_head_is_paid_exactly_once_whatever_happens(
    steps: list[str], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """h: a new head; k: killed while sending; m: a block; r: a reorg; s: it is stuck."""
    clone = Clone(tmp_path_factory.mktemp("outbox"))
    ledger = MortalLedger()
    clone.ledger, clone.anchor = ledger, LedgerAnchor(ledger)
    dice = random.Random(seed)
    size = 1
    for step in steps:
        if step == "h":
            size += 1
        elif step == "m":
            ledger.mine(dice.randint(1, 2))
        elif step == "r" and ledger.blocks:
            ledger.reorg(1)
        clone.anchor.stuck = step == "s"
        ledger.countdown = dice.randint(1, 4) if step == "k" else -1
        with contextlib.suppress(Killed):
            clone.go(size)
    ledger.countdown, clone.anchor.stuck = -1, False
    for _ in range(4):
        clone.go(size)
        ledger.mine()
    clone.go(size)
    ledger.mine(3)
    passed = clone.go(size)
    paid = ledger.paid()
    assert len(set(paid)) == len(paid)
    assert passed.jobs[-1].state == "final"
    assert passed.jobs[-1].size == size
