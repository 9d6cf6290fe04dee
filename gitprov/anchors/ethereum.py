"""Ethereum, and chains like it: an event of our contract, or plain calldata, witnesses the head."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

from gitprov.anchors.base import Anchor, Progress, Receipt, State, Statement, Submission
from gitprov.anchors.ethereum_fees import Fees, base_fee, raised, suggested
from gitprov.anchors.ethereum_node import EthereumNode, Object
from gitprov.anchors.ethereum_signing import sign
from gitprov.config.anchors import EthereumConfig
from gitprov.core.ethereum import ANCHOR_SELECTOR, PREFIX, STORE_SELECTOR, Transaction
from gitprov.core.keccak import keccak256
from gitprov.core.patricia import Trie
from gitprov.core.rlp import encode, encode_int
from gitprov.errors import MalformedError, UnavailableError, UsageError, VerificationError
from gitprov.model.receipt_ethereum import EthereumReceipt, InBlock
from gitprov.platform.http import Http
from gitprov.platform.jsonrpc import JsonRpc, RpcError
from gitprov.verify.ethereum import check
from gitprov.verify.evidence import Answer

_TEXT_AT = 64
"""Where the text's offset points in `storeHash(bytes32,string)`."""

_ONCE = "the contract stores a hash once only: mode event or calldata may witness it again"


