"""Bitcoin: one OP_RETURN output witnesses the head; signed here, or by Bitcoin Core's wallet."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

from gitprov.anchors.base import Anchor, Progress, Receipt, State, Statement, Submission
from gitprov.anchors.bitcoin_node import BitcoinNode, read_cookie
from gitprov.anchors.bitcoin_paying import KeyPayer, Payer, WalletPayer
from gitprov.config.anchors import BitcoinConfig
from gitprov.core.bitcoin import Transaction, header_time, merkle_branch, shown
from gitprov.core.digest import DIGEST_BYTES
from gitprov.errors import MalformedError, UnavailableError, VerificationError
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
        return Progress("pending", submission.locator, _pending(submission), _WAITS)

    def refresh(self, submissions: Sequence[Submission], *, was: State) -> Progress:
        """Looks for all transactions that one head ever had; see `Anchor.refresh`."""
        _ = self.chain
        if was in {"included", "final"}:
            for one in submissions:
                known = BitcoinReceipt.parse(one.receipt)
                if known.place is not None:
                    return self._still(one, known, known.place)
        waits: Submission | None = None
        for one in submissions:
            block = self.node.where_is(one.locator, _change(one))
            if block:
                return self._mined(one, block)
            if block == "":
                waits = one
        return self._unknown(submissions) if waits is None else self._waits(waits)

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
        unique = list(dict.fromkeys(inside))
        names = dict(zip(unique, self.node.block_hashes(unique), strict=True))
        raws = dict(zip(unique, self.node.headers(list(names.values())), strict=True))
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
                    time=header_time(raw),
                    confirmations=newest - height + 1,
                )
            )
        return answers

    def _node_chain(self) -> str:
        """The chain that the node is on, whichever is configured: what a judge compares."""
        first = self.node.block_hash(0)
        return f"bip122:{(first or '')[:32]}"

    def _still(self, one: Submission, known: BitcoinReceipt, place: InBlock) -> Progress:
        """Whether the block that was found before is in the chain still, and how deep."""
        if self.node.block_hash(place.height) == place.block:
            return self._placed(known, place)
        detail = f"reorged: block {place.block} is not in the chain any more"
        return Progress("reorged", one.locator, one.receipt, detail)

    def _waits(self, one: Submission) -> Progress:
        """A transaction that no block holds yet; paying more helps while its change is unspent."""
        pending = Progress("pending", one.locator, _pending(one), _WAITS)
        age = self._clock() - one.created
        if self.config.backend == "wallet" or not one.created or age <= self.config.stuck_seconds:
            return pending
        change = _change(one)
        return replace(pending, stuck=change is not None and self.node.coin(change) is not None)

    def _unknown(self, submissions: Sequence[Submission]) -> Progress:
        """The node does not know any of them: never sent, forgotten, mined long ago, or lost."""
        newest = submissions[-1]
        pending = Progress("pending", newest.locator, _pending(newest), _WAITS)
        if self.node.is_unspent(newest.slot):
            return replace(pending, detail="the node does not know the transaction", missing=True)
        ages = [one.created or self._clock() for one in submissions if one.slot == newest.slot]
        found = self.node.spender(newest.slot, min(ages))
        if found is None:
            # To call it lost would be to pay again for what may be in the chain.
            raise UnavailableError(
                f"{self.node.where} cannot tell what became of {newest.locator}: "
                f"the coin {newest.slot} is not there, and no block was found that spends it",
                hint="a node with an index of all transactions (txindex) can tell",
            )
        for one in submissions:
            if one.locator == found.txid:
                return self._mined(one, found.block)
        detail = f"the coin {newest.slot} was spent by another transaction, {found.txid}"
        return replace(pending, detail=detail, lost=True)

    def _mined(self, submission: Submission, name: str) -> Progress:
        block = self.node.block(name)
        height = self.node.height_of(name)
        if height is None:
            raise self.node.odd(f"block {name} is not in the active chain")
        txids = block.txids
        try:
            index = txids.index(bytes.fromhex(submission.locator)[::-1])
        except ValueError:
            raise self.node.odd(f"block {name} does not hold {submission.locator}") from None
        branch = tuple(merkle_branch(txids, index))
        place = InBlock(name, height, block.header.raw, index, branch)
        receipt = replace(BitcoinReceipt.parse(submission.receipt), place=place)
        try:
            # The node is believed when its answers prove each other.
            check(receipt, _witnessed(submission))
        except VerificationError as exc:
            raise self.node.odd(str(exc)) from exc
        return self._placed(receipt, place)

    def _placed(self, receipt: BitcoinReceipt, place: InBlock) -> Progress:
        deep = self.node.height() - place.height + 1
        state: State = "final" if deep >= self.config.confirmations else "included"
        wanted = self.config.confirmations
        detail = f"in block {place.height:,}, {deep:,} of {wanted:,} confirmations"
        return Progress(state, receipt.txid, receipt.to_json(), detail)


_WAITS = "pending: the transaction is in no block yet"


def _change(submission: Submission) -> str | None:
    """The outpoint of the change, which tells where a transaction is as long as it is unspent."""
    outputs = Transaction.parse(submission.raw).outputs
    index = next((n for n, one in enumerate(outputs) if one.value), None)
    return None if index is None else f"{submission.locator}:{index}"


def _pending(submission: Submission) -> Receipt:
    """The receipt without a block, which may be one that is no longer in the chain."""
    return replace(BitcoinReceipt.parse(submission.receipt), place=None).to_json()


def _witnessed(submission: Submission) -> bytes:
    """The digest that a transaction of ours carries."""
    ours = [one for one in Transaction.parse(submission.raw).outputs if not one.value]
    return ours[0].script[-DIGEST_BYTES:] if ours else b""
