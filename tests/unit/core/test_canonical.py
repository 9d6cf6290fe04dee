"""Canonical JSON: RFC 8785's example, one spelling, bombs refused, errors that name the place."""

import json

import pytest

from gitprov.core.canonical import MAX_BYTES, MAX_DEPTH, Fields, Json, dumps, loads
from gitprov.errors import MalformedError


def nested(depth: int, opening: str = "[", closing: str = "]") -> bytes:
    return (opening * depth + closing * depth).encode()


def test_rfc_8785_section_3_2_comes_out_as_the_rfc_says() -> None:
    value: Json = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '\u20ac$\u000f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert dumps(value) == expected.encode()


def test_keys_sort_by_utf_16_code_units_as_rfc_8785_section_3_2_3_says() -> None:
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\x80", "\u00f6"]
    written = dumps(dict.fromkeys(keys, 0))
    assert [*json.loads(written)] == [
        "\r",
        "1",
        "\x80",
        "\u00f6",
        "\u20ac",
        "\U0001f600",
        "\ufb33",
    ]


@pytest.mark.parametrize(
    "data",
    [
        b' {"a":1}',
        b'{"a":1}\n',
        b'{"a": 1}',
        b'{"b":1,"a":2}',
        b'{"a":1.0}',
        b'{"a":1e0}',
        b'{"a":-0}',
        b'{"a":01}',
        b'{"a":"\\u0041"}',
        b'{"a":"\\/"}',
        b'{"a":"\\u00e9"}',
        b'{"a":"\\u001F"}',
        b"[1,]",
        b"[1] [2]",
        b"",
        b"'a'",
        b"nul",
    ],
)
def test_a_second_spelling_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError, match=r"^the note is not"):
        loads(data, what="the note")


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":2}}',
        b"NaN",
        b"-Infinity",
        b"1e400",
        b"9007199254740992",
        b"-9007199254740992",
        b"9" * 5000,
        b'"\\ud800"',
        b'{"\\udfff":1}',
        b'"\xed\xa0\x80"',
        b'"\xff"',
        b'"\xc0\x80"',
        b"\xef\xbb\xbf1",
        '["a"]'.encode("utf-16"),
        b'"\x00"',
        nested(MAX_DEPTH + 1),
        nested(MAX_DEPTH + 1, '{"a":[', "]}"),
        nested(100_000),
        b"[" * 1_000_000,
        b'{"a":' * 100_000,
        b'"' + b"a" * MAX_BYTES + b'"',
    ],
    ids=lambda data: repr(data[:24]),
)
def test_what_is_no_value_of_ours_is_refused_and_the_place_is_named(data: bytes) -> None:
    with pytest.raises(MalformedError, match=r"^the note") as caught:
        loads(data, what="the note")
    assert len(str(caught.value)) < 300


def test_the_depth_limit_does_not_depend_on_pythons_stack() -> None:
    assert dumps(loads(nested(MAX_DEPTH), what="it")) == nested(MAX_DEPTH)

    def deep_in_the_stack(frames: int) -> Json:
        return deep_in_the_stack(frames - 1) if frames else loads(nested(MAX_DEPTH), what="it")

    assert deep_in_the_stack(300) == loads(nested(MAX_DEPTH), what="it")


def test_many_shallow_arrays_are_not_deep() -> None:
    data = b"[" + b",".join([b"[]"] * 1000) + b"]"
    assert dumps(loads(data, what="it")) == data


def test_the_largest_integers_are_those_of_a_double() -> None:
    for data in (b"9007199254740991", b"-9007199254740991"):
        assert dumps(loads(data, what="it")) == data


def test_a_caller_may_lower_the_limit() -> None:
    with pytest.raises(MalformedError, match="the note is larger than 3 bytes"):
        loads(b"1234", what="the note", limit=3)


@pytest.mark.parametrize("value", [2**53, -(2**53), float("nan"), float("inf"), "\ud800"])
def test_a_value_without_a_canonical_form_is_not_written(value: Json) -> None:
    with pytest.raises(MalformedError, match="no canonical JSON"):
        dumps([value])


class TestFields:
    """An object is taken apart field by field."""

    def test_a_complete_object_is_taken(self) -> None:
        fields = Fields({"a": "x", "n": 3, "l": [1], "o": {}, "c": 1}, what="it")
        assert fields.text("a", one_of=("x", "y")) == "x"
        assert fields.integer("n", minimum=3) == 3
        assert fields.array("l") == [1]
        assert fields.object("o") == {}
        fields.constant("c", 1)
        fields.end()

    @pytest.mark.parametrize("value", [None, 1, "x", [], True])
    def test_what_is_no_object_is_refused(self, value: Json) -> None:
        with pytest.raises(MalformedError, match="it is not a JSON object"):
            Fields(value, what="it")

    @pytest.mark.parametrize("value", [True, 1.0, "1", None, -1, [1]])
    def test_only_a_whole_number_is_an_integer(self, value: Json) -> None:
        with pytest.raises(MalformedError, match="'n' must be a whole number"):
            Fields({"n": value}, what="it").integer("n")

    @pytest.mark.parametrize("value", [True, 1.0, "1", 2, None])
    def test_a_constant_has_its_type_too(self, value: Json) -> None:
        with pytest.raises(MalformedError, match="'gitprov' must be 1"):
            Fields({"gitprov": value}, what="it").constant("gitprov", 1)

    def test_missing_and_left_over_fields_are_named(self) -> None:
        with pytest.raises(MalformedError, match="it lacks 'a'"):
            Fields({}, what="it").text("a")
        with pytest.raises(MalformedError, match="it has unknown fields: 'a', 'b'"):
            Fields({"b": 1, "a": 2}, what="it").end()

    def test_a_wrong_type_is_named(self) -> None:
        with pytest.raises(MalformedError, match="'a' must be an array"):
            Fields({"a": {}}, what="it").array("a")
        with pytest.raises(MalformedError, match="'a' must be an object"):
            Fields({"a": []}, what="it").object("a")
        with pytest.raises(MalformedError, match="'a' must be x or y"):
            Fields({"a": "z"}, what="it").text("a", one_of=("x", "y"))

    def test_a_hostile_field_does_not_fill_the_screen(self) -> None:
        with pytest.raises(MalformedError) as caught:
            Fields({"a": "x" * 100_000}, what="it").constant("a", "code")
        assert len(str(caught.value)) < 200
        with pytest.raises(MalformedError) as caught:
            Fields({"x" * 100_000: 1}, what="it").end()
        assert len(str(caught.value)) < 200

    def test_a_field_is_there_until_it_is_taken(self) -> None:
        fields = Fields({"a": "x"}, what="it")
        assert fields.has("a")
        fields.text("a")
        assert not fields.has("a")
