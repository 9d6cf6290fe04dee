"""What `gc --remote` and `fsck --remote` do and show."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from gitprov.cli.context import open_remote, workspace
from gitprov.cli.options import emit_json, human_size, note, plural, say
from gitprov.cli.progress import progress
from gitprov.core.digest import Digest
from gitprov.ops.remote_fsck import RemoteCheck, fsck_remote, shown
from gitprov.ops.remote_gc import GRACE_DAYS, RemoteCollection, gc_remote
from gitprov.ops.remote_setup import remotes_config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitprov.store.remote_gc import Doomed
    from gitprov.store.transport import Transport
    from gitprov.workspace import Workspace

_NAMED = 20
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
            opened(ws, remotes_config(ws).chosen(remote).name, writing=True),
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


def opened(ws: "Workspace", remote: str, *, writing: bool = False) -> "Transport":
    """Opens the remote of a name, the default one for ""."""
    chosen = remotes_config(ws).chosen(remote or None, writing=writing)
    return open_remote(chosen)


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


def check_remote(
    remote: str, *, sample: float | None, mend: bool, jobs: int, as_json: bool, quiet: bool
) -> None:
    """`gitprov fsck --remote`."""
    with workspace() as ws, progress("checking", quiet=quiet or as_json) as meter:
        done = fsck_remote(
            ws,
            opened(ws, remote),
            sample=sample,
            seed=secrets.randbits(32),
            mend=mend,
            jobs=jobs,
            meter=meter,
        )
    if as_json:
        _emit_check(done)
    else:
        _tell_check(done, mend=mend, quiet=quiet)
    if not done.is_whole:
        raise click.exceptions.Exit(1)


def _emit_check(done: RemoteCheck) -> None:
    found = done.inspection
    emit_json(
        "fsck-remote",
        {
            "verdict": "pass" if done.is_whole else "fail",
            "remote": done.url,
            "repaired": done.repaired,
            "packs": found.packs,
            "blocks": found.blocks,
            "bytes": found.size,
            "rests": len(found.rests),
            "seed": done.seed,
            "problems": [
                {
                    "kind": one.kind,
                    "detail": one.detail,
                    "digest": f"blake3:{one.digest.hex()}" if one.digest else None,
                }
                for one in done.problems
            ],
            "store": [
                {
                    "kind": one.kind,
                    "detail": one.detail,
                    "digest": str(one.digest) if one.digest else None,
                    "files": list(one.files),
                }
                for one in done.store
            ],
            "lacking": [*shown(done.lacking)],
            "lost": [*shown(done.lost)],
            "mended": [*shown(done.mended)],
            "files": {str(Digest(one)): list(names) for one, names in done.files.items()},
        },
    )


def _tell_check(done: RemoteCheck, *, mend: bool, quiet: bool) -> None:
    files = done.files
    lines = [
        (one.kind, one.detail, one.files or (one.digest and files.get(one.digest.raw)))
        for one in done.store
    ]
    lines += [(one.kind, one.detail, files.get(one.digest or b"")) for one in done.problems]
    lines += [("lost", f"neither side has {Digest(one)}", files.get(one)) for one in done.lost]
    for kind, detail, names in lines[:_NAMED]:
        say(f"{click.style(kind, fg='red')}  {detail}")
        _tell_files(names or ())
    if len(lines) > _NAMED:
        say(f"and {len(lines) - _NAMED:,} more: --json names them all")
    if done.lacking:
        verb = "sent" if done.repaired else "lacks"
        objects = plural(len(done.lacking), "object")
        say(
            f"{verb} {objects} that commits here need and {done.url} did not have"
            if done.repaired
            else f"{done.url} {verb} {objects} that commits here need"
        )
        _tell_files(sorted({name for one in done.lacking for name in files.get(one, ())}))
    if done.mended:
        say(f"mended {plural(len(done.mended), 'blob')} of the store")
    if quiet:
        return
    found = done.inspection
    read = f"{plural(found.blocks, 'block')}, {human_size(found.size)}"
    sampled = "" if done.seed is None else f" (a sample, drawn with {done.seed})"
    packs = plural(found.packs, "pack")
    word = "is intact" if done.is_whole and not lines and not done.lacking else "was checked"
    say(f"{done.url} {word}: {packs}; read {read}{sampled}")
    if found.rests:
        rests = plural(len(found.rests), "pack")
        say(f"{rests} without an index are left of pushes that died: gitprov gc --remote")
    if done.is_whole and (lines or done.lacking):
        say("everything was repaired")
    elif not done.is_whole:
        _hint(done, mend=mend)


def _tell_files(names: "Sequence[str]") -> None:
    for name in names[:_NAMED]:
        say(f"         {name}")
    if len(names) > _NAMED:
        say(f"         and {len(names) - _NAMED:,} more: --json names them all")


def _hint(done: RemoteCheck, *, mend: bool) -> None:
    if not done.can_be_written and (done.problems or done.lacking):
        note(
            f"gitprov: hint: {done.url} can only be read: gitprov fsck --remote NAME --repair "
            "repairs the folder or bucket that it serves"
        )
    elif not mend:
        note(
            "gitprov: hint: --repair repairs each side from the other; `gitprov push --all` sends "
            "what was never pushed"
        )
    elif done.lost:
        note(
            "gitprov: hint: `gitprov push --all`, or fsck --remote --repair, from a clone that has "
            "what is lost"
        )
