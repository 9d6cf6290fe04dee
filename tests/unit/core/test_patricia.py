"""Merkle-Patricia tries: roots that other implementations compute, and proofs nobody can bend."""

import hashlib
import random
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitprov.core.keccak import keccak256
from gitprov.core.patricia import MAX_NODES, Trie, verify_proof
from gitprov.core.rlp import Item, decode, encode, encode_int
from gitprov.errors import VerificationError

# Keys of a block: RLP of the index. Values of 1 to 160 bytes, so that some nodes lie in others.
# The roots were computed with the library `trie` 4.0 (py-trie), as Ethereum's own tests do.
BLOCKS = {
    1: "b15831593614bb3efde6376362ff7b32e0115c35516f069509e8bd828f3d64a5",
    2: "3dbbdc61ff938d2aed01dda99c4321bddd6ec92e3489d1b35a383d72614158a1",
    3: "cf005f89cc33f8a54e5d296959cb146358d30e1e0fdb9b3e4db6c782efd1015e",
    16: "c92d7548263e4a733dc5d4b20e11b81e25b6b091da3e524554bbbf7ef952eb3f",
    17: "06bdd9d2c4c48ee0d48ae9e8ca08e98c09887d18a915228ea54b3abb70bb5486",
    128: "5bc0fa9f99e4ab7c61031564fe841ed72d9d42e5e431793a6901a5aa679be8ca",
    129: "42e6f34f6812877736d7f8050928565be2bf285fb3a6f5ac8115dbce97c27200",
    200: "fe244edd8a8a5b5d12faf72f858287a58501e9178ba1a3e05cc10089f6c58b76",
}

PAIRS = st.dictionaries(
    st.binary(min_size=1, max_size=4), st.binary(min_size=1, max_size=60), min_size=1, max_size=40
)


def key(index: int) -> bytes:
    return encode(encode_int(index))


def block(size: int) -> dict[bytes, bytes]:
    return {
        key(i): hashlib.sha256(bytes([i])).digest()[: 1 + i % 32] * (1 + i % 5) for i in range(size)
    }


@pytest.mark.parametrize(("size", "root"), BLOCKS.items())
def test_the_roots_are_those_of_another_implementation(size: int, root: str) -> None:
    assert Trie(block(size)).root.hex() == root


def test_the_roots_of_ethereums_own_tests_hold() -> None:
    puppy = {b"do": b"verb", b"horse": b"stallion", b"doge": b"coin", b"dog": b"puppy"}
    root = "5991bb8c6514148a29db676a14ac506cd2cd5775ace63c30a4fe457715e9ac84"
    assert Trie(puppy).root.hex() == root
    inside = {b"a": b"1", b"ab": b"2", b"abc": b"3", b"b": b"4"}
    root = "1a74660768c0313b409bd2ffac718c56d309ee864c9cc7a851ba9f1e7effc4a3"
    assert Trie(inside).root.hex() == root


@given(PAIRS)
def test_every_pair_is_proven_and_only_with_its_own_key(pairs: Mapping[bytes, bytes]) -> None:
    trie = Trie(pairs)
    for name, value in pairs.items():
        assert verify_proof(trie.root, name, trie.proof(name)) == value
        other = name + b"\0"
        if other not in pairs:
            with pytest.raises(VerificationError):
                verify_proof(trie.root, other, trie.proof(name))


@given(PAIRS, st.binary(min_size=1, max_size=4))
def test_a_key_that_is_not_there_has_no_proof(pairs: Mapping[bytes, bytes], name: bytes) -> None:
    if name in pairs:
        return
    trie = Trie(pairs)
    with pytest.raises(VerificationError):
        trie.proof(name)
    for there in pairs:
        with pytest.raises(VerificationError):
            verify_proof(trie.root, name, trie.proof(there))


@given(PAIRS)
def test_the_order_of_the_pairs_does_not_matter(pairs: dict[bytes, bytes]) -> None:
    assert Trie(dict(reversed(pairs.items()))).root == Trie(pairs).root


