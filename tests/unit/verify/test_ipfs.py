"""anchor:ipfs: the head can be had from somewhere, and nothing about time."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitprov.core import cid
from gitprov.core.canonical import Json
from gitprov.core.digest import Digest
from gitprov.errors import MalformedError
from gitprov.model.note import AnchorLine
from gitprov.model.receipt_ipfs import IpfsReceipt
from gitprov.model.report import Verdict
from gitprov.verify.evidence import Answer
from gitprov.verify.ipfs import judge
from gitprov.verify.settled import Circumstances
from gitprov.verify.trust import Trust
from tests.unit.verify.support import KEY, LOG_7, OTHER_KEY, log_of

CASE = Circumstances(Trust(), required=True, now=0)
SERVED = Answer("the gateway https://gateway.example", final=True)
VECTOR = Path(__file__).parents[2] / "vectors" / "receipts" / "ipfs.json"


def receipt(checkpoint: str) -> dict[str, Json]:
    return IpfsReceipt.of(checkpoint).to_json()


LINE = replace(LOG_7.anchor(), network="ipfs", receipt=receipt(LOG_7.checkpoint(7)))
NAME = str(LINE.receipt["cid"])


def test_a_head_that_was_served_passes_and_no_time_is_claimed() -> None:
    verdict, detail = judge(LINE, SERVED, CASE)
    assert verdict is Verdict.PASS
    assert detail == (
        f"the gateway https://gateway.example served {NAME}, the head of {KEY.name} "
        "(availability, not time)"
    )


@pytest.mark.parametrize(
    ("answer", "why"),
    [(None, "no node was asked"), (Answer("IPFS", problem="they all sleep"), "they all sleep")],
)
def test_without_an_answer_nothing_is_known(answer: Answer | None, why: str) -> None:
    verdict, detail = judge(LINE, answer, CASE)
    assert verdict is Verdict.UNKNOWN
    assert why in detail
    assert "availability, not time" in detail


@pytest.mark.parametrize(("required", "verdict"), [(True, Verdict.UNKNOWN), (False, Verdict.SKIP)])
def test_what_nobody_has_is_not_settled(required: bool, verdict: Verdict) -> None:
    got, detail = judge(LINE, Answer("the node"), replace(CASE, required=required))
    assert got is verdict
    assert detail == f"the node does not have {NAME} (availability, not time)"


def test_wrong_bytes_fail_even_beside_a_claim_to_be_final() -> None:
    answer = replace(SERVED, contradiction="the gateway serves other bytes")
    assert judge(LINE, answer, CASE) == (Verdict.FAIL, "the gateway serves other bytes")


FORGED: dict[str, Callable[[AnchorLine], AnchorLine]] = {
    "no receipt": lambda line: replace(line, receipt={}),
    "no checkpoint": lambda line: replace(line, receipt={"cid": NAME}),
    "more in it": lambda line: replace(line, receipt={**line.receipt, "time": 1}),
    "a number for a CID": lambda line: replace(line, receipt={**line.receipt, "cid": 1}),
    "the CID of something else": lambda line: replace(
        line, receipt={**line.receipt, "cid": cid.to_text(Digest.of(b"x"))}
    ),
    "the CID of a list": lambda line: replace(
        line,
        receipt={
            **line.receipt,
            "cid": cid.to_text(IpfsReceipt.parse(line.receipt).digest, "dag-cbor"),
        },
    ),
    "text that is no head": lambda line: replace(line, receipt=receipt("nonsense")),
    "an empty text": lambda line: replace(line, receipt=receipt("")),
    "a head without signatures": lambda line: replace(
        line, receipt=receipt(LOG_7.checkpoint(7).partition("\n\n")[0] + "\n")
    ),
    "the head of another size": lambda line: replace(line, receipt=receipt(LOG_7.checkpoint(6))),
    "the head of another log": lambda line: replace(
        line, receipt=receipt(log_of(7, 2).checkpoint(7))
    ),
    "another size": lambda line: replace(line, size=6),
    "another digest": lambda line: replace(line, digest=LOG_7.root(6)),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_receipt_fails_whoever_serves_it(what: str) -> None:
    verdict, detail = judge(FORGED[what](LINE), SERVED, CASE)
    assert verdict is Verdict.FAIL
    assert detail


def test_whose_head_it_is_is_shown() -> None:
    strange = replace(LOG_7, key=OTHER_KEY).checkpoint(7)
    verdict, detail = judge(replace(LINE, receipt=receipt(strange)), SERVED, CASE)
    assert verdict is Verdict.PASS
    assert OTHER_KEY.name in detail


@given(
    st.dictionaries(
        st.sampled_from(["cid", "checkpoint", "x"]),
        st.none() | st.integers() | st.text(max_size=80) | st.just(NAME),
        max_size=3,
    )
)
def test_no_receipt_breaks_the_judge(some: dict[str, Json]) -> None:
    assert judge(replace(LINE, receipt=some), SERVED, CASE)[0] is Verdict.FAIL


def test_the_receipt_of_the_documents_is_read_and_written_alike() -> None:
    stored = json.loads(VECTOR.read_text(encoding="utf-8"))["receipt"]
    parsed = IpfsReceipt.parse(stored)
    assert parsed.to_json() == stored
    assert parsed == IpfsReceipt.of(parsed.checkpoint)
    with pytest.raises(MalformedError):
        IpfsReceipt.parse({**stored, "cid": stored["cid"].upper()})
