"""The example in docs/examples/digits does what its README says, and finds swapped results."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from gitprov.model.run import Leaf, Run, Stage, format_run, parse_run
from tests.support import torch as support
from tests.support.cli import gitprov, ok
from tests.support.repos import configure, git, isolated_environment

support.need()
support.need("safetensors")

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
README = (ROOT / "docs" / "examples" / "digits" / "README.md").read_text("utf-8")
_BLOCK = re.compile(r"^```sh\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder in which the README's blocks were run, and what each printed."""
    folder = tmp_path_factory.mktemp("walk") / "digits"
    folder.mkdir()
    env = environment(
        GITPROV=str(ROOT),
        **{
            f"GIT_{who}_{what}": value
            for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "Ada Lovelace"), ("EMAIL", "ada@example.org"))
        },
    )
    said = []
    for block, _ in _BLOCK.findall(README):
        done = subprocess.run(
            ["sh", "-e", "-c", block],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}"
        said.append(done.stdout)
    configure(folder)
    return folder, said


def environment(**extra: str) -> dict[str, str]:
    """What a user has who installed gitprov and torch into the environment that is active."""
    path = f"{Path(sys.executable).parent}:{isolated_environment()['PATH']}"
    return isolated_environment(PATH=path, **support.environment(), **extra)


@pytest.fixture
def repo(walked: tuple[Path, list[str]], tmp_path: Path) -> Path:
    """A copy, to be spoilt."""
    return Path(shutil.copytree(walked[0], tmp_path / "repo", symlinks=True))


def runs(repo: Path) -> list[Run]:
    return [parse_run(path.read_bytes()) for path in sorted((repo / "runs").glob("*.json"))]


def accuracy(run: Run) -> float:
    [leaf] = run.of_type("results")
    value = leaf["value"]
    assert isinstance(value, dict)
    found = value["accuracy"]
    assert isinstance(found, float)
    return found


def shape(text: str) -> list[str]:
    """Lines without what differs between two machines: ids, times, and the digits of numbers."""
    text = re.sub(r"\d{8}T\d{6}Z-[0-9a-f]{6}", "RUN", text)
    text = re.sub(r"\b[0-9a-f]{12,64}\b", "ID", text)
    text = re.sub(r"[\d.]+(?= KiB)|\d+\.\d+%?", "X", text)
    return sorted(" ".join(line.split()) for line in text.splitlines())


def test_its_readme_shows_what_its_commands_print(walked: tuple[Path, list[str]]) -> None:
    for (block, shown), printed in zip(_BLOCK.findall(README), walked[1], strict=True):
        assert shape(printed) == shape(shown), f"{block}\n{printed}"


def test_the_network_learns_and_the_runs_are_bound_by_commits(
    walked: tuple[Path, list[str]],
) -> None:
    folder, _ = walked
    first, second = runs(folder)
    assert min(accuracy(first), accuracy(second)) > 0.9
    assert first.of_type("data") == second.of_type("data")
    weights = first.of_type("epoch")[-1]["weights"]
    assert weights == first.of_type("model")[-1]["weights"]
    assert f"weights: {weights}" in git(folder, "show", "HEAD~1:model.safetensors.prov")
    for run, commit in ((first, "HEAD~1"), (second, "HEAD")):
        in_commit = git(folder, "show", f"{commit}:runs/{run.id}.json") + "\n"
        assert in_commit.encode() == format_run(run)
        assert run.leaves[0]["commit"] == git(folder, "rev-parse", f"{commit}~1")
    for commit in ("HEAD", "HEAD~1", "HEAD~2"):
        assert ok(folder, "verify", commit, "--json").json["verdict"] == "pass"


def test_the_same_seed_gives_the_same_weights(repo: Path) -> None:
    subprocess.run(
        ["python", "train.py", "0.02"], cwd=repo, env=environment(), check=True, timeout=200
    )
    _, second, again = runs(repo)
    for kind in ("data", "config", "epoch", "results", "model"):
        assert again.of_type(kind) == second.of_type(kind), kind


def with_leaves(run: Run, leaves: Sequence[Leaf]) -> Run:
    """Another content under a run's name, with roots that fit."""
    forged = Run(run.id, tuple(leaves), outcome=run.outcome)
    stages = tuple(Stage(one.name, one.size, forged.root(one.size)) for one in run.stages)
    return Run(run.id, tuple(leaves), stages, run.outcome)


def test_results_swapped_between_two_runs_are_found_out(repo: Path) -> None:
    first, second = runs(repo)
    for run, other in ((first, second), (second, first)):
        [result] = other.of_type("results")
        leaves = [result if leaf["type"] == "results" else leaf for leaf in run.leaves]
        forged = with_leaves(run, leaves)
        (repo / "runs" / f"{run.id}.json").write_bytes(format_run(forged))
    assert accuracy(runs(repo)[0]) == accuracy(second)
    git(repo, "commit", "-q", "-a", "-m", "Swap")
    assert_found_out(repo, first.id, second.id)


def test_two_runs_that_swapped_their_names_are_found_out(repo: Path) -> None:
    first, second = runs(repo)
    for run, other in ((first, second), (second, first)):
        head = {**other.leaves[0], "id": run.id}
        forged = with_leaves(run, [head, *other.leaves[1:]])
        (repo / "runs" / f"{run.id}.json").write_bytes(format_run(forged))
    git(repo, "commit", "-q", "-a", "-m", "Swap")
    assert_found_out(repo, first.id, second.id)


def assert_found_out(repo: Path, *ids: str) -> None:
    done = gitprov(repo, "verify", "--json")
    assert done.code == 1
    said = done.out
    assert all(f"runs/{name}.json" in said for name in ids), said
    assert gitprov(repo, "runs", "verify").code == 1
