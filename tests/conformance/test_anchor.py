"""One suite over every network: what `Anchor` promises, on real nodes."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from gitprov.anchors.base import Anchor, Progress, Statement, Submission
from gitprov.anchors.bitcoin import BitcoinAnchor
from gitprov.anchors.ethereum import EthereumAnchor
from gitprov.anchors.ethereum_contract import deploy
from gitprov.anchors.ipfs import IpfsAnchor
from gitprov.anchors.opentimestamps import OpenTimestampsAnchor
from gitprov.config.anchors import (
    BitcoinConfig,
    EthereumConfig,
    IpfsConfig,
    OpenTimestampsConfig,
)
from gitprov.core.canonical import Json
from gitprov.devnet.nodes import Node
from gitprov.devnet.process import Process, free_port
from gitprov.errors import UnavailableError
from gitprov.model.note import AnchorLine
from gitprov.model.report import Verdict
from gitprov.platform.http import Http
from gitprov.verify.anchors import DEPTHS, JUDGES
from gitprov.verify.evidence import Answer
from gitprov.verify.settled import Circumstances
from gitprov.verify.trust import Trust
from tests.support.calendar import calendar
from tests.support.nodes import MINER, MINER_ADDRESS, account, bitcoin_key, start_node
from tests.unit.verify.support import LOG_7, Log, log_of

# The contract has one address on a chain and takes a head once: no two tests may share a head.
SIZES = itertools.count(8)
NETWORKS = ("event", "geth", "storage", "calldata", "bitcoin", "opentimestamps", "ipfs")


def _blocks() -> list[bytes]:
    return [b"record\n"]


@dataclass
class Network:
    """A network as a clone reaches it, and how it is brought to a final state."""

    anchor: Anchor
    settle: Callable[[], None]
    log: Log = field(default_factory=lambda: log_of(size=next(SIZES)))

    @property
    def statement(self) -> Statement:
        size = self.log.size
        return Statement(
            self.log.root(size), size, self.log.checkpoint(size), lambda: [b"record\n"]
        )

    def line(self, progress: Progress) -> AnchorLine:
        status = progress.state if progress.state != "failed" else "pending"
        return replace(
            self.log.anchor(), network=self.anchor.name, receipt=progress.receipt, status=status
        )

    def judge(self, line: AnchorLine, answer: Answer | None, **trust: Any) -> tuple[Verdict, str]:
        name = self.anchor.name
        case = Circumstances(Trust(**trust), required=True, now=0, depth=DEPTHS.get(name))
        return JUDGES[name](line, answer, case)

    def done(self) -> tuple[Submission, Progress]:
        """Anchors the head and waits until it is final."""
        submission = self.anchor.prepare(self.statement, [])
        progress = self.anchor.submit(submission)
        self.settle()
        newest = replace(submission, receipt=progress.receipt, created=time.time())
        return newest, self.anchor.refresh([newest], was="pending")


def bitcoin_anchor(node: Node, folder: Path, http: Http) -> BitcoinAnchor:
    config = BitcoinConfig(url=node.url, user=node.user, password=node.password, chain="regtest")
    return BitcoinAnchor(
        config,
        http,
        key=lambda: MINER,
        secret=lambda value: value,
        data_dir=str(folder),
        clock=time.time,
    )


def ethereum_anchor(node: Node, mode: str, http: Http) -> EthereumAnchor:
    secret, _ = account(node)
    config = EthereumConfig(url=node.url)
    first = EthereumAnchor(config, http, key=lambda: secret, clock=time.time)
    contract = None if mode == "calldata" else deploy(first).address
    config = replace(config, mode=mode, contract=contract)  # type: ignore[arg-type]  # a mode
    return EthereumAnchor(config, http, key=lambda: secret, clock=time.time)


@pytest.fixture
def http() -> Iterator[Http]:
    with Http() as connections:
        yield connections


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest, tmp_path: Path, http: Http) -> Iterator[Network]:
    kind = request.param
    if kind in {"event", "storage", "calldata"}:
        chain: Node = request.getfixturevalue("anvil")
        yield Network(ethereum_anchor(chain, kind, http), lambda: chain.mine(4))
    elif kind == "geth":
        with start_node("geth", tmp_path) as other:
            yield Network(ethereum_anchor(other, "event", http), lambda: other.mine(40))
    elif kind == "bitcoin":
        node: Node = request.getfixturevalue("btcd")
        anchor = bitcoin_anchor(node, tmp_path, http)
        yield Network(anchor, lambda: node.mine(6, MINER_ADDRESS))
    elif kind == "ipfs":
        kubo: Node = request.getfixturevalue("kubo")
        ipfs = IpfsConfig(url=kubo.url, gateways=(kubo.gateway,))
        yield Network(IpfsAnchor(ipfs, http, secret=str, clock=time.time), lambda: None)
    else:
        btcd: Node = request.getfixturevalue("btcd")
        headers = bitcoin_anchor(btcd, tmp_path, http).headers
        with calendar() as one, calendar() as two:
            config = OpenTimestampsConfig(calendars=(one.url, two.url))
            yield Network(
                OpenTimestampsAnchor(config, http, headers=headers, clock=time.time),
                lambda: one.commit(btcd, tmp_path),
            )


def test_a_head_becomes_final_and_its_receipt_is_judged_pass(network: Network) -> None:
    _, progress = network.done()
    assert progress.state == "final"
    [answer] = network.anchor.gather([progress.receipt])
    verdict, detail = network.judge(network.line(progress), answer)
    assert verdict is Verdict.PASS, detail


def test_sending_it_again_changes_nothing(network: Network) -> None:
    submission = network.anchor.prepare(network.statement, [])
    first = network.anchor.submit(submission)
    again = network.anchor.submit(replace(submission, receipt=first.receipt))
    assert again.locator == first.locator == submission.locator
    network.settle()
    later = network.anchor.submit(replace(submission, receipt=first.receipt))
    assert later.locator == submission.locator


def test_nothing_is_sent_before_submit(network: Network) -> None:
    submission = network.anchor.prepare(network.statement, [])
    if not submission.slot:
        pytest.skip("this network has nothing to be paid twice")
    progress = network.anchor.refresh([submission], was="pending")
    assert (progress.state, progress.missing) == ("pending", True)


def test_the_target_does_not_change(network: Network) -> None:
    assert network.anchor.target() == network.anchor.target()


def test_a_receipt_for_another_head_fails(network: Network) -> None:
    _, progress = network.done()
    [answer] = network.anchor.gather([progress.receipt])
    line = network.line(progress)
    other = replace(line, digest=LOG_7.root(3), size=3)
    assert network.judge(other, answer)[0] is Verdict.FAIL


def test_without_an_answer_nothing_is_known(network: Network) -> None:
    _, progress = network.done()
    line = network.line(progress)
    assert network.judge(line, None)[0] is Verdict.UNKNOWN
    silent = Answer("the node", problem="it sleeps")
    verdict, detail = network.judge(line, silent)
    assert verdict is Verdict.UNKNOWN
    assert "it sleeps" in detail


def test_a_trusted_block_needs_no_node(network: Network) -> None:
    _, progress = network.done()
    block = progress.receipt.get("block")
    if not isinstance(block, str):
        pytest.skip("this network's receipt names no block")
    trusted = frozenset([block.removeprefix("0x")])
    verdict, detail = network.judge(network.line(progress), None, blocks=trusted)
    assert verdict is Verdict.PASS
    assert "trusting" in detail


def test_a_node_with_another_block_there_fails_it(network: Network) -> None:
    _, progress = network.done()
    [answer] = network.anchor.gather([progress.receipt])
    if not answer.block:
        pytest.skip("this network has no blocks")
    lying = replace(answer, block="0x" + "11" * 32, header="")
    assert network.judge(network.line(progress), lying)[0] is Verdict.FAIL


def test_another_chain_fails_it(network: Network) -> None:
    _, progress = network.done()
    [answer] = network.anchor.gather([progress.receipt])
    if not answer.chain or network.anchor.name == "opentimestamps":
        pytest.skip("this network's receipt names no chain")
    verdict, detail = network.judge(network.line(progress), replace(answer, chain="eip155:1"))
    assert verdict is Verdict.FAIL
    assert "Ethereum" in detail


def test_a_changed_receipt_never_passes(network: Network) -> None:
    _, progress = network.done()
    line = network.line(progress)
    changed = list(mutations(progress.receipt))
    for receipt, answer in zip(changed, network.anchor.gather(changed), strict=True):
        verdict, detail = network.judge(replace(line, receipt=receipt), answer)
        assert verdict is not Verdict.PASS, (receipt, detail)


def test_hostile_receipts_are_answered(network: Network) -> None:
    hostile: list[dict[str, Json]] = [{}, {"chain": 1}, {"cid": "b"}, {"ots": "AAAA"}, {"x": []}]
    answers = network.anchor.gather(hostile)
    assert len(answers) == len(hostile)
    for receipt, answer in zip(hostile, answers, strict=True):
        line = replace(network.log.anchor(), network=network.anchor.name, receipt=receipt)
        assert network.judge(line, answer)[0] is Verdict.FAIL


def test_a_final_line_without_a_block_fails(network: Network) -> None:
    submission = network.anchor.prepare(network.statement, [])
    progress = network.anchor.submit(submission)
    if "block" not in progress.receipt and network.anchor.name != "ipfs":
        line = replace(network.line(progress), status="final")
        assert network.judge(line, None)[0] is Verdict.FAIL


def mutations(receipt: dict[str, Json]) -> Iterator[dict[str, Json]]:
    """The receipt with each of its values changed in turn, left out, or one added."""
    for key, value in receipt.items():
        for other in _others(value):
            yield {**receipt, key: other}
        yield {name: kept for name, kept in receipt.items() if name != key}
    yield {**receipt, "more": 1}


def _others(value: Json) -> Iterator[Json]:
    match value:
        case bool():
            yield not value
        case int():
            yield value + 1
        case str():
            for at in {0, len(value) // 2, len(value) - 1}:
                flipped = "1" if value[at] != "1" else "2"
                yield value[:at] + flipped + value[at + 1 :]
            yield value + "00"
        case list():
            yield value[:-1]
            yield [*value, *value[-1:]]
            for number, item in enumerate(value):
                for other in _others(item):
                    yield [*value[:number], other, *value[number + 1 :]]
        case _:
            yield None


@pytest.mark.parametrize("name", ["ethereum", "bitcoin", "opentimestamps", "ipfs"])
def test_who_does_not_answer_is_unavailable(name: str, tmp_path: Path, http: Http) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    anchors: dict[str, Callable[[], Anchor]] = {
        "ethereum": lambda: EthereumAnchor(
            EthereumConfig(url=url), http, key=lambda: MINER, clock=time.time
        ),
        "bitcoin": lambda: bitcoin_anchor(
            Node("btcd", url, str(tmp_path), Process(0, "never")), tmp_path, http
        ),
        "opentimestamps": lambda: OpenTimestampsAnchor(
            OpenTimestampsConfig(calendars=(url,), minimum=1),
            http,
            headers=None,
            clock=time.time,
        ),
        "ipfs": lambda: IpfsAnchor(IpfsConfig(url=url), http, secret=str, clock=time.time),
    }
    anchor = anchors[name]()
    head = Statement(LOG_7.root(7), 7, LOG_7.checkpoint(7))
    with pytest.raises(UnavailableError):
        anchor.submit(anchor.prepare(head, []))
    assert json.dumps(anchor.name) == f'"{name}"'


def test_each_receipt_format_reads_what_it_writes(network: Network) -> None:
    from gitprov.model.receipt_bitcoin import BitcoinReceipt
    from gitprov.model.receipt_ethereum import EthereumReceipt
    from gitprov.model.receipt_ipfs import IpfsReceipt
    from gitprov.model.receipt_opentimestamps import OpenTimestampsReceipt

    formats: dict[str, Any] = {
        "ethereum": EthereumReceipt,
        "bitcoin": BitcoinReceipt,
        "opentimestamps": OpenTimestampsReceipt,
        "ipfs": IpfsReceipt,
    }
    _, progress = network.done()
    parsed = formats[network.anchor.name].parse(progress.receipt)
    assert parsed.to_json() == progress.receipt
    assert bitcoin_key()[0] != MINER
