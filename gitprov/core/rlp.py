"""Recursive length prefix: Ethereum's encoding of bytes and lists (Yellow Paper, appendix B)."""

from gitprov.errors import MalformedError

Item = bytes | list["Item"]
"""A byte string, or a list of items."""

MAX_DEPTH = 16
"""Lists nested deeper than this are refused; blocks and transactions nest four deep."""


def encode(item: Item) -> bytes:
    """Returns the one encoding of an item. `decode(encode(x)) == x`."""
    if isinstance(item, list):
        body = b"".join(encode(inner) for inner in item)
        return _prefix(len(body), 0xC0) + body
    if len(item) == 1 and item[0] < 0x80:
        return item
    return _prefix(len(item), 0x80) + item


def encode_int(number: int) -> bytes:
    """Returns a whole number as the bytes that stand for it: no leading zero, none for 0."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def decode(data: bytes) -> Item:
    """Parses one item that fills the data. `encode(decode(b)) == b`; other spellings are refused.

    Raises:
        MalformedError: it is cut short, has bytes left over, is not minimal, or nests too deep.
    """
    item, end = _decode(data, 0, len(data), 0)
    if end != len(data):
        raise MalformedError("RLP with bytes left over")
    return item


def decode_list(data: bytes) -> list[Item]:
    """Parses one list that fills the data.

    Raises:
        MalformedError: as `decode`, or it is a byte string.
    """
    item = decode(data)
    if not isinstance(item, list):
        raise MalformedError("RLP: a list was expected")
    return item


def text_of(items: list[Item], index: int) -> bytes:
    """Returns a byte string in a list.

    Raises:
        MalformedError: the list is too short, or has a list there.
    """
    if index >= len(items):
        raise MalformedError("RLP: a list is too short")
    item = items[index]
    if isinstance(item, list):
        raise MalformedError("RLP: a byte string was expected")
    return item


def int_of(items: list[Item], index: int) -> int:
    """Returns a whole number in a list.

    Raises:
        MalformedError: as `text_of`, or it has leading zeros or more than 32 bytes.
    """
    text = text_of(items, index)
    if text[:1] == b"\0" or len(text) > 32:
        raise MalformedError("RLP: not a whole number")
    return int.from_bytes(text, "big")


def _prefix(length: int, base: int) -> bytes:
    if length < 56:
        return bytes([base + length])
    size = encode_int(length)
    return bytes([base + 55 + len(size)]) + size


def _decode(data: bytes, at: int, end: int, depth: int) -> tuple[Item, int]:
    if at >= end:
        raise MalformedError("RLP is cut short")
    first = data[at]
    if first < 0x80:
        return data[at : at + 1], at + 1
    is_list = first >= 0xC0
    start, stop = _body(data, at, end, first - (0xC0 if is_list else 0x80))
    if not is_list:
        if stop - start == 1 and data[start] < 0x80:
            raise MalformedError("RLP: a small byte with a needless prefix")
        return data[start:stop], stop
    if depth >= MAX_DEPTH:
        raise MalformedError("RLP is nested too deep")
    items: list[Item] = []
    while start < stop:
        item, start = _decode(data, start, stop, depth + 1)
        items.append(item)
    return items, stop


def _body(data: bytes, at: int, end: int, code: int) -> tuple[int, int]:
    start = at + 1
    length = code
    if code > 55:
        size = data[start : min(start + code - 55, end)]
        start += code - 55
        length = int.from_bytes(size, "big")
        if len(size) != code - 55 or size[0] == 0 or length < 56:
            raise MalformedError("RLP: a length is not minimal")
    if start + length > end:
        raise MalformedError("RLP is cut short")
    return start, start + length
