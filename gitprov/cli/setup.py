"""The commands that set things up and look at them: init, install, doctor, completion, demo."""

import sys

import click
from click.shell_completion import get_completion_class

from gitprov.cli.context import means, workspace
from gitprov.cli.options import (
    emit_json,
    examples,
    json_option,
    note,
    quiet_option,
    say,
    table,
)
from gitprov.core.paths import printable
from gitprov.errors import GitprovError, UsageError
from gitprov.git.hooks import HookStatus
from gitprov.ops.doctor import Check
from gitprov.ops.doctor import doctor as examine
from gitprov.ops.hook_files import install_hooks, uninstall_hooks
from gitprov.ops.init import init as set_up

_DOCTOR_SECONDS = 10.0
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command(
    short_help="Set gitprov up in this repository.",
    epilog=examples(
        "gitprov init",
        "gitprov init --no-hooks               # when the pre-commit framework runs them",
        "gitprov init --store /data/gitprov    # one store for several repositories",
    ),
)
@click.option("--no-hooks", is_flag=True, help="Do not install the git hooks.")
@click.option(
    "--store",
    metavar="FOLDER",
    type=click.Path(file_okay=False),
    help="Share the content store in this folder with other repositories.",
)
@json_option
@quiet_option
def init(no_hooks: bool, store: str | None, as_json: bool, quiet: bool) -> None:
    """Set gitprov up: .gitprov.yaml, the log's key, the hooks, and what `git fetch` brings.

    It is safe to repeat: what is there already stays as it is.
    """
    with workspace() as ws:
        done = set_up(ws, hooks=not no_hooks, store=store)
        remotes = any(ws.config.remotes)
    for warning in done.warnings:
        note(f"gitprov: warning: {warning}")
    if as_json:
        emit_json(
            "init",
            {
                "worktree": done.worktree,
                "config_written": done.config_written,
                "log": done.key.vkey,
                "hooks": {hook.name: hook.state.value for hook in done.hooks},
                "remotes": list(done.remotes),
                "warnings": list(done.warnings),
            },
        )
    elif not quiet:
        written = "written and staged" if done.config_written else "kept as it is"
        say(f"configuration  .gitprov.yaml, {written}")
        say(f"log            {done.key.key_id}, its private key never leaves this clone")
        say(f"hooks          {_hooks_line(done.hooks)}")
        if done.remotes:
            say(f"git fetch      brings notes and logs of {', '.join(done.remotes)}")
        there = "gitprov pull" if remotes else "gitprov checkout"
        following = "gitprov add data && git commit" if done.config_written else there
        say(f"next           {following}")


def _hooks_line(hooks: tuple[HookStatus, ...]) -> str:
    if not hooks:
        return "not installed (gitprov install does it later)"
    return ", ".join(hook.name + (" (after yours)" if hook.legacy else "") for hook in hooks)


@click.command(
    short_help="Install the git hooks.",
    epilog=examples("gitprov install"),
)
@json_option
@quiet_option
def install(as_json: bool, quiet: bool) -> None:
    """Install the git hooks where git looks for them, also with core.hooksPath and worktrees.

    A hook that is there already becomes HOOK.legacy and runs first. It is safe to repeat.
    """
    with workspace() as ws:
        hooks = install_hooks(ws, sys.executable)
    if as_json:
        emit_json("install", {"hooks": {hook.name: hook.state.value for hook in hooks}})
    elif not quiet:
        say(f"hooks  {_hooks_line(tuple(hooks))}")


@click.command(
    short_help="Remove the git hooks and restore what was there.",
    epilog=examples("gitprov uninstall"),
)
@json_option
@quiet_option
def uninstall(as_json: bool, quiet: bool) -> None:
    """Remove the git hooks and put back what was there before. Store, notes and log stay."""
    with workspace() as ws:
        removed = uninstall_hooks(ws)
    if as_json:
        emit_json("uninstall", {"removed": list(removed)})
    elif not quiet:
        say(f"removed {', '.join(removed)}" if removed else "no hook of gitprov is installed")


@click.command(
    short_help="Show versions, configuration, hooks and what is reachable.",
    epilog=examples("gitprov doctor", "gitprov doctor --json > report.json"),
)
@json_option
def doctor(as_json: bool) -> None:
    """Show versions, configuration, hooks, log, networks, store, remotes, and what to do about it.

    No secret is printed, so the output can go into a bug report.
    """
    with workspace() as ws:
        checks = examine(ws, means(ws, seconds=_DOCTOR_SECONDS))
    if as_json:
        emit_json(
            "doctor",
            {
                "checks": [
                    {"name": one.name, "state": one.state, "detail": one.detail, "hint": one.hint}
                    for one in checks
                ]
            },
        )
    else:
        _show(checks)
    if any(one.state == "fail" for one in checks):
        raise click.exceptions.Exit(4)


def _show(checks: list[Check]) -> None:
    rows = [
        [
            click.style(f"{one.state:4}", fg=_COLOURS[one.state]),
            printable(one.name),
            printable(one.detail),
        ]
        for one in checks
    ]
    for line, one in zip(table(rows), checks, strict=True):
        say(line)
        if one.hint:
            say(f"      hint: {printable(one.hint)}")


@click.command(
    short_help="Print the completion script for a shell.",
    epilog=examples(
        'eval "$(gitprov completion bash)"     # in ~/.bashrc',
        'eval "$(gitprov completion zsh)"      # in ~/.zshrc',
        "gitprov completion fish > ~/.config/fish/completions/gitprov.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for SHELL: bash, zsh or fish."""
    from gitprov.cli.main import cli  # the group imports this module, so not at its top

    maker = get_completion_class(shell)
    if maker is None:
        raise UsageError(f"click knows no completion for {shell}")
    say(maker(cli, {}, "gitprov", "_GITPROV_COMPLETE").source())


@click.command(
    short_help="Run the whole story in a throw-away repository.",
    epilog=examples("gitprov demo", "gitprov demo --keep    # leave the repositories to look at"),
)
@click.option("--keep", is_flag=True, help="Leave the folder there at the end.")
def demo(keep: bool) -> None:
    """Run the whole story on real data: add, commit, push, clone, verify, then tamper.

    It needs numpy, pillow and scikit-learn (pip install 'gitprov[demo]'), and nothing else: no
    network, no account. The exit code is not 0 if any step did not do what it says.
    """
    try:
        from gitprov.demo.story import run_demo
    except ImportError as exc:
        raise UsageError(f"the demo needs {exc.name}", hint="pip install 'gitprov[demo]'") from exc
    if not run_demo(keep=keep):
        raise GitprovError("a step of the demo did not do what it says")
