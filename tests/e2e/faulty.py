"""gitprov's command line in a process whose n-th system call of one kind fails (under fiu-run).

`python -m tests.e2e.faulty NAME N once|on ARGUMENT…`: with N = 0 none fails, and the last line on
stderr says how many calls there were.
"""

import ctypes
import errno
import importlib
import os
import pkgutil
import sys

import gitprov
from gitprov.cli.main import run

_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(ctypes.c_int), ctypes.c_void_p, ctypes.c_uint
)
_KEPT: list[object] = []
"""What C code calls must not be collected."""


def _import_everything() -> None:
    """Python's own imports read files, too, and they are not what is tested."""
    for found in pkgutil.walk_packages(gitprov.__path__, "gitprov."):
        # The callbacks import frameworks that are not installed with gitprov.
        others = ("gitprov.demo", "gitprov.__main__", "gitprov.tracker.callbacks_")
        if not found.name.startswith(others):
            importlib.import_module(found.name)
    for name in ("difflib", "traceback", "yaml", "encodings.idna"):
        importlib.import_module(name)


def _fail_from(name: str, number: int, *, once: bool) -> list[int]:
    count = [0]

    def decide(_name: bytes, _number: object, _info: object, _flags: int) -> int:
        count[0] += 1
        return int(count[0] == number or (count[0] > number > 0 and not once))

    callback = _CALLBACK(decide)
    _KEPT.append(callback)
    reason = errno.ENOSPC if "write" in name else errno.EIO
    ctypes.CDLL("libfiu.so.0").fiu_enable_external(
        name.encode(), ctypes.c_int(1), ctypes.c_void_p(reason), ctypes.c_uint(0), callback
    )
    return count


def main() -> None:
    """Runs what the command line says."""
    name, number, how, *arguments = sys.argv[1:]
    _import_everything()
    # A disk that is full does not keep a terminal from showing what went wrong.
    out, err = os.dup(1), os.dup(2)
    count = _fail_from(name, int(number), once=how == "once")
    code = run(arguments)
    ctypes.CDLL("libfiu.so.0").fiu_disable(name.encode())
    sys.stdout.flush()
    os.write(err, f"\n{count[0]}\n".encode())
    os.close(out)
    os._exit(code)


if __name__ == "__main__":
    main()
