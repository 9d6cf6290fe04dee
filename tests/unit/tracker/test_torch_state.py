"""Weights of live models: the same root whatever holds them, another one for any other bit."""

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gitprov.errors import MalformedError, UsageError
from gitprov.tracker.torch_state import (
    TensorCache,
    architecture_of,
    load_weights_file,
    weights_of_state,
)
from tests.support.repos import isolated_environment
from tests.support.torch import environment, need

need("torch")
need("safetensors")

import torch  # noqa: E402  # only where it is installed
from safetensors.torch import save_file, save_model  # noqa: E402
from torch import nn  # noqa: E402

DTYPES = [
    "float64", "float32", "float16", "bfloat16", "float8_e5m2", "float8_e4m3fn", "int64", "int32",
    "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool", "complex64",
]  # fmt: skip


class Tied(nn.Module):  # type: ignore[misc]  # mypy does not see torch
    """Two linear layers with one weight, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.z = nn.Linear(3, 3)
        self.a = nn.Linear(3, 3)
        self.z.weight = self.a.weight
        self.register_buffer("seen", torch.tensor(0))


class Two(nn.Module):  # type: ignore[misc]  # mypy does not see torch
    """One large and one small layer."""

    def __init__(self) -> None:
        super().__init__()
        self.large = nn.Linear(256, 256)
        self.small = nn.Linear(4, 2)


def root_of(value: Any) -> str:
    return str(weights_of_state({"w": value}).root)


# ---------------------------------------------------------------- containers


def test_the_root_is_the_same_in_memory_in_safetensors_and_in_what_torch_saves(
    tmp_path: Path,
) -> None:
    model = Two()
    live = weights_of_state(model.state_dict())
    save_file(model.state_dict(), tmp_path / "m.safetensors")
    torch.save(model.state_dict(), tmp_path / "m.pt")
    torch.save(model.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "state_dict": model.state_dict()}, tmp_path / "lightning.ckpt")
    torch.save({"model_state_dict": model.state_dict(), "optimizer": {}}, tmp_path / "tutorial.bin")
    for path in tmp_path.iterdir():
        assert load_weights_file(str(path)) == live, path


def test_every_type_has_the_name_and_the_bytes_that_safetensors_gives_it(tmp_path: Path) -> None:
    state = {name: (torch.arange(6) % 2).reshape(2, 3).to(getattr(torch, name)) for name in DTYPES}
    save_file(state, tmp_path / "m.safetensors")
    assert weights_of_state(state) == load_weights_file(str(tmp_path / "m.safetensors"))


def test_a_type_that_safetensors_lacks_is_named_in_the_same_manner() -> None:
    [tensor] = weights_of_state({"w": torch.ones(2, dtype=torch.complex128)}).tensors
    assert (tensor.dtype, tensor.shape) == ("C128", (2,))


def test_numpy_arrays_and_tensors_of_the_same_numbers_have_one_root() -> None:
    tensor = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    assert root_of(tensor) == root_of(tensor.numpy()) == root_of(tensor.numpy().astype(">f4"))


def test_tied_tensors_are_recorded_once_under_the_first_name(tmp_path: Path) -> None:
    model = Tied()
    live = weights_of_state(model.state_dict())
    assert [tensor.name for tensor in live.tensors] == ["a.bias", "a.weight", "seen", "z.bias"]
    assert live.tied == {"z.weight": "a.weight"}
    assert live.parameters == 3 + 9 + 1 + 3
    save_model(model, str(tmp_path / "m.safetensors"))
    assert load_weights_file(str(tmp_path / "m.safetensors")).root == live.root
    torch.save(model.state_dict(), tmp_path / "m.pt")
    assert load_weights_file(str(tmp_path / "m.pt")) == live


def test_only_tensors_that_are_one_are_tied() -> None:
    base = torch.tensor([1j, 2, 3j, 4])
    state = {
        "base": base,
        "conjugate": base.conj(),
        "copy": base.clone(),
        "half": base[:2],
        "other shape": base.view(2, 2),
        "empty": torch.zeros(0),
        "empty too": torch.zeros(0),
    }
    assert not weights_of_state(state).tied


# ---------------------------------------------------------------- layout


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (torch.arange(6.0).reshape(2, 3).T, torch.tensor([[0.0, 3], [1, 4], [2, 5]])),
        (torch.arange(6.0)[::2], torch.tensor([0.0, 2, 4])),
        (torch.ones(1).expand(3), torch.ones(3)),
        (torch.ones(2, 3, 4, 4).to(memory_format=torch.channels_last), torch.ones(2, 3, 4, 4)),
        (torch.tensor([1 + 2j]).conj(), torch.tensor([1 - 2j])),
        (torch.tensor([1 + 2j]).conj().imag, torch.tensor([-2.0])),
        (nn.Parameter(torch.ones(2)), torch.ones(2)),
    ],
)
def test_strides_and_marks_do_not_matter(given: Any, plain: Any) -> None:
    assert root_of(given) == root_of(plain)


def test_shape_type_and_name_matter() -> None:
    ones = torch.zeros(2, 2)
    roots = {
        root_of(ones),
        root_of(ones.reshape(4)),
        root_of(ones.reshape(4, 1)),
        root_of(ones.int()),
        str(weights_of_state({"v": ones}).root),
        root_of(torch.zeros(0)),
        root_of(torch.zeros(0, 2)),
        root_of(torch.tensor(0.0)),
        root_of(torch.tensor([0.0])),
    }
    assert len(roots) == 9


def test_two_kinds_of_nan_are_two_values() -> None:
    quiet, other = (torch.tensor([bits]).view(torch.float32) for bits in (0x7FC00000, 0x7FC00001))
    assert root_of(quiet) == root_of(quiet.clone())
    assert root_of(quiet) != root_of(other)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (torch.ones(2, device="meta"), "meta"),
        (torch.ones(2, 2).to_sparse(), "sparse"),
        (torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "quantized"),
        ({"step": torch.ones(1)}, "is a dict, not a tensor"),
        (None, "is a NoneType, not a tensor"),
        (3, "is an int, not a tensor"),
    ],
)
def test_what_has_no_elements_is_refused_by_its_name(value: Any, says: str) -> None:
    with pytest.raises(UsageError, match=r"layer\.x") as caught:
        weights_of_state({"layer.x": value})
    assert says in str(caught.value)
    assert caught.value.hint


def test_a_file_that_would_have_to_be_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(Two(), path)
    with pytest.raises(UsageError, match="more than tensors") as caught:
        load_weights_file(str(path))
    assert "Two" in str(caught.value)
    assert "state_dict" in str(caught.value.hint)


def test_nothing_in_a_pickle_is_ever_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"w": torch.ones(1), "evil": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(UsageError):
        load_weights_file(str(tmp_path / "evil.pt"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("data", [b"", b"hello" * 99, b"PK\x03\x04" + b"x" * 99])
def test_a_file_that_only_has_the_ending_is_malformed(tmp_path: Path, data: bytes) -> None:
    for name in ("m.pt", "m.safetensors"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(MalformedError, match=name):
            load_weights_file(str(tmp_path / name))


def test_a_file_without_a_state_dict_or_with_another_ending_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(UsageError, match="no state dict"):
        load_weights_file(str(tmp_path / "list.pt"))
    with pytest.raises(UsageError, match="no model file"):
        load_weights_file(str(tmp_path / "model.onnx"))


def test_without_torch_a_pickle_is_not_read_and_safetensors_are(tmp_path: Path) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "m.safetensors")
    torch.save({"w": torch.ones(2)}, tmp_path / "m.pt")
    code = """
