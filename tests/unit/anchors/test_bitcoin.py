"""Bitcoin's life: change is followed, fees are raised, blocks vanish; on each node that is here."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from gitprov.anchors.base import Submission
from gitprov.anchors.bitcoin import BitcoinAnchor
from gitprov.anchors.keys import public_key
from gitprov.core.bitcoin import Transaction, script
from gitprov.devnet.nodes import Node
from gitprov.errors import UnavailableError, UsageError
from gitprov.model.receipt_bitcoin import CHAINS, BitcoinReceipt
from gitprov.platform.http import Http
from tests.support.bitcoin import NOW, WITHOUT_INDEX, anchor_on, before, head, pay, refused
from tests.support.nodes import MINER, MINER_ADDRESS, bitcoin_key, reorg, start_node

COIN = 100_000


@pytest.fixture
def http() -> Iterator[Http]:
    with Http(timeout=10) as connections:
        yield connections


@pytest.fixture(params=["btcd", "bitcoind"])
def chain(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    """A chain of the test's own."""
    folder = tmp_path / "node"
    folder.mkdir()
    with start_node(str(request.param), folder) as node:
        yield node


@pytest.fixture
def purse(bitcoin_node: Node, http: Http, tmp_path: Path) -> BitcoinAnchor:
    """An anchor whose key has one coin."""
    secret, _ = bitcoin_key()
    coin = pay(bitcoin_node, tmp_path, public_key(secret), COIN)
    return anchor_on(bitcoin_node, http, tmp_path, secret, outpoint=coin)


def sent(
    anchor: BitcoinAnchor, number: int = 7, earlier: tuple[Submission, ...] = ()
) -> Submission:
    """Anchors a head, and returns the submission as the outbox keeps it."""
    submission = anchor.prepare(head(number), earlier)
    progress = anchor.submit(submission)
    assert progress.state == "pending", progress
    return replace(submission, receipt=progress.receipt, created=NOW)


def mine(node: Node, blocks: int = 1) -> None:
    node.mine(blocks, MINER_ADDRESS)


def paid(one: Submission, value: int) -> int:
    return value - sum(output.value for output in Transaction.parse(one.raw).outputs)


def test_the_target_is_the_chain(bitcoin_node: Node, http: Http, tmp_path: Path) -> None:
    assert anchor_on(bitcoin_node, http, tmp_path).target() == CHAINS["regtest"]


def test_a_transaction_is_one_input_one_head_and_the_change(purse: BitcoinAnchor) -> None:
    submission = purse.prepare(head(), [])
    made = Transaction.parse(submission.raw)
    assert made.inputs == (submission.slot,) == (purse.config.outpoint,)
    assert made.outputs[0].value == 0
    assert made.outputs[0].script == script(head().digest.raw)
    assert len(made.outputs) == 2
    assert paid(submission, COIN) == 5 * 161
    assert made.vsize <= 161
    # The sequence of the only input ends what comes before the outputs: replaceable (BIP 125).
    assert made.stripped[42:46] == bytes.fromhex("fdffffff")


def test_signing_twice_gives_the_same_transaction(purse: BitcoinAnchor) -> None:
    assert purse.prepare(head(), []) == purse.prepare(head(), [])


def test_change_is_followed_over_five_anchorings_in_a_row(
    purse: BitcoinAnchor, bitcoin_node: Node
) -> None:
    chained: tuple[Submission, ...] = ()
    for number in range(5):
        chained = (*chained, sent(purse, number, chained))
    for one, following in pairwise(chained):
        assert following.slot == f"{one.locator}:1"
    assert {purse.refresh([one], was="pending").state for one in chained} == {"pending"}
    mine(bitcoin_node)
    included = [purse.refresh([one], was="pending") for one in chained]
    assert {one.state for one in included} == {"included"}
    assert len({one.receipt["block"] for one in included}) == 1
    mine(bitcoin_node, 5)
    final = [
        purse.refresh([replace(one, receipt=found.receipt)], was="included")
        for one, found in zip(chained, included, strict=True)
    ]
    assert [one.receipt for one in final] == [one.receipt for one in included]
    assert {one.state for one in final} == {"final"}


def test_confirmations_decide_what_is_final(purse: BitcoinAnchor, bitcoin_node: Node) -> None:
    one = sent(purse)
    mine(bitcoin_node, purse.config.confirmations - 1)
    assert purse.refresh([one], was="pending").state == "included"
    mine(bitcoin_node)
    assert purse.refresh([one], was="pending").state == "final"


