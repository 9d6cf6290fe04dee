"""`gitprov remote`: where the data of a team lies, and how this clone reaches it."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from gitprov.config import TRACKED_NAME, load_yaml
from gitprov.config.remote_url import SCHEMES, RemoteUrl
from gitprov.config.remotes import RemoteConfig, RemotesConfig, check_endpoint, check_remote_name
from gitprov.core.canonical import Json
from gitprov.errors import EnvironmentFault, UsageError
from gitprov.ops.local_config import read_local_config, update_local_config
from gitprov.ops.pointers import on_disk, tracked
from gitprov.ops.tracked_config import (
    edit_tracked_config,
    with_default,
    with_remote,
    without_remote,
)
from gitprov.workspace import Workspace

_OBJECT_STORES = {"s3", "gs", "az"}
_LIKE_SCP = re.compile(r"(?:[A-Za-z0-9._-]+@)?[A-Za-z0-9.-]+:(?!//)(.*)")


@dataclass(frozen=True, slots=True)
class RemoteChange:
    """What was written.

    Attributes:
        remote: as it is known now, or was known before it was removed.
        paths: the files that were changed.
        made: whether the remote's folder was made.
        is_default: whether it is meant when none is named.
        unseated: whether one was meant before when none was named, and none is now.
    """

    remote: RemoteConfig
    paths: tuple[str, ...]
    made: bool = False
    is_default: bool = False
    unseated: bool = False


def remotes_config(ws: Workspace) -> RemotesConfig:
    """Returns all remotes that both files name.

    Raises:
        UsageError: a file says something wrong about one.
    """
    return RemotesConfig.of(*ws.config.remotes, ws.config.remote_default)


def add_remote(
    ws: Workspace,
    name: str,
    url: str,
    options: Mapping[str, str],
    *,
    default: bool = False,
    shared: bool = False,
) -> RemoteChange:
    """Writes a remote into this clone's configuration, or where everybody sees it.

    Args:
        ws: the workspace.
        name: what it is to be called.
        url: its address, or a folder, from the current one on.
        options: `endpoint`, `region`, `profile`, those that were given.
        default: whether it is meant from now on when none is named.
        shared: whether address and region go into the tracked file; the rest never does.

    Raises:
        UsageError: the name, the address or an option is wrong, or the name is taken.
        EnvironmentFault: the remote's folder is not there and cannot be made.
    """
    check_remote_name(name)
    parsed = RemoteUrl.parse(_absolute(ws, url))
    _check_options(parsed, options)
    if shared and parsed.scheme == "file":
        raise UsageError(
            "a folder cannot be shared: it lies elsewhere on other machines, and a tracked file "
            "cannot choose folders",
            hint=f"gitprov remote add {name} {parsed}",
        )
    if shared and parsed.names_a_server:
        raise UsageError(
            f"{parsed.protocol}:// cannot be shared: a tracked file cannot choose which server is "
            "shown a password",
            hint=f"gitprov remote add {name} {parsed}",
        )
    known = remotes_config(ws)
    _refuse_taken(ws, known, name, shared=shared)
    if parsed.scheme == "file":
        _refuse_own(ws, parsed.path)
    made = parsed.scheme == "file" and _make_folder(parsed.path)
    says = {"url": str(parsed), **options}
    # Looked at as a whole before any file is written.
    RemotesConfig.of({}, {name: cast("Json", says)})
    ours: dict[str, str] = {key: says.pop(key) for key in ("endpoint", "profile") if key in says}
    paths = []
    if shared:
        paths.append(_share(ws, name, says, default=default))
    else:
        ours, says = {**says, **ours}, {}
    changes: dict[str, Json] = {"remotes": {name: cast("Json", ours)}} if ours else {}
    if default and not shared:
        changes["remote_default"] = name
    if changes:
        paths.append(update_local_config(ws, changes))
    before, config = known.meant(), remotes_config(ws)
    after = config.meant()
    return RemoteChange(
        remote=config.remotes[name],
        paths=tuple(paths),
        made=made,
        is_default=after == name,
        unseated=before is not None and after is None,
    )


def remove_remote(ws: Workspace, name: str) -> RemoteChange:
    """Forgets a remote; what lies there stays. The clone's own entry goes first.

    Raises:
        UsageError: there is no such remote.
    """
    known = remotes_config(ws)
    local = read_local_config(ws)
    remote = known.remotes.get(name) or RemoteConfig(name)
    if name in _names(local):
        changes: dict[str, Json] = {"remotes": {name: None}}
        if local.get("remote_default") == name and name not in ws.config.remotes[0]:
            changes["remote_default"] = None
        return RemoteChange(remote, (update_local_config(ws, changes),))
    remote = known.chosen(name)
    paths = []
    if local.get("remote_default") == name:
        paths.append(update_local_config(ws, {"remote_default": None}))

    def change(value: dict[str, Json]) -> dict[str, Json]:
        rest = {key: one for key, one in _names(value).items() if key != name}
        left = {key: one for key, one in value.items() if key != "remotes"}
        if left.get("remote_default") == name:
            del left["remote_default"]
        return {**left, "remotes": cast("Json", rest)} if rest else left

    def edit(text: str) -> str:
        is_default = load_yaml(text, what=TRACKED_NAME).get("remote_default") == name
        text = without_remote(text, name)
        return with_default(text, None) if is_default else text

    return RemoteChange(remote, (edit_tracked_config(ws, edit, change), *paths))


def set_default_remote(ws: Workspace, name: str) -> RemoteChange:
    """Makes this clone mean a remote when none is named.

    Raises:
        UsageError: there is no such remote.
    """
    remote = remotes_config(ws).chosen(name)
    path = update_local_config(ws, {"remote_default": name})
    return RemoteChange(remote, (path,), is_default=True)


def _share(ws: Workspace, name: str, says: Mapping[str, str], *, default: bool) -> str:
    def change(value: dict[str, Json]) -> dict[str, Json]:
        remotes = {**_names(value), name: cast("Json", dict(says))}
        changed: dict[str, Json] = {**value, "remotes": cast("Json", remotes)}
        return {**changed, "remote_default": name} if default else changed

    def edit(text: str) -> str:
        text = with_remote(text, name, says)
        return with_default(text, name) if default else text

    return edit_tracked_config(ws, edit, change)


def _refuse_taken(ws: Workspace, known: RemotesConfig, name: str, *, shared: bool) -> None:
    """A clone may say more about a remote that the tracked file names, and the other way round."""
    tracked, local = ws.config.remotes
    if name in (tracked if shared else local):
        raise UsageError(
            f"there is a remote {name} already: {known.remotes[name].url}",
            hint=f"gitprov remote remove {name}",
        )


def _refuse_own(ws: Workspace, path: str) -> None:
    """What a push writes must not come to lie among what git or gitprov keep themselves."""
    place = os.path.realpath(path)
    inside = {"git's folder": ws.repo.common_dir, "the store": ws.store.root}
    if ws.repo.worktree is not None:
        for item in tracked(ws.repo.git, ws.worktree):
            inside[f"the artifact {item.path}"] = os.fsdecode(on_disk(ws.worktree, item.path))
    for what, folder in inside.items():
        if os.path.commonpath([place, os.path.realpath(folder)]) == os.path.realpath(folder):
            raise UsageError(
                f"{path} is, or lies in, {what}", hint="a remote has a folder of its own"
            )
    if ws.repo.worktree is not None and place == os.path.realpath(ws.worktree):
        raise UsageError(f"{path} is the worktree", hint="a remote has a folder of its own")


def _names(value: Mapping[str, Json]) -> dict[str, Json]:
    section = value.get("remotes")
    return section if isinstance(section, dict) else {}


def _absolute(ws: Workspace, url: str) -> str:
    if not url or url.startswith("-") or "://" in url:
        return url
    scheme = url.partition(":")[0].lower()
    if f" {scheme}://" in f" {SCHEMES}" and url[len(scheme) :].startswith(":/"):
        raise UsageError(
            f"{url!r:.80} is no address of a remote", hint=f"two slashes: {scheme}://HOST/PATH"
        )
    like = _LIKE_SCP.fullmatch(url)
    if like is not None and not os.path.exists(os.path.join(ws.cwd, url)):
        raise UsageError(
            f"{url!r:.80} is no address of a remote", hint="ssh://USER@HOST/PATH/FROM/THE/ROOT"
        )
    return os.path.abspath(os.path.join(ws.cwd, url))


def _check_options(url: RemoteUrl, options: Mapping[str, str]) -> None:
    for key in options:
        if url.scheme not in _OBJECT_STORES or (key == "profile" and url.scheme != "s3"):
            kinds = "s3://" if key == "profile" else "s3://, gs:// and az://"
            raise UsageError(f"--{key} is for {kinds}")
    if "endpoint" in options:
        check_endpoint(options["endpoint"])


def _make_folder(path: str) -> bool:
    """Makes the folder itself, not those above it: an unmounted disk is not an empty one."""
    if os.path.isdir(path):
        return False
    try:
        os.mkdir(path)
    except OSError as exc:
        raise EnvironmentFault(
            f"the folder {path} cannot be made: {exc.strerror}", hint="mount it, or make it"
        ) from exc
    return True
