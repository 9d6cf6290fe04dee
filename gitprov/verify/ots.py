"""Timestamp files of OpenTimestamps as values: the one module that loads the library for them.

The format: https://github.com/opentimestamps/python-opentimestamps. Pure: bytes in, values out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gitprov.errors import MalformedError, UnavailableError, VerificationError
from gitprov.model.receipt_opentimestamps import MAX_OTS_BYTES

MAX_ATTESTATIONS = 1000


@dataclass(frozen=True, slots=True)
class Pending:
    """A calendar's promise: it keeps the commitment and will lead it to Bitcoin."""

    uri: str
    commitment: bytes


@dataclass(frozen=True, slots=True)
class InBitcoin:
    """That a block has this Merkle root (32 bytes, not reversed)."""

    height: int
    merkle_root: bytes


@dataclass(frozen=True, slots=True)
class Attestations:
    """What a timestamp file says of its digest; `unknown` kinds the library cannot read."""

    digest: bytes
    pending: tuple[Pending, ...]
    bitcoin: tuple[InBitcoin, ...]
    unknown: int


def read(ots: bytes) -> Attestations:
    """Parses a detached timestamp file of a SHA-256 digest.

    Raises:
        MalformedError: it is none.
        UnavailableError: the library is not installed.
    """
    timestamp = parse(ots)
    notary = _library("notary")
    pending: list[Pending] = []
    bitcoin: list[InBitcoin] = []
    unknown = 0
    for number, (message, attestation) in enumerate(timestamp.all_attestations()):
        if number == MAX_ATTESTATIONS:
            raise MalformedError(f"a timestamp with more than {MAX_ATTESTATIONS} attestations")
        if isinstance(attestation, notary.PendingAttestation):
            pending.append(Pending(attestation.uri, message))
        elif isinstance(attestation, notary.BitcoinBlockHeaderAttestation):
            if len(message) != 32:
                raise MalformedError("a Bitcoin attestation of something that is no Merkle root")
            bitcoin.append(InBitcoin(attestation.height, message))
        else:
            unknown += 1
    return Attestations(
        timestamp.msg,
        tuple(sorted(pending, key=lambda one: one.uri)),
        tuple(sorted(bitcoin, key=lambda one: one.height)),
        unknown,
    )


def parse(ots: bytes) -> Any:
    """Returns the library's timestamp of a detached file of a SHA-256 digest.

    Raises:
        MalformedError: it is none.
        UnavailableError: the library is not installed.
    """
    if len(ots) > MAX_OTS_BYTES:
        raise MalformedError(f"a timestamp file has more than {MAX_OTS_BYTES} bytes")
    serialize, core = _library("serialize"), _library("timestamp")
    try:
        context = serialize.BytesDeserializationContext(ots)
        detached = core.DetachedTimestampFile.deserialize(context)
        context.assert_eof()
    except serialize.DeserializationError as exc:
        raise MalformedError(f"this is not a timestamp file: {str(exc)[:200]}") from None
    except (ValueError, RecursionError, EOFError) as exc:
        raise MalformedError(f"this is not a timestamp file: {type(exc).__name__}") from None
    if not isinstance(detached.file_hash_op, _library("op").OpSHA256):
        raise MalformedError("the timestamp is not of a SHA-256 digest")
    return detached.timestamp


def parse_reply(reply: bytes, message: bytes) -> Any:
    """Returns the library's timestamp in a calendar's answer about a message.

    Raises:
        MalformedError: it is none.
    """
    serialize, core = _library("serialize"), _library("timestamp")
    try:
        context = serialize.BytesDeserializationContext(reply)
        timestamp = core.Timestamp.deserialize(context, message)
        context.assert_eof()
    except (serialize.DeserializationError, ValueError, RecursionError, EOFError) as exc:
        raise MalformedError(f"no timestamp: {str(exc)[:100] or type(exc).__name__}") from None
    return timestamp


