"""A proof is judged without its repository, and every value in it counts."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitprov.core.canonical import dumps
from gitprov.core.digest import Digest
from gitprov.core.merkle import RECORD as RECORD_TREE
from gitprov.core.paths import RepoPath
from gitprov.errors import MalformedError, UsageError
from gitprov.model.bundle import Bundle, FileEntry, route_to
from gitprov.model.record import ArtifactLeaf
from gitprov.model.report import Finding, Report, Verdict
from gitprov.verify.proof import check_bundle
from tests.unit.verify.bundles import CONTENT, LOG, RECORD, bundle, model_bundle
from tests.unit.verify.support import COMMIT, KEY, OTHER_COMMIT, OTHER_KEY, digest

VKEY = str(KEY.verifier)
OTHER_VKEY = str(OTHER_KEY.verifier)


def of(report: Report, check: str) -> list[Finding]:
    return [finding for finding in report.commits[0].findings if finding.check == check]


def test_a_proof_with_its_data_passes_step_by_step() -> None:
    report = check_bundle(bundle(), Digest.of(CONTENT), len(CONTENT), [VKEY])
    (commit,) = report.commits
    assert [(finding.check, finding.verdict.value) for finding in commit.findings] == [
        ("data-matches", "pass"),
        ("manifest", "pass"),
        ("record", "pass"),
        ("log", "pass"),
        ("signature", "pass"),
    ]
    assert (commit.commit, commit.subject) == (COMMIT, "data/train/image 1.png")
    assert commit.root == RECORD.root


def test_without_data_the_comparison_is_skipped() -> None:
    report = check_bundle(bundle(), trusted_keys=[VKEY])
    assert [finding.verdict for finding in of(report, "data-matches")] == [Verdict.SKIP]
    assert report.verdict is Verdict.PASS


def test_other_data_fails() -> None:
    for content_digest, size in (
        (digest("other"), len(CONTENT)),
        (Digest.of(CONTENT), len(CONTENT) + 1),
    ):
        report = check_bundle(bundle(), content_digest, size, [VKEY])
        assert [finding.verdict for finding in of(report, "data-matches")] == [Verdict.FAIL]


def test_without_a_key_the_maths_passes_and_the_key_is_shown() -> None:
    report = check_bundle(bundle())
    passed, skipped = of(report, "signature")
    assert (passed.verdict, skipped.verdict) == (Verdict.PASS, Verdict.SKIP)
    assert skipped.detail == f"key not pinned: {VKEY}, compare it with --key"
    assert report.verdict is Verdict.PASS


def test_one_of_several_trusted_keys_is_enough() -> None:
    assert check_bundle(bundle(), trusted_keys=[OTHER_VKEY, VKEY]).verdict is Verdict.PASS


def test_a_key_that_is_not_trusted_fails() -> None:
    report = check_bundle(bundle(), trusted_keys=[OTHER_VKEY])
    assert report.verdict is Verdict.FAIL
    assert "do not trust" in of(report, "signature")[0].detail


def test_a_trusted_key_that_is_no_key_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="--key"):
        check_bundle(bundle(), trusted_keys=["nonsense"])


def test_a_leaf_with_another_size_than_its_manifest_fails_and_says_so() -> None:
    bent = replace(bundle(), artifact=replace(bundle().artifact, size=999))
    (finding,) = of(check_bundle(bent), "manifest")
    assert finding.verdict is Verdict.FAIL
    size = f"{bundle().artifact.size:,} bytes"
    assert finding.detail == f"the artifact's manifest has {size}, the artifact's leaf says 999"


@pytest.mark.parametrize(
    ("bent", "said"),
    [
        (replace(model_bundle().artifact, files=7), "the artifact's leaf says files 7 of one file"),
        (replace(bundle().artifact, weights=digest("w")), "only a model in one file"),
    ],
)
def test_a_leaf_that_no_pointer_gives_fails_and_says_so(bent: ArtifactLeaf, said: str) -> None:
    whole = bundle() if bent.entry == "dir" else model_bundle()
    (finding,) = of(check_bundle(replace(whole, artifact=bent)), "manifest")
    assert finding.verdict is Verdict.FAIL
    assert said in finding.detail


def test_an_artifact_that_is_a_file_needs_no_manifest() -> None:
    assert check_bundle(model_bundle()).verdict is Verdict.PASS
    assert check_bundle(model_bundle(b"models/run")).verdict is Verdict.PASS


BENT: dict[str, Bundle] = {
    "no anchor": replace(bundle(), anchors=(), vkeys=()),
    "no key": replace(bundle(), vkeys=()),
    "a key too many": replace(bundle(), vkeys=(KEY.verifier, OTHER_KEY.verifier)),
    "another key": replace(bundle(), vkeys=(OTHER_KEY.verifier,)),
    "a directory's manifest missing": replace(bundle(), manifest=bundle().manifest[:1]),
    "the manifests of a directory on a file": replace(
        model_bundle(), manifest=bundle().manifest, path=RepoPath(b"models/net.pt/a/b")
    ),
    "a file posing as a dataset": replace(
        bundle(),
        manifest=(),
        path=RepoPath(b"data"),
        file=FileEntry("f", RECORD.artifacts[0].root, RECORD.artifacts[0].size),
    ),
    "an artifact that is a file, with a manifest": replace(
        bundle(), artifact=replace(bundle().artifact, entry="file")
    ),
    "an executable file that is none": replace(
        model_bundle(), file=replace(model_bundle().file, kind="x")
    ),
    "an anchor of another commit": replace(
        bundle(), anchors=(LOG.anchor(6, record_root=RECORD.root, commit=OTHER_COMMIT),)
    ),
    "an anchor that is not final": replace(
        bundle(), anchors=(replace(bundle().anchors[0], status="pending"),)
    ),
    "an artifact of another record": replace(
        bundle(), artifact=replace(bundle().artifact, files=4)
    ),
    "code of another record": replace(
        bundle(), code=replace(bundle().code, tree_blake3=digest("x"))
    ),
}


@pytest.mark.parametrize("proof", BENT.values(), ids=BENT.keys())
def test_a_bent_proof_fails(proof: Bundle) -> None:
    assert check_bundle(proof).verdict is Verdict.FAIL


def test_the_code_leaf_must_stand_first() -> None:
    hashes = [RECORD.leaf_hashes[1], RECORD.leaf_hashes[0]]
    swapped = replace(
        bundle(),
        artifact_route=route_to(RECORD_TREE, hashes, 0),
        code_route=route_to(RECORD_TREE, hashes, 1),
    )
    assert "first leaf" in of(check_bundle(swapped), "record")[0].detail


def test_a_network_of_another_version_cannot_be_checked() -> None:
    (line,) = bundle().anchors
    proof = replace(bundle(), anchors=(line, replace(line, network="ethereum")))
    report = check_bundle(proof)
    assert [finding.verdict for finding in of(report, "anchor:ethereum")] == [Verdict.UNKNOWN]
    assert report.verdict is Verdict.UNKNOWN


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key in value:
            yield from _leaves(value[key], (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _leaves(item, (*path, number))
    else:
        yield path


def _set(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    changed = copy.deepcopy(value)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = new
    return changed


def _mutants(value: Any) -> list[Any]:
    if isinstance(value, int):
        return [value + 1, value - 1, value * 2 + 1, 0, -1, str(value)]
    last = "0" if value[-1:] != "0" else "1"
    return [value + "x", value[:-1] + last, value[:-1], value.upper(), "", None, 0]


def _holds(data: Any) -> bool:
    try:
        report = check_bundle(Bundle.parse(dumps(data)), Digest.of(CONTENT), len(CONTENT))
    except MalformedError:
        return False
    return report.verdict is Verdict.PASS


WHOLE = json.loads(bundle().to_bytes())
PLACES = list(_leaves(WHOLE))


@pytest.mark.parametrize("place", PLACES, ids=["/".join(map(str, place)) for place in PLACES])
def test_changing_any_value_of_a_proof_fails(place: tuple[Any, ...]) -> None:
    value = WHOLE
    for key in place:
        value = value[key]
    for mutant in _mutants(value):
        if mutant != value or type(mutant) is not type(value):
            assert not _holds(_set(WHOLE, place, mutant)), mutant


def test_removing_any_item_of_a_list_fails() -> None:
    assert _holds(WHOLE)
    for place in PLACES:
        if isinstance(place[-1], int):
            value: Any = WHOLE
            for key in place[:-1]:
                value = value[key]
            rest = [item for number, item in enumerate(value) if number != place[-1]]
            assert not _holds(_set(WHOLE, place[:-1], rest)), place


@given(position=st.integers(0, len(bundle().to_bytes()) - 1), mask=st.integers(1, 255))
def test_changing_any_byte_of_a_proof_fails(position: int, mask: int) -> None:
    data = bytearray(bundle().to_bytes())
    data[position] ^= mask
    try:
        report = check_bundle(Bundle.parse(bytes(data)), Digest.of(CONTENT), len(CONTENT))
    except MalformedError:
        return
    assert report.verdict is not Verdict.PASS


def test_changing_any_character_of_the_signed_head_fails() -> None:
    place = ("anchors", 0, "receipt", "checkpoint")
    text = WHOLE["anchors"][0]["receipt"]["checkpoint"]
    for position in range(len(text)):
        for char in "0A\n ":
            if text[position] != char:
                mutant = text[:position] + char + text[position + 1 :]
                assert not _holds(_set(WHOLE, place, mutant)), mutant
