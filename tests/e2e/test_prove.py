"""`gitprov prove` and `gitprov check`: a proof leaves the repository and is judged without it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.story import FILES, Ran, Story, gitprov, ok, without_git
from tests.support.repos import clone, commit, git


def _prove(story: Story, path: str, to: Path, *args: str) -> Path:
    ok(story.repo, "prove", path, *args, "-o", to)
    return to


def _check(folder: Path, *args: str | Path) -> Ran:
    """Checks outside any repository, with no git."""
    return gitprov(folder, "check", "--json", *args, env=without_git())


@pytest.mark.parametrize("path", [*FILES, "data/link"])
def test_every_kind_of_file_is_proven_and_checked_far_from_any_repository(
    told: Story, tmp_path: Path, path: str
) -> None:
    proof = _prove(told, path, tmp_path / "a.proof")
    data = shutil.copy(told.repo / path, tmp_path / "copy", follow_symlinks=False)
    ran = _check(tmp_path, proof, data)
    assert ran.code == 0, ran
    assert ran.json["schema"] == "gitprov/check/v1"
    assert ran.json["commits"][0]["commit"] == told.head
    assert {f["check"] for f in ran.json["commits"][0]["findings"]} == {
        "data-matches", "manifest", "record", "log", "signature",
    }  # fmt: skip


def test_without_the_data_the_proof_alone_is_judged(told: Story, tmp_path: Path) -> None:
    proof = _prove(told, "data/train/1.png", tmp_path / "a.proof")
    ran = _check(tmp_path, proof)
    assert ran.code == 0
    assert ("data-matches", "data/train/1.png") in {f[:2] for f in ran.findings("skip")}


def test_a_proof_ends_with_one_line_feed_or_none(told: Story, tmp_path: Path) -> None:
    proof = _prove(told, "data/train/1.png", tmp_path / "a.proof")
    data = proof.read_bytes()
    assert data.endswith(b"}\n")
    for other, code in (
        (data[:-1], 0),
        (data + b"\n", 1),
        (data[:-1] + b"\r\n", 1),
        (data[:-1] + b" ", 1),
        (b"\n" + data, 1),
    ):
        proof.write_bytes(other)
        assert _check(tmp_path, proof).code == code


def test_a_proof_of_an_older_commit_names_it(told: Story, tmp_path: Path) -> None:
    proof = _prove(told, "model.safetensors", tmp_path / "a.proof", "HEAD~1")
    assert _check(tmp_path, proof).json["commits"][0]["commit"] == told.first


def test_a_proof_goes_to_stdout_by_default_and_nothing_else_does(
    told: Story, tmp_path: Path
) -> None:
    ran = ok(told.repo, "prove", "data/train/1.png")
    (tmp_path / "a.proof").write_text(ran.out)
    assert _check(tmp_path, tmp_path / "a.proof", told.repo / "data/train/1.png").code == 0


def test_a_clone_with_the_manifests_makes_the_same_proof(story: Story, tmp_path: Path) -> None:
    other = clone(story.origin, tmp_path / "clone")
    ok(other, "init")
    shutil.copytree(story.repo / "data", other / "data", symlinks=True)
    ok(other, "add", "data")
    assert git(other, "status", "--porcelain", "data.prov") == ""
    ok(other, "prove", "data/train/1.png", "-o", tmp_path / "theirs")
    _prove(story, "data/train/1.png", tmp_path / "ours")
    assert (tmp_path / "theirs").read_bytes() == (tmp_path / "ours").read_bytes()


def test_other_data_than_the_proven_is_found(told: Story, tmp_path: Path) -> None:
    proof = _prove(told, "data/train/1.png", tmp_path / "a.proof")
    (tmp_path / "one").write_bytes(b"One")
    ran = _check(tmp_path, proof, tmp_path / "one")
    assert list(ran.failed()) == ["data-matches"]
    assert ran.code == 1


def test_a_trusted_key_makes_it_a_proof_and_another_key_refuses_it(
    told: Story, tmp_path: Path
) -> None:
    proof = _prove(told, "data/train/1.png", tmp_path / "a.proof")
    own = ok(told.repo, "log", "--keys", "--json").json["logs"][0]["key"]
    ran = _check(tmp_path, proof, "--key", own)
    assert ran.code == 0
    assert not any("not pinned" in detail for _, _, detail in ran.findings("skip"))
    other = "gitprov/demo/56475aa75463474c+fd6465ce+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
    ran = _check(tmp_path, proof, "--key", other)
    assert ran.code == 1
    assert "a key that you do not trust" in ran.failed()["signature"]
    assert _check(tmp_path, proof, "--key", other, "--key", own).code == 0
    assert gitprov(tmp_path, "check", proof, "--key", "nonsense").code == 2


def test_without_a_key_the_reader_is_told_what_that_means(told: Story, tmp_path: Path) -> None:
    proof = _prove(told, "data/train/1.png", tmp_path / "a.proof")
    ran = gitprov(tmp_path, "check", proof)
    assert ran.code == 0
    assert "no --key was given" in ran.err
    assert "not pinned" in ran.out


def _set(*path: str | int, value: object) -> Callable[[Any], None]:
    def change(proof: Any) -> None:
        place = proof
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


ZERO = "blake3:" + 64 * "0"


@pytest.mark.parametrize(
    "change",
    [
        _set("path", value="data/train/2.png"),
        _set("path", value="../1.png"),
        _set("file", "digest", value=ZERO),
        _set("file", "size", value=4),
        _set("file", "kind", value="x"),
        _set("manifest", 0, "root", value=ZERO),
        _set("manifest", 0, "size", value=1),
        _set("manifest", 0, "route", value=[]),
        _set("manifest", value=[]),
        _set("artifact", "leaf", "root", value=ZERO),
        _set("artifact", "leaf", "kind", value="model"),
        _set("artifact", "route", value=[]),
        _set("code", "leaf", "commit", value=40 * "1"),
        _set("code", "leaf", "tree_blake3", value=ZERO),
        _set("code", "route", value=[]),
        _set("anchors", value=[]),
        _set("anchors", 0, "index", value=0),
        _set("anchors", 0, "size", value=3),
        _set("anchors", 0, "digest", value="sha256:" + 64 * "0"),
        _set("anchors", 0, "root", value=ZERO),
        _set("anchors", 0, "commit", value=40 * "1"),
        _set("anchors", 0, "status", value="pending"),
        _set("anchors", 0, "path", value=[]),
        _set("anchors", 0, "receipt", "checkpoint", value="nothing"),
        _set("keys", value=[]),
        _set("schema", value="gitprov/proof/v2"),
        _set("more", value=1),
    ],
)
def test_a_changed_value_anywhere_in_a_proof_is_found(
    told: Story, tmp_path: Path, change: Callable[[Any], None]
) -> None:
    proof = _prove(told, "data/train/1.png", tmp_path / "a.proof")
    value = json.loads(proof.read_bytes())
    change(value)
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    proof.write_text(text + "\n", "utf-8")
    ran = gitprov(tmp_path, "check", "--json", proof, told.repo / "data/train/1.png")
    assert ran.code == 1, ran


@pytest.mark.parametrize("data", [b"", b"nonsense", b"{}", b"\xff\xfe", b"[" * 1000])
def test_what_is_no_proof_is_refused_in_one_sentence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.proof").write_bytes(data)
    ran = gitprov(tmp_path, "check", "a.proof")
    assert ran.code == 1
    assert ran.err.startswith("gitprov: error: ")
    assert ran.err.count("\n") <= 2


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["prove", "train.py"], 2, "is in no artifact of that commit"),
        (["prove", "data"], 2, "a folder, and a proof is about one file"),
        (["prove", "data/train"], 2, "a folder, and a proof is about one file"),
        (["prove", "data/nothing"], 2, "not in that commit"),
        (["prove", "data/train/1.png/x"], 2, "data/train/1.png/x"),
        (["prove", "../out"], 2, "out"),
        (["prove", "data/train/1.png", "nowhere"], 2, "there is no commit 'nowhere'"),
        (["check", "nowhere"], 3, "nowhere"),
    ],
)
def test_what_cannot_be_proven_is_said(told: Story, args: list[str], code: int, said: str) -> None:
    ran = gitprov(told.repo, *args)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err


def test_a_commit_without_an_anchor_cannot_be_proven_yet(story: Story, tmp_path: Path) -> None:
    commit(story.repo, {"train.py": "3\n"}, "Not anchored")
    ran = gitprov(story.repo, "prove", "data/train/1.png", "-o", tmp_path / "a.proof")
    assert ran.code == 3
    assert "no anchor covers the record" in ran.err
    assert "`gitprov anchor`" in ran.err
    assert not (tmp_path / "a.proof").exists()