def test_what_waits_or_is_mined_already_is_sent_with_success(
    purse: BitcoinAnchor, bitcoin_node: Node
) -> None:
    one = sent(purse)
    assert purse.submit(one).state == "pending"
    mine(bitcoin_node)
    assert purse.submit(one).state == "included"


def test_a_stuck_transaction_is_replaced_on_its_coin_with_a_higher_fee(
    purse: BitcoinAnchor, bitcoin_node: Node
) -> None:
    old = replace(sent(purse), created=NOW - 10_000)
    assert purse.refresh([old], was="pending").stuck
    new = purse.prepare(head(), [old], replaces=old)
    assert (new.slot, new.locator == old.locator) == (old.slot, False)
    assert paid(new, COIN) >= paid(old, COIN) + Transaction.parse(new.raw).vsize
    purse.submit(new)
    assert purse.refresh([old, new], was="pending").locator == new.locator
    mine(bitcoin_node)
    found = purse.refresh([old, new], was="pending")
    assert (found.state, found.locator) == ("included", new.locator)
    assert found.receipt["txid"] == new.locator


def test_the_replaced_one_counts_when_it_is_the_one_that_was_mined(
    purse: BitcoinAnchor, bitcoin_node: Node
) -> None:
    old = sent(purse)
    new = replace(purse.prepare(head(), [old], replaces=old), created=NOW)
    mine(bitcoin_node)
    found = purse.submit(new)
    assert (found.state, found.lost) == ("pending", True)
    both = purse.refresh([old, new], was="pending")
    assert (both.state, both.locator, both.lost) == ("included", old.locator, False)


def test_nothing_is_replaced_whose_change_a_later_anchoring_spends(purse: BitcoinAnchor) -> None:
    first = sent(purse)
    second = sent(purse, 8, (first,))
    with pytest.raises(UsageError, match="pays for both"):
        purse.prepare(head(), [first, second], replaces=first)


def test_a_fee_is_raised_up_to_the_cap_and_no_further(
    bitcoin_node: Node, http: Http, tmp_path: Path
) -> None:
    secret, _ = bitcoin_key()
    coin = pay(bitcoin_node, tmp_path, public_key(secret), COIN)
    anchor = anchor_on(bitcoin_node, http, tmp_path, secret, outpoint=coin, max_fee=1000)
    old = sent(anchor)
    new = anchor.prepare(head(), [old], replaces=old)
    assert paid(new, COIN) == 1000
    anchor.submit(new)
    with pytest.raises(UsageError, match="max_fee allows 1,000"):
        anchor.prepare(head(), [old, new], replaces=new)


def test_a_coin_too_small_for_change_is_spent_whole(
    bitcoin_node: Node, http: Http, tmp_path: Path
) -> None:
    secret, _ = bitcoin_key()
    coin = pay(bitcoin_node, tmp_path, public_key(secret), 1200)
    anchor = anchor_on(bitcoin_node, http, tmp_path, secret, outpoint=coin)
    one = sent(anchor)
    assert len(Transaction.parse(one.raw).outputs) == 1
    with pytest.raises(UsageError, match="nothing is left"):
        anchor.prepare(head(), [one], replaces=one)
    mine(bitcoin_node)
    assert anchor.refresh([one], was="pending").state == "included"
    capped = anchor_on(bitcoin_node, http, tmp_path, secret, outpoint=coin, max_fee=1100)
    with pytest.raises(UsageError, match="no coin that pays"):
        capped.prepare(head(), [])


def test_coins_are_found_without_being_told(bitcoin_node: Node, http: Http, tmp_path: Path) -> None:
    secret, _ = bitcoin_key()
    coin = pay(bitcoin_node, tmp_path, public_key(secret), COIN)
    assert anchor_on(bitcoin_node, http, tmp_path, secret).prepare(head(), []).slot == coin


def test_without_money_the_address_and_the_sums_are_named(
    bitcoin_node: Node, http: Http, tmp_path: Path
) -> None:
    secret, address = bitcoin_key()
    anchor = anchor_on(bitcoin_node, http, tmp_path, secret)
    with pytest.raises(UsageError, match=r"the largest has 0 satoshi, 1,351 are needed") as caught:
        anchor.prepare(head(), [])
    assert address in str(caught.value)
    assert secret.hex() not in str(caught.value)


