"""Merkle trees against a second, naive implementation of RFC 9162: every proof, every tampering."""

import hashlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from gitprov.core import merkle
from gitprov.core.merkle import (
    LOG,
    MANIFEST,
    RECORD,
    RUN,
    WEIGHTS,
    TreeHash,
    consistency_proof,
    inclusion_proof,
    subtree_of,
    verify_consistency,
    verify_inclusion,
)
from gitprov.errors import VerificationError

SMALL = range(41)
Hash = Callable[[bytes], bytes]


# ---------------------------------------------------------------- RFC 9162, word for word


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def split(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k


class Naive:
    """Section 2.1 as its recursive definitions, over leaf data."""

    def __init__(self, hash_bytes: Hash, data: list[bytes]) -> None:
        self.hash = hash_bytes
        self.data = data
        self.mth = lru_cache(maxsize=None)(self._mth)

    def _mth(self, start: int, end: int) -> bytes:
        n = end - start
        if n == 0:
            return self.hash(b"")
        if n == 1:
            return self.hash(b"\x00" + self.data[start])
        k = split(n)
        return self.hash(b"\x01" + self.mth(start, start + k) + self.mth(start + k, end))

    def path(self, m: int, start: int, end: int) -> list[bytes]:
        n = end - start
        if n == 1:
            return []
        k = split(n)
        if m < k:
            return [*self.path(m, start, start + k), self.mth(start + k, end)]
        return [*self.path(m - k, start + k, end), self.mth(start, start + k)]

    def proof(self, m: int, n: int) -> list[bytes]:
        return [] if m in {0, n} else self._subproof(m, 0, n, known=True)

    def _subproof(self, m: int, start: int, end: int, *, known: bool) -> list[bytes]:
        n = end - start
        if m == n:
            return [] if known else [self.mth(start, end)]
        k = split(n)
        if m <= k:
            return [
                *self._subproof(m, start, start + k, known=known),
                self.mth(start + k, end),
            ]
        return [
            *self._subproof(m - k, start + k, end, known=False),
            self.mth(start, start + k),
        ]


def sides(index: int, size: int) -> str:
    """On which side the leaf's part lies, at each step from the leaf up."""
    if size == 1:
        return ""
    k = split(size)
    return sides(index, k) + "l" if index < k else sides(index - k, size - k) + "r"


# ---------------------------------------------------------------- helpers


LEAVES = [f"leaf {i}".encode() for i in range(200)]
HASHES = [LOG.leaf(data) for data in LEAVES]
SUBTREE = subtree_of(LOG, HASHES)
NAIVE = Naive(sha256, LEAVES)
ROOTS = [NAIVE.mth(0, n) for n in range(len(LEAVES) + 1)]


def included(index: int, size: int, path: list[bytes], root: bytes, leaf: bytes) -> bool:
    try:
        verify_inclusion(LOG, leaf, index, size, path, root)
    except VerificationError:
        return False
    return True


def consistent(old: int, new: int, proof: list[bytes], old_root: bytes, new_root: bytes) -> bool:
    try:
        verify_consistency(LOG, old, new, old_root, new_root, proof)
    except VerificationError:
        return False
    return True


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(changed)


def misshapen(path: list[bytes]) -> Iterator[list[bytes]]:
    """Every way of losing, doubling, adding, swapping, cutting and stretching a node."""
    for i, node in enumerate(path):
        yield path[:i] + path[i + 1 :]
        yield [*path[:i], node, *path[i:]]
        yield [*path[:i], node[:-1], *path[i + 1 :]]
        yield [*path[:i], node + b"\x00", *path[i + 1 :]]
        yield [*path[:i], b"", *path[i + 1 :]]
    for i, (left, right) in enumerate(pairwise(path)):
        yield [*path[:i], right, left, *path[i + 2 :]]
        yield [*path[:i], left + right, *path[i + 2 :]]
    for extra in (bytes(32), HASHES[0], b""):
        yield [*path, extra]
        yield [extra, *path]


# ---------------------------------------------------------------- all small trees


@pytest.mark.parametrize(
    ("tree", "hash_bytes"),
    [
        (LOG, sha256),
        (MANIFEST, lambda d: blake3(d, derive_key_context="gitprov v1 manifest").digest()),
        (RECORD, lambda d: blake3(d, derive_key_context="gitprov v1 record").digest()),
        (WEIGHTS, lambda d: blake3(d, derive_key_context="gitprov v1 weights").digest()),
        (RUN, lambda d: blake3(d, derive_key_context="gitprov v1 run").digest()),
    ],
    ids=lambda value: value.name if isinstance(value, TreeHash) else "",
)
def test_every_small_root_is_the_recursive_definition(tree: TreeHash, hash_bytes: Hash) -> None:
    naive = Naive(hash_bytes, LEAVES)
    hashes = [tree.leaf(data) for data in LEAVES]
    for n in SMALL:
        assert merkle.root(tree, hashes[:n]) == naive.mth(0, n)


def test_every_small_inclusion_proof_is_the_recursive_one_and_verifies() -> None:
    for size in SMALL:
        for index in range(size):
            path = inclusion_proof(SUBTREE, index, size)
            assert path == NAIVE.path(index, 0, size)
            verify_inclusion(LOG, HASHES[index], index, size, path, ROOTS[size])


def test_every_small_consistency_proof_is_the_recursive_one_and_verifies() -> None:
    for new in SMALL:
        for old in range(new + 1):
            proof = consistency_proof(SUBTREE, old, new)
            assert proof == NAIVE.proof(old, new)
            verify_consistency(LOG, old, new, ROOTS[old], ROOTS[new], proof)


def test_no_small_inclusion_proof_survives_a_change_of_a_node_the_leaf_or_the_root() -> None:
    for size in SMALL:
        for index in range(size):
            path, root, leaf = NAIVE.path(index, 0, size), ROOTS[size], HASHES[index]
            bit = 37 * size + index
            for i, node in enumerate(path):
                changed = [*path[:i], flip(node, bit), *path[i + 1 :]]
                assert not included(index, size, changed, root, leaf)
            assert not included(index, size, path, flip(root, bit), leaf)
            assert not included(index, size, path, root, flip(leaf, bit))
            for wrong in misshapen(path):
                assert not included(index, size, wrong, root, leaf)


def test_no_small_inclusion_proof_holds_for_another_index() -> None:
    for size in SMALL:
        for index in range(size):
            path, root, leaf = NAIVE.path(index, 0, size), ROOTS[size], HASHES[index]
            others = [other for other in range(-2, size + 3) if other != index]
            assert not any(included(other, size, path, root, leaf) for other in others)


def test_an_inclusion_proof_never_holds_in_the_head_of_another_size() -> None:
    for size in SMALL:
        for index in range(size):
            path, leaf = NAIVE.path(index, 0, size), HASHES[index]
            others = [other for other in range(1, 44) if other != size]
            assert not any(included(index, n, path, ROOTS[n], leaf) for n in others)


def test_a_wrong_size_beside_the_right_root_passes_only_where_the_path_turns_alike() -> None:
    # A root does not say how many leaves it has: that is why a head binds size and root together.
    for size in range(1, 20):
        for index in range(size):
            path, root, leaf = NAIVE.path(index, 0, size), ROOTS[size], HASHES[index]
            for claimed in range(index + 1, 40):
                alike = sides(index, claimed) == sides(index, size)
                assert included(index, claimed, path, root, leaf) == alike


def test_no_small_consistency_proof_survives_a_change_of_a_node_or_a_root() -> None:
    for new in SMALL:
        for old in range(1, new):
            proof, before, after = NAIVE.proof(old, new), ROOTS[old], ROOTS[new]
            bit = 41 * new + old
            for i, node in enumerate(proof):
                changed = [*proof[:i], flip(node, bit), *proof[i + 1 :]]
                assert not consistent(old, new, changed, before, after)
            assert not consistent(old, new, proof, flip(before, bit), after)
            assert not consistent(old, new, proof, before, flip(after, bit))
            for wrong in misshapen(proof):
                assert not consistent(old, new, wrong, before, after)


def test_a_consistency_proof_holds_for_other_sizes_only_if_it_is_their_proof_too() -> None:
    for new in range(1, 18):
        for old in range(1, new):
            proof = NAIVE.proof(old, new)
            for other_new in range(1, 18):
                for other_old in range(1, other_new + 1):
                    holds = consistent(
                        other_old, other_new, proof, ROOTS[other_old], ROOTS[other_new]
                    )
                    assert holds == (proof == NAIVE.proof(other_old, other_new))


# ---------------------------------------------------------------- heads at the edges


def test_every_head_extends_the_empty_log_and_itself_without_a_proof() -> None:
    for n in SMALL:
        verify_consistency(LOG, 0, n, LOG.empty(), ROOTS[n], [])
        verify_consistency(LOG, n, n, ROOTS[n], ROOTS[n], [])
        assert not consistent(n, n, [ROOTS[n]], ROOTS[n], ROOTS[n])
        assert not consistent(n, n, [], ROOTS[n], ROOTS[n + 1])
        assert not consistent(0, n, [], ROOTS[1], ROOTS[n])


def test_two_empty_heads_must_both_have_the_empty_root() -> None:
    assert not consistent(0, 0, [], LOG.empty(), ROOTS[3])
    assert not consistent(0, 0, [], ROOTS[3], LOG.empty())
    assert not consistent(0, 0, [], ROOTS[3], ROOTS[3])


def test_a_log_that_shrank_is_never_consistent() -> None:
    for new in range(8):
        for old in range(new + 1, 9):
            assert not consistent(old, new, NAIVE.proof(new, old), ROOTS[old], ROOTS[new])
            with pytest.raises(ValueError, match="does not extend"):
                consistency_proof(SUBTREE, old, new)
    assert not consistent(-1, 3, [], LOG.empty(), ROOTS[3])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (5, 3), (-1, 3)])
