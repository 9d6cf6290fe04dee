"""What a run happened in: interpreter, packages, accelerator, seeds, host. Nothing is imported."""

import os
import platform
import random
import sys
from importlib.metadata import distributions
from types import ModuleType

from blake3 import blake3

from gitprov.core.canonical import Json
from gitprov.core.digest import Digest
from gitprov.workspace import Workspace

_HOST = "gitprov v1 hostname"


def environment(hash_seed: str | None, *, own: bool = True) -> dict[str, Json]:
    """Returns the environment of a run as the fields of its leaf.

    Args:
        hash_seed: what PYTHONHASHSEED is set to.
        own: the run happens in this process; of another program's libraries and seeds nothing is
            known, and only what both share is said.

    The host's name is hashed: it tells two hosts apart, and no outsider where they are. Libraries
    that are not loaded are not loaded for this; what they would say is null.
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


def is_clean(ws: Workspace) -> bool:
    """Whether every file that git tracks is as committed; pointers of artifacts are such files."""
    done = ws.repo.git.run("status", "--porcelain", "--untracked-files=no", "-z")
    return not done


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
    cuda = bool(torch.cuda.is_available())
    return {
        "version": str(torch.__version__),
        "cuda": torch.version.cuda if cuda else None,
        "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        if cuda
        else [],
        "deterministic": bool(torch.are_deterministic_algorithms_enabled()),
        "threads": int(torch.get_num_threads()),
    }


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