def test_a_coin_of_somebody_else_is_not_spent(
    bitcoin_node: Node, http: Http, tmp_path: Path
) -> None:
    coin = pay(bitcoin_node, tmp_path, public_key(bitcoin_key()[0]), COIN)
    anchor = anchor_on(bitcoin_node, http, tmp_path, bitcoin_key()[0], outpoint=coin)
    with pytest.raises(UsageError, match="no coin"):
        anchor.prepare(head(), [])


def test_a_fee_above_the_cap_is_refused_with_both_numbers(
    bitcoin_node: Node, http: Http, tmp_path: Path
) -> None:
    anchor = anchor_on(bitcoin_node, http, tmp_path, fee_rate=200)
    with pytest.raises(UsageError, match=r"would cost 32,200 satoshi.* allows 20,000"):
        anchor.prepare(head(), [])


def test_the_nodes_estimate_counts_before_the_configured_rate(
    btcd: Node, http: Http, tmp_path: Path
) -> None:
    with before(btcd, {"estimatesmartfee": lambda _: {"feerate": 0.00002001, "blocks": 6}}) as url:
        anchor = anchor_on(btcd, http, tmp_path, url=url)
        assert anchor.node.fee_rate() == 3
    with before(btcd, {"estimatesmartfee": lambda _: {"errors": ["too few"], "blocks": 6}}) as url:
        assert anchor_on(btcd, http, tmp_path, url=url).node.fee_rate() == 5


def test_another_chain_is_refused(bitcoin_node: Node, http: Http, tmp_path: Path) -> None:
    anchor = anchor_on(bitcoin_node, http, tmp_path, chain="main")
    with pytest.raises(UsageError, match=r"is on the chain regtest, .*chain is main"):
        anchor.target()
    with pytest.raises(UsageError, match="is on the chain regtest"):
        anchor.prepare(head(), [])


def test_a_wrong_password_is_said_and_not_shown(
    bitcoin_node: Node, http: Http, tmp_path: Path
) -> None:
    anchor = anchor_on(bitcoin_node, http, tmp_path, password="wrongpassword")
    with pytest.raises(UnavailableError, match="refuses the user or the password") as caught:
        anchor.target()
    assert "wrongpassword" not in str(caught.value)


def test_a_coin_that_another_transaction_spent_is_lost(
    purse: BitcoinAnchor, bitcoin_node: Node
) -> None:
    mine_, theirs = purse.prepare(head(7), []), purse.prepare(head(8), [])
    assert mine_.slot == theirs.slot
    purse.submit(theirs)
    with pytest.raises(UnavailableError, match="did not take the transaction"):
        purse.submit(mine_)  # it may yet win: nothing is lost
    mine(bitcoin_node)
    progress = purse.submit(mine_)
    assert (progress.state, progress.lost) == ("pending", True)
    assert theirs.locator in progress.detail
    again = purse.prepare(head(7), [replace(theirs, created=NOW), replace(mine_, created=NOW)])
    assert again.slot == f"{theirs.locator}:1"


def test_a_reorg_of_two_blocks_is_found_and_survived(
    chain: Node, http: Http, tmp_path: Path
) -> None:
    anchor = anchor_on(chain, http, tmp_path)
    one = sent(anchor)
    mine(chain, 2)
    included = anchor.refresh([one], was="pending")
    newest = replace(one, receipt=included.receipt)
    reorg(chain, 2)
    gone = anchor.refresh([newest], was="included")
    assert gone.state == "reorged"
    assert str(included.receipt["block"]) in gone.detail
    again = anchor.submit(newest)
    assert again.receipt.get("block") != included.receipt["block"]
    mine(chain, 6)
    final = anchor.refresh([replace(one, receipt=again.receipt)], was=again.state)
    assert final.state == "final"
    assert final.receipt["block"] != included.receipt["block"]