import sys
sys.modules["torch"] = None
from gitprov.errors import UsageError
from gitprov.ops.weights_files import load_weights_file
print(load_weights_file("m.safetensors").root)
try:
    load_weights_file("m.pt")
except UsageError as exc:
    print(exc)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=isolated_environment(**environment(), PYTHONDONTWRITEBYTECODE="1"),
        capture_output=True,
        text=True,
        check=True,
    )
    root, sentence = done.stdout.splitlines()
    assert root == root_of(torch.ones(2))
    assert sentence == "reading m.pt needs torch, which is not installed"


# ---------------------------------------------------------------- the cache


def test_the_cache_gives_what_hashing_gives_and_looks_up_what_did_not_change() -> None:
    model, cache = Two(), TensorCache()
    before = weights_of_state(model.state_dict())
    assert weights_of_state(model.state_dict(), cache) == before
    assert cache.find(model.state_dict()["large.weight"]) == before.tensors[1].digest.raw
    assert weights_of_state(model.state_dict(), cache) == before


def _in_place(model: Two) -> None:
    with torch.no_grad():
        model.large.weight[0, 0] += 1


def _replaced(model: Two) -> None:
    model.large.weight = nn.Parameter(model.large.weight.detach() + 1)


def _other_data(model: Two) -> None:
    model.large.weight.data = model.large.weight.detach() + 1


