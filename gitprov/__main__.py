"""The entry point: sends hooks and `--version` off before the command line library is loaded."""

import contextlib
import gc
import os
import sys
from typing import NoReturn

_NEW_OBJECTS = 100_000
"""So many more than before make Python look for garbage; its own number is 700."""


def main() -> int:
    """Runs the command line; returns the exit code."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["hook"]:
        gc.disable()  # a hook ends before garbage matters; to look for it costs a commit 4 ms
        from gitprov.cli.hook import run_hook  # `git commit` waits for this: no click

        _leave(run_hook(arguments[1:]))
    if arguments == ["--version"]:
        from gitprov import __version__  # the same for scripts that ask often

        sys.stdout.write(f"gitprov {__version__}\n")
        return 0
    # A hundred thousand files are as many objects that live on: to look at all of them again and
    # again takes a tenth of a command's time.
    gc.set_threshold(_NEW_OBJECTS, 20, 100)
    from gitprov.cli.main import run  # click takes longer to import than a hook has

    return run(arguments)


def _leave(code: int) -> NoReturn:
    """Ends the process at once: to take Python down in good order costs a commit 9 ms."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, or nobody reads
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
