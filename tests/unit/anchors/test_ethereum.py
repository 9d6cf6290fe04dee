"""What chains do now and then: reorgs, evictions, replacements, no money; and the contract."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gitprov.anchors.base import Statement, Submission
from gitprov.anchors.ethereum import EthereumAnchor
from gitprov.anchors.ethereum_contract import deploy, load
from gitprov.config.anchors import EthereumConfig
from gitprov.core.digest import Sha256Digest
from gitprov.core.keccak import keccak256
from gitprov.devnet.finding import services_folder
from gitprov.devnet.nodes import Node
from gitprov.errors import UnavailableError, UsageError
from gitprov.platform.http import Http
from tests.support.calendar import serving
from tests.support.nodes import ENVIRON, account, reorg, start_node
from tests.unit.verify.support import LOG_7, log_of

ROOT = Path(__file__).parents[3]


@pytest.fixture
def http() -> Iterator[Http]:
    with Http(timeout=3) as connections:
        yield connections


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Node]:
    """A chain of the test's own."""
    with start_node("anvil", tmp_path) as node:
        yield node


def anchor_on(node: Node, http: Http, ether: int = 100, **config: object) -> EthereumAnchor:
    secret, _ = account(node, ether)
    made = EthereumConfig(**{"url": node.url, "mode": "calldata", **config})  # type: ignore[arg-type]  # its fields
    return EthereumAnchor(made, http, key=lambda: secret, clock=time.time)


def head(number: int = 7) -> Statement:
    return Statement(Sha256Digest(bytes([number]) * 32), number, "")


def sent(anchor: EthereumAnchor, earlier: list[Submission] | None = None) -> Submission:
    submission = anchor.prepare(head(), earlier or [])
    progress = anchor.submit(submission)
    return replace(submission, receipt=progress.receipt, created=time.time())


def wait_until_mined(node: Node, submission: Submission) -> None:
    """A node may answer before it has mined the block that a transaction asks for."""
    for _ in range(200):
        if node.rpc("eth_getTransactionReceipt", submission.locator) is not None:
            return
        time.sleep(0.05)
    raise AssertionError(f"{submission.locator} was not mined")


def test_a_reorg_of_two_blocks_is_found_and_the_same_transaction_is_sent_again(
    chain: Node, http: Http
) -> None:
    anchor = anchor_on(chain, http)
    submission = sent(anchor)
    wait_until_mined(chain, submission)
    included = anchor.refresh([submission], was="pending")
    assert included.state == "included"
    newest = replace(submission, receipt=included.receipt)
    chain.mine(1)
    reorg(chain, 2)
    assert anchor.refresh([newest], was="included").state == "reorged"
    again = anchor.submit(submission)
    chain.mine(4)
    assert (
        anchor.refresh([replace(submission, receipt=again.receipt)], was="pending").state == "final"
    )


def test_an_evicted_transaction_is_missing_and_may_be_sent_again(chain: Node, http: Http) -> None:
    chain.rpc("evm_setAutomine", False)
    anchor = anchor_on(chain, http)
    submission = sent(anchor)
    chain.rpc("anvil_dropTransaction", submission.locator)
    assert anchor.refresh([submission], was="pending").missing
    anchor.submit(submission)
    chain.mine(4)
    assert anchor.refresh([submission], was="pending").state == "final"


def test_a_stuck_transaction_is_replaced_on_its_nonce_with_a_raised_tip(
    chain: Node, http: Http
) -> None:
    chain.rpc("evm_setAutomine", False)
    anchor = anchor_on(chain, http, stuck_seconds=1)
    old = replace(sent(anchor), created=time.time() - 10)
    assert anchor.refresh([old], was="pending").stuck
    new = anchor.prepare(head(), [old], replaces=old)
    assert (new.slot, new.locator == old.locator) == (old.slot, False)
    anchor.submit(new)
    chain.mine(1)
    assert anchor.refresh([old, new], was="pending").locator == new.locator


def test_several_pending_transactions_have_nonces_of_their_own(chain: Node, http: Http) -> None:
    chain.rpc("evm_setAutomine", False)
    anchor = anchor_on(chain, http)
    first = sent(anchor)
    second = anchor.prepare(head(8), [first])
    unsent = anchor.prepare(head(9), [first, second])
    assert [one.slot for one in (first, second, unsent)] == ["0", "1", "2"]


def test_a_nonce_that_another_transaction_used_is_lost(chain: Node, http: Http) -> None:
    anchor = anchor_on(chain, http)
    submission = anchor.prepare(head(), [])
    other = anchor.prepare(head(9), [])
    anchor.submit(other)
    wait_until_mined(chain, other)
    progress = anchor.submit(submission)
    assert progress.lost
    [answer] = anchor.gather([submission.receipt])
    assert "replaced" in answer.contradiction


def test_without_money_the_address_and_the_sum_are_named(chain: Node, http: Http) -> None:
    anchor = anchor_on(chain, http, ether=0)
    with pytest.raises(UsageError, match="has 0 ether"):
        anchor.prepare(head(), [])


