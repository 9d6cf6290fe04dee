"""Edits remotes in `.gitprov.yaml` as a person would: line by line, and every comment stays.

What an edit makes is read again before it is written. Where it does not say what was meant (the
file may be written in a style of its own), nothing is written and the user is asked to do it.
"""

import os
import re
from collections.abc import Callable, Mapping

from gitprov.config import MAX_CONFIG_BYTES, TRACKED_NAME, Config, load_yaml
from gitprov.config.remotes import RemotesConfig
from gitprov.core.canonical import Json
from gitprov.core.paths import RepoPath
from gitprov.errors import UnavailableError, UsageError
from gitprov.model.yaml_scalar import write_scalar
from gitprov.ops.staging import stage_paths
from gitprov.platform.files import atomic_write, read_bounded
from gitprov.workspace import Workspace

_SECTION = re.compile(r"remotes:\s*(#.*)?")
_DEFAULT = re.compile(r"remote_default:.*")
_KEY = re.compile(r"( +)[^\s#].*")


def edit_tracked_config(
    ws: Workspace,
    edit: Callable[[str], str],
    change: Callable[[dict[str, Json]], dict[str, Json]],
) -> str:
    """Edits the file's text, stages it and returns its path.

    Args:
        ws: the workspace.
        edit: makes the new text of the old one.
        change: makes of the old mapping the one that the new text must hold.

    Raises:
        UsageError: there is no such file, the result would be no configuration, or the text would
            not say what is meant. Nothing is written then.
    """
    path = os.path.join(ws.worktree, TRACKED_NAME)
    try:
        text = read_bounded(path, MAX_CONFIG_BYTES).decode("utf-8")
    except UnavailableError:
        raise UsageError(f"there is no {TRACKED_NAME} yet", hint="gitprov init") from None
    except UnicodeDecodeError:
        raise UsageError(f"{TRACKED_NAME} is not UTF-8") from None
    wanted = change(load_yaml(text, what=TRACKED_NAME))
    config = Config.of(wanted, {})
    RemotesConfig.of(*config.remotes, config.remote_default)
    edited = edit(text if text.endswith("\n") or not text else text + "\n")
    if load_yaml(edited, what=TRACKED_NAME) != wanted:
        raise UsageError(
            f"{TRACKED_NAME} is written in a way that cannot be edited without losing some of it",
            hint="edit its section `remotes` by hand: docs/tutorial.md explains every key",
        )
    atomic_write(path, edited.encode())
    stage_paths(ws, [RepoPath(TRACKED_NAME.encode())])
    ws.forget_config()
    return path


def with_remote(text: str, name: str, says: Mapping[str, str]) -> str:
    """Returns the text with one remote more."""
    lines = text.splitlines(keepends=True)
    at = next((n for n, line in enumerate(lines) if _SECTION.fullmatch(line.rstrip())), None)
    if at is None:
        lines += ["\n", "remotes:\n"]
        at = len(lines) - 1
    first = next(
        (found for line in lines[at + 1 :] if (found := _KEY.fullmatch(line.rstrip()))), None
    )
    before = first[1] if first and _follows(lines, at) else "  "
    added = [f"{before}{name}:\n"]
    added += [f"{before}  {key}: {write_scalar(value)}\n" for key, value in says.items()]
    return "".join([*lines[: at + 1], *added, *lines[at + 1 :]])


def without_remote(text: str, name: str) -> str:
    """Returns the text without a remote, and without the section when that was all of it."""
    lines = text.splitlines(keepends=True)
    at = next((n for n, line in enumerate(lines) if _SECTION.fullmatch(line.rstrip())), len(lines))
    key = re.compile(rf"( +){re.escape(name)}:\s*(#.*)?")
    for number in range(at + 1, len(lines)):
        found = key.fullmatch(lines[number].rstrip())
        if found is None:
            continue
        end = number + 1
        while end < len(lines) and lines[end].startswith(found[1] + " "):
            end += 1
        kept = [*lines[:number], *lines[end:]]
        if not _follows(kept, at):
            del kept[at]
        return "".join(kept)
    return text


def with_default(text: str, name: str | None) -> str:
    """Returns the text with another default remote, or with none."""
    lines = text.splitlines(keepends=True)
    says = [] if name is None else [f"remote_default: {name}\n"]
    for number, line in enumerate(lines):
        if _DEFAULT.fullmatch(line.rstrip()):
            return "".join([*lines[:number], *says, *lines[number + 1 :]])
    return "".join([*lines, *says])


def _follows(lines: list[str], at: int) -> bool:
    """Whether the section that begins at a line holds anything."""
    for line in lines[at + 1 :]:
        if line.strip() and not line.lstrip().startswith("#"):
            return line.startswith(" ")
    return False
