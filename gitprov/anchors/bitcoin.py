"""Bitcoin: one OP_RETURN output witnesses the head; signed here, or by Bitcoin Core's wallet."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

from gitprov.anchors.base import Anchor, Progress, Receipt, State, Statement, Submission
from gitprov.anchors.bitcoin_node import BitcoinNode, read_cookie
from gitprov.anchors.bitcoin_paying import KeyPayer, Payer, WalletPayer
from gitprov.config.anchors import BitcoinConfig
from gitprov.core.bitcoin import Transaction, merkle_branch, shown
from gitprov.errors import MalformedError, UnavailableError, UsageError, VerificationError
from gitprov.model.receipt_bitcoin import BitcoinReceipt, InBlock
from gitprov.platform.http import Http
from gitprov.platform.jsonrpc import RpcError
from gitprov.verify.bitcoin import check
from gitprov.verify.evidence import Answer


class BitcoinAnchor(Anchor):
    """One chain through one node. Everything that the node says of a block is proven first."""

    def __init__(
        self,
        config: BitcoinConfig,
        http: Http,
        *,
        key: Callable[[], bytes],
        secret: Callable[[str], str],
        data_dir: str,
        clock: Callable[[], float],
    ) -> None:
        """Takes the configuration.

        Args:
            config: the section `anchors.bitcoin`.
            http: connections.
            key: gives the 32 bytes of the private key when one is needed.
            secret: resolves `env:NAME` in user and password.
            data_dir: where bitcoinlib may write.
            clock: seconds since 1970.
        """
        self.config = config
        auth: tuple[str, str] | None = None
        if config.cookie is not None:
            auth = read_cookie(config.cookie)
        elif config.user is not None:
            auth = secret(config.user), secret(config.password or "")
        if config.backend == "service":
            from gitprov.anchors.bitcoin_service import BitcoinService

            self.node: BitcoinNode = BitcoinService(config, http, data_dir)
        else:
            self.node = BitcoinNode(config, http, auth)
        self._key = key
        self._data_dir = data_dir
        self._clock = clock

    @property
    def name(self) -> str:
        """The network's name."""
        return "bitcoin"

    @cached_property
    def chain(self) -> str:
        """The chain (CAIP-2), which is the configured one."""
        return self.node.check_chain(self.config.chain)

    @cached_property
    def payer(self) -> Payer:
        """Who pays: the key that is signed with here, or Bitcoin Core's wallet."""
        if self.config.backend == "wallet":
            return WalletPayer(self.node, self.config)
        return KeyPayer(self.node, self.config, self._key(), self._data_dir)

    def target(self) -> str:
        """Returns the chain as CAIP-2 names it."""
        return self.chain

    def prepare(
        self,
        statement: Statement,
        earlier: Sequence[Submission],
        *,
        replaces: Submission | None = None,
    ) -> Submission:
        """Signs a transaction; see `Anchor.prepare`."""
        chain = self.chain
        digest = statement.digest.raw
        if replaces is None:
            raw = self.payer.pay(digest, [Transaction.parse(one.raw) for one in earlier])
        else:
            older = [Transaction.parse(one.raw) for one in earlier]
            raw = self.payer.raise_fee(digest, Transaction.parse(replaces.raw), older)
        signed = Transaction.parse(raw)
        receipt = BitcoinReceipt(chain, shown(signed.id), signed.stripped)
        check(receipt, digest)
        return Submission(receipt.txid, raw, signed.inputs[0], receipt.to_json())

    def submit(self, submission: Submission) -> Progress:
        """Sends the transaction; one that the node knows already is sent."""
        _ = self.chain
        try:
            self.node.send(submission.raw)
        except RpcError as exc:
            # The texts differ from node to node; whether it is there does not.
            progress = self.refresh([submission], was="pending")
            if progress.missing:
                raise UnavailableError(
                    f"{self.node.where} did not take the transaction: {exc.message}"
                ) from exc
            return progress
        return Progress("pending", submission.locator, submission.receipt, _WAITS)

    def refresh(self, submissions: Sequence[Submission], *, was: State) -> Progress:
        """Looks for all transactions that one head ever had; see `Anchor.refresh`."""
        _ = self.chain
        gone = self._gone(submissions, was)
        if gone is not None:
            return gone
        waits: Submission | None = None
        for submission in submissions:
            block = self.node.where_is(submission.locator, _change(submission), submission.created)
            if block:
                return self._mined(submission, block)
            if block == "":
                waits = submission
        newest = waits or submissions[-1]
        pending = Progress("pending", newest.locator, newest.receipt, _WAITS)
        if waits is not None:
            age = self._clock() - newest.created
            return replace(pending, stuck=newest.created > 0 and age > self.config.stuck_seconds)
        if (
            self.node.coin(newest.slot) is None
            and self.node.coin(newest.slot, mempool=False) is None
        ):
            detail = f"the coin {newest.slot} was spent by another transaction"
            return replace(pending, detail=detail, lost=True)
        return replace(pending, detail="the node does not know the transaction", missing=True)

    def gather(self, receipts: Sequence[Receipt]) -> list[Answer]:
        """Asks for the blocks that receipts name, each once; see `Anchor.gather`."""
        heights: list[int | None] = []
        for receipt in receipts:
            try:
                place = BitcoinReceipt.parse(receipt).place
                heights.append(place.height if place else None)
            except MalformedError:
                heights.append(None)
        found = dict(
            zip(
                wanted := sorted({height for height in heights if height is not None}),
                self.headers(wanted),
                strict=True,
            )
        )
        nothing = Answer(self.node.where, chain=self._node_chain())
        return [nothing if height is None else found[height] for height in heights]

    def headers(self, heights: Sequence[int]) -> list[Answer]:
        """Returns the active chain's blocks at heights: hash, header, time, confirmations."""
        chain = self._node_chain()
        newest = self.node.height()
        inside = [height for height in heights if 0 <= height <= newest]
        names = {height: self.node.block_hash(height) or "" for height in inside}
        raws = dict(zip(inside, self.node.headers(list(names.values())), strict=True))
        answers: list[Answer] = []
        for height in heights:
            if height not in raws:
                answers.append(Answer(self.node.where, chain=chain))
                continue
            raw = raws[height]
            answers.append(
                Answer(
                    asked=self.node.where,
                    chain=chain,
                    block=names[height],
                    header=raw.hex(),
                    time=int.from_bytes(raw[68:72], "little"),
                    confirmations=newest - height + 1,
                )
            )
        return answers

    def _node_chain(self) -> str:
        """The chain that the node is on, whichever is configured: what a judge compares."""
        first = self.node.block_hash(0)
        return f"bip122:{(first or '')[:32]}"

    def _gone(self, submissions: Sequence[Submission], was: State) -> Progress | None:
        if was not in {"included", "final"}:
            return None
        for one in submissions:
            place = BitcoinReceipt.parse(one.receipt).place
            if place is not None and self.node.block_hash(place.height) != place.block:
                detail = f"reorged: block {place.block} is not in the chain any more"
                return Progress("reorged", one.locator, one.receipt, detail)
        return None

    def _mined(self, submission: Submission, name: str) -> Progress:
        block = self.node.block(name)
        newest = self.node.height()
        height = self.node.height_of(name)
        if not 0 <= height <= newest or self.node.block_hash(height) != name:
            raise self.node.odd(f"block {name} is not in the active chain")
        pending = replace(BitcoinReceipt.parse(submission.receipt), place=None)
        txids = block.txids
        index = [shown(one) for one in txids].index(submission.locator)
        branch = tuple(merkle_branch(txids, index))
        place = InBlock(name, height, block.header.raw, index, branch)
        receipt = replace(pending, place=place)
        try:
            # The node is believed when its answers prove each other.
            check(receipt, Transaction.parse(submission.raw).outputs[0].script[-32:])
        except (VerificationError, UsageError) as exc:
            raise self.node.odd(str(exc)) from exc
        deep = newest - height + 1
        state: State = "final" if deep >= self.config.confirmations else "included"
        detail = f"in block {height:,}, {deep:,} of {self.config.confirmations:,} confirmations"
        return Progress(state, submission.locator, receipt.to_json(), detail)


_WAITS = "pending: the transaction is in no block yet"


def _change(submission: Submission) -> str | None:
    """The outpoint of the change, which tells where a transaction is as long as it is unspent."""
    outputs = Transaction.parse(submission.raw).outputs
    index = next((n for n, one in enumerate(outputs) if one.value), None)
    return None if index is None else f"{submission.locator}:{index}"
