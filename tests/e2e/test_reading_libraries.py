"""pandas, pyarrow, torch and safetensors read a revision from a clone that has none of its data."""

import random
from pathlib import Path
from typing import Any

import fsspec
import pytest

import gitprov
from gitprov.errors import VerificationError
from gitprov.fs.session import session_of
from tests.support import torch as support
from tests.support.cli import ok
from tests.support.repos import clone, git, make_repo, write

for package in ("torch", "pandas", "pyarrow", "safetensors"):
    support.need(package)

import pandas as pd  # noqa: E402  # skipped above where it is missing
import pyarrow as pa  # noqa: E402
import pyarrow.dataset as ds  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
import safetensors.torch  # noqa: E402
import torch  # noqa: E402

# What the libraries warn of is theirs: newer versions of each other, forks beside threads.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SAMPLES = 64
ROWS = 400_000
WEIGHTS = {"layer.weight": torch.arange(12.0).reshape(3, 4), "layer.bias": torch.ones(3)}


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repo = make_repo(tmp_path_factory.mktemp("libraries") / "owner")
    chance = random.Random(1)
    write(repo, {"table.csv": "a,b\n1,2\n3,4\n"})
    for number in range(SAMPLES):
        write(repo, {f"samples/{number:03}.bin": bytes([number]) * 100})
    columns = {"id": range(ROWS), "a": [chance.random() for _ in range(ROWS)]}
    columns |= {name: [chance.random() for _ in range(ROWS)] for name in ("b", "c")}
    table = pa.table(columns)
    pq.write_table(table, repo / "big.parquet", row_group_size=200_000, compression="none")
    for part in ("x", "y"):
        (repo / f"parts/part={part}").mkdir(parents=True)
        pq.write_table(table.slice(0, 10), repo / f"parts/part={part}/1.parquet")
    torch.save(WEIGHTS, repo / "model.pt")
    safetensors.torch.save_file(WEIGHTS, repo / "model.safetensors")
    ok(repo, "init")
    names = ("table.csv", "samples", "big.parquet", "parts", "model.pt", "model.safetensors")
    ok(repo, "add", *names)
    git(repo, "commit", "-q", "-m", "first")
    git(repo, "tag", "v1")
    write(repo, {"table.csv": "a,b\n5,6\n"})
    ok(repo, "add", "table.csv")
    git(repo, "commit", "-q", "-m", "second")
    ok(repo, "remote", "add", "team", str(repo.parent / "nas"))
    ok(repo, "push", "--all")
    return repo


@pytest.fixture
def colleague(owner: Path, tmp_path: Path) -> Path:
    """A clone that has none of the data."""
    repo = clone(owner, tmp_path / "colleague")
    ok(repo, "remote", "add", "team", str(owner.parent / "nas"))
    return repo


def test_pandas_reads_tables_of_two_revisions(colleague: Path) -> None:
    options: dict[str, Any] = {"repo": str(colleague)}
    old = pd.read_csv("gitprov://table.csv", storage_options={**options, "rev": "v1"})
    assert old.values.tolist() == [[1, 2], [3, 4]]
    assert pd.read_csv("gitprov://table.csv", storage_options=options).values.tolist() == [[5, 6]]
    with gitprov.open("table.csv", "r", repo=colleague, rev="v1") as file:
        assert pd.read_csv(file).equals(old)


def test_one_column_of_a_remote_table_costs_a_part_of_it(owner: Path, colleague: Path) -> None:
    session = session_of(str(colleague), None, None, keep=None)
    path = "gitprov://big.parquet"
    frame = pd.read_parquet(path, columns=["b"], storage_options={"repo": str(colleague)})
    assert frame.equals(pd.read_parquet(owner / "big.parquet", columns=["b"]))
    size = (owner / "big.parquet").stat().st_size
    assert size > 10 << 20
    assert session.received < size / 2


def test_arrow_reads_files_and_partitioned_datasets(owner: Path, colleague: Path) -> None:
    fs = fsspec.filesystem("gitprov", repo=colleague, rev="v1")
    with fs.open("big.parquet") as file:
        group = pq.ParquetFile(file).read_row_group(1, columns=["id"])
    assert group["id"].to_pylist() == list(range(200_000, ROWS))
    dataset = ds.dataset("parts", filesystem=fs, partitioning="hive")
    assert dataset.count_rows() == 20
    found = dataset.to_table(filter=ds.field("part") == "y", columns=["id", "part"])
    assert found["part"].to_pylist() == ["y"] * 10
    assert pq.read_table("parts/part=x/1.parquet", filesystem=fs).num_rows == 10
    whole = pq.read_table("big.parquet", filesystem=fs)
    assert whole.equals(pq.read_table(owner / "big.parquet"))


def test_models_are_loaded_from_a_revision(colleague: Path) -> None:
    with gitprov.open("model.pt", repo=colleague, rev="v1") as file:
        loaded = torch.load(file, weights_only=True)
    tensors = safetensors.torch.load(gitprov.read("model.safetensors", repo=colleague, rev="v1"))
    for name, tensor in WEIGHTS.items():
        assert torch.equal(loaded[name], tensor)
        assert torch.equal(tensors[name], tensor)


class ByOpen(torch.utils.data.Dataset):  # type: ignore[misc]  # torch is not there for mypy
    """Reads each sample with `gitprov.open`, by its path."""

    def __init__(self, repo: Path) -> None:
        self.repo = str(repo)

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> Any:
        with gitprov.open(f"samples/{index:03}.bin", repo=self.repo, rev="v1") as file:
            return torch.frombuffer(bytearray(file.read()), dtype=torch.uint8)


class ByFilesystem(torch.utils.data.Dataset):  # type: ignore[misc]  # the same
    """Lists the samples once, and takes the filesystem along to the workers."""

    def __init__(self, repo: Path) -> None:
        self.fs = fsspec.filesystem("gitprov", repo=str(repo), rev="v1")
        self.paths = self.fs.find("samples")

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        return torch.frombuffer(bytearray(self.fs.cat_file(self.paths[index])), dtype=torch.uint8)


@pytest.mark.parametrize("dataset", [ByOpen, ByFilesystem])
def test_workers_of_a_data_loader_read_after_a_fork(
    colleague: Path, dataset: type[ByOpen] | type[ByFilesystem]
) -> None:
    samples = dataset(colleague)
    assert samples[3].tolist() == [3] * 100  # what the parent has open, its children leave alone
    loader = torch.utils.data.DataLoader(
        samples, batch_size=8, num_workers=2, multiprocessing_context="fork"
    )
    for _ in range(2):
        batches = list(loader)
        assert torch.cat(batches)[:, 0].tolist() == list(range(SAMPLES))


def test_a_damaged_remote_stops_a_training(owner: Path, tmp_path: Path) -> None:
    repo = clone(owner, tmp_path / "colleague")
    nas = tmp_path / "nas"
    (nas / "packs").mkdir(parents=True)
    for path in (owner.parent / "nas").rglob("*"):
        if path.is_file():
            target = nas / path.relative_to(owner.parent / "nas")
            target.parent.mkdir(exist_ok=True)
            data = path.read_bytes()
            # Only what lies in the samples' pack of small files: one byte of every sample.
            target.write_bytes(data.replace(bytes([7]) * 100, bytes([7]) * 99 + b"x"))
    ok(repo, "remote", "add", "team", str(nas))
    samples = ByOpen(repo)
    assert samples[6].tolist() == [6] * 100
    with pytest.raises(VerificationError, match=r"cannot read samples/007\.bin"):
        samples[7]
