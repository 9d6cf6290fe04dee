"""Records: leaves in their order, nothing twice, nothing inside another, no refused path."""

from dataclasses import replace
from typing import Any, cast

import pytest

from gitprov.core.canonical import Json, dumps
from gitprov.core.digest import Digest
from gitprov.core.merkle import RECORD
from gitprov.errors import MalformedError
from gitprov.model.pointer import MAX_COUNT, Pointer
from gitprov.model.record import MAX_LEAVES, ArtifactLeaf, CodeLeaf, Record, check_commit_id

D = Digest.of(b"x")
CODE = CodeLeaf("sha1", "a" * 40, Digest.of(b"commit"), Digest.of(b"tree"))
DATA = ArtifactLeaf("data", "data", "dir", D, 12, 3)
MODEL = ArtifactLeaf("models/m.pt", "model", "file", D, 5, 1, Digest.of(b"w"))
RECORDED = Record.of(CODE, [DATA, MODEL])


def leaf(**changes: Json) -> dict[str, Json]:
    return {**DATA.to_json(), **changes}


def test_a_record_is_read_back() -> None:
    assert Record.from_json(RECORDED.to_json()) == RECORDED
    assert RECORDED.leaves == (CODE, DATA, MODEL)


def test_the_root_of_a_record_without_artifacts_is_its_code_leafs_hash() -> None:
    assert Record.of(CODE, []).root.raw == RECORD.leaf(dumps(CODE.to_json()))


def test_artifacts_are_sorted_by_the_bytes_of_their_paths() -> None:
    paths = ["b", "a/z", "a.b", "a-b", "\u00fc", "\U0001f600", "\uff00", "B"]
    record = Record.of(CODE, [replace(DATA, path=path) for path in paths])
    assert [item.path.encode() for item in record.artifacts] == sorted(p.encode() for p in paths)


def test_the_leaf_of_a_pointer_has_its_path_in_the_repository() -> None:
    pointer = Pointer("m.pt", "model", "file", D, 5, 1, Digest.of(b"w"))
    assert ArtifactLeaf.of("models", pointer) == MODEL
    assert ArtifactLeaf.of("", pointer).path == "m.pt"


def test_a_leaf_without_weights_does_not_mention_them() -> None:
    assert "weights" not in DATA.to_json()
    assert MODEL.to_json()["weights"] == str(Digest.of(b"w"))


@pytest.mark.parametrize(
    "other",
    [
        replace(DATA, path="datb"),
        replace(DATA, kind="model"),
        replace(DATA, entry="exec"),
        replace(DATA, root=Digest.of(b"y")),
        replace(DATA, size=13),
        replace(DATA, files=4),
        replace(DATA, weights=D),
    ],
)
def test_the_root_binds_every_field_of_an_artifact(other: ArtifactLeaf) -> None:
    assert Record.of(CODE, [other, MODEL]).root != RECORDED.root


@pytest.mark.parametrize(
    "other",
    [
        replace(CODE, commit="b" * 40),
        replace(CODE, object_format="sha256"),
        replace(CODE, commit_blake3=D),
        replace(CODE, tree_blake3=D),
    ],
)
def test_the_root_binds_every_field_of_the_code(other: CodeLeaf) -> None:
    assert Record.of(other, [DATA, MODEL]).root != RECORDED.root


@pytest.mark.parametrize(
    ("paths", "why"),
    [
        (["a", "a"], "twice"),
        (["a", "a/b"], "inside"),
        (["a/b/c", "a/b-", "a/b"], "inside"),
        (["a/b/c/d", "a"], "inside"),
        ([""], "empty"),
        (["../a"], "refused"),
        (["/a"], "refused"),
        (["a/.git/b"], "refused"),
        (["a\nb/c"], "refused"),
        (["\ud800"], "not UTF-8"),
        (["a\udcff/b"], "not UTF-8"),
        (["a/" * 2048 + "b"], "longer than"),
    ],
)
def test_paths_that_no_record_may_carry_are_refused(paths: list[str], why: str) -> None:
    with pytest.raises(MalformedError, match=why):
        Record.of(CODE, [replace(DATA, path=path) for path in paths])


