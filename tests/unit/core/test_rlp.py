"""RLP against the Yellow Paper's examples, the library `rlp`, and spellings that are no RLP."""

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st

from gitprov.core.rlp import (
    MAX_DEPTH,
    Item,
    decode,
    decode_list,
    encode,
    encode_int,
    int_of,
    text_of,
)
from gitprov.errors import MalformedError

ITEMS = st.recursive(
    st.binary(max_size=300), lambda inner: st.lists(inner, max_size=60), max_leaves=80
)

EXAMPLES: list[tuple[Item, str]] = [
    (b"dog", "83646f67"),
    ([b"cat", b"dog"], "c88363617483646f67"),
    (b"", "80"),
    ([], "c0"),
    (b"\x00", "00"),
    (b"\x0f", "0f"),
    (b"\x04\x00", "820400"),
    ([[], [[]], [[], [[]]]], "c7c0c1c0c3c0c1c0"),
    (b"x" * 55, "b7" + "78" * 55),
    (b"x" * 56, "b838" + "78" * 56),
    ([b"x" * 55], "f838b7" + "78" * 55),
]


def nested(depth: int) -> Item:
    item: Item = b"x"
    for _ in range(depth):
        item = [item]
    return item


@pytest.mark.parametrize(("item", "text"), EXAMPLES)
def test_the_examples_of_the_specification_hold(item: Item, text: str) -> None:
    assert encode(item).hex() == text
    assert decode(bytes.fromhex(text)) == item


@given(ITEMS)
def test_what_is_written_is_read_back_and_the_library_writes_the_same(item: Item) -> None:
    raw = rlp.encode(item)
    if _depth(item) > MAX_DEPTH:
        with pytest.raises(MalformedError):
            decode(raw)
        return
    assert encode(item) == raw
    assert decode(raw) == item


@given(st.binary(max_size=80))
def test_any_bytes_are_read_in_one_way_or_refused(data: bytes) -> None:
    try:
        item = decode(data)
    except MalformedError:
        return
    assert encode(item) == data
    assert rlp.decode(data, strict=True) == item


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8100",  # a small byte with a prefix
        "817f",
        "83646f",  # cut short
        "c883636174",
        "c0c0",  # bytes left over
        "8080",
        "b800",  # a long form for a short text
        "b837" + "78" * 55,
        "b90038" + "78" * 56,  # a length with a leading zero
        "f800",
        "f90038" + "78" * 56,
        "bf" + "ff" * 8,  # 2**64 bytes
        "ff" + "ff" * 8,
        "b8",
        "bb0000",
        "c281",  # an item longer than its list
        "c3826162" + "63",
    ],
)
def test_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="RLP"):
        decode(bytes.fromhex(text))


def test_deep_nesting_is_refused_before_the_stack_ends() -> None:
    assert decode(encode(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(MalformedError, match="too deep"):
        decode(encode(nested(MAX_DEPTH + 1)))
    with pytest.raises(MalformedError):
        decode(b"\xc1" * 100_000)


@given(st.integers(min_value=0, max_value=2**256 - 1))
def test_numbers_are_read_back(number: int) -> None:
    assert int_of([encode_int(number)], 0) == number
    assert encode_int(number)[:1] != b"\0"


def test_a_field_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(MalformedError, match="a list was expected"):
        decode_list(encode(b"text"))
    with pytest.raises(MalformedError, match="a byte string was expected"):
        text_of([[]], 0)
    with pytest.raises(MalformedError, match="too short"):
        text_of([b""], 1)
    for text in (b"\0", b"\0\1", b"\1" * 33):
        with pytest.raises(MalformedError, match="not a whole number"):
            int_of([text], 0)


def _depth(item: Item) -> int:
    return 1 + max(map(_depth, item), default=0) if isinstance(item, list) else 0
