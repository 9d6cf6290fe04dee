"""IPFS on real Kubo nodes: what is published, who has it, and what others serve in its place."""

import itertools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gitprov.anchors.base import Statement
from gitprov.anchors.ipfs import MAX_CAR_BYTES, IpfsAnchor
from gitprov.anchors.ipfs_client import Kubo
from gitprov.config.anchors import IpfsConfig
from gitprov.core import car, cid
from gitprov.core.car import MAX_BLOCK_BYTES
from gitprov.core.digest import Digest
from gitprov.devnet.nodes import Node
from gitprov.devnet.process import free_port
from gitprov.errors import GitprovError, UnavailableError, UsageError
from gitprov.platform.http import Http
from gitprov.verify.evidence import Answer
from tests.support.calendar import Respond, serving
from tests.support.nodes import start_node
from tests.support.pinning import TOKEN, Pinning, pinning
from tests.unit.verify.support import log_of

WHAT = "availability, not time"

_SIZES = itertools.count(2000)
"""Sizes of logs that no other test publishes on the node that all share."""


def _asleep(method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
    del method, path, body
    time.sleep(6)
    return 200, {}, b""


HOSTILE: dict[str, Respond] = {
    "wrong bytes": lambda *_: (200, {}, b"something else"),
    "ten megabytes": lambda *_: (200, {}, b"\0" * (10 << 20)),
    "a redirect": lambda *_: (301, {"Location": "http://127.0.0.1:1/"}, b""),
    "an error": lambda *_: (500, {}, b"no"),
    "nothing in time": _asleep,
}


@pytest.fixture
def http() -> Iterator[Http]:
    with Http(timeout=1.5) as connections:
        yield connections


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Somebody else's node, with a gateway."""
    with start_node("ipfs", tmp_path_factory.mktemp("second")) as node:
        yield node


def anchor(http: Http, url: str, *gateways: str, service: str | None = None) -> IpfsAnchor:
    config = IpfsConfig(
        url=url, gateways=gateways, pinning_url=service, pinning_token=TOKEN if service else None
    )
    return IpfsAnchor(config, http, secret=str, clock=time.time)


def statement(*records: bytes) -> Statement:
    """A head that no test before has published, and records."""
    log = log_of(size=next(_SIZES))
    return Statement(log.root(log.size), log.size, log.checkpoint(log.size), lambda: list(records))


def nobody() -> str:
    return f"http://127.0.0.1:{free_port()}"


def rpc(node: Node, call: str) -> bytes:
    with Http(timeout=60) as http:
        return http.request("POST", f"{node.url}/api/v0/{call}").body


def give(node: Node, archive: bytes) -> None:
    with Http(timeout=60) as http:
        Kubo(http, node.url).import_car(archive)


def ask(anchor: IpfsAnchor, receipt: dict[str, object]) -> Answer:
    [answer] = anchor.gather([receipt])  # type: ignore[list-item]  # JSON, as the note has it
    return answer


def test_the_locator_is_the_cid_of_the_signed_head(kubo: Node, http: Http) -> None:
    head = statement()
    submission = anchor(http, kubo.url).prepare(head, [])
    assert submission.locator == cid.to_text(Digest.of(head.signed.encode()))
    assert submission.receipt == {"cid": submission.locator, "checkpoint": head.signed}
    assert submission.slot == ""
    assert anchor(http, kubo.url).target() == "ipfs"


def test_without_a_gateway_it_stays_included_and_says_why(kubo: Node, http: Http) -> None:
    ours = anchor(http, kubo.url)
    progress = ours.submit(ours.prepare(statement(), []))
    assert progress.state == "included"
    assert "anchors.ipfs.gateways names none" in progress.detail
    assert WHAT in progress.detail


def test_it_is_final_when_a_second_place_serves_it(kubo: Node, second: Node, http: Http) -> None:
    ours = anchor(http, kubo.url, second.gateway)
    submission = ours.prepare(statement(b"a record\n"), [])
    first = ours.submit(submission)
    assert first.state == "included"
    assert "no gateway serves it yet" in first.detail
    give(second, submission.raw)
    later = ours.refresh([submission], was="included")
    assert later.state == "final"
    assert second.gateway in later.detail
    assert WHAT in later.detail


def test_what_was_final_stays_final_and_says_that_nobody_serves_it(kubo: Node, http: Http) -> None:
    ours = anchor(http, kubo.url, nobody())
    submission = ours.prepare(statement(), [])
    ours.submit(submission)
    progress = ours.refresh([submission], was="final")
    assert progress.state == "final"
    assert "no gateway serves it now" in progress.detail


def test_head_and_records_outlive_the_nodes_garbage_collection(second: Node, http: Http) -> None:
    records = [b"record %d\n" % number for number in range(50)]
    ours = anchor(http, second.url)
    head = statement(*records)
    ours.submit(ours.prepare(head, []))
    rpc(second, "repo/gc")
    node = Kubo(http, second.url)
    for block in (head.signed.encode(), *records):
        assert node.get(Digest.of(block)) == block


def test_what_the_node_lost_is_missing_and_can_be_sent_again(second: Node, http: Http) -> None:
    ours = anchor(http, second.url)
    submission = ours.prepare(statement(), [])
    ours.submit(submission)
    for root in car.roots_of(submission.raw):
        rpc(second, f"pin/rm?arg={cid.text_of(root)}")
    rpc(second, "repo/gc")
    gone = ours.refresh([submission], was="included")
    assert (gone.state, gone.missing) == ("pending", True)
    assert ours.submit(submission).state == "included"


def test_a_node_without_dag_import_gets_the_blocks_one_by_one(second: Node, http: Http) -> None:
    with _forwarding(second, without="dag/import") as url:
        ours = anchor(http, url)
        record = b"one by one %d\n" % time.time_ns()
        assert ours.submit(ours.prepare(statement(record), [])).state == "included"
    rpc(second, "repo/gc")
    assert Kubo(http, second.url).get(Digest.of(record)) == record


@contextmanager
def _forwarding(node: Node, *, without: str) -> Iterator[str]:
    """A proxy before a node that offers not all of its RPC."""

    def respond(method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if without in path:
            return 404, {}, b"404 page not found"
        boundary = body[2 : body.find(b"\r\n")].decode("latin-1")
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"} if body else {}
        with Http() as http:
            reply = http.request(method, node.url + path, body=body, headers=kind)
        return reply.status, {}, reply.body

    with serving(respond) as url:
        yield url


BAD_IMPORTS = {
    "nothing": (b"", "does not say that it pinned"),
    "another root": (b'{"Root":{"Cid":{"/":"b"},"PinErrorMsg":""}}', "does not say that it pinned"),
    "an error": (b'{"Root":{"Cid":{"/":"b"},"PinErrorMsg":"disk\\u001b full"}}', "did not pin"),
    "no JSON": (b"<html>", "no JSON"),
    "other JSON": (b"[1]", "does not say that it pinned"),
}


@pytest.mark.parametrize("what", BAD_IMPORTS)
def test_an_import_that_breaks_off_is_no_success(what: str, http: Http) -> None:
    said, why = BAD_IMPORTS[what]
    with serving(lambda *_: (200, {}, said)) as url:
        ours = anchor(http, url)
        with pytest.raises(UnavailableError, match=why) as caught:
            ours.submit(ours.prepare(statement(), []))
    assert "\x1b" not in str(caught.value)


def test_what_the_node_says_of_an_error_is_not_taken_for_absence(http: Http) -> None:
    with serving(lambda *_: (500, {}, b'{"Message":"the disk is gone"}')) as url:
        answer = ask(anchor(http, url), _receipt())
    assert "the disk is gone" in answer.problem


def test_too_many_records_are_refused_before_anything_is_sent(http: Http) -> None:
    def blocks() -> Iterator[bytes]:
        for number in range(MAX_CAR_BYTES // MAX_BLOCK_BYTES + 1):
            yield number.to_bytes(4, "big") + bytes(MAX_BLOCK_BYTES - 4)

    with pytest.raises(UsageError, match="too many to publish") as caught:
        anchor(http, nobody()).prepare(replace(statement(), blocks=blocks), [])
    assert "export --car" in (caught.value.hint or "")


def _receipt() -> dict[str, object]:
    signed = statement().signed
    return {"cid": cid.to_text(Digest.of(signed.encode())), "checkpoint": signed}


def test_our_node_answers_first(kubo: Node, http: Http) -> None:
    ours = anchor(http, kubo.url, nobody())
    submission = ours.prepare(statement(), [])
    ours.submit(submission)
    answer = ask(ours, dict(submission.receipt))
    assert answer == Answer(f"the IPFS node at {kubo.url}", final=True)


def test_a_gateway_answers_when_our_node_is_down(second: Node, http: Http) -> None:
    ours = anchor(http, nobody(), nobody(), second.gateway)
    submission = ours.prepare(statement(), [])
    give(second, submission.raw)
    answer = ask(ours, dict(submission.receipt))
    assert answer == Answer(f"the gateway {second.gateway}", final=True)


def test_who_does_not_have_it_is_named(kubo: Node, second: Node, http: Http) -> None:
    answer = ask(anchor(http, kubo.url, second.gateway), _receipt())
    assert (answer.final, answer.problem, answer.contradiction) == (False, "", "")
    assert kubo.url in answer.asked
    assert second.gateway in answer.asked


def test_nobody_there_is_a_problem_that_names_all(http: Http) -> None:
    node, gateway = nobody(), nobody()
    answer = ask(anchor(http, node, gateway), _receipt())
    assert node in answer.problem
    assert gateway in answer.problem


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_gateway_that_answers_badly_shows_nothing(kind: str, kubo: Node, http: Http) -> None:
    with serving(HOSTILE[kind]) as url:
        ours = anchor(http, kubo.url, url)
        submission = ours.prepare(statement(), [])
        assert ours.submit(submission).state == "included"
        answer = ask(anchor(http, nobody(), url), dict(submission.receipt))
    assert not answer.final
    if kind == "wrong bytes":
        assert "serves other bytes" in answer.contradiction
    else:
        assert url in answer.problem


def test_wrong_bytes_do_not_outweigh_the_right_ones(second: Node, http: Http) -> None:
    with serving(HOSTILE["wrong bytes"]) as liar:
        for gateways in ((liar, second.gateway), (second.gateway, liar)):
            ours = anchor(http, nobody(), *gateways)
            submission = ours.prepare(statement(), [])
            give(second, submission.raw)
            assert ask(ours, dict(submission.receipt)).final


def test_a_node_that_serves_wrong_bytes_is_a_contradiction(http: Http) -> None:
    with serving(HOSTILE["wrong bytes"]) as url:
        answer = ask(anchor(http, url), _receipt())
    assert "serves other bytes" in answer.contradiction


def test_who_does_not_answer_is_not_asked_for_every_head(http: Http) -> None:
    asked: list[str] = []

    def busy(method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        del method, body
        asked.append(path)
        return 503, {}, b"busy"

    signed = [f"head {number}" for number in range(100)]
    with serving(busy) as url:
        answers = anchor(http, url).gather(
            [{"cid": cid.to_text(Digest.of(one.encode())), "checkpoint": one} for one in signed]
        )
    assert all("HTTP 503" in answer.problem for answer in answers)
    assert len(asked) <= 8  # as many as there are threads


@pytest.fixture
def service(kubo: Node, second: Node) -> Iterator[Pinning]:
    with pinning(second, kubo) as one:
        yield one


def test_a_pinning_service_keeps_head_and_records(
    kubo: Node, second: Node, service: Pinning, http: Http
) -> None:
    record = b"pinned elsewhere %d\n" % time.time_ns()
    ours = anchor(http, kubo.url, second.gateway, service=service.url)
    submission = ours.prepare(statement(record), [])
    first = ours.submit(submission)
    assert first.state == "included"
    assert f"the pinning service {service.url}: queued" in first.detail
    service.work()
    later = ours.refresh([submission], was="included")
    assert later.state == "final"
    assert f"{service.url}: pinned" in later.detail
    assert Kubo(http, second.url).get(Digest.of(record)) == record
    ours.submit(submission)
    assert len(service.pins) == 1


def test_a_pin_that_failed_is_asked_for_again(kubo: Node, service: Pinning, http: Http) -> None:
    ours = anchor(http, kubo.url, service=service.url)
    submission = ours.prepare(statement(), [])
    ours.submit(submission)
    service.pins[0]["status"] = "failed"
    assert ": failed" in ours.refresh([submission], was="included").detail
    assert ": queued" in ours.submit(submission).detail
    assert [pin["status"] for pin in service.pins] == ["failed", "queued"]


def test_a_pinning_service_that_is_down_holds_nothing_up_later(
    kubo: Node, second: Node, http: Http
) -> None:
    ours = anchor(http, kubo.url, second.gateway, service=nobody())
    submission = ours.prepare(statement(), [])
    with pytest.raises(UnavailableError):
        ours.submit(submission)
    give(second, submission.raw)
    progress = ours.refresh([submission], was="included")
    assert progress.state == "final"
    assert "cannot reach" in progress.detail


def test_a_token_that_is_refused_is_a_fault_of_the_configuration(
    kubo: Node, service: Pinning, http: Http
) -> None:
    config = IpfsConfig(url=kubo.url, pinning_url=service.url, pinning_token="another-t0ken")
    ours = IpfsAnchor(config, http, secret=str, clock=time.time)
    with pytest.raises(UsageError, match="refuses the token") as caught:
        ours.submit(ours.prepare(statement(), []))
    assert "another-t0ken" not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize("token", ["", "s3cret\n", "s3cret s3cret", "s3crét", "s3cret\r\nX: y"])
def test_a_token_that_cannot_be_sent_is_refused_and_not_shown(token: str, http: Http) -> None:
    config = IpfsConfig(url=nobody(), pinning_url=nobody(), pinning_token=token or None)
    with pytest.raises(GitprovError, match="token") as caught:
        IpfsAnchor(config, http, secret=str, clock=time.time)
    assert caught.value.exit_code == 2
    assert "s3cr" not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize("said", [b"[]", b"{}", b'{"results":[{}]}', b'{"results":[1]}', b"<html>"])
def test_a_pinning_service_that_answers_wrongly_is_unavailable(
    said: bytes, kubo: Node, http: Http
) -> None:
    with serving(lambda *_: (200, {}, said)) as url:
        ours = anchor(http, kubo.url, service=url)
        with pytest.raises(UnavailableError):
            ours.submit(ours.prepare(statement(), []))


def test_a_receipt_of_the_documents_is_what_a_head_gives(http: Http) -> None:
    path = Path(__file__).parents[2] / "vectors" / "receipts" / "ipfs.json"
    vector = json.loads(path.read_text(encoding="utf-8"))
    ours = anchor(http, nobody())
    head = replace(statement(), signed=vector["receipt"]["checkpoint"])
    submission = ours.prepare(head, [])
    assert submission.receipt == vector["receipt"]
    assert submission.locator == vector["receipt"]["cid"]
    assert submission.raw.hex() == vector["archive_hex"]