def test_neighbours_with_a_common_beginning_are_not_inside_each_other() -> None:
    Record.of(CODE, [replace(DATA, path=path) for path in ("a", "a.b", "a-/c", "ab/c")])


@pytest.mark.parametrize(
    ("leaves", "why"),
    [
        ([], "from 1 to"),
        ([DATA.to_json()], "'type' must be 'code'"),
        ([CODE.to_json(), CODE.to_json()], "'type' must be 'artifact'"),
        ([CODE.to_json(), MODEL.to_json(), DATA.to_json()], "not in order"),
        ([CODE.to_json(), DATA.to_json(), DATA.to_json()], "twice"),
        ([CODE.to_json(), None], "not a JSON object"),
        ([None], "not a JSON object"),
        ([CODE.to_json()] * (MAX_LEAVES + 1), "from 1 to"),
        ([{**CODE.to_json(), "commit": "A" * 40}], "not a commit id"),
        ([{**CODE.to_json(), "commit": "HEAD"}], "not a commit id"),
        ([{**CODE.to_json(), "commit": "a" * 64}], "not an id of sha1"),
        ([{**CODE.to_json(), "object_format": "md5"}], "must be sha1 or sha256"),
        ([{**CODE.to_json(), "extra": 1}], "unknown fields: 'extra'"),
        ([{**CODE.to_json(), "tree_blake3": "x"}], "not a blake3 digest"),
        ([CODE.to_json(), leaf(path="")], "empty"),
        ([CODE.to_json(), leaf(path="a//b")], "refused"),
        ([CODE.to_json(), leaf(path=1)], "'path' must be a string"),
        ([CODE.to_json(), leaf(kind="image")], "must be data or model"),
        ([CODE.to_json(), leaf(entry="link")], "must be dir or file or exec"),
        ([CODE.to_json(), leaf(size=-1)], "whole number"),
        ([CODE.to_json(), leaf(size=1.5)], "whole number"),
        ([CODE.to_json(), leaf(files=True)], "whole number"),
        ([CODE.to_json(), leaf(size=MAX_COUNT + 1)], "too large"),
        ([CODE.to_json(), leaf(weights=None)], "'weights' must be a string"),
        ([CODE.to_json(), leaf(weights="blake3:00")], "not a blake3 digest"),
        ([CODE.to_json(), leaf(mtime=0)], "unknown fields: 'mtime'"),
    ],
)
def test_a_deviation_is_refused_with_its_reason(leaves: list[Any], why: str) -> None:
    with pytest.raises(MalformedError, match=why):
        Record.from_json(cast("list[Json]", leaves))


@pytest.mark.parametrize("missing", [*CODE.to_json()])
def test_a_code_leaf_lacks_no_field(missing: str) -> None:
    value = CODE.to_json()
    del value[missing]
    with pytest.raises(MalformedError, match=f"lacks '{missing}'"):
        CodeLeaf.from_json(value)


@pytest.mark.parametrize("missing", [*DATA.to_json()])
def test_an_artifact_leaf_lacks_no_field(missing: str) -> None:
    value = DATA.to_json()
    del value[missing]
    with pytest.raises(MalformedError, match=f"lacks '{missing}'"):
        ArtifactLeaf.from_json(value)


@pytest.mark.parametrize("text", ["", "a" * 39, "a" * 41, "A" * 40, "g" * 40, "a" * 40 + "\n"])
def test_a_commit_id_is_full_lowercase_hex(text: str) -> None:
    with pytest.raises(MalformedError, match="not a commit id"):
        check_commit_id(text, what="it")


def test_commits_of_both_object_formats_are_recorded() -> None:
    sha256 = replace(CODE, object_format="sha256", commit="b" * 64)
    assert CodeLeaf.from_json(sha256.to_json()) == sha256
