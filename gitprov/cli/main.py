"""The command group, and the one boundary that turns errors into text and exit codes."""

import contextlib
import importlib
import io
import json
import os
import sys
import traceback
from collections.abc import Sequence

import click

from gitprov import __version__
from gitprov.core.paths import printable
from gitprov.errors import EnvironmentFault, GitprovError, UsageError

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("setup", "Set gitprov up in this repository."),
    "add": ("artifacts", "Put datasets and models into the store and stage their pointers."),
    "status": ("states", "Show what differs between artifacts, pointers and store."),
    "diff": ("compare", "Show which files of artifacts differ between revisions."),
    "ls": ("compare", "List what an artifact holds."),
    "checkout": ("artifacts", "Restore artifacts to what their pointers say."),
    "remove": ("artifacts", "Stop tracking an artifact."),
    "record": ("records", "Record commits: bind code, data and models under one root."),
    "anchor": ("anchoring", "Sign the log and anchor it."),
    "key": ("keys", "Make, import or show the keys that pay for anchors."),
    "export": ("export", "Write a CAR archive for IPFS."),
    "devnet": ("devnet", "Run all networks on this machine, with throw-away data."),
    "run": ("runs", "Run a command, and record what it read and wrote."),
    "runs": ("runs", "List, show, compare and verify training runs."),
    "log": ("history", "Show commits with their records, artifacts and anchors."),
    "trace": ("tracing", "Show which commits and runs bind a file, and since when."),
    "verify": ("judging", "Check that records, artifacts, log and anchors hold."),
    "prove": ("proofs", "Write a proof that a commit binds one file."),
    "check": ("proofs", "Check a proof without the repository."),
    "push": ("transfer", "Send data to a remote."),
    "fetch": ("transfer", "Fetch data from a remote into the store."),
    "pull": ("transfer", "Fetch data from a remote and check it out."),
    "get": ("elsewhere", "Get data out of another repository."),
    "import": ("imports", "Import an artifact of another repository."),
    "update": ("imports", "Bring imported artifacts up to date."),
    "import-dvc": ("migration", "Take over what DVC keeps."),
    "import-lfs": ("migration", "Take over what git-lfs keeps."),
    "remote": ("remotes", "Say where the data of the team lies."),
    "gc": ("maintenance", "Remove blobs that nothing refers to."),
    "fsck": ("maintenance", "Check the store's own integrity."),
    "doctor": ("setup", "Show versions, configuration, hooks and what is reachable."),
    "install": ("setup", "Install the git hooks."),
    "uninstall": ("setup", "Remove the git hooks and restore what was there."),
    "completion": ("setup", "Print the completion script for a shell."),
    "demo": ("setup", "Run the whole story in a throw-away repository."),
}
"""Name -> (module in gitprov.cli, one line of help). The module is imported when it is run."""

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Start", ("init", "demo", "doctor", "completion")),
    ("Artifacts", ("add", "status", "diff", "ls", "checkout", "remove")),
    ("Evidence", ("record", "anchor", "log", "trace", "verify", "prove", "check", "export")),
    ("Runs", ("run", "runs")),
    ("Remotes", ("remote", "push", "fetch", "pull", "get", "import", "update")),
    ("Migration", ("import-dvc", "import-lfs")),
    ("Networks", ("key", "devnet")),
    ("Upkeep", ("gc", "fsck", "install", "uninstall")),
)
"""The order in which `gitprov --help` shows the commands."""


_READER_GONE = 141
"""What a shell reports of a program that SIGPIPE ended, so that it is nobody's verdict."""