def write(timestamp: Any) -> bytes:
    """Returns the detached timestamp file of a timestamp of a SHA-256 digest."""
    serialize, core = _library("serialize"), _library("timestamp")
    detached = core.DetachedTimestampFile(_library("op").OpSHA256(), timestamp)
    context = serialize.BytesSerializationContext()
    detached.serialize(context)
    return bytes(context.getbytes())


def new(digest: bytes) -> Any:
    """Returns an empty timestamp of a digest."""
    return _library("timestamp").Timestamp(digest)


def merge(into: Any, other: Any) -> None:
    """Adds the other timestamp's branches of the same message."""
    into.merge(other)


def along(timestamp: Any, steps: Iterable[tuple[bytes, bytes]]) -> Any:
    """Adds operations: for each step prepend, append, SHA-256; returns the timestamp at the end."""
    op = _library("op")
    for before, after in steps:
        if before:
            timestamp = timestamp.ops.add(op.OpPrepend(before))
        if after:
            timestamp = timestamp.ops.add(op.OpAppend(after))
        timestamp = timestamp.ops.add(op.OpSHA256())
    return timestamp


def from_bitcoin(
    digest: bytes, raw: bytes, index: int, branch: Sequence[bytes], height: int
) -> bytes:
    """Returns the complete timestamp file of a digest that a transaction of ours carries.

    Args:
        digest: 32 bytes.
        raw: the transaction without its witness.
        index: its place in the block.
        branch: the hashes beside its way up, the nearest first.
        height: the block's.

    Raises:
        VerificationError: the transaction does not carry the digest.
    """
    before, found, after = raw.partition(digest)
    if not found:
        raise VerificationError("the transaction does not carry the digest")
    op = _library("op")
    timestamp = new(digest)
    at = along(timestamp, [(before, after)])
    at = at.ops.add(op.OpSHA256())
    for beside in branch:
        step = (beside, b"") if index & 1 else (b"", beside)
        at = along(at, [step]).ops.add(op.OpSHA256())
        index >>= 1
    at.attestations.add(_library("notary").BitcoinBlockHeaderAttestation(height))
    return write(timestamp)


def for_leaf(root: bytes, index: int, size: int, path: Sequence[bytes], inner: bytes) -> bytes:
    """Returns a timestamp file of the leaf of a log (RFC 9162), made from one of the log's root.

    The stamped file is 0x00 and the 32 bytes of the entry: its SHA-256 is the leaf's hash.

    Raises:
        VerificationError: the path does not lead to the digest of the inner file.
    """
    import hashlib

    op = _library("op")
    top = parse(inner)
    timestamp = new(hashlib.sha256(b"\0" + root).digest())
    at = timestamp
    for on_the_left, node in _sides(index, size, path):
        if on_the_left:
            at = along(at, [(b"\1" + node, b"")])
        else:
            at = at.ops.add(op.OpPrepend(b"\1"))
            at = along(at, [(b"", node)])
    if at.msg != top.msg:
        raise VerificationError("the record does not lead to the head that was stamped")
    merge(at, top)
    return write(timestamp)


def _sides(index: int, size: int, path: Sequence[bytes]) -> Iterable[tuple[bool, bytes]]:
    """Whether each node of an inclusion proof stands on the left (RFC 9162 section 2.1.3.2)."""
    fn, sn = index, size - 1
    for node in path:
        left = bool(fn & 1) or fn == sn
        yield left, node
        while left and not fn & 1 and fn:
            fn >>= 1
            sn >>= 1
        fn >>= 1
        sn >>= 1


def _library(name: str) -> Any:
    try:
        import importlib

        return importlib.import_module(f"opentimestamps.core.{name}")
    except ImportError as exc:
        raise UnavailableError(
            f"reading timestamps needs {exc.name}", hint="pip install 'gitprov[opentimestamps]'"
        ) from exc
