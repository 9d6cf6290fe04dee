"""Merkle-Patricia tries over the receipts or transactions of a block (Yellow Paper, appendix D)."""

from collections.abc import Callable, Mapping, Sequence

from gitprov.core.keccak import keccak256
from gitprov.core.rlp import Item, decode, encode
from gitprov.errors import VerificationError

MAX_NODES = 64
"""The longest proof: one node per half byte of a key."""

_NOTHING = b""
_HASH = 32
_LEAF = 2
_ODD = 1

Nibbles = tuple[int, ...]
Node = list[Item]


class Trie:
    """A trie over all pairs of a block: its root, and proofs for single keys."""

    def __init__(self, pairs: Mapping[bytes, bytes]) -> None:
        """Takes at least one pair; no value is empty."""
        self._nodes: dict[bytes, Node] = {}
        self._top = self._build({_nibbles(key): value for key, value in pairs.items()})

    @property
    def root(self) -> bytes:
        """The 32 bytes of the root."""
        return keccak256(encode([*self._top]))

    def proof(self, key: bytes) -> list[bytes]:
        """Returns the nodes from the root to a key's value; nodes inside others are left out.

        Raises:
            VerificationError: the trie has no such key.
        """
        nodes = [encode([*self._top])]

        def load(reference: bytes) -> Node:
            if reference not in self._nodes:
                raise VerificationError("the trie has no such key")
            nodes.append(encode([*self._nodes[reference]]))
            return self._nodes[reference]

        _descend(self._top, _nibbles(key), load)
        return nodes

    def _build(self, pairs: dict[Nibbles, bytes]) -> Node:
        if len(pairs) == 1:
            ((path, value),) = pairs.items()
            return [_pack(path, leaf=True), value]
        shared = _shared(pairs)
        if shared:
            rest = {path[len(shared) :]: value for path, value in pairs.items()}
            return [_pack(shared, leaf=False), self._reference(self._build(rest))]
        node: Node = []
        for nibble in range(16):
            below = {path[1:]: value for path, value in pairs.items() if path[:1] == (nibble,)}
            node.append(self._reference(self._build(below)) if below else _NOTHING)
        node.append(pairs.get((), _NOTHING))
        return node

    def _reference(self, node: Node) -> Item:
        """A small node stands in its parent; a larger one is named by its hash."""
        raw = encode([*node])
        if len(raw) < _HASH:
            return [*node]
        name = keccak256(raw)
        self._nodes[name] = node
        return name


def verify_proof(root: bytes, key: bytes, proof: Sequence[bytes]) -> bytes:
    """Returns the value that a trie with this root has for a key.

    Raises:
        VerificationError: the nodes do not lead there, or some are not needed.
    """
    if len(proof) > MAX_NODES:
        raise VerificationError(f"the proof has more than {MAX_NODES} nodes")
    rest = [*reversed(proof)]

    def load(reference: bytes) -> Node:
        if not rest or len(reference) != _HASH:
            raise VerificationError("the proof ends too early")
        raw = rest.pop()
        if keccak256(raw) != reference:
            raise VerificationError("a node of the proof has not the hash that leads to it")
        node = decode(raw)
        if not isinstance(node, list):
            raise VerificationError("a node of the proof is no list")
        return node

    value = _descend(load(root), _nibbles(key), load)
    if rest:
        raise VerificationError("the proof has nodes that are not needed")
    if not value:
        raise VerificationError("the proof leads to no value")
    return value


def _descend(node: Node, path: Nibbles, load: Callable[[bytes], Node]) -> bytes:
    """Follows a path to its value; every step but the last makes the path shorter."""
    while True:
        if len(node) == 17:
            if not path:
                return _value(node[16])
            child, path = node[path[0]], path[1:]
        elif len(node) == 2:
            shared, leaf = _unpack(node[0])
            if path[: len(shared)] != shared or (leaf and path != shared):
                raise VerificationError("the nodes lead to another key")
            if leaf:
                return _value(node[1])
            child, path = node[1], path[len(shared) :]
        else:
            raise VerificationError("a node has neither 2 nor 17 items")
        node = child if isinstance(child, list) else load(child)


def _value(item: Item) -> bytes:
    if isinstance(item, list):
        raise VerificationError("a value is a list")
    return item


def _nibbles(key: bytes) -> Nibbles:
    return tuple(half for byte in key for half in (byte >> 4, byte & 15))


def _shared(pairs: Mapping[Nibbles, bytes]) -> Nibbles:
    first, last = min(pairs), max(pairs)
    length = 0
    while length < min(len(first), len(last)) and first[length] == last[length]:
        length += 1
    return first[:length]


def _pack(path: Nibbles, *, leaf: bool) -> bytes:
    """The hex prefix encoding of a path (appendix C)."""
    flag = (_LEAF if leaf else 0) + len(path) % 2
    halves = (flag, *path) if len(path) % 2 else (flag, 0, *path)
    return bytes(16 * high + low for high, low in zip(halves[::2], halves[1::2], strict=True))


def _unpack(item: Item) -> tuple[Nibbles, bool]:
    halves = _nibbles(_value(item))
    if not halves or halves[0] > _LEAF + _ODD:
        raise VerificationError("a node's path is not well formed")
    leaf = bool(halves[0] & _LEAF)
    path = halves[1:] if halves[0] & _ODD else halves[2:]
    if not halves[0] & _ODD and halves[1] != 0:
        raise VerificationError("a node's path is not well formed")
    if not leaf and not path:
        raise VerificationError("an extension of a trie extends by nothing")
    return path, leaf
