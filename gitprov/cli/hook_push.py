"""What `gitprov hook pre-push` does: records what has no record, signs the log, pushes both."""

import os
import time
from collections.abc import Callable, Iterator, Sequence

from gitprov.errors import GitprovError, UsageError, VerificationError
from gitprov.git.sync import configure, push, remotes
from gitprov.ops.anchor import anchor_log
from gitprov.ops.hooks import MAX_UNRECORDED, parse_pushed, unrecorded
from gitprov.ops.record import record_commits
from gitprov.workspace import Workspace

Say = Callable[[str], None]
Tell = Callable[[str, GitprovError], None]

_MAX_ANCESTORS = 8


def before_push(ws: Workspace, argv: Sequence[str], stdin: bytes, *, say: Say, tell: Tell) -> int:
    """Sends the evidence ahead of the commits, in bounded time.

    Returns:
        0, or 1 when the evidence did not get out and the policy requires it.

    Raises:
        VerificationError: the remote's copy of our log is not a beginning of ours.
    """
    remote = argv[0] if argv else "origin"
    deadline = time.monotonic() + ws.config.hooks.push_seconds
    if _is_dry_run():
        say("a dry run: no record, no signature and no push of notes")
        return 0
    try:
        _record(ws, remote, stdin, say)
        _send_data(ws, stdin, say, tell)
        anchored = anchor_log(ws)
        if anchored.commits:
            number = len(anchored.commits)
            covered = "1 commit" if number == 1 else f"{number:,} commits"
            say(f"signed log head {anchored.size}, anchoring {covered}")
        lacking = _anchor_elsewhere(ws, say, tell)
        if remote not in remotes(ws.repo):
            say(f"notes and log are pushed to named remotes only, not to {remote}")
            return _lacks(lacking, say)
        left = max(deadline - time.monotonic(), 1.0)
        if push(ws.repo, remote, timeout=left, waiting=ws.waiting).refs:
            say(f"pushed notes and log to {remote}")
        if configure(ws.repo, remote):
            say(f"from now on, git fetch {remote} brings its notes and logs along")
        return _lacks(lacking, say)
    except VerificationError:
        raise  # somebody rewrote the log, here or there: that must not go by as a warning
    except GitprovError as exc:
        tell("warning", exc)
        return _required(ws, say)


def _lacks(lacking: str, say: Say) -> int:
    """Keeps the push back when the policy requires what it did not get."""
    if lacking:
        say(f"the policy requires {lacking}: nothing was pushed")
    return 1 if lacking else 0


def _anchor_elsewhere(ws: Workspace, say: Say, tell: Tell) -> str:
    """Has other networks witness the head, within `hooks.anchor_seconds`.

    Returns:
        What the policy requires and did not get, or "".
    """
    if not ws.config.networks:
        return ""
    from gitprov.cli.context import means
    from gitprov.ops.networks import anchor_networks, anchors_config
    from gitprov.verify.policy import Policy

    config = anchors_config(ws)
    ready = [name for name in config.networks if config.is_set_up(name)]
    for name in config.networks:
        if name not in ready:
            say(f"{name} is not set up in this clone: gitprov anchor setup {name} --url …")
    states = anchor_networks(ws, means(ws, seconds=ws.config.hooks.anchor_seconds), ready)
    for state in states:
        if state.problem is not None:
            tell("warning", state.problem)
            say(f"{state.network}: nothing is lost; the next push goes on with it")
        elif state.newest is not None and state.noted:
            say(f"{state.network}: {state.newest.state}, {state.newest.locator}")
    required = Policy.parse(dict(ws.config.policy)).required
    given = {"tlog", *(state.network for state in states if state.submitted)}
    return "" if required is None or required.met_by(given) else str(required)


def _record(ws: Workspace, remote: str, stdin: bytes, say: Say) -> None:
    commits = unrecorded(ws, remote, parse_pushed(stdin))
    if len(commits) > MAX_UNRECORDED:
        say(f"more than {MAX_UNRECORDED:,} commits without a record: `gitprov record --all`")
    elif commits:
        record_commits(ws, commits)


def _send_data(ws: Workspace, stdin: bytes, say: Say, tell: Tell) -> None:
    """Sends the data of what is pushed to the default remote; a push goes on without it."""
    if not any(ws.config.remotes) or ws.config.hooks.push_data == "off":
        return
    from gitprov.ops.remote_setup import remotes_config
    from gitprov.ops.transfer import is_accepted, pushed_commits
    from gitprov.ops.transfer import push as push_data
    from gitprov.store.patience import told_once
    from gitprov.store.transport import Patience
    from gitprov.store.transports import open_transport

    try:
        refs = [(ref.local, ref.remote) for ref in parse_pushed(stdin)]
        commits = pushed_commits(ws, [(new, old) for new, old in refs if new is not None])
        if not commits:
            return
        try:
            chosen = remotes_config(ws).chosen(writing=True)
        except UsageError as exc:
            say(f"no data was sent: {exc}; {exc.hint}")
            return
        if chosen.shared and not is_accepted(ws, chosen.url):
            say(f"no data was sent to {chosen.url}, which a tracked file names: gitprov push --yes")
            return
        transport = open_transport(
            chosen.url, chosen.options(), dict(os.environ), patience=Patience(tell=told_once(say))
        )
        done = push_data(ws, transport, commits)
        if done.objects:
            objects = "1 object" if done.objects == 1 else f"{done.objects:,} objects"
            say(f"sent {objects}, {done.travelled:,} bytes, to {done.url}")
        if done.absent:
            lacking = done.lacking[0].path if done.lacking else f"blake3:{done.absent[0].hex()}"
            more = f" and {len(done.absent) - 1:,} more" if len(done.absent) > 1 else ""
            say(f"neither here nor at {done.url}: {lacking}{more}")
    except GitprovError as exc:
        tell("warning", exc)
        say("the data was not sent: `gitprov push` sends it")


def _required(ws: Workspace, say: Say) -> int:
    from gitprov.verify.policy import Policy

    policy = Policy.parse(dict(ws.config.policy))
    if policy.required is None:
        return 0
    say(f"the policy requires {policy.required}: nothing was pushed")
    return 1


def _is_dry_run() -> bool:
    """Whether this is `git push --dry-run`: git runs the hook all the same and does not tell it.

    Where the system does not say how our parents were started, no push is taken for a dry run.
    """
    for words in _ancestors():
        if os.path.basename(words[0]) == b"git" and b"push" in words:
            options = words[words.index(b"push") + 1 :]
            options = options[: options.index(b"--")] if b"--" in options else options
            return any(word == b"--dry-run" or _has_flag(word) for word in options)
    return False


def _has_flag(word: bytes) -> bool:
    # `-o` takes the rest of its word as a value.
    letters = word[1:].partition(b"o")[0]
    return word[:1] == b"-" and word[:2] != b"--" and b"n" in letters


def _ancestors() -> Iterator[list[bytes]]:
    """The command lines of this process's parents, the nearest first (Linux)."""
    pid = os.getppid()
    for _ in range(_MAX_ANCESTORS):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            with open(f"/proc/{pid}/stat", "rb") as file:
                pid = int(file.read().rpartition(b") ")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return
        yield words
        if pid <= 1:
            return