def test_a_fee_above_the_cap_is_refused(chain: Node, http: Http) -> None:
    chain.rpc("anvil_setNextBlockBaseFeePerGas", hex(500 * 10**9))
    chain.mine(1)
    anchor = anchor_on(chain, http, max_fee_gwei=1)
    with pytest.raises(UsageError, match="max_fee_gwei allows 1"):
        anchor.prepare(head(), [])


def test_another_chain_is_refused_before_anything_is_signed(anvil: Node, http: Http) -> None:
    anchor = anchor_on(anvil, http, chain_id=1)
    with pytest.raises(UsageError, match="is on the chain 31337"):
        anchor.prepare(head(), [])
    other = anchor_on(anvil, http, genesis="0x" + "11" * 32)
    with pytest.raises(UsageError, match="begins with"):
        other.target()


@pytest.mark.parametrize(
    "body",
    [b"", b"no json", b"[]", b'{"result":"0x01"}', b'{"id":0', b'{"result":{"hash":"0x"}}'],
)
def test_a_node_that_answers_half_or_wrongly_is_unavailable(body: bytes, http: Http) -> None:
    with serving(lambda *_: (200, {}, body)) as url:
        config = EthereumConfig(url=url, mode="calldata")
        anchor = EthereumAnchor(config, http, key=lambda: b"\1" * 32, clock=time.time)
        with pytest.raises(UnavailableError):
            anchor.target()


def test_a_node_that_answers_too_much_is_unavailable(http: Http) -> None:
    with serving(lambda *_: (200, {}, b"x" * (17 << 20))) as url:
        config = EthereumConfig(url=url, mode="calldata")
        anchor = EthereumAnchor(config, http, key=lambda: b"\1" * 32, clock=time.time)
        with pytest.raises(UnavailableError, match="more than"):
            anchor.target()


def test_ten_thousand_receipts_are_asked_for_in_batches(anvil: Node, http: Http) -> None:
    anchor = anchor_on(anvil, http)
    submission = anchor.prepare(head(), [])
    anchor.submit(submission)
    wait_until_mined(anvil, submission)
    progress = anchor.refresh([submission], was="pending")
    answers = anchor.gather([progress.receipt] * 10_000)
    assert len(answers) == 10_000
    assert {answer.block for answer in answers} == {progress.receipt["block"]}


def test_the_contract_is_deployed_once_and_at_the_same_address(anvil: Node, http: Http) -> None:
    first = deploy(anchor_on(anvil, http))
    again = deploy(anchor_on(anvil, http))
    assert again.existed
    assert again.address == first.address


def test_the_contract_checks_inclusion_as_rfc_9162_says(anvil: Node, http: Http) -> None:
    from eth_abi.abi import encode

    address = deploy(anchor_on(anvil, http)).address
    selector = keccak256(b"verifyInclusion(bytes32,uint64,uint64,bytes,bytes32[])")[:4]

    def holds(root: bytes, size: int, index: int, leaf: bytes, path: list[bytes]) -> bool:
        types = ["bytes32", "uint64", "uint64", "bytes", "bytes32[]"]
        data = selector + encode(types, [root, size, index, leaf, path])
        answer = anvil.rpc("eth_call", {"to": address, "data": f"0x{data.hex()}"}, "latest")
        return int(str(answer), 16) == 1

    for size in (1, 2, 3, 7, 8, 21):
        for at in {0, size // 2, size - 1}:
            log = log_of(size, at)
            path = list(log.path(at, size))
            entry, root = log.entries[at], log.root(size).raw
            assert holds(root, size, at, entry, path)
            assert not holds(root, size, size, entry, path)
            assert not holds(root, size, at, entry + b"\0", path)
            assert not holds(root, size, at, entry, [*path, root])
            assert not path or not holds(root, size, at, entry, path[:-1])


def test_the_first_writer_of_a_hash_is_kept(anvil: Node, http: Http) -> None:
    contract = deploy(anchor_on(anvil, http)).address
    first = anchor_on(anvil, http, mode="storage", contract=contract)
    statement = Statement(LOG_7.root(7), 7, "")
    submission = first.prepare(statement, [])
    assert first.submit(submission).state in {"included", "pending"}
    wait_until_mined(anvil, submission)
    second = anchor_on(anvil, http, mode="storage", contract=contract)
    with pytest.raises(UsageError, match="would fail"):
        second.prepare(statement, [])


def test_an_event_costs_about_23_000_gas(anvil: Node, http: Http) -> None:
    contract = deploy(anchor_on(anvil, http)).address
    anchor = anchor_on(anvil, http, mode="event", contract=contract)
    submission = anchor.prepare(head(), [])
    anchor.submit(submission)
    anvil.mine(1)
    found = anvil.rpc("eth_getTransactionReceipt", submission.locator)
    assert isinstance(found, dict)
    assert int(str(found["gasUsed"]), 16) < 24_000


def test_the_bytecode_that_ships_is_what_the_source_compiles_to() -> None:
    modules = Path(services_folder(ENVIRON)) / "npm" / "node_modules"
    node = shutil.which("node")
    if node is None or not (modules / "solc").is_dir():
        pytest.skip("solc is not installed: `make services` brings it")
    done = subprocess.run(
        [node, str(ROOT / "contracts/compile.cjs"), str(modules)], capture_output=True, check=True
    )
    assert json.loads(done.stdout) == load()
