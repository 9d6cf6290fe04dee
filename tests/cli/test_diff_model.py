"""`gitprov diff --model`: which tensors of two models differ, and by how much."""

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.cli import gitprov, ok, refused
from tests.support.repos import commit, git, make_repo
from tests.support.torch import need

Model = dict[str, tuple[str, Any]]

OLD: Model = {
    "bias": ("F32", np.zeros(3, "<f4")),
    "gone": ("I64", np.array([3, 4], "<i8")),
    "half": ("BF16", np.array([0x3F80, 0x4000], "<u2")),  # 1 and 2
    "kept": ("F32", np.ones((2, 2), "<f4")),
}
NEW: Model = {
    "bias": ("F64", np.array([3.0, 0, 4], "<f8")),
    "half": ("BF16", np.array([0x4000, 0x4000], "<u2")),
    "kept": OLD["kept"],
    "new": ("U8", np.array(2, "u1")),
}


def save(path: Path, model: Model, **metadata: str) -> None:
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    body = b""
    for name, (dtype, array) in model.items():
        data = array.tobytes()
        offsets = [len(body), len(body) + len(data)]
        header[name] = {"dtype": dtype, "shape": [*array.shape], "data_offsets": offsets}
        body += data
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with a model, committed, and another model beside it."""
    repo = make_repo(tmp_path / "repo")
    save(repo / "m.safetensors", OLD)
    save(repo / "new.safetensors", NEW)
    ok(repo, "init")
    ok(repo, "add", "m.safetensors")
    commit(repo)
    return repo


def by_name(found: Any) -> dict[str, Any]:
    return {item["name"]: item for item in found["tensors"]}


def test_tensors_that_differ_are_shown_with_the_norms_of_change_and_tensor(repo: Path) -> None:
    found = ok(repo, "diff", "--model", "m.safetensors", "new.safetensors", "--json").json
    assert found["schema"] == "gitprov/diff-model/v1"
    assert found["same"] == 1
    tensors = by_name(found)
    assert {name: item["how"] for name, item in tensors.items()} == {
        "bias": "changed",
        "gone": "removed",
        "half": "changed",
        "new": "added",
    }
    assert (tensors["bias"]["norm"], tensors["bias"]["change_norm"]) == (5, 5)
    assert tensors["bias"]["old"]["dtype"] == "F32"
    assert (tensors["half"]["norm"], tensors["half"]["change_norm"]) == (math.sqrt(8), 1)
    assert (tensors["gone"]["norm"], tensors["gone"]["change_norm"]) == (5, None)
    assert (tensors["new"]["norm"], tensors["new"]["new"]["shape"]) == (2, [])


def test_people_are_shown_the_same(repo: Path) -> None:
    shown = ok(repo, "diff", "--model", "m.safetensors", "new.safetensors").out
    assert "~ bias  F32 3 → F64 3  ‖Δ‖ 5  ‖w‖ 5" in shown
    assert "+ new" in shown
    assert "- gone" in shown
    assert shown.endswith("1 tensor is the same\n")


def test_a_model_may_come_from_a_revision_although_it_is_not_here(repo: Path) -> None:
    expected = ok(repo, "diff", "--model", "m.safetensors", "new.safetensors").out
    (repo / "m.safetensors").unlink()
    assert ok(repo, "diff", "--model", "HEAD:m.safetensors", "new.safetensors").out == expected


def test_a_large_model_is_read_from_the_store_too(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    large = np.arange(200_000, dtype="<f4")
    save(repo / "m.safetensors", {"w": ("F32", large)})
    ok(repo, "init")
    ok(repo, "add", "m.safetensors")
    commit(repo)
    (repo / "m.safetensors").unlink()
    save(repo / "m.safetensors", {"w": ("F32", large + np.float32(1))})
    found = ok(repo, "diff", "--model", "HEAD:m.safetensors", "m.safetensors", "--json").json
    [item] = found["tensors"]
    assert item["change_norm"] == pytest.approx(math.sqrt(200_000), rel=1e-6)


def test_a_container_is_no_difference(repo: Path) -> None:
    save(repo / "again.safetensors", dict(reversed(OLD.items())), format="pt")
    found = ok(repo, "diff", "--model", "m.safetensors", "again.safetensors", "--json").json
    assert found["old_root"] == found["new_root"]
    assert (found["same"], found["tensors"]) == (4, [])


def test_another_shape_and_what_is_not_finite_have_no_norm_of_change(repo: Path) -> None:
    save(repo / "a.safetensors", {"s": ("F32", np.ones((2, 3), "<f4")), "n": OLD["bias"]})
    nan = np.array([np.nan, 0, np.inf], "<f4")
    save(repo / "b.safetensors", {"s": ("F32", np.ones((3, 2), "<f4")), "n": ("F32", nan)})
    tensors = by_name(ok(repo, "diff", "--model", "a.safetensors", "b.safetensors", "--json").json)
    assert tensors["s"]["problem"] == "another shape"
    assert tensors["s"]["norm"] == pytest.approx(math.sqrt(6))
    assert tensors["n"]["problem"] == "it holds infinities or NaN"
    assert tensors["n"]["norm"] is None


def test_pieces_of_two_types_are_compared_number_by_number(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitprov.ops.models.PIECE", 16)
    numbers = np.arange(11)
    save(repo / "a.safetensors", {"w": ("F32", numbers.astype("<f4"))})
    save(repo / "b.safetensors", {"w": ("F64", (numbers * 2).astype("<f8"))})
    [item] = ok(repo, "diff", "--model", "a.safetensors", "b.safetensors", "--json").json["tensors"]
    assert item["change_norm"] == pytest.approx(np.linalg.norm(numbers))
    assert item["norm"] == pytest.approx(2 * np.linalg.norm(numbers))


def test_what_is_no_model_is_refused(repo: Path) -> None:
    (repo / "x.txt").write_text("x")
    (repo / "bad.safetensors").write_text("x")
    one = "m.safetensors"
    refused(repo, "diff", "--model", one, code=2, says="compares two models, not 1")
    refused(repo, "diff", "--model", one, "none", code=2, says="no model file none")
    refused(repo, "diff", "--model", one, "x.txt", code=2, says="no model file that can be read")
    refused(repo, "diff", "--model", one, "bad.safetensors", code=1, says="bad.safetensors: not a")
    refused(repo, "diff", "--model", one, "HEAD:none.pt", code=2, says="none.pt")
    refused(repo, "diff", "--model", one, "nowhere:m.safetensors", code=2, says="nowhere")


def test_files_that_torch_saved_are_compared_with_safetensors(repo: Path) -> None:
    need()
    import torch

    eight = {"w": torch.tensor([1.0, 2.0]).to(torch.float8_e4m3fn)}
    torch.save({"state_dict": eight, "epoch": 1}, repo / "a.pt")
    torch.save({"w": torch.tensor([1.0, 4.0])}, repo / "b.pt")
    [item] = ok(repo, "diff", "--model", "a.pt", "b.pt", "--json").json["tensors"]
    assert (item["old"]["dtype"], item["change_norm"]) == ("F8_E4M3", 2)
    ok(repo, "add", "a.pt")
    commit(repo)
    (repo / "a.pt").unlink()
    again = ok(repo, "diff", "--model", "HEAD:a.pt", "b.pt", "--json").json["tensors"]
    assert again == [item]
    save(repo / "c.safetensors", {"w": ("F32", np.array([1, 4], "<f4"))})
    found = ok(repo, "diff", "--model", "b.pt", "c.safetensors", "--json").json
    assert (found["same"], found["tensors"]) == (1, [])


def test_verify_tells_a_model_that_was_only_saved_anew_and_fails_it(repo: Path) -> None:
    path = repo / "m.safetensors"
    path.unlink()
    save(path, OLD, saved="again")
    assert git(repo, "status", "--porcelain", "-uno") == ""
    report = verified(repo)
    assert report["verdict"] == "fail"
    assert report["detail"].endswith("; same weights, other container")
    save(path, {**OLD, "kept": NEW["bias"]})
    report = verified(repo)
    assert report["verdict"] == "fail"
    assert "same weights" not in report["detail"]
    path.write_bytes(b"no model any more")
    assert "same weights" not in verified(repo)["detail"]


def verified(repo: Path) -> Any:
    ended = gitprov(repo, "verify", "--json")
    assert ended.code == 1
    findings = [
        finding
        for item in ended.json["commits"]
        for finding in item["findings"]
        if finding["check"] == "artifacts"
    ]
    return findings[0]
