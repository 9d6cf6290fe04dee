"""What all chains have in common: is the block that a proof leads to in the chain, and how deep."""

from dataclasses import dataclass

from gitprov.model.report import Verdict
from gitprov.verify.evidence import Answer
from gitprov.verify.sentences import ago, count
from gitprov.verify.trust import Trust

Outcome = tuple[Verdict, str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a receipt's proof leads to, once it has been checked.

    Attributes:
        chain: the chain (CAIP-2).
        block: the block's hash, as the chain's users write it.
        height: its number.
        what: what stands there, for people: "the event Anchored of 0x…".
        time: what the block says of itself, in seconds since 1970.
    """

    chain: str
    block: str
    height: int
    what: str
    time: int


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a judge needs beside line and answer.

    Attributes:
        trust: the policy's section of this network.
        required: whether the policy's requirement names this network: then what is not settled
            yet is UNKNOWN, and otherwise SKIP.
        now: seconds since 1970, for ages.
        depth: confirmations until final where the policy says nothing; None: the network itself
            says what is final.
    """

    trust: Trust
    required: bool
    now: int
    depth: int | None = None

    def unsettled(self, detail: str) -> Outcome:
        """What is well, but not final yet."""
        return (Verdict.UNKNOWN if self.required else Verdict.SKIP), detail


def settle(place: Place, answer: Answer | None, case: Circumstances) -> Outcome:
    """Judges whether a block is in its chain, and final. The proof up to it has been checked."""
    at = f"block {place.height:,} of {chain_name(place.chain)}"
    found = f"{place.what} in {at}, {ago(place.time, case.now)}"
    trusted = place.block.removeprefix("0x") in case.trust.blocks
    if answer is None or answer.problem:
        if trusted:
            return Verdict.PASS, f"{found}; trusting that block {place.block} is in the chain"
        why = answer.problem if answer else "no node was asked"
        return Verdict.UNKNOWN, (
            f"the saved proof leads to {place.what} in {at}, but nobody confirmed that block: "
            f"{why}; with --trust-block {place.block} the proof is enough"
        )
    if answer.chain != place.chain:
        return Verdict.FAIL, other_chain(place.chain, answer)
    if answer.contradiction:
        return Verdict.FAIL, answer.contradiction
    if answer.block != place.block:
        now = f"has {answer.block} there" if answer.block else "has no block there"
        detail = f"it is in block {place.block}, which is not in the chain: {answer.asked} {now}"
        return Verdict.FAIL, f"{detail} (height {place.height:,})"
    wanted = case.trust.confirmations or case.depth
    deep = answer.final if wanted is None else answer.confirmations >= wanted
    if not deep:
        of = "" if wanted is None else f" of {wanted}"
        noun = "confirmation" if (wanted or answer.confirmations) == 1 else "confirmations"
        return case.unsettled(
            f"{found}: included, {answer.confirmations:,}{of} {noun}, not final yet"
        )
    return Verdict.PASS, f"{found}, {count(answer.confirmations, 'confirmation')}"


def other_chain(chain: str, answer: Answer) -> str:
    """Returns the sentence about a receipt of one chain, and a node that is on another."""
    here, there = chain_name(chain), chain_name(answer.chain)
    if here == there:
        return f"the receipt is of another {here} than {answer.asked} is on: its block 0 differs"
    return f"the receipt is of {here}, {answer.asked} is on {there}"


_CHAINS = {
    "eip155:1": "Ethereum",
    "eip155:11155111": "Sepolia",
    "eip155:17000": "Holesky",
    "eip155:560048": "Hoodi",
    "eip155:8453": "Base",
    "eip155:42161": "Arbitrum One",
    "eip155:10": "OP Mainnet",
    "bip122:000000000019d6689c085ae165831e93": "Bitcoin",
    "bip122:000000000933ea01ad0ee984209779ba": "Bitcoin testnet3",
    "bip122:00000000da84f2bafbbc53dee25a72ae": "Bitcoin testnet4",
    "bip122:00000008819873e925422c1ff0f99f7c": "Bitcoin signet",
    "bip122:0f9188f13cb7b2c71f2a335e3a4fc328": "Bitcoin regtest",
}


def chain_name(chain: str) -> str:
    """Returns the name of a chain for people."""
    name = chain.partition("/")[0]  # without the first block
    return _CHAINS.get(name, name)