def test_a_leaf_outside_the_tree_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_proof(SUBTREE, index, size)
    with pytest.raises(VerificationError, match="outside"):
        verify_inclusion(LOG, HASHES[0], index, size, [], ROOTS[1])


def test_a_proof_of_absurd_length_ends_quickly() -> None:
    assert not included(1 << 62, 1 << 63, [bytes(32)] * 100_000, ROOTS[1], HASHES[0])
    assert not consistent(1 << 62, 1 << 63, [bytes(32)] * 100_000, ROOTS[1], ROOTS[2])


def test_a_leaf_a_node_and_an_empty_tree_never_share_a_hash() -> None:
    data = HASHES[0] + HASHES[1]
    for tree in (LOG, MANIFEST, RECORD, WEIGHTS, RUN):
        assert len({tree.leaf(data), tree.node(HASHES[0], HASHES[1]), tree.empty()}) == 3
    trees = (LOG, MANIFEST, RECORD, WEIGHTS, RUN)
    assert len({tree.leaf(data) for tree in trees}) == len(trees)


# ---------------------------------------------------------------- larger trees


SIZES = st.integers(1, len(LEAVES))


@given(st.data(), SIZES)
def test_any_inclusion_proof_verifies_and_no_tampered_one_does(data: st.DataObject, n: int) -> None:
    index = data.draw(st.integers(0, n - 1), label="index")
    path = inclusion_proof(SUBTREE, index, n)
    assert path == NAIVE.path(index, 0, n)
    assert included(index, n, path, ROOTS[n], HASHES[index])
    other = data.draw(st.integers(0, n + 1).filter(lambda i: i != index), label="other index")
    assert not included(other, n, path, ROOTS[n], HASHES[index])
    if path:
        at = data.draw(st.integers(0, len(path) - 1), label="node")
        bit = data.draw(st.integers(0, 255), label="bit")
        path[at] = flip(path[at], bit)
        assert not included(index, n, path, ROOTS[n], HASHES[index])