class ReaderGoneError(Exception):
    """Whoever read stdout has gone: `gitprov log | head`."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names all commands."""
        return [name for _, names in GROUPS for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"gitprov.cli.{COMMANDS[cmd_name][0]}")
        # A keyword of Python's has a line behind it: `import_`.
        attribute = cmd_name.replace("-", "_")
        command = getattr(module, attribute, None) or getattr(module, attribute + "_", None)
        if not isinstance(command, click.Command):
            raise GitprovError(f"gitprov.cli has no command {cmd_name}")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Adds a guess to the error for an unknown command."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            import difflib  # only on the way to an error

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            guess = f"did you mean '{near[0]}'?" if near else "gitprov --help lists the commands"
            raise UsageError(f"there is no command '{args[0]}'", hint=guess)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command; keeps click from ending with 1, our word for "does not hold"."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as exc:
            raise ReaderGoneError from exc

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the commands in their groups without importing them."""
        for title, names in GROUPS:
            with formatter.section(title):
                formatter.write_dl([(name, COMMANDS[name][1]) for name in names])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Try it: gitprov demo. Each command has examples: gitprov COMMAND --help.",
)
@click.version_option(__version__, prog_name="gitprov", message="%(prog)s %(version)s")
@click.option(
    "-C", "folder", type=click.Path(file_okay=False), help="Run as if started in this folder."
)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def cli(folder: str | None, debug: bool) -> None:
    """Prove which data and which weights belonged to which commit.

    gitprov keeps datasets and checkpoints in a store beside git, binds them to each commit under
    one Merkle root, and anchors that root where nobody can change it afterwards.
    """
    del debug  # read by run(), which must know it even when parsing fails
    if folder is not None:
        try:
            os.chdir(folder)
        except OSError as exc:
            raise EnvironmentFault(f"cannot enter {folder}: {exc.strerror}") from exc


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code; the only place where errors become text."""
    _escape_what_cannot_be_shown()
    try:
        result = cli.main(args=list(arguments), prog_name="gitprov", standalone_mode=False)
        sys.stdout.flush()  # a full disk is found out here, not after the exit code is settled
    except click.exceptions.NoArgsIsHelpError as exc:
        exc.show()
        return 2
    except click.ClickException as exc:
        return _report(_usage_error(exc), arguments)
    except (click.Abort, KeyboardInterrupt):
        sys.stderr.write("gitprov: interrupted\n")
        return 130
    except (ReaderGoneError, BrokenPipeError):
        # A second error at exit would be noise.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _READER_GONE
    except GitprovError as exc:
        return _report(exc, arguments)
    except MemoryError:
        return _report(EnvironmentFault("not enough memory"), arguments)
    except OSError as exc:
        name = f" {os.fsdecode(exc.filename)}" if exc.filename else ""
        return _report(EnvironmentFault(f"{exc.strerror or exc}{name}"), arguments, cause=exc)
    except Exception as exc:  # noqa: BLE001 - the last net: a bug must not look like a verdict
        return _report(
            GitprovError(
                f"a bug in gitprov {__version__}: {type(exc).__name__}: {exc}",
                hint="please report it with the output of the same command with --debug in front",
            ),
            arguments,
            cause=exc,
        )
    return result if isinstance(result, int) else 0


def _escape_what_cannot_be_shown() -> None:
    """A path or a subject that the terminal's encoding lacks is no reason to fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _usage_error(error: click.ClickException) -> UsageError:
    """Says what click says in our own form."""
    message = error.format_message().rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    command = context.command_path if context else "gitprov"
    hint = f"{command} --help shows how it is used"
    return UsageError(message[:1].lower() + message[1:], hint=hint)


def _report(
    error: GitprovError, arguments: Sequence[str], cause: BaseException | None = None
) -> int:
    if "--debug" in arguments:
        traceback.print_exception(cause or error)
    document = {
        "schema": "gitprov/error/v1",
        "error": str(error),
        "hint": error.hint,
        "exit_code": error.exit_code,
    }
    # Where nothing can be written any more, the exit code still tells.
    with contextlib.suppress(OSError):
        sys.stderr.write(f"gitprov: error: {printable(str(error))}\n")
        if error.hint:
            sys.stderr.write(f"gitprov: hint: {printable(error.hint)}\n")
        if "--json" in arguments:
            sys.stdout.write(json.dumps(document) + "\n")
            sys.stdout.flush()
    return error.exit_code
