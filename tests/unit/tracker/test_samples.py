"""The root over samples does not depend on what holds them, and on nothing but them."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gitprov.core.digest import Digest
from gitprov.errors import UnavailableError, UsageError
from gitprov.model.pointer import Pointer
from gitprov.tracker.samples import DataDigest, data_of
from tests.support.cli import ok
from tests.support.repos import make_repo, write
from tests.support.torch import need


def rows(count: int = 10, width: int = 4) -> Any:
    return np.random.default_rng(1).normal(size=(count, width)).astype("f4")


def root(data: object) -> str:
    return str(data_of(data).root)


# ---------------------------------------------------------------- without torch


def test_an_array_is_its_rows_whatever_its_layout() -> None:
    array = rows()
    expected = data_of(array)
    assert (expected.form, expected.count) == ("samples", 10)
    wide = np.zeros((10, 8), "f4")
    wide[:, ::2] = array
    for same in [
        list(array),
        tuple(array),
        iter(array),
        (row for row in array),
        array.astype(">f4"),
        np.asfortranarray(array),
        wide[:, ::2],
        array[::-1][::-1],
    ]:
        assert data_of(same) == expected


def test_an_array_in_pieces_has_the_root_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    array = rows()
    expected = data_of(array)
    for piece in (1, 16, 40, 48, 1000):
        monkeypatch.setattr("gitprov.tracker.samples._PIECE", piece)
        assert data_of(array) == expected


def test_one_changed_sample_changes_the_root() -> None:
    array = rows()
    changed = array.copy()
    changed.view("u1")[9, 15] ^= 1
    others = [changed, array[:9], array[::-1], array.astype("f8"), array.reshape(10, 2, 2)]
    assert len({root(array), *map(root, others)}) == 6


def test_samples_may_be_text_bytes_numbers_and_what_is_made_of_them() -> None:
    samples = ["text", b"bytes", 1, 1.5, None, {"x": np.ones(2), "y": [1, "ü"]}, (1, "two")]
    found = data_of(samples)
    assert found.count == 7
    assert data_of(iter(samples)) == found
    assert len({root([sample]) for sample in samples}) == 7


def test_no_sample_is_a_data_set_too() -> None:
    assert data_of([]) == data_of(iter(())) == data_of(np.zeros((0, 3)))
    assert data_of([]).count == 0


def test_rows_without_elements_are_samples() -> None:
    assert data_of(np.zeros((3, 0))) == data_of([np.zeros(0)] * 3)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (3, "an int cannot be recorded as data"),
        (None, "NoneType"),
        (b"bytes", "bytes"),
        ({"train": [1]}, "a dict is no data set"),
        (object(), "object"),
        ([1, object()], "sample 1: an object cannot be recorded"),
        ([{1: 2}], "the key '1' of a mapping is an int"),
        ([{"$x": 2}], "begins with \\$"),
        (["\ud800"], "not Unicode"),
        ([1j], "complex"),
        (np.float32(1), "without dimensions"),
        (np.array(1.0), "without dimensions"),
        (np.array(["a", None], object), "type object"),
        (np.array(["2024-01-01"], "M8[D]"), "datetime64"),
    ],
)
def test_what_cannot_be_recorded_is_named(data: object, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        data_of(data)


# ---------------------------------------------------------------- files


def test_a_folder_has_the_root_that_gitprov_add_gives_it(tmp_path: Path) -> None:
    files = {"data/a/1": "one", "data/b/2": "two", "data/.gitprovignore": "*.tmp\n"}
    write(tmp_path / "outside", {**files, "data/x.tmp": "ignored"})
    repo = make_repo(tmp_path / "repo")
    write(repo, {**files, "data/x.tmp": "ignored", "one.bin": "file"})
    before = [data_of(repo / "data"), data_of(tmp_path / "outside" / "data")]
    ok(repo, "init")
    ok(repo, "add", "data", "one.bin")
    pointer = Pointer.parse((repo / "data.prov").read_bytes())
    expected = DataDigest(pointer.root, "dir", pointer.files)
    assert [*before, data_of(str(repo / "data"))] == [expected] * 3
    assert data_of(repo / "one.bin") == DataDigest(Digest.of(b"file"), "file", 1)


def test_files_that_are_links_into_the_store_are_the_files(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    ok(repo, "init")
    (repo / ".gitprov.yaml").write_text("store: {link: symlink}\n")
    (repo / "data").mkdir()
    (repo / "data" / "large").write_bytes(bytes(300_000))
    before = data_of(repo / "data")
    ok(repo, "add", "data")
    (repo / "data" / "large").unlink()
    ok(repo, "checkout", "data")
    assert (repo / "data" / "large").is_symlink()
    assert data_of(repo / "data") == before


def test_a_named_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_text("x")
    (tmp_path / "link").symlink_to("data")
    assert data_of(tmp_path / "link") == data_of(tmp_path / "data")


def test_a_path_where_nothing_is_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="nothing at"):
        data_of(tmp_path / "none")


# ---------------------------------------------------------------- torch


def containers() -> Iterator[tuple[str, Callable[[Any, Any], Any]]]:
    """Every way to hold the same ten samples (x, y)."""
    import torch
    from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

    class ByIndex(Dataset):  # type: ignore[misc]  # mypy does not see torch
        def __init__(self, x: Any, y: Any) -> None:
            self.x, self.y = x, y

        def __len__(self) -> int:
            return len(self.x)

        def __getitem__(self, index: int) -> Any:
            return self.x[index], self.y[index]

    class Streamed(IterableDataset):  # type: ignore[misc]  # mypy does not see torch
        def __init__(self, x: Any, y: Any) -> None:
            self.x, self.y = x, y

        def __len__(self) -> int:
            return len(self.x)

        def __iter__(self) -> Any:
            return zip(self.x, self.y, strict=True)

    def tensors(x: Any, y: Any) -> Any:
        return TensorDataset(torch.from_numpy(x), torch.from_numpy(y))

    def turned(x: Any, y: Any) -> Any:
        return Subset(Subset(tensors(x[::-1].copy(), y[::-1].copy()), range(9, -1, -1)), range(10))

    yield "list", lambda x, y: [(x[i], y[i : i + 1].reshape(())) for i in range(len(x))]
    yield "tensor data set", tensors
    yield "subset", turned
    yield "by index", lambda x, y: ByIndex(torch.from_numpy(x), torch.from_numpy(y))
    yield "subset by index", lambda x, y: Subset(turned(x, y), range(len(x)))
    yield "streamed", lambda x, y: Streamed(torch.from_numpy(x), torch.from_numpy(y))
    yield "loader", lambda x, y: DataLoader(tensors(x, y))
    yield "loader, shuffled", lambda x, y: DataLoader(tensors(x, y), batch_size=3, shuffle=True)
    yield "loader, one batch", lambda x, y: DataLoader(tensors(x, y), batch_size=100, shuffle=True)
    yield (
        "loader with workers",
        lambda x, y: DataLoader(ByIndex(*tensors(x, y).tensors), batch_size=2, num_workers=2),
    )
    yield "loader of a stream", lambda x, y: DataLoader(Streamed(*tensors(x, y).tensors))


def test_the_same_samples_have_one_root_in_every_container() -> None:
    need()
    x, y = rows(), np.arange(10)
    found = {name: data_of(make(x, y)) for name, make in containers()}
    assert len(set(found.values())) == 1, found
    assert found["list"].count == 10
    changed = x.copy()
    changed[4, 2] += 1
    others = {data_of(make(changed, y)) for _, make in containers()}
    assert len(others) == 1
    assert not others & set(found.values())


def test_a_tensor_is_its_rows_like_an_array() -> None:
    need()
    import torch

    array = rows()
    tensor = torch.from_numpy(array)
    assert (
        data_of(tensor)
        == data_of(array)
        == data_of(list(tensor))
        == data_of(tensor.T.contiguous().T)
    )


def test_recording_a_data_set_that_draws_random_numbers_does_not_change_the_training() -> None:
    need()
    import torch
    from torch.utils.data import Dataset

    class Noisy(Dataset):  # type: ignore[misc]  # mypy does not see torch
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> Any:
            return torch.rand(2), random.random(), float(np.random.rand())

    def draw() -> Any:
        return torch.rand(1).item(), random.random(), np.random.rand()

    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    data_of(Noisy())
    after = draw()
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    assert draw() == after


def test_a_sample_that_cannot_be_recorded_is_told_by_its_number() -> None:
    need()
    import torch

    with pytest.raises(UsageError, match="sample 2: a sample is not dense"):
        data_of([1, 2, torch.ones(2, 2).to_sparse()])
