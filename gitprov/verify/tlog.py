"""The mathematics of the log: inclusion, consistency, signed heads, which keys count."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from gitprov.core.digest import Digest
from gitprov.core.merkle import LOG, verify_consistency, verify_inclusion
from gitprov.errors import MalformedError, VerificationError
from gitprov.model.note import AnchorLine
from gitprov.model.signed_note import TreeHead, VerifierKey, open_note, read_unverified
from gitprov.verify.evidence import CommitEvidence, Head, LogEvidence
from gitprov.verify.policy import Policy


@dataclass(frozen=True, slots=True)
class Keys:
    """The public keys for signed heads; with pinned ones, only those count."""

    pinned: tuple[VerifierKey, ...]
    known: tuple[VerifierKey, ...]

    @classmethod
    def of(cls, evidence: CommitEvidence, policy: Policy) -> Self:
        """Collects the keys of a policy and those that were found.

        Raises:
            UsageError: the policy pins something that is no key.
        """
        texts = [*evidence.vkeys, *(log.vkey for log in evidence.logs if log.vkey)]
        return cls(policy.pinned, tuple(_own_named(texts)))

    @property
    def counting(self) -> tuple[VerifierKey, ...]:
        """The keys whose signatures count."""
        return self.pinned or self.known

    def of_log(self, key_id: str) -> VerifierKey | None:
        """The counting key of a log, or None."""
        return next((key for key in self.counting if key.key_id == key_id), None)


def _own_named(texts: Iterable[str]) -> Iterator[VerifierKey]:
    """The keys whose name ends in their own id, so that none can pose as another log."""
    for text in dict.fromkeys(texts):
        try:
            key = VerifierKey.parse(text)
        except MalformedError:
            continue  # a key that cannot be read signs nothing, and is then missed by name
        if key.name.rpartition("/")[2] == key.key_id:
            yield key


def check_inclusion(root: Digest, log: LogEvidence) -> None:
    """Checks that the record root is the entry `log.index` of the log.

    Raises:
        VerificationError: it is not.
    """
    index = -1 if log.index is None else log.index
    verify_inclusion(LOG, LOG.leaf(root.raw), index, log.size, log.path, log.root.raw)


def check_line(line: AnchorLine) -> None:
    """Checks that the line's record root is included in the head that its network witnessed.

    Raises:
        VerificationError: it is not.
    """
    leaf = LOG.leaf(line.root.raw)
    verify_inclusion(LOG, leaf, line.index, line.size, line.path, line.digest.raw)


def extends(log: LogEvidence, head: Head) -> bool | None:
    """Whether the log still begins with an earlier head; None when that cannot be told here."""
    if head.size > log.size:
        return False
    proof = log.consistency.get(head.size)
    if proof is None:
        if head.size in {0, log.size}:
            proof = ()  # RFC 9162 needs no proof for these
        else:
            return None
    try:
        verify_consistency(LOG, head.size, log.size, head.root.raw, log.root.raw, proof)
    except VerificationError:
        return False
    return True


def checkpoint_of(line: AnchorLine) -> str:
    """Returns the signed note in a tlog line's receipt.

    Raises:
        MalformedError: the receipt is not `{"checkpoint": …}`.
    """
    text = line.receipt.get("checkpoint")
    if set(line.receipt) != {"checkpoint"} or not isinstance(text, str):
        raise MalformedError("the receipt does not hold a checkpoint and nothing else")
    return text


def check_head(line: AnchorLine) -> TreeHead:
    """Returns the head in a tlog line's receipt, whoever signed it.

    Raises:
        VerificationError: it is malformed, or another head than the line speaks of.
    """
    head = read_unverified(checkpoint_of(line))
    if head.size != line.size:
        raise VerificationError(f"the signed head has size {head.size}, the line says {line.size}")
    if head.root != line.digest:
        raise VerificationError(f"the signed head has root {head.root}, the line {line.digest}")
    return head


def signer_of(note: str, keys: Sequence[VerifierKey]) -> VerifierKey | None:
    """Returns the key that signed a head as the head's own log, or None when no key here did.

    Raises:
        MalformedError: the note is not in C2SP's format.
        VerificationError: it names one of the keys, but no signature of that key holds.
    """
    head = read_unverified(note)
    named = [key for key in keys if key.name == head.origin]
    for key in named:
        if _signed_by(note, key):
            return key
    if named or any(f"\n\u2014 {key.name} " in note for key in keys):
        raise VerificationError(f"no signature of {head.origin} on it holds")
    return None


# Thousands of commits share one signed head, and a signature costs more than all the rest.
@lru_cache(maxsize=1024)
def _signed_by(note: str, key: VerifierKey) -> bool:
    try:
        open_note(note, [key])
    except MalformedError:
        raise
    except VerificationError:
        return False
    return True
