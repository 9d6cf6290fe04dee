"""Where the nodes' programs are: on PATH, or in the folder that `make services` fills."""

import glob
import os
from collections.abc import Mapping

KINDS = ("anvil", "geth", "btcd", "bitcoind", "ipfs")
"""The programs that this can start."""


def services_folder(environ: Mapping[str, str]) -> str:
    """Returns the folder that `make services` fills."""
    if environ.get("GITPROV_SERVICES"):
        return environ["GITPROV_SERVICES"]
    cache = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME", "/"), ".cache")
    return os.path.join(cache, "gitprov", "services")


def find(kind: str, environ: Mapping[str, str]) -> str | None:
    """Returns the absolute path of a program, or None.

    npm's `anvil` is a script that starts the real program and leaves it behind when it is killed,
    so the program inside the package is taken.
    """
    services = services_folder(environ)
    for folder in [*environ.get("PATH", "").split(os.pathsep), os.path.join(services, "bin")]:
        path = os.path.join(folder, kind)
        if os.path.isabs(folder) and os.access(path, os.X_OK) and os.path.isfile(path):
            if not _is_script(path):
                return path
            beside = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(path))))
            found = _in_package(kind, beside)
            if found is not None:
                return found
    return _in_package(kind, os.path.join(services, "npm", "node_modules"))


def _in_package(kind: str, modules: str) -> str | None:
    pattern = os.path.join(glob.escape(modules), "@foundry-rs", f"{kind}-*", "bin", kind)
    found = [path for path in sorted(glob.glob(pattern)) if os.access(path, os.X_OK)]
    return found[0] if found else None


def _is_script(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"#!"