def _by_data(model: Two) -> None:
    model.large.weight.data.mul_(0.5)


def _by_numpy(model: Two) -> None:
    model.large.weight.detach().numpy()[:] += 1


def _fused_step(model: Two) -> None:
    _step(model, torch.optim.Adam(model.parameters(), fused=True))


def _fused_step_of_one_row(model: Two) -> None:
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    model.large.weight[7].sum().backward()
    optimizer.step()


def _foreach_step(model: Two) -> None:
    _step(model, torch.optim.SGD(model.parameters(), lr=0.1, foreach=True))


def _loaded(model: Two) -> None:
    model.load_state_dict(Two().state_dict())


def _loaded_by_assignment(model: Two) -> None:
    model.load_state_dict(Two().state_dict(), assign=True)


def _step(model: Two, optimizer: Any) -> None:
    model.large(torch.ones(1, 256)).sum().backward()
    optimizer.step()


@pytest.mark.parametrize(
    "change",
    [
        _in_place, _replaced, _other_data, _by_data, _by_numpy, _fused_step,
        _fused_step_of_one_row, _foreach_step, _loaded, _loaded_by_assignment,
    ],
)  # fmt: skip
def test_the_cache_notices_a_change(change: Any) -> None:
    model, cache = Two(), TensorCache()
    before = weights_of_state(model.state_dict(), cache)
    for _ in range(2):
        change(model)
        after = weights_of_state(model.state_dict(), cache)
        assert after == weights_of_state(model.state_dict())
        assert after.root != before.root
        before = after


def test_the_cache_does_not_take_new_memory_at_an_old_address_for_the_old_tensor() -> None:
    cache = TensorCache()
    addresses = set()
    for value in range(20):
        # The sample would tell different values apart, so only an element between the samples is.
        tensor = torch.zeros(1 << 16)
        tensor[12345] = value
        tensor.add_(0)  # the same version every time
        addresses.add(tensor.data_ptr())
        assert weights_of_state({"w": tensor}, cache) == weights_of_state({"w": tensor})
        del tensor
        gc.collect()
    assert len(addresses) < 20, "no address was used again, so this has shown nothing"


def test_the_cache_does_not_trust_tensors_whose_changes_are_counted_for_themselves() -> None:
    model, cache = Two(), TensorCache()
    for _ in range(3):
        with torch.no_grad():
            model.large.weight[0, 1] += 1
        state = {"w": model.large.weight.data}
        assert weights_of_state(state, cache) == weights_of_state(state)


def test_a_cache_that_is_gone_watches_no_optimizer() -> None:
    import torch.optim.optimizer as module

    before = len(module._global_optimizer_post_hooks)
    cache = TensorCache()
    assert len(module._global_optimizer_post_hooks) == before + 1
    del cache
    gc.collect()
    assert len(module._global_optimizer_post_hooks) == before


# ---------------------------------------------------------------- the architecture


def test_an_architecture_is_the_same_for_all_values_of_its_parameters() -> None:
    assert architecture_of(Two()) == architecture_of(Two())


def test_another_architecture_has_another_digest() -> None:
    models = [
        nn.Sequential(nn.Linear(2, 3), nn.ReLU()),
        nn.Sequential(nn.Linear(2, 3), nn.GELU()),
        nn.Sequential(nn.Linear(2, 4), nn.ReLU()),
        nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU()),
        nn.Sequential(nn.ReLU(), nn.Linear(2, 3)),
        nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.ReLU()}),
    ]
    assert len({architecture_of(model) for model in models}) == len(models)


def test_what_is_no_module_has_no_architecture() -> None:
    with pytest.raises(UsageError, match=r"torch\.nn\.Module"):
        architecture_of({"w": torch.ones(1)})
