"""Bitcoin's transactions, headers and Merkle branches, as far as a proof needs them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from gitprov.errors import MalformedError, VerificationError

MARK = b"GPRV\x01"
"""What the payload of our output begins with: four letters and the version."""

HEADER_BYTES = 80
MAX_BLOCK_BYTES = 4_000_000
MAX_BRANCH = 32
"""A block of 4 MB holds fewer than 2**17 transactions."""

_RETURN = 0x6A
_NODE_BYTES = 64


def sha256d(data: bytes) -> bytes:
    """Returns SHA-256 of SHA-256."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def shown(raw: bytes) -> str:
    """Returns a hash as people write it: its bytes in reverse."""
    return raw[::-1].hex()


def header_time(raw: bytes) -> int:
    """Returns what a header of 80 bytes says of its time, in seconds since 1970."""
    return int.from_bytes(raw[68:72], "little")


def payload(digest: bytes) -> bytes:
    """Returns what our output carries: `GPRV`, 0x01, the 32 bytes of the digest."""
    return MARK + digest


def script(digest: bytes) -> bytes:
    """Returns the script of our output: OP_RETURN and one push."""
    data = payload(digest)
    return bytes([_RETURN, len(data)]) + data


@dataclass(frozen=True, slots=True)
class Output:
    """One output: satoshi and script."""

    value: int
    script: bytes


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction: its bytes without witness, what it spends, what it pays.

    Attributes:
        stripped: the bytes that its id is the hash of.
        inputs: the outpoints that it spends, as `<txid>:<n>`.
        outputs: in order.
        vsize: its size as fees count it (BIP 141), in virtual bytes.
    """

    stripped: bytes
    inputs: tuple[str, ...]
    outputs: tuple[Output, ...]
    vsize: int

    @property
    def id(self) -> bytes:
        """The 32 bytes of its id."""
        return sha256d(self.stripped)

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Parses a transaction that fills the bytes, with witness or without.

        Raises:
            MalformedError: it is none.
        """
        reader = _Reader(raw)
        transaction = cls.read(reader)
        reader.end()
        return transaction

    @classmethod
    def read(cls, reader: "_Reader") -> Self:
        """Reads one transaction of several."""
        start = reader.at
        version = reader.take(4)
        segwit = reader.peek(2) == b"\0\1"
        if segwit:
            reader.take(2)
        body = reader.at
        inputs = tuple(_input(reader) for _ in range(reader.count(41)))
        outputs = tuple(_output(reader) for _ in range(reader.count(9)))
        end = reader.at
        if segwit:
            for _ in inputs:
                for _ in range(reader.count(1)):
                    reader.take(reader.count(1))
        lock = reader.take(4)
        if not inputs or not outputs:
            raise MalformedError("a transaction without inputs or outputs")
        stripped = version + reader.data[body:end] + lock
        weight = 3 * len(stripped) + (reader.at - start)
        return cls(stripped, inputs, outputs, -(-weight // 4))

    def carries(self, digest: bytes) -> bool:
        """Whether exactly one output is ours, and witnesses the digest."""
        ours = [one for one in self.outputs if one.script[:1] == bytes([_RETURN])]
        return len(ours) == 1 and ours[0] == Output(0, script(digest))


@dataclass(frozen=True, slots=True)
class Header:
    """A block's header."""

    raw: bytes
    merkle_root: bytes
    time: int
    target: int

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Parses 80 bytes.

        Raises:
            MalformedError: it is no header.
        """
        if len(raw) != HEADER_BYTES:
            raise MalformedError(f"a header has {HEADER_BYTES} bytes, this one {len(raw)}")
        bits = int.from_bytes(raw[72:76], "little")
        exponent, mantissa = bits >> 24, bits & 0x7FFFFF
        if bits & 0x800000 or exponent > 34:
            raise MalformedError("a header's target is out of range")
        shift = 8 * (exponent - 3)
        target = mantissa << shift if shift >= 0 else mantissa >> -shift
        return cls(raw, raw[36:68], header_time(raw), target)

    @property
    def hash(self) -> bytes:
        """The 32 bytes of the block's hash."""
        return sha256d(self.raw)

    def check_work(self, limit: int) -> None:
        """Checks that the hash meets the header's own target, and the target the chain's limit.

        Raises:
            VerificationError: it does not.
        """
        if not 0 < self.target <= limit:
            raise VerificationError("the header asks for less work than its chain allows")
        if int.from_bytes(self.hash, "little") > self.target:
            raise VerificationError("the header does not hold the work that it asks for")


@dataclass(frozen=True, slots=True)
class Block:
    """A block: its header and its transactions."""

    header: Header
    transactions: tuple[Transaction, ...]

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Parses a whole block, whose transactions have to give its Merkle root.

        Raises:
            MalformedError: it is none, or the transactions are not those of the header.
        """
        if len(raw) > MAX_BLOCK_BYTES:
            raise MalformedError(f"a block is larger than {MAX_BLOCK_BYTES} bytes")
        reader = _Reader(raw)
        header = Header.parse(reader.take(HEADER_BYTES))
        transactions = tuple(Transaction.read(reader) for _ in range(reader.count(10)))
        reader.end()
        block = cls(header, transactions)
        if not transactions or merkle_root(block.txids) != header.merkle_root:
            raise MalformedError("the transactions of a block do not give its Merkle root")
        return block

    @property
    def txids(self) -> list[bytes]:
        """The ids of its transactions, in order."""
        return [one.id for one in self.transactions]


def merkle_root(txids: Sequence[bytes]) -> bytes:
    """Returns the Merkle root over the ids of a block's transactions; there is at least one."""
    return _levels([*txids])[-1][0]


def merkle_branch(txids: Sequence[bytes], index: int) -> list[bytes]:
    """Returns the hashes beside a transaction's way up, the nearest first."""
    branch: list[bytes] = []
    for level in _levels([*txids])[:-1]:
        beside = index ^ 1
        branch.append(level[beside] if beside < len(level) else level[index])
        index >>= 1
    return branch


def check_branch(txid: bytes, index: int, branch: Sequence[bytes], root: bytes) -> None:
    """Checks that a transaction stands at an index under a Merkle root.

    A level with an odd number of hashes repeats its last one, so a hash may be joined with itself
    only when it stands on the left (CVE-2012-2459).

    Raises:
        VerificationError: it does not.
    """
    if len(branch) > MAX_BRANCH or index >> len(branch):
        raise VerificationError("the transaction's place does not fit its branch")
    value = txid
    for beside in branch:
        if index & 1:
            if beside == value:
                raise VerificationError("the branch repeats a hash where none is repeated")
            value = sha256d(beside + value)
        else:
            value = sha256d(value + beside)
        index >>= 1
    if value != root:
        raise VerificationError("the branch does not lead to the Merkle root of the header")


def check_is_no_node(stripped: bytes) -> None:
    """Refuses a transaction of 64 bytes: two hashes of the tree could pose as one (CVE-2017-12842).

    Raises:
        VerificationError: it has that length.
    """
    if len(stripped) == _NODE_BYTES:
        raise VerificationError("a transaction of 64 bytes may be a node of the tree")


def _levels(hashes: list[bytes]) -> list[list[bytes]]:
    levels = [hashes]
    while len(levels[-1]) > 1:
        level = levels[-1]
        pairs = [*level, level[-1]] if len(level) % 2 else level
        levels.append([sha256d(a + b) for a, b in zip(pairs[::2], pairs[1::2], strict=True)])
    return levels


class _Reader:
    """Takes bytes from the front; what is missing is an error."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def peek(self, length: int) -> bytes:
        return self.data[self.at : self.at + length]

    def take(self, length: int) -> bytes:
        taken = self.peek(length)
        if len(taken) != length:
            raise MalformedError("a transaction or block is cut short")
        self.at += length
        return taken

    def count(self, smallest: int) -> int:
        """A number of things of at least so many bytes, in its shortest form."""
        first = self.take(1)[0]
        width = {0xFD: 2, 0xFE: 4, 0xFF: 8}.get(first)
        number = first if width is None else int.from_bytes(self.take(width), "little")
        least = {None: 0, 2: 0xFD, 4: 1 << 16, 8: 1 << 32}[width]
        if number < least or number * smallest > len(self.data) - self.at:
            raise MalformedError("a count in a transaction or block is wrong")
        return number

    def end(self) -> None:
        if self.at != len(self.data):
            raise MalformedError("bytes are left over after a transaction or block")


def _input(reader: _Reader) -> str:
    txid = reader.take(32)
    number = int.from_bytes(reader.take(4), "little")
    reader.take(reader.count(1))
    reader.take(4)
    return f"{shown(txid)}:{number}"


def _output(reader: _Reader) -> Output:
    value = int.from_bytes(reader.take(8), "little")
    return Output(value, reader.take(reader.count(1)))
