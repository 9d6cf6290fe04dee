"""Writes this clone's own configuration, `config.yaml` in the git folder: never a tracked file."""

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import cast

from gitprov.config import LOCAL_NAME, Config, load_yaml
from gitprov.config.anchors import AnchorsConfig
from gitprov.config.remotes import RemotesConfig
from gitprov.core.canonical import Json
from gitprov.errors import UnavailableError, UsageError
from gitprov.platform.files import atomic_write, read_bounded
from gitprov.platform.locks import file_lock
from gitprov.workspace import Workspace

_HEAD = "# This clone's own configuration: it is not tracked, and wins over .gitprov.yaml.\n"
_MAX_BYTES = 64 << 10


def update_local_config(ws: Workspace, changes: Mapping[str, Json]) -> str:
    """Merges changes into the file and returns its path; None takes a key out.

    A file in which nothing is left is removed.

    Args:
        ws: the workspace.
        changes: mappings within mappings, as the file has them.

    Raises:
        UsageError: the result would not be a configuration; nothing is written then.
    """
    import yaml  # 16 ms, and only who writes pays for it

    path = os.path.join(ws.repo.data_dir, LOCAL_NAME)
    with file_lock(path + ".lock", waiting=ws.waiting):
        merged = _merged(read_local_config(ws), changes)
        tracked = ws.config.anchors[0]
        config = Config.of({}, merged)
        section = merged.get("anchors")
        AnchorsConfig.of(tracked, section if isinstance(section, dict) else {})
        RemotesConfig.of(ws.config.remotes[0], config.remotes[1])
        if merged:
            text = yaml.safe_dump(merged, sort_keys=False, allow_unicode=True)
            atomic_write(path, (_HEAD + text).encode(), mode=0o600)
        else:
            with suppress(FileNotFoundError):
                os.unlink(path)
    ws.forget_config()
    return path


def read_local_config(ws: Workspace) -> dict[str, Json]:
    """Returns what the file holds; nothing when there is none."""
    path = os.path.join(ws.repo.data_dir, LOCAL_NAME)
    try:
        text = read_bounded(path, _MAX_BYTES).decode("utf-8")
    except UnavailableError:
        return {}
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8") from None
    return load_yaml(text, what=path)


def _merged(old: Mapping[str, Json], changes: Mapping[str, Json]) -> dict[str, Json]:
    merged = dict(old)
    for key, value in changes.items():
        before = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            below = _merged(before if isinstance(before, dict) else {}, value)
            merged[key] = cast("Json", below)
            if not below:
                del merged[key]
        else:
            merged[key] = value
    return merged
