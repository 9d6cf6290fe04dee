"""Merkle trees as in RFC 9162 section 2.1: roots, inclusion and consistency proofs.

Everything works on leaf *hashes* of 32 raw bytes; `TreeHash.leaf` makes one. Proof makers take a
`Subtree`, so that the same code serves a list in memory and the tiles of a log.
"""

import hashlib
from collections.abc import Callable, Sequence

from blake3 import blake3

from gitprov.errors import VerificationError

_LEAF = b"\x00"
_NODE = b"\x01"

Subtree = Callable[[int, int], bytes]
"""`(start, end)` -> the root over the leaves `start <= i < end`."""


class TreeHash:
    """The hash function of one kind of tree; the kinds cannot pose as each other."""

    __slots__ = ("_hash", "name")

    def __init__(self, name: str, hash_bytes: Callable[[bytes], bytes]) -> None:
        """Takes the tree's name, for messages, and its hash of bytes to 32 bytes."""
        self.name = name
        self._hash = hash_bytes

    def leaf(self, data: bytes) -> bytes:
        """Hashes one leaf. The tag keeps a leaf from posing as a node."""
        return self._hash(_LEAF + data)

    def node(self, left: bytes, right: bytes) -> bytes:
        """Hashes two children, each of 32 bytes."""
        return self._hash(_NODE + left + right)

    def empty(self) -> bytes:
        """The root of the tree without a leaf."""
        return self._hash(b"")


def _derived(context: str) -> TreeHash:
    # Copying a prepared hasher saves hashing the context string again for every node.
    fresh = blake3(derive_key_context=context).copy

    def hash_bytes(data: bytes) -> bytes:
        hasher = fresh()
        hasher.update(data)
        return hasher.digest()

    return TreeHash(context, hash_bytes)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


MANIFEST = _derived("gitprov v1 manifest")
RECORD = _derived("gitprov v1 record")
WEIGHTS = _derived("gitprov v1 weights")
RUN = _derived("gitprov v1 run")
SAMPLES = _derived("gitprov v1 samples")
LOG = TreeHash("log", _sha256)


def root(tree: TreeHash, leaf_hashes: Sequence[bytes]) -> bytes:
    """Returns the root over leaf hashes (RFC 9162 section 2.1.1)."""
    if not leaf_hashes:
        return tree.empty()
    level = list(leaf_hashes)
    node = tree.node
    # Pairing neighbours and carrying an odd last one up gives RFC 9162's split at the largest
    # power of two, in one pass per level.
    while len(level) > 1:
        above = [node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return level[0]


class Growing:
    """The root over leaf hashes that come one after another and are not kept."""

    __slots__ = ("_node", "_peaks", "_tree", "size")

    def __init__(self, tree: TreeHash) -> None:
        """Takes the kind of tree; it starts without a leaf."""
        self._tree = tree
        self._node = tree.node
        self._peaks: list[bytes] = []
        self.size = 0

    def add(self, leaf_hash: bytes) -> None:
        """Adds a leaf."""
        peaks, node, full = self._peaks, self._node, self.size
        # One perfect subtree stands for each bit of the size; adding one carries like a counter.
        while full & 1:
            leaf_hash = node(peaks.pop(), leaf_hash)
            full >>= 1
        peaks.append(leaf_hash)
        self.size += 1

    def root(self) -> bytes:
        """Returns the root over the leaves so far; `root()` of all of them."""
        if not self._peaks:
            return self._tree.empty()
        [*others, value] = self._peaks
        for peak in reversed(others):
            value = self._node(peak, value)
        return value


def subtree_of(tree: TreeHash, leaf_hashes: Sequence[bytes]) -> Subtree:
    """Returns the `Subtree` of leaf hashes in memory."""
    return lambda start, end: root(tree, leaf_hashes[start:end])


def largest_power_below(n: int) -> int:
    """Returns the largest power of two that is smaller than n; n is at least 2."""
    return 1 << ((n - 1).bit_length() - 1)


def inclusion_proof(subtree: Subtree, index: int, size: int) -> list[bytes]:
    """Returns PATH(index, D[size]) of RFC 9162 section 2.1.3.1, leaf's sibling first.

    Raises:
        ValueError: the index is not inside the tree.
    """
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + largest_power_below(end - start)
        if index < middle:
            path.append(subtree(middle, end))
            end = middle
        else:
            path.append(subtree(start, middle))
            start = middle
    path.reverse()
    return path


def consistency_proof(subtree: Subtree, old: int, new: int) -> list[bytes]:
    """Returns PROOF(old, D[new]) of RFC 9162 section 2.1.4.1; empty when `old` is 0 or `new`.

    Raises:
        ValueError: the old size is not between 0 and the new one.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} does not extend one of {old}")
    if old in {0, new}:
        return []
    proof: list[bytes] = []
    start, end = 0, new
    whole = True  # RFC 9162's flag b: the old tree is exactly this subtree's left part
    while old != end:
        middle = start + largest_power_below(end - start)
        if old <= middle:
            proof.append(subtree(middle, end))
            end = middle
        else:
            proof.append(subtree(start, middle))
            start = middle
            whole = False
    if not whole:
        proof.append(subtree(start, end))
    proof.reverse()
    return proof


def verify_inclusion(
    tree: TreeHash,
    leaf_hash: bytes,
    index: int,
    size: int,
    path: Sequence[bytes],
    expected: bytes,
) -> None:
    """Checks an inclusion proof (RFC 9162 section 2.1.3.2).

    Raises:
        VerificationError: the leaf is not at that index of the tree with that root.
    """
    if not 0 <= index < size:
        raise VerificationError(f"index {index} lies outside a tree of {size}")
    fn, sn, value = index, size - 1, leaf_hash
    for sibling in path:
        if sn == 0 or len(sibling) != len(value):
            raise VerificationError("the inclusion proof has the wrong length")
        if fn & 1 or fn == sn:
            value = tree.node(sibling, value)
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            value = tree.node(value, sibling)
        fn >>= 1
        sn >>= 1
    if sn:
        raise VerificationError("the inclusion proof has the wrong length")
    if value != expected:
        raise VerificationError("the inclusion proof leads to another root")


def verify_consistency(  # noqa: C901 - one algorithm of the RFC, kept in one piece
    tree: TreeHash,
    old: int,
    new: int,
    old_root: bytes,
    new_root: bytes,
    proof: Sequence[bytes],
) -> None:
    """Checks that a tree of `new` leaves begins with one of `old` (RFC 9162 section 2.1.4.2).

    Raises:
        VerificationError: it does not, or the proof does not show it.
    """
    if not 0 <= old <= new:
        raise VerificationError(f"a tree of {new} cannot extend one of {old}")
    if old in {0, new}:
        same = old_root == (tree.empty() if old == 0 else new_root)
        if new == 0:
            same = same and new_root == tree.empty()
        if proof or not same:
            raise VerificationError("the two tree heads are not consistent")
        return
    nodes = list(proof)
    if not old & (old - 1):
        nodes.insert(0, old_root)
    if not nodes:
        raise VerificationError("the consistency proof has the wrong length")
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn >>= 1
        sn >>= 1
    first = second = nodes[0]
    for value in nodes[1:]:
        if sn == 0 or len(value) != len(first):
            raise VerificationError("the consistency proof has the wrong length")
        if fn & 1 or fn == sn:
            first = tree.node(value, first)
            second = tree.node(value, second)
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            second = tree.node(second, value)
        fn >>= 1
        sn >>= 1
    if sn or first != old_root or second != new_root:
        raise VerificationError("the two tree heads are not consistent")