@given(PAIRS, st.data())
def test_no_change_of_a_byte_goes_unseen(pairs: Mapping[bytes, bytes], data: st.DataObject) -> None:
    trie = Trie(pairs)
    name = data.draw(st.sampled_from(sorted(pairs)))
    proof = trie.proof(name)
    at = data.draw(st.integers(0, len(proof) - 1))
    byte = data.draw(st.integers(0, len(proof[at]) - 1))
    flipped = bytearray(proof[at])
    flipped[byte] ^= data.draw(st.integers(1, 255))
    with pytest.raises(VerificationError):
        verify_proof(trie.root, name, [*proof[:at], bytes(flipped), *proof[at + 1 :]])


BENT: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "nothing": lambda proof: [],
    "without its first node": lambda proof: proof[1:],
    "without its last node": lambda proof: proof[:-1],
    "with a node in front": lambda proof: [proof[-1], *proof],
    "with a node behind": lambda proof: [*proof, proof[-1]],
    "with an empty node behind": lambda proof: [*proof, b""],
    "in reverse": lambda proof: proof[::-1],
    "with a node twice": lambda proof: [proof[0], *proof],
    "with more nodes than there can be": lambda proof: proof * MAX_NODES,
}


@pytest.mark.parametrize("bend", BENT.values(), ids=BENT.keys())
def test_a_proof_that_was_bent_is_refused(bend: Callable[[list[bytes]], list[bytes]]) -> None:
    pairs = block(200)
    trie = Trie(pairs)
    for index in (0, 1, 127, 128, 199):
        with pytest.raises(VerificationError):
            verify_proof(trie.root, key(index), bend(trie.proof(key(index))))


def rooted(*nodes: Item) -> tuple[bytes, list[bytes]]:
    """The root over a first node that names the others by their hashes, and the proof."""
    raw = [encode(node) for node in nodes]
    return keccak256(raw[0]), raw


HOSTILE_NODES: dict[str, Item] = {
    "a text": b"text",
    "an empty list": [],
    "three items": [b"\x20", b"value", b""],
    "sixteen items": [b""] * 16,
    "a leaf without a path": [b"", b"value"],
    "a path with an unknown flag": [b"\x40\x01", b"value"],
    "a path whose padding is not zero": [b"\x2f\x80", b"value"],
    "a path that is a list": [[], b"value"],
    "an extension by nothing": [b"\x00", [b"\x20\x80", b"value"]],
    "a value that is a list": [b"\x20\x80", [b"value"]],
    "a value that is empty": [b"\x20\x80", b""],
    "a branch that leads nowhere": [b""] * 17,
    "an extension to a short name": [b"\x00\x80", b"short"],
    "an extension that leads to itself in vain": [b"\x00\x80", [b"\x00\x80", [b""] * 17]],
}


@pytest.mark.parametrize("node", HOSTILE_NODES.values(), ids=HOSTILE_NODES.keys())
def test_a_node_that_is_none_is_refused(node: Item) -> None:
    root, proof = rooted(node)
    with pytest.raises(VerificationError):
        verify_proof(root, b"\x80", proof)


def test_the_hostile_nodes_differ_from_good_ones_in_one_thing() -> None:
    root, proof = rooted([b"\x20\x80", b"value"])
    assert verify_proof(root, b"\x80", proof) == b"value"
    root, proof = rooted([b"\x00\x80", [b"\x20", b"value"]])
    assert verify_proof(root, b"\x80", proof) == b"value"


def test_rubbish_of_all_kinds_is_refused_in_one_way() -> None:
    random_bytes = random.Random(7).randbytes
    for size in range(200):
        raw = random_bytes(size)
        with pytest.raises(VerificationError):
            verify_proof(keccak256(raw), b"\x80", [raw])
    with pytest.raises(VerificationError):
        verify_proof(b"", b"\x80", [b""])


def test_nodes_inside_others_are_no_part_of_a_proof() -> None:
    pairs = {key(i): b"x" for i in range(20)}
    trie = Trie(pairs)
    proof = trie.proof(key(3))
    assert all(len(node) >= 32 for node in proof[1:])
    assert verify_proof(trie.root, key(3), proof) == b"x"
    assert isinstance(decode(proof[0]), list)
