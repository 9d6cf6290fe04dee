"""Measures the tracker on this machine, and writes docs/benchmarks-tracker.md.

Medians of the runs, in one process, on the CPU. Run it by `make bench-tracker`.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from blake3 import blake3

from gitprov.devnet.finding import services_folder

RUNS = 7
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks-tracker.md"

Row = tuple[str, str]


def main() -> int:
    """Measures everything; returns the exit code."""
    sys.path.append(str(Path(services_folder(os.environ)) / "torch"))
    try:
        import torch
    except ImportError:
        print("torch is not installed: make services brings it", file=sys.stderr)
        return 3
    torch.manual_seed(0)
    rows = [*_imports(), *_hashing(torch), *_epochs(torch), *_samples(torch)]
    lines = [f"| {what} | {figure} |" for what, figure in rows]
    PAGE.write_text(_TEXT.format(rows="\n".join(lines), torch=torch.__version__), encoding="utf-8")
    print("\n".join(lines))
    return 0


def _imports() -> Iterator[Row]:
    for what in ("pass", "import gitprov", "from gitprov import ProvenanceTracker"):
        command = [sys.executable, "-c", what]
        yield f"`{what}`, a whole process", _ms(_median(partial(subprocess.run, command)))


def _digest_of_file(path: str) -> bytes:
    return bytes(blake3(max_threads=blake3.AUTO).update_mmap(path).digest())


def _hashing(torch: Any) -> Iterator[Row]:
    from gitprov.tracker.torch_state import weights_of_state

    for tensors, numbers in ((100, 1_000_000), (10_000, 1_000)):
        state = {f"layer.{i}.weight": torch.randn(numbers) for i in range(tensors)}
        size = tensors * numbers * 4
        with tempfile.NamedTemporaryFile() as file:
            for tensor in state.values():
                file.write(tensor.numpy().tobytes())
            file.flush()
            whole = _median(partial(_digest_of_file, file.name))
        ours = _median(partial(weights_of_state, state))
        shape = f"{tensors:,} tensors, {size / 1e6:,.0f} MB"
        yield f"the same bytes as one file ({shape})", _ms(whole)
        yield f"`weights_of_state` ({shape})", _ms(ours)
        extra = (ours - whole) / tensors * 1e6
        yield f"… more than the file, a tensor ({shape})", f"{extra:.1f} µs"


def _hash_file(name: str) -> bytes:
    return blake3(max_threads=blake3.AUTO).update_mmap(name).digest()


def _epochs(torch: Any) -> Iterator[Row]:
    from gitprov import ProvenanceTracker

    model = torch.nn.Sequential(*(torch.nn.Linear(1000, 1000) for _ in range(100)))
    with tempfile.TemporaryDirectory() as folder:
        repo = _repository(Path(folder))
        here = Path.cwd()
        os.chdir(repo)
        try:
            tracker = ProvenanceTracker()
            tracker.track_epoch(0, {"loss": 0.5}, model)
            number = iter(range(1, 10_000))

            def unchanged() -> None:
                tracker.track_epoch(next(number), {"loss": 0.5}, model)

            def changed() -> float:
                with torch.no_grad():
                    for parameter in model.parameters():
                        parameter.add_(1e-3)
                began = time.perf_counter()
                unchanged()
                return time.perf_counter() - began

            yield (
                "`track_epoch` without a model",
                _ms(_median(lambda: tracker.track_epoch(next(number), {"loss": 0.5}))),
            )
            yield "`track_epoch`, 100 M parameters, none changed", _ms(_median(unchanged))
            yield (
                "`track_epoch`, 100 M parameters, all changed",
                _ms(statistics.median(changed() for _ in range(RUNS))),
            )
            began = time.perf_counter()
            tracker.store_merkle_on_blockchain_before_training({"lr": 0.1})
            yield "a stage into the log, no other network", _ms(time.perf_counter() - began)
        finally:
            os.chdir(here)


def _samples(torch: Any) -> Iterator[Row]:
    from gitprov.tracker.samples import data_of

    rows = torch.randn(1_000_000, 16)
    dataset = torch.utils.data.TensorDataset(rows, torch.zeros(1_000_000, dtype=torch.int64))
    loader = torch.utils.data.DataLoader(dataset, batch_size=64, shuffle=True)
    yield "`track_data`: a tensor of 1,000,000 rows × 16", _s(lambda: data_of(rows))
    yield "`track_data`: a DataLoader over 1,000,000 pairs", _s(lambda: data_of(loader))


def _repository(folder: Path) -> Path:
    identity = ("-c", "user.name=bench", "-c", "user.email=bench@example.org")
    for words in (("init", "-q", "repo"), ("-C", "repo", "commit", "-q", "--allow-empty", "-mx")):
        subprocess.run(["git", *identity, *words], cwd=folder, check=True)
    return folder / "repo"


def _median(run: Callable[[], object]) -> float:
    seconds = []
    for _ in range(RUNS):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _s(run: Callable[[], object]) -> str:
    began = time.perf_counter()
    run()
    return f"{time.perf_counter() - began:.1f} s"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms"


_TEXT = """# Benchmarks: the tracker

<!-- Written by `make bench-tracker`. -->

In one process on 2 cores, CPU only, torch {torch}; medians of 7, but for single runs of seconds.

| work | time |
|---|---:|
{rows}
"""

if __name__ == "__main__":
    sys.exit(main())
