"""What `gc --remote` and `fsck --remote` do and show."""

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from gitprov.cli.context import workspace
from gitprov.cli.options import emit_json, human_size, note, plural, say
from gitprov.ops.remote_gc import GRACE_DAYS, RemoteCollection, gc_remote
from gitprov.ops.remote_setup import remotes_config
from gitprov.store.transports import open_transport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitprov.store.remote_gc import Doomed
    from gitprov.store.transport import Transport
    from gitprov.workspace import Workspace

_REASONS = {
    "dead": "nothing in them is needed",
    "sparse": "little in them is needed, and is copied",
    "broken": "they hold recipes of what goes",
    "rest": "a push that died has left them",
}


def collect_remote(
    remote: str,
    *,
    clones: "Sequence[str]",
    act: bool,
    grace: int | None,
    ignore_missing: bool,
    offline: bool,
    jobs: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """`gitprov gc --remote`."""
    now = datetime.now(UTC)
    with workspace() as ws:
        done = gc_remote(
            ws,
            opened(ws, remote),
            clones=clones,
            act=act,
            now=now,
            grace_days=GRACE_DAYS if grace is None else grace,
            ignore_missing=ignore_missing,
            offline=offline,
            jobs=jobs,
        )
    if as_json:
        _emit(done)
    elif not quiet:
        _tell(done, now)
    if done.missing and not done.acted:
        note(
            f"gitprov: nobody has {plural(len(done.missing), 'manifest')}, so what they need is "
            "not known: --yes will refuse"
        )


def opened(ws: "Workspace", remote: str) -> "Transport":
    """Opens the remote of a name, the default one for ""."""
    chosen = remotes_config(ws).chosen(remote or None)
    return open_transport(chosen.url, chosen.options(), dict(os.environ))


def _emit(done: RemoteCollection) -> None:
    found = done.collection
    emit_json(
        "gc-remote",
        {
            "remote": done.url,
            "acted": done.acted,
            "grace_days": done.grace_days,
            "versions": done.versions,
            "packs": [
                {
                    "pack": one.pack,
                    "reason": one.reason,
                    "size": one.size,
                    "announced": one.announced,
                    "removed": one.pack in set(found.removed),
                }
                for one in found.doomed
            ],
            "copied": found.copied,
            "removed": len(found.removed),
            "kept": found.kept,
            "kept_bytes": found.kept_bytes,
            "missing": [f"blake3:{root.hex()}" for root in done.missing],
        },
    )


def _tell(done: RemoteCollection, now: datetime) -> None:
    found = done.collection
    gone = set(found.removed)
    new = [one for one in found.doomed if one.announced is None]
    old = [one for one in found.doomed if one.announced is not None and one.pack not in gone]
    left = [one for one in new if one.pack not in gone]
    if gone:
        size = sum(one.size for one in found.doomed if one.pack in gone)
        say(f"removed {plural(len(gone), 'pack')}, {human_size(size)}, from {done.url}")
    if left:
        word = "announced" if done.acted else "would announce"
        _tell_packs(word, left)
    if old:
        _tell_packs("announced before", old)
        first = min(one.announced or 0 for one in old)
        due = datetime.fromtimestamp(first, UTC) + timedelta(days=done.grace_days)
        when = "now" if due <= now else f"from {due:%Y-%m-%d} on"
        say(f"gitprov gc --remote --yes removes the first of them {when}")
    if found.copied:
        word = "copied" if done.acted else "would copy"
        say(f"{word} {human_size(found.copied)} that is needed of them into new packs")
    if not found.doomed:
        say(f"there is nothing to remove in {done.url}")
    kept = plural(found.kept, "pack")
    versions = plural(done.versions, "version")
    say(f"keeps {kept}, {human_size(found.kept_bytes)}, for {versions} of artifacts")
    if left and not done.acted:
        say(f"gitprov gc --remote --yes announces them; they go {done.grace_days} days later")


def _tell_packs(word: str, packs: "Sequence[Doomed]") -> None:
    for reason, meaning in _REASONS.items():
        some = [one for one in packs if one.reason == reason]
        if some:
            size = human_size(sum(one.size for one in some))
            say(f"{word} {plural(len(some), 'pack')}, {size}: {meaning}")
