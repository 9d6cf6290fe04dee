"""What a run happened in: interpreter, packages, accelerator, seeds, host. Nothing is imported."""

import os
import platform
import random
import sys
import warnings
from importlib.metadata import distributions
from types import ModuleType

from blake3 import blake3

from gitprov.core.canonical import Json
from gitprov.core.digest import Digest
from gitprov.model.run import FOLDER
from gitprov.workspace import Workspace

_HOST = "gitprov v1 hostname"
_ALL = (":(top)", f":(top,exclude){FOLDER}")
"""Everything in the worktree but the files of runs, as git's commands are told."""


def environment(hash_seed: str | None, *, own: bool = True) -> dict[str, Json]:
    """Returns the environment of a run as the fields of its leaf.

    Args:
        hash_seed: what PYTHONHASHSEED is set to.
        own: the run happens in this process; of another program's libraries and seeds nothing is
            known, and only what both share is said.

    The host's name is hashed: that tells two hosts apart and shows no name, but whoever guesses a
    name can check the guess. Libraries that are not loaded are not loaded for this; what they would
    say is null.
    """
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": os.cpu_count() or 0,
        "host": str(Digest(blake3(platform.node().encode(), derive_key_context=_HOST).digest())),
        "packages": _packages() if own else None,
        "torch": _torch(sys.modules.get("torch")) if own else None,
        "seeds": _seeds(hash_seed) if own else None,
    }


def changeable(hash_seed: str | None) -> dict[str, Json]:
    """Returns the fields of the leaf that training code changes once it runs: torch, and seeds."""
    return {"torch": _torch(sys.modules.get("torch")), "seeds": _seeds(hash_seed)}


def is_clean(ws: Workspace) -> bool:
    """Whether every file that git tracks is as committed; pointers of artifacts are such files.

    Files of runs are left out: a run that ended a minute ago is staged, and says nothing of the
    code and data of the next one.
    """
    done = ws.repo.git.run("status", "--porcelain", "--untracked-files=no", "-z", "--", *_ALL)
    return not done


def untracked_files(ws: Workspace) -> int:
    """Returns how many files git neither tracks nor ignores, files of runs left out.

    Training code can import any of them, and `is_clean` does not see them.
    """
    done = ws.repo.git.run("ls-files", "--others", "--exclude-standard", "-z", "--", *_ALL)
    return done.count(b"\0")


def _packages() -> dict[str, Json]:
    found: dict[str, Json] = {}
    for one in distributions():
        name = one.metadata["Name"] if one.metadata else None
        if isinstance(name, str):
            found.setdefault(name.lower().replace("_", "-"), one.version)
    return dict(sorted(found.items()))


def _torch(torch: ModuleType | None) -> Json:
    if torch is None:
        return None
    return {
        "version": str(torch.__version__),
        "cuda": torch.version.cuda,
        "device_count": _device_count(torch),
        "devices": _device_names(torch),
        "deterministic": bool(torch.are_deterministic_algorithms_enabled()),
        "threads": int(torch.get_num_threads()),
    }


def _device_count(torch: ModuleType) -> int | None:
    """How many GPUs this process may use; None where that cannot be told without touching CUDA.

    `device_count` and `is_available` can initialise the driver, and a process that then forks
    workers cannot use its GPUs in them. NVML needs no CUDA; torch asks it in a function of its own,
    which also goes by CUDA_VISIBLE_DEVICES.
    """
    if torch.version.cuda is None:
        return 0
    if torch.cuda.is_initialized():
        return int(torch.cuda.device_count())
    ask = getattr(torch.cuda, "_device_count_nvml", None)
    if ask is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a driver that does not answer: then it is not known
        count = int(ask())
    return count if count >= 0 else None


def _device_names(torch: ModuleType) -> list[Json]:
    """The GPUs' names, once the training itself uses CUDA: asking for one initialises it."""
    if torch.version.cuda is None or not torch.cuda.is_initialized():
        return []
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def _seeds(hash_seed: str | None) -> dict[str, Json]:
    """Seeds where a library keeps them, else a digest of the generator's state."""
    seeds: dict[str, Json] = {
        "PYTHONHASHSEED": hash_seed,
        "random": str(Digest.of(repr(random.getstate()).encode())),
        "numpy": None,
        "torch": None,
    }
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None:
        name, keys, *rest = numpy.random.get_state()
        state = b"%s %s %s" % (str(name).encode(), keys.tobytes(), repr(rest).encode())
        seeds["numpy"] = str(Digest.of(state))
    if torch is not None:
        seeds["torch"] = str(torch.initial_seed())
    return seeds