class EthereumAnchor(Anchor):
    """One chain through one node. Everything that the node says of a block is proven first."""

    def __init__(
        self,
        config: EthereumConfig,
        http: Http,
        *,
        key: Callable[[], bytes],
        clock: Callable[[], float],
    ) -> None:
        """Takes the configuration; `key` gives the 32 bytes of the private key when needed."""
        if config.url is None:
            raise UsageError("anchors.ethereum.url is missing")
        self.config = config
        self.node = EthereumNode(JsonRpc(http, config.url))
        self._key = key
        self._clock = clock

    @property
    def name(self) -> str:
        """The network's name."""
        return "ethereum"

    @cached_property
    def chain(self) -> tuple[int, bytes]:
        """The chain's id and the hash of its first block, as the configuration wants them."""
        chain_id, genesis = self.node.chain()
        wanted = self.config.chain_id
        if wanted is not None and chain_id != wanted:
            raise UsageError(
                f"{self.node.where} is on the chain {chain_id}, "
                f"anchors.ethereum.chain_id is {wanted}"
            )
        if self.config.genesis is not None and self.config.genesis != f"0x{genesis.hex()}":
            raise UsageError(
                f"{self.node.where} is on a chain that begins with 0x{genesis.hex()}, "
                f"anchors.ethereum.genesis is {self.config.genesis}"
            )
        return chain_id, genesis

    @cached_property
    def signer(self) -> tuple[bytes, bytes]:
        """The private key, and the address it pays from."""
        from gitprov.anchors.keys import address_of

        secret = self._key()
        return secret, bytes.fromhex(address_of(secret, "ethereum")[2:])

    def target(self) -> str:
        """Returns `eip155:<chain id>/<hash of block 0>`."""
        chain_id, genesis = self.chain
        return f"eip155:{chain_id}/0x{genesis.hex()}"

    def prepare(
        self,
        statement: Statement,
        earlier: Sequence[Submission],
        *,
        replaces: Submission | None = None,
    ) -> Submission:
        """Signs a transaction; see `Anchor.prepare`."""
        chain_id, genesis = self.chain
        to, data = self._call(statement.digest.raw)
        sender = self.signer[1]
        fees = suggested(self.node, self.config.max_fee_gwei)
        if replaces is None:
            pending = self.node.number("eth_getTransactionCount", _hex(sender), "pending")
            taken = [int(one.slot) for one in earlier if _sender(one) == sender]
            nonce = max([pending, *(slot + 1 for slot in taken)])
        else:
            if _sender(replaces) != sender:
                raise UsageError(
                    f"{replaces.locator} was sent by {_hex(_sender(replaces))}: only its key can "
                    f"replace it, and this key is that of {_hex(sender)}"
                )
            nonce = int(replaces.slot)
            before = Transaction.parse(replaces.raw)
            fees = raised(fees, Fees(before.tip, before.max_fee), self.config.max_fee_gwei)
        raw = self.signed(to, data, nonce, fees, self.config.gas_limit)
        receipt = EthereumReceipt(
            chain_id=chain_id,
            genesis=genesis,
            mode=self.config.mode,
            contract=None if self.config.mode == "calldata" else to,
            sender=sender,
            tx=keccak256(raw),
            raw=raw,
        )
        check(receipt, statement.digest.raw)
        return Submission(_hex(receipt.tx), raw, str(nonce), receipt.to_json())

    def signed(self, to: bytes, data: bytes, nonce: int, fees: Fees, limit: int) -> bytes:
        """Returns a signed transaction, once it is known to fit the bounds and the balance."""
        secret, sender = self.signer
        gas = self._gas(sender, to, data, limit)
        balance = self.node.number("eth_getBalance", _hex(sender), "latest")
        if balance < gas * fees.max_fee:
            raise UsageError(
                f"{_hex(sender)} has {_ether(balance)} ether, the transaction may cost "
                f"{_ether(gas * fees.max_fee)}",
                hint=f"send some ether to {_hex(sender)}",
            )
        return sign(
            secret,
            chain_id=self.chain[0],
            nonce=nonce,
            tip=fees.tip,
            max_fee=fees.max_fee,
            gas=gas,
            to=to,
            data=data,
        )

    def submit(self, submission: Submission) -> Progress:
        """Sends the transaction; one that the node knows already is sent."""
        try:
            self.node.rpc.call("eth_sendRawTransaction", _hex(submission.raw))
        except RpcError as exc:
            # The texts differ from node to node; whether it is there does not.
            progress = self.refresh([submission], was="pending")
            if progress.missing and not progress.stuck:
                raise self._refused(exc) from exc
            return progress
        return self.refresh([submission], was="pending")

    def refresh(self, submissions: Sequence[Submission], *, was: State) -> Progress:
        """Asks for the receipts of all hashes that one head ever had; see `Anchor.refresh`."""
        _ = self.chain
        gone = self._gone(submissions, was)
        if gone is not None:
            return gone
        return self._first_mined(submissions) or self._unmined(submissions)

    def gather(self, receipts: Sequence[Receipt]) -> list[Answer]:
        """Asks for the blocks that receipts name, each once; see `Anchor.gather`."""
        from gitprov.anchors.ethereum_gather import gather

        return gather(self.node, receipts)

    def _call(self, digest: bytes) -> tuple[bytes, bytes]:
        """Where the transaction goes, and its data."""
        if self.config.mode == "calldata":
            return self.signer[1], PREFIX + digest
        if self.config.contract is None:
            raise UsageError(
                f"anchors.ethereum.mode {self.config.mode} needs a contract",
                hint="gitprov anchor deploy ethereum, or --set mode=calldata, which needs none",
            )
        contract = bytes.fromhex(self.config.contract[2:])
        if not self.node.data(self.node.ask("eth_getCode", _hex(contract), "latest")):
            raise UsageError(
                f"there is no contract at {self.config.contract} on this chain",
                hint="gitprov anchor deploy ethereum",
            )
        if self.config.mode == "event":
            return contract, ANCHOR_SELECTOR + digest
        text = _TEXT_AT.to_bytes(32, "big") + bytes(32)  # an empty string
        return contract, STORE_SELECTOR + digest + text

    def _gas(self, sender: bytes, to: bytes, data: bytes, limit: int) -> int:
        call: dict[str, object] = {"from": _hex(sender), "data": _hex(data)}
        if to:
            call["to"] = _hex(to)
        try:
            result = self.node.rpc.call("eth_estimateGas", call)  # type: ignore[arg-type]  # JSON
        except RpcError as exc:
            raise UsageError(
                f"the transaction would fail: {exc.message}",
                hint=_ONCE if self.config.mode == "storage" else None,
            ) from exc
        needed = self.node.quantity(result)
        if needed > limit:
            raise UsageError(
                f"the transaction needs {needed:,} gas, anchors.ethereum.gas_limit is {limit:,}"
            )
        return min(needed + needed // 5, limit)

    def _refused(self, exc: RpcError) -> UsageError | UnavailableError:
        if "insufficient funds" in exc.message.lower():
            sender = _hex(self.signer[1])
            return UsageError(f"{sender} has too little ether: {exc.message}")
        return UnavailableError(f"{self.node.where} did not take the transaction: {exc.message}")

    def _gone(self, submissions: Sequence[Submission], was: State) -> Progress | None:
        """Whether the block is gone in which one of them was known to be."""
        if was not in {"included", "final"}:
            return None
        for one in submissions:
            receipt = EthereumReceipt.parse(one.receipt)
            if receipt.place is None:
                continue
            height = receipt.place.height
            block = self.node.block(height)
            if block is None and self.node.number("eth_blockNumber") >= height:
                raise UnavailableError(f"{self.node.where} does not keep block {height:,} any more")
            if block is None or self.node.data(block.get("hash"), 32) != receipt.place.block:
                name = _hex(receipt.place.block)
                detail = f"reorged: block {name} is not in the chain any more"
                return Progress("reorged", one.locator, one.receipt, detail)
        return None

    def _first_mined(self, submissions: Sequence[Submission]) -> Progress | None:
        """The one that is in a block: of several for one nonce at most one ever is."""
        calls = [("eth_getTransactionReceipt", [one.locator]) for one in submissions]
        for submission, result in zip(submissions, self.node.all_of(calls), strict=True):
            if isinstance(result, dict) and result.get("blockNumber") is not None:
                return self._mined(submission, self.node.object(result))
        return None

    def _mined(self, submission: Submission, found: Object) -> Progress:
        height = self.node.quantity(found.get("blockNumber"))
        if self.node.quantity(found.get("status")) != 1:
            return Progress(
                *("failed", submission.locator, submission.receipt),
                f"the transaction was reverted in block {height:,}",
            )
        block = self.node.block(height)
        if block is None:
            raise self.node.odd(f"no block {height:,}")
        pending = replace(EthereumReceipt.parse(submission.receipt), place=None)
        log = None
        if pending.mode != "calldata":
            log = self._log(pending, found)
            if log is None:
                return Progress(
                    *("failed", submission.locator, submission.receipt),
                    f"the contract {_hex(pending.contract or b'')} left no event: it is not ours",
                )
        receipt = replace(pending, place=self._place(pending, block, found, log))
        digest = Transaction.parse(receipt.raw).data[-32:]
        if receipt.mode != "calldata":
            digest = Transaction.parse(receipt.raw).data[4:36]
        try:
            check(receipt, digest)  # the node is believed when its answers prove each other
        except VerificationError as exc:
            raise self.node.odd(str(exc)) from exc
        newest = self.node.number("eth_blockNumber")
        deep = newest - height + 1
        final = self.node.finalized() >= height
        if self.config.confirmations is not None:
            final = deep >= self.config.confirmations
        state: State = "final" if final else "included"
        detail = f"in block {height:,}, {deep:,} confirmations"
        return Progress(state, submission.locator, receipt.to_json(), detail)

    def _place(
        self, receipt: EthereumReceipt, block: Object, found: Object, log: int | None
    ) -> InBlock:
        index = self.node.quantity(found.get("transactionIndex"))
        calldata = receipt.mode == "calldata"
        try:
            trie = Trie(self.node.transactions(block) if calldata else self.node.receipts(block))
            proof = tuple(trie.proof(encode(encode_int(index))))
        except (MalformedError, VerificationError) as exc:
            raise self.node.odd(str(exc)) from exc
        return InBlock(
            block=self.node.data(block.get("hash"), 32),
            height=self.node.quantity(block.get("number")),
            header=self.node.header(block),
            index=index,
            log=log,
            proof=proof,
        )

    def _log(self, receipt: EthereumReceipt, found: Object) -> int | None:
        logs = found.get("logs")
        for index, log in enumerate(logs if isinstance(logs, list) else []):
            if self.node.data(self.node.object(log).get("address")) == receipt.contract:
                return index
        return None

    def _unmined(self, submissions: Sequence[Submission]) -> Progress:
        newest = submissions[-1]
        age = self._clock() - newest.created
        aged = newest.created > 0 and age > self.config.stuck_seconds
        calls = [("eth_getTransactionByHash", [one.locator]) for one in submissions]
        pending = Progress(
            "pending", newest.locator, newest.receipt, "pending: the transaction is in no block yet"
        )
        if any(result is not None for result in self.node.all_of(calls)):
            return replace(pending, stuck=aged)
        used = self.node.number("eth_getTransactionCount", _hex(_sender(newest)), "latest")
        if used > int(newest.slot):
            # It may have come into a block between the questions.
            mined = self._first_mined(submissions)
            detail = f"another transaction used its nonce {newest.slot}"
            return mined or replace(pending, detail=detail, lost=True)
        detail = "the node does not know the transaction"
        stuck = aged and Transaction.parse(newest.raw).max_fee < base_fee(self.node)
        return replace(pending, detail=detail, missing=True, stuck=stuck)


def _sender(submission: Submission) -> bytes:
    return EthereumReceipt.parse(submission.receipt).sender


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()


def _ether(wei: int) -> str:
    return f"{wei / 10**18:.9f}".rstrip("0").rstrip(".")
