"""`gitprov doctor`: versions, configuration, hooks, what is reachable; never a secret."""

import os
import platform
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from gitprov import __version__
from gitprov.anchors.registry import Means, open_anchor
from gitprov.config.anchors import AnchorsConfig
from gitprov.errors import GitprovError, UnavailableError
from gitprov.git.hooks import HookState, status
from gitprov.git.keys import load_signer
from gitprov.git.log import LogReader, known_logs, read_log_key
from gitprov.git.notes import notes_refs
from gitprov.git.sync import refspecs, remotes
from gitprov.ops.doctor_remotes import chunker, data_remotes
from gitprov.ops.remote_setup import remotes_config
from gitprov.render.words import human_size, plural
from gitprov.verify.policy import Policy
from gitprov.workspace import Workspace

State = Literal["ok", "warn", "fail"]

_LIBRARIES = ("blake3", "click", "cryptography", "msgspec", "PyYAML", "rfc8785", "rich")
_REMOTE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what it is, how it is, and what to do about it."""

    name: str
    state: State
    detail: str
    hint: str | None = None


def doctor(ws: Workspace, means: Means) -> list[Check]:
    """Looks at everything that gitprov needs; nothing is changed.

    Args:
        ws: the workspace.
        means: how networks are asked whether they answer.
    """

    def networks(ws: Workspace) -> Iterator[Check]:
        return _networks(ws, means)

    def data(ws: Workspace) -> Iterator[Check]:
        for name, well, detail, hint in (
            chunker(),
            *data_remotes(remotes_config(ws), means.environ),
        ):
            yield Check(name, "ok" if well else "warn", detail, hint)

    checks = list(_versions(ws))
    for look in (_configuration, _hooks, _log, _notes, networks, _store, _remotes, data):
        try:
            checks += look(ws)
        except GitprovError as exc:
            checks.append(Check(look.__name__.strip("_"), "fail", str(exc), exc.hint))
    return checks


def _networks(ws: Workspace, means: Means) -> Iterator[Check]:
    """Of every network that is used: can it be reached, and which chain is it?"""
    config = AnchorsConfig.of(*ws.config.anchors)
    for network in config.networks:
        try:
            with means.http() as http:
                target = open_anchor(network, config, means, http).target()
        except GitprovError as exc:
            yield Check(network, "warn", str(exc), exc.hint)
        else:
            yield Check(network, "ok", "is set up" if target == network else f"answers: {target}")


def _versions(ws: Workspace) -> Iterator[Check]:
    python = f"{platform.python_version()} ({sys.executable})"
    yield Check("gitprov", "ok", f"{__version__}, Python {python}")
    yield Check("git", "ok", ws.repo.git.text("version").removeprefix("git version "))
    found = [f"{name} {metadata.version(name)}" for name in _LIBRARIES]
    yield Check("libraries", "ok", ", ".join([*found, f"SQLite {sqlite3.sqlite_version}"]))
    where = ws.repo.worktree or ws.repo.git_dir
    shape = "shallow, " if ws.repo.is_shallow else ""
    yield Check("repository", "ok", f"{where} ({shape}{ws.repo.object_format})")


def _configuration(ws: Workspace) -> Iterator[Check]:
    config = ws.config
    policy = Policy.parse(dict(config.policy))
    required = f"requires {policy.required}" if policy.required else "requires no network"
    detail = f"store.link {config.store.link}, hooks.check {config.hooks.check}, policy {required}"
    yield Check("configuration", "ok", detail)
    if policy.tlog_keys:
        yield Check(
            "pinned keys", "ok", f"{plural(len(policy.tlog_keys), 'log key')} in the policy"
        )
    else:
        yield Check(
            "pinned keys",
            "warn",
            "the policy pins no log key, so a log of any key counts",
            "put the keys of `gitprov log --keys` under policy.tlog.keys in .gitprov.yaml",
        )


def _hooks(ws: Workspace) -> Iterator[Check]:
    if ws.repo.worktree is None:
        yield Check("hooks", "ok", "the repository is bare and needs none")
        return
    found = status(ws.repo, sys.executable)
    for state in dict.fromkeys(hook.state for hook in found):
        names = [
            hook.name + (" (after yours)" if hook.legacy else "")
            for hook in found
            if hook.state is state
        ]
        good = state in {HookState.INSTALLED, HookState.CHAINED}
        detail = f"{state}: {', '.join(names)}"
        yield Check("hooks", "ok" if good else "warn", detail, None if good else "gitprov install")


def _log(ws: Workspace) -> Iterator[Check]:
    key = read_log_key(ws.repo)
    if key is None:
        yield Check("log", "warn", "this clone has no log yet", "gitprov init")
        return
    if load_signer(ws.repo) is None:
        yield Check("log", "fail", f"the private key of the log {key.key_id} is gone")
        return
    log = LogReader.open(ws.repo, key.ref)
    signed = log.signed_size()
    detail = f"{key.key_id}: {plural(log.size, 'record')}, {signed:,} of them under a signed head"
    late = log.size > signed
    yield Check("log", "ok", detail, "gitprov anchor signs the rest" if late else None)
    others = [ref for ref in known_logs(ws.repo) if ref.key_id != key.key_id]
    if others:
        yield Check("other logs", "ok", ", ".join(sorted({ref.key_id for ref in others})))


def _notes(ws: Workspace) -> Iterator[Check]:
    refs = notes_refs(ws.repo)
    if refs:
        yield Check("notes", "ok", ", ".join(sorted(refs)))
    else:
        yield Check("notes", "warn", "there are no notes yet", "gitprov record HEAD")


def _store(ws: Workspace) -> Iterator[Check]:
    stats = ws.store.stats()
    blobs = stats.packed_blobs + stats.objects
    size = stats.packed_bytes + stats.object_bytes
    free = os.statvfs(ws.store_path)
    detail = f"{ws.store_path}: {plural(blobs, 'blob')}, {human_size(size)}"
    detail += f"; {human_size(free.f_bavail * free.f_frsize)} free"
    yield Check("store", "ok", detail)
    if stats.quarantined:
        yield Check(
            "quarantine",
            "warn",
            f"{plural(stats.quarantined, 'damaged blob')} set aside",
            "gitprov add the same files again repairs them; gitprov fsck names what is missing",
        )


def _remotes(ws: Workspace) -> Iterator[Check]:
    for name in remotes(ws.repo):
        known = ws.repo.config(f"remote.{name}.fetch")
        if not all(spec in known for spec in refspecs(name)):
            yield Check(
                f"remote {name}", "warn", "git fetch does not bring its notes", "gitprov init"
            )
            continue
        try:
            done = ws.repo.git.call("ls-remote", "--quiet", "--", name, timeout=_REMOTE_SECONDS)
        except UnavailableError as exc:
            yield Check(f"remote {name}", "warn", str(exc))
            continue
        reachable = done.returncode == 0
        detail = "answers; git fetch brings its notes and logs" if reachable else "does not answer"
        yield Check(f"remote {name}", "ok" if reachable else "warn", detail)
