"""Leaves of samples are the canonical JSON of their values, and the root is that of the leaves."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gitprov.core.canonical import dumps, loads
from gitprov.core.merkle import SAMPLES, Growing, root
from gitprov.tracker.samples import data_of
from gitprov.tracker.values import describe, leaf_text

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
arrays = st.lists(st.integers(-9, 9), max_size=4).map(lambda items: np.array(items, "i2"))
simple = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), text, st.binary(max_size=8), arrays
)
keys = text.filter(lambda key: not key.startswith("$"))
values = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(keys, inner, max_size=3),
    ),
    max_leaves=8,
)


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=40))
def test_a_growing_tree_has_the_root_over_all_its_leaves(leaves: list[bytes]) -> None:
    growing = Growing(SAMPLES)
    assert growing.root() == root(SAMPLES, [])
    for count, leaf in enumerate(leaves, 1):
        growing.add(leaf)
        assert (growing.root(), growing.size) == (root(SAMPLES, leaves[:count]), count)


@given(values)
def test_the_quick_way_to_a_leaf_gives_the_canonical_json_of_the_value(value: Any) -> None:
    described = describe(value)
    assert leaf_text(value).encode() == dumps(described)
    assert loads(dumps(described), what="it") == described


@given(st.lists(values, max_size=6))
def test_the_root_is_that_over_the_canonical_json_of_the_samples(samples: list[Any]) -> None:
    found = data_of(samples)
    leaves = [SAMPLES.leaf(dumps(describe(sample))) for sample in samples]
    assert (found.root.raw, found.count) == (root(SAMPLES, leaves), len(samples))


@given(
    st.integers(0, 6), st.lists(st.integers(0, 3), max_size=2), st.sampled_from(["<f4", ">i8", "?"])
)
def test_an_array_is_the_list_of_its_rows(count: int, shape: list[int], dtype: str) -> None:
    array = np.arange(count * int(np.prod(shape, dtype=int))).reshape(count, *shape).astype(dtype)
    rows = [array[index : index + 1].reshape(shape) for index in range(count)]
    assert data_of(array) == data_of(rows)
