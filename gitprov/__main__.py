"""The entry point: sends hooks and `--version` off before the command line library is loaded."""

import sys


def main() -> int:
    """Runs the command line; returns the exit code."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["hook"]:
        from gitprov.cli.hook import run_hook  # `git commit` waits for this: no click

        return run_hook(arguments[1:])
    if arguments == ["--version"]:
        from gitprov import __version__  # the same for scripts that ask often

        sys.stdout.write(f"gitprov {__version__}\n")
        return 0
    from gitprov.cli.main import run  # click takes longer to import than a hook has

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