def test_after_a_reorg_to_a_chain_without_it_the_transaction_is_sent_again(
    http: Http, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with start_node("btcd", tmp_path / "a") as ours, start_node("btcd", tmp_path / "b") as other:
        # Two chains that part at their first block; ours has the transaction, theirs more work.
        anchor = anchor_on(ours, http, tmp_path)
        one = sent(anchor)
        mine(ours, 2)
        included = anchor.refresh([one], was="pending")
        assert included.state == "included"
        newest = replace(one, receipt=included.receipt)
        mine(other, 5)
        _copy_chain(other, ours)
        gone = anchor.refresh([newest], was="included")
        assert gone.state == "reorged"
        again = anchor.submit(newest)
        assert (again.state, again.lost) == ("pending", False)
        assert "block" not in again.receipt


def _copy_chain(source: Node, target: Node) -> None:
    height = int(str(source.rpc("getblockcount")))
    for number in range(1, height + 1):
        name = source.rpc("getblockhash", number)
        target.rpc("submitblock", source.rpc("getblock", name, 0))
    assert target.rpc("getbestblockhash") == source.rpc("getbestblockhash")


def test_a_pending_receipt_names_no_block_even_after_a_reorg(
    chain: Node, http: Http, tmp_path: Path
) -> None:
    anchor = anchor_on(chain, http, tmp_path)
    one = sent(anchor)
    mine(chain)
    included = anchor.refresh([one], was="pending")
    assert "block" in included.receipt
    newest = replace(one, receipt=included.receipt)
    chain.rpc("invalidateblock", included.receipt["block"])
    assert anchor.refresh([newest], was="included").state == "reorged"
    waits = anchor.refresh([newest], was="reorged")
    assert (waits.state, waits.receipt) == ("pending", one.receipt)
    assert anchor.submit(newest).receipt == one.receipt


def test_without_an_index_the_change_tells_where_a_transaction_is(
    purse: BitcoinAnchor, bitcoin_node: Node, http: Http, tmp_path: Path
) -> None:
    with before(bitcoin_node, WITHOUT_INDEX) as url:
        anchor = anchor_on(
            bitcoin_node, http, tmp_path, purse._key(), url=url, outpoint=purse.config.outpoint
        )
        one = sent(anchor)
        assert anchor.refresh([one], was="pending").state == "pending"
        mine(bitcoin_node, 3)
        assert anchor.refresh([one], was="pending").state == "included"


def test_without_an_index_and_change_the_blocks_since_then_tell(
    purse: BitcoinAnchor, bitcoin_node: Node, http: Http, tmp_path: Path
) -> None:
    with before(bitcoin_node, WITHOUT_INDEX) as url:
        anchor = anchor_on(
            bitcoin_node, http, tmp_path, purse._key(), url=url, outpoint=purse.config.outpoint
        )
        first = _recent(sent(anchor), bitcoin_node)
        mine(bitcoin_node)
        second = _recent(sent(anchor, 8, (first,)), bitcoin_node)
        mine(bitcoin_node)
        found = anchor.refresh([first], was="pending")
        assert (found.state, found.lost) == ("included", False)
        # Known once, it needs no search: the block is all that is asked for.
        asked = replace(first, receipt=found.receipt, created=NOW)
        mine(bitcoin_node, 6)
        assert anchor.refresh([asked], was="included").state == "final"
        assert anchor.refresh([second], was="pending").state == "final"


def test_what_cannot_be_found_is_never_called_lost(
    purse: BitcoinAnchor, bitcoin_node: Node, http: Http, tmp_path: Path
) -> None:
    """Else a transaction that is in the chain would be paid a second time."""
    first = sent(purse)
    second = sent(purse, 8, (first,))
    mine(bitcoin_node, 2)
    with before(bitcoin_node, WITHOUT_INDEX) as url:
        anchor = anchor_on(bitcoin_node, http, tmp_path, purse._key(), url=url)
        late = replace(first, created=NOW)  # a clock that runs years ahead of the chain
        mine(bitcoin_node, 15)
        with pytest.raises(UnavailableError, match="cannot tell"):
            anchor.refresh([late], was="pending")
        assert second.slot == f"{first.locator}:1"


def _recent(one: Submission, node: Node) -> Submission:
    """A submission that was made when the chain's newest block was."""
    block = node.rpc("getblockheader", node.rpc("getbestblockhash"), True)
    assert isinstance(block, dict)
    return replace(one, created=float(str(block["time"])))


def test_the_wallet_of_a_node_without_one_says_so(btcd: Node, http: Http, tmp_path: Path) -> None:
    anchor = anchor_on(btcd, http, tmp_path, backend="wallet")
    with pytest.raises(UsageError, match="wallet does not pay"):
        anchor.prepare(head(), [])


def test_the_wallet_of_bitcoin_core_pays(http: Http, tmp_path: Path) -> None:
    with start_node("bitcoind", tmp_path) as node:
        node.rpc("createwallet", "gitprov")
        node.mine(101, str(node.rpc("getnewaddress")))
        anchor = anchor_on(node, http, tmp_path, backend="wallet", wallet="gitprov")
        one = anchor.prepare(head(), [])
        assert anchor.refresh([one], was="pending").missing
        anchor.submit(one)
        mine(node, 6)
        assert anchor.refresh([one], was="pending").state == "final"


def test_headers_and_answers_are_those_of_the_active_chain(
    purse: BitcoinAnchor, bitcoin_node: Node
) -> None:
    one = sent(purse)
    mine(bitcoin_node, 2)
    found = purse.refresh([one], was="pending")
    place = BitcoinReceipt.parse(found.receipt).place
    assert place is not None
    answers = purse.gather([found.receipt, one.receipt, {"chain": 1}, found.receipt])
    assert answers[0] == answers[3]
    assert (answers[0].block, answers[0].header) == (place.block, place.header.hex())
    assert (answers[0].confirmations, answers[0].chain) == (2, CHAINS["regtest"])
    assert answers[1].block == answers[2].block == ""
    above, below = purse.headers([10**9, 0])
    assert (above.block, above.problem) == ("", "")
    assert below.block.startswith(CHAINS["regtest"].removeprefix("bip122:"))


def test_many_receipts_of_many_blocks_are_asked_for_in_batches(
    btcd: Node, http: Http, tmp_path: Path
) -> None:
    requests: list[str] = []

    def spy(name: str, call: list[object]) -> object:
        requests.append(name)
        return btcd.rpc(name, *call)  # type: ignore[arg-type]  # JSON

    answers = {name: (lambda call, name=name: spy(name, call)) for name in ("getblockcount",)}
    with before(btcd, answers) as url:  # type: ignore[arg-type]  # JSON
        found = anchor_on(btcd, http, tmp_path, url=url).headers(list(range(100)) * 100)
    assert len(found) == 10_000
    assert len({one.block for one in found}) == 100
    assert len(requests) <= 2


HOSTILE: dict[str, dict[str, object]] = {
    "a transaction in a block that does not hold it": {"getrawtransaction": "tip"},
    "a transaction in a block of no chain": {"getrawtransaction": {"blockhash": "11" * 32}},
    "a hash that is none": {"getrawtransaction": {"blockhash": "../../etc"}},
    "an output without a script": {
        "getrawtransaction": None,
        "gettxout": {"confirmations": 1, "value": 1, "scriptPubKey": {}},
    },
    "an output of no value": {
        "getrawtransaction": None,
        "gettxout": {"confirmations": 1, "value": float("nan"), "scriptPubKey": {"hex": "00"}},
    },
    "an output that is endless": {
        "getrawtransaction": None,
        "gettxout": {"confirmations": 1, "value": float("inf"), "scriptPubKey": {"hex": "00"}},
    },
    "an output older than the chain": {
        "getrawtransaction": None,
        "gettxout": {"confirmations": 10**12, "value": 1, "scriptPubKey": {"hex": "00"}},
    },
    "a list for an output": {"getrawtransaction": None, "gettxout": []},
    "no block": {"getblock": ""},
    "half a block": {"getblock": "00" * 100},
    "a height that is none": {"getblockcount": "many"},
    "a negative height": {"getblockcount": -1},
    "a header without a height": {"getblockheader": {}},
    "a header at a wrong height": {"getblockheader": {"height": 1}},
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_node_that_answers_nonsense_is_not_believed(
    kind: str, btcd: Node, http: Http, tmp_path: Path
) -> None:
    secret, _ = bitcoin_key()
    coin = pay(btcd, tmp_path, public_key(secret), COIN)
    anchor = anchor_on(btcd, http, tmp_path, secret, outpoint=coin)
    one = sent(anchor)
    mine(btcd)
    honest = anchor.refresh([one], was="pending")
    tip = btcd.rpc("getblockhash", 5)
    lies = {
        method: (lambda _, lie=lie: {"blockhash": tip} if lie == "tip" else lie)
        for method, lie in HOSTILE[kind].items()
    }
    with before(btcd, lies) as url:  # type: ignore[arg-type]  # JSON
        liar = anchor_on(btcd, http, tmp_path, secret, url=url)
        try:
            told = liar.refresh([one], was="pending")
        except UnavailableError:
            return
    # Where one lie is not needed to know it, the rest of the answers gives the truth.
    assert told.receipt == honest.receipt


@pytest.mark.parametrize(
    "found",
    [
        {"unspents": [{}]},
        {"unspents": [1]},
        {"unspents": [{"txid": "11" * 32, "vout": "x"}]},
        {"unspents": [{"txid": 5, "vout": 0}]},
        {"unspents": {}},
        [],
    ],
)
def test_coins_that_are_none_are_not_spent(
    found: object, btcd: Node, http: Http, tmp_path: Path
) -> None:
    with before(btcd, {"scantxoutset": lambda _: found}) as url:  # type: ignore[dict-item,return-value]  # JSON
        anchor = anchor_on(btcd, http, tmp_path, bitcoin_key()[0], url=url)
        with pytest.raises((UnavailableError, UsageError)):
            anchor.prepare(head(), [])


@pytest.mark.parametrize(
    "found",
    [
        [1],
        [{}],
        [{"txid": "11" * 32, "vout": [1]}],
        [{"txid": "11" * 32, "vout": 1, "vin": 2}],
        [{"txid": "11" * 32, "vout": [{"n": "x"}], "vin": [3]}],
        {},
    ],
)
def test_an_index_that_answers_nonsense_gives_no_coins(
    found: object, btcd: Node, http: Http, tmp_path: Path
) -> None:
    with before(btcd, {"searchrawtransactions": lambda _: found}) as url:  # type: ignore[dict-item,return-value]  # JSON
        anchor = anchor_on(btcd, http, tmp_path, bitcoin_key()[0], url=url)
        with pytest.raises((UnavailableError, UsageError)):
            anchor.prepare(head(), [])


def test_a_block_that_the_index_remembers_of_a_lost_chain_does_not_count(
    chain: Node, http: Http, tmp_path: Path
) -> None:
    """Bitcoin Core's index still names the block of a transaction after the block is stale."""
    anchor = anchor_on(chain, http, tmp_path)
    one = sent(anchor)
    mine(chain)
    stale = anchor.refresh([one], was="pending").receipt["block"]
    chain.rpc("invalidateblock", stale)
    mine(chain, 2)
    with before(chain, {"getrawtransaction": lambda _: {"blockhash": stale}}) as url:
        found = anchor_on(chain, http, tmp_path, url=url).refresh([one], was="pending")
    assert found.state == "included"
    assert found.receipt["block"] != stale


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b'{"result":', b'{"result":5}', b"{}"])
def test_a_node_that_answers_half_is_unavailable(body: bytes, http: Http, tmp_path: Path) -> None:
    from gitprov.devnet.process import Process
    from tests.support.calendar import serving

    with serving(lambda *_: (200, {}, body)) as url:
        node = Node("btcd", url, str(tmp_path), Process(0, "never"))
        anchor = anchor_on(node, http, tmp_path)
        for call in (anchor.target, lambda: anchor.prepare(head(), []), lambda: anchor.gather([])):
            with pytest.raises(UnavailableError):
                call()


