"""Who pays for a Bitcoin transaction: a key that signs here, or Bitcoin Core's wallet."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from gitprov.anchors.bitcoin_node import SATOSHI, BitcoinNode, Coin
from gitprov.anchors.bitcoin_signing import DUST, sign
from gitprov.anchors.keys import address_of, public_key
from gitprov.config.anchors import BitcoinConfig
from gitprov.core.bitcoin import Transaction, payload, shown
from gitprov.core.wif import hash160
from gitprov.errors import UsageError
from gitprov.platform.jsonrpc import RpcError

_VSIZE = 161
"""Of one segwit input, our output and the change (measured)."""


class Payer(Protocol):
    """Makes signed transactions, and sends none."""

    def pay(self, digest: bytes, earlier: Sequence[Transaction]) -> bytes:
        """Returns a signed transaction that witnesses the digest.

        Args:
            digest: 32 bytes.
            earlier: our own transactions that may not be in a block yet, the oldest first: their
                coins are taken, their change may be spent.

        Raises:
            UsageError: there is no money, or the fee is above `max_fee`.
        """
        ...

    def raise_fee(
        self, digest: bytes, before: Transaction, earlier: Sequence[Transaction]
    ) -> bytes:
        """Returns a transaction for the same coin that pays more (BIP 125)."""
        ...


class KeyPayer(Payer):
    """A private key here: one coin in, the head and the change out. The change is followed."""

    def __init__(
        self, node: BitcoinNode, config: BitcoinConfig, secret: bytes, data_dir: str
    ) -> None:
        """Takes the key, and where bitcoinlib may write."""
        self._node = node
        self._config = config
        self._secret = secret
        self._data_dir = data_dir
        self._public = public_key(secret)
        self._script = b"\x00\x14" + hash160(self._public)
        self.address = address_of(secret, "bitcoin", config.chain)

    def pay(self, digest: bytes, earlier: Sequence[Transaction]) -> bytes:
        """See `Payer.pay`."""
        fee = self._fee(self._node.fee_rate() * _VSIZE)
        most = 0
        whole: Coin | None = None
        for coin in self._coins(earlier):
            if coin.value >= fee + DUST:
                return self._sign(digest, coin.outpoint, coin.value, fee)
            if fee <= coin.value <= self._config.max_fee:
                whole = whole or coin
            most = max(most, coin.value)
        if whole is not None:  # its change would be dust
            return self._sign(digest, whole.outpoint, whole.value, whole.value)
        raise UsageError(
            f"{self.address} has no coin that pays for this: the largest has {most:,} satoshi, "
            f"{fee + DUST:,} are needed",
            hint=f"send some coins to {self.address}, or wait until yours are in a block",
        )

    def raise_fee(
        self, digest: bytes, before: Transaction, earlier: Sequence[Transaction]
    ) -> bytes:
        """See `Payer.raise_fee`."""
        name = shown(before.id)
        if any(spent.startswith(f"{name}:") for one in earlier for spent in one.inputs):
            raise UsageError(f"{name} waits; a later anchoring spends its change and pays for both")
        spends = before.inputs[0]
        value = self._value(spends, earlier)
        paid = value - sum(output.value for output in before.outputs)
        # Nodes ask for what was paid before, and one satoshi more per byte.
        least = paid + _VSIZE
        wanted = max(self._node.fee_rate() * _VSIZE, paid * 3 // 2)
        fee = self._fee(max(min(wanted, self._config.max_fee, value - DUST), least))
        if value < fee + DUST:
            raise UsageError(f"{name} waits, and nothing is left of its coin to pay more with")
        return self._sign(digest, spends, value, fee)

    def _sign(self, digest: bytes, spends: str, value: int, fee: int) -> bytes:
        return sign(
            self._secret,
            self._public,
            spends=spends,
            value=value,
            digest=digest,
            fee=fee,
            data_dir=self._data_dir,
        )

    def _fee(self, fee: int) -> int:
        if fee > self._config.max_fee:
            raise UsageError(
                f"the transaction would cost {fee:,} satoshi, "
                f"anchors.bitcoin.max_fee allows {self._config.max_fee:,}",
                hint="wait, or raise it: gitprov anchor setup bitcoin --set max_fee=…",
            )
        return fee

    def _coins(self, earlier: Sequence[Transaction]) -> Iterator[Coin]:
        """Coins that can be spent: our own change first, so that anchorings form one chain."""
        taken = {spent for one in earlier for spent in one.inputs}
        for one in reversed(earlier):
            for number, output in enumerate(one.outputs):
                outpoint = f"{shown(one.id)}:{number}"
                if output.script == self._script and outpoint not in taken:
                    yield from self._spendable(outpoint)
        if self._config.outpoint is not None and self._config.outpoint not in taken:
            yield from self._spendable(self._config.outpoint)
        for coin in self._node.coins(self.address):
            if coin.outpoint not in taken and coin.script == self._script:
                yield coin

    def _spendable(self, outpoint: str) -> Iterator[Coin]:
        coin = self._node.coin(outpoint)
        if coin is not None and coin.script == self._script:
            yield coin

    def _value(self, outpoint: str, earlier: Sequence[Transaction]) -> int:
        for one in earlier:
            for number, output in enumerate(one.outputs):
                if outpoint == f"{shown(one.id)}:{number}":
                    return output.value
        coin = self._node.coin(outpoint, mempool=False)
        if coin is None:
            raise UsageError(f"the coin {outpoint} is not there any more")
        return coin.value


class WalletPayer(Payer):
    """Bitcoin Core's wallet: it chooses the coins, signs, and keeps the change."""

    def __init__(self, node: BitcoinNode, config: BitcoinConfig) -> None:
        """Takes the node whose wallet pays."""
        self._node = node
        self._config = config

    def pay(self, digest: bytes, earlier: Sequence[Transaction]) -> bytes:
        """See `Payer.pay`."""
        del earlier
        try:
            draft = self._node.rpc.call(
                "createrawtransaction", [], [{"data": payload(digest).hex()}]
            )
            options = {
                "changePosition": 1,
                "fee_rate": self._node.fee_rate(),
                "lockUnspents": True,
                "replaceable": True,
            }
            funded = self._node.rpc.call("fundrawtransaction", draft, options)  # type: ignore[arg-type]  # JSON
            if not isinstance(funded, dict):
                raise self._node.odd("a funded transaction that is no object")
            self._check_fee(funded.get("fee"))
            signed = self._node.rpc.call("signrawtransactionwithwallet", funded.get("hex"))
        except RpcError as exc:
            raise UsageError(f"Bitcoin Core's wallet does not pay: {exc.message}") from exc
        if not isinstance(signed, dict) or signed.get("complete") is not True:
            raise UsageError("Bitcoin Core's wallet could not sign", hint="is it locked?")
        try:
            return bytes.fromhex(str(signed.get("hex")))
        except ValueError:
            raise self._node.odd("a signed transaction that is none") from None

    def raise_fee(
        self, digest: bytes, before: Transaction, earlier: Sequence[Transaction]
    ) -> bytes:
        """See `Payer.raise_fee`."""
        del digest, earlier
        name = shown(before.id)
        raise UsageError(
            f"{name} waits; its fee is the wallet's affair", hint=f"bitcoin-cli bumpfee {name}"
        )

    def _check_fee(self, fee: object) -> None:
        if not isinstance(fee, (int, float)) or not 0 <= fee < 1000:
            raise self._node.odd(f"{fee!r:.60} is no fee")
        satoshi = round(fee * SATOSHI)
        if satoshi > self._config.max_fee:
            raise UsageError(
                f"the transaction would cost {satoshi:,} satoshi, "
                f"anchors.bitcoin.max_fee allows {self._config.max_fee:,}"
            )