@given(st.data(), SIZES)
def test_any_consistency_proof_verifies_and_no_tampered_one_does(
    data: st.DataObject, new: int
) -> None:
    old = data.draw(st.integers(0, new), label="old")
    proof = consistency_proof(SUBTREE, old, new)
    assert proof == NAIVE.proof(old, new)
    assert consistent(old, new, proof, ROOTS[old], ROOTS[new])
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1), label="node")
        bit = data.draw(st.integers(0, 255), label="bit")
        proof[at] = flip(proof[at], bit)
        assert not consistent(old, new, proof, ROOTS[old], ROOTS[new])


@given(st.data(), st.integers(2, 120))
def test_a_log_whose_past_was_changed_is_never_consistent(data: st.DataObject, new: int) -> None:
    old = data.draw(st.integers(1, new), label="old")
    at = data.draw(st.integers(0, old - 1), label="rewritten entry")
    forged = [*HASHES[:at], flip(HASHES[at], 0), *HASHES[at + 1 : new]]
    proof = consistency_proof(subtree_of(LOG, forged), old, new)
    assert not consistent(old, new, proof, ROOTS[old], merkle.root(LOG, forged))


@given(st.lists(st.binary(max_size=80), max_size=70))
def test_any_root_is_the_recursive_definition(data: list[bytes]) -> None:
    leaf_hashes = [LOG.leaf(item) for item in data]
    assert merkle.root(LOG, leaf_hashes) == Naive(sha256, data).mth(0, len(data))