def test_a_node_that_hangs_is_given_up(tmp_path: Path) -> None:
    import socket

    from gitprov.devnet.process import Process

    with socket.create_server(("127.0.0.1", 0)) as silent, Http(timeout=0.2) as http:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        node = Node("btcd", url, str(tmp_path), Process(0, "never"))
        with pytest.raises(UnavailableError, match="did not answer within"):
            anchor_on(node, http, tmp_path).target()


def test_a_node_that_dies_between_is_unavailable_and_nothing_is_lost(
    btcd: Node, http: Http, tmp_path: Path
) -> None:
    secret, _ = bitcoin_key()
    coin = pay(btcd, tmp_path, public_key(secret), COIN)
    with before(btcd, {"sendrawtransaction": refused(-1, "shutting down")}) as url:
        anchor = anchor_on(btcd, http, tmp_path, secret, url=url, outpoint=coin)
        one = anchor.prepare(head(), [])
        with pytest.raises(UnavailableError, match="shutting down"):
            anchor.submit(one)
    assert anchor_on(btcd, http, tmp_path, secret).submit(one).state == "pending"


def test_no_secret_is_in_any_text_of_an_anchor(purse: BitcoinAnchor) -> None:
    secret = purse._key()
    one = purse.prepare(head(), [])
    assert secret.hex() not in repr(purse) + repr(one) + repr(purse.payer)
    assert MINER.hex() not in repr(purse.config)
