"""The door for git's hooks: `gitprov hook NAME …`. It loads no library for command lines.

`git commit` waits for what happens here, so every import is one that the hook at hand needs.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence

from gitprov.errors import GitprovError, MalformedError, UnavailableError, VerificationError
from gitprov.git.hooks import run_legacy
from gitprov.workspace import Workspace

PUSHING = "GITPROV_PUSHING"
_HOOKS_DIR = "GITPROV_HOOKS_DIR"
_READS_STDIN = frozenset(("pre-push", "post-rewrite"))

Hook = Callable[[Workspace, Sequence[str], bytes], int]


def run_hook(arguments: Sequence[str]) -> int:
    """Runs one hook: the one that was there before ours first, then ours.

    Returns:
        The exit code for git. Only pre-commit and pre-push can refuse anything.
    """
    if not arguments or arguments[0] not in HOOKS:
        sys.stderr.write(f"gitprov: error: gitprov hook takes one of: {', '.join(HOOKS)}\n")
        return 2
    name, argv = arguments[0], list(arguments[1:])
    if name == "pre-push" and os.environ.get(PUSHING):
        return 0  # our own push of the notes: the user's push has run the hooks already
    stdin = _stdin(name)
    refuses = name.startswith("pre-")
    try:
        given = stdin if name in _READS_STDIN else None
        code = run_legacy(os.environ.get(_HOOKS_DIR, ""), name, argv, given)
        if code and refuses:
            return code
        with _workspace() as ws:
            return HOOKS[name](ws, argv, stdin) or code
    except GitprovError as exc:
        _tell("error" if refuses else "warning", exc)
        return exc.exit_code if refuses else 0
    except KeyboardInterrupt:
        return 130
    except Exception as exc:  # noqa: BLE001 - a bug of ours must not cost anybody a commit
        _tell("warning", GitprovError(f"a bug in the {name} hook: {type(exc).__name__}: {exc}"))
        return 0


def _stdin(name: str) -> bytes:
    # A terminal would make us wait; pre-commit's framework gives none.
    if name not in _READS_STDIN or sys.stdin is None or sys.stdin.isatty():
        return b""
    return sys.stdin.buffer.read()


def _workspace() -> Workspace:
    # git names the repository in GIT_DIR; from a worktree without a .git file only that finds it.
    git_dir, work_tree = os.environ.get("GIT_DIR"), os.environ.get("GIT_WORK_TREE")
    return Workspace.open(
        os.getcwd(),
        waiting=lambda message: _say(message),
        git_dir=os.path.abspath(git_dir) if git_dir else None,
        work_tree=os.path.abspath(work_tree) if work_tree else None,
        offline=True,
    )


def _say(text: str) -> None:
    sys.stderr.write(f"gitprov: {text}\n")


def _tell(word: str, exc: GitprovError) -> None:
    _say(f"{word}: {exc}")
    if exc.hint:
        _say(f"hint: {exc.hint}")


def _pre_commit(ws: Workspace, argv: Sequence[str], stdin: bytes) -> int:
    del argv, stdin
    from gitprov.ops.staged import check_staged

    index_file = os.environ.get("GIT_INDEX_FILE")
    problems = check_staged(ws, index_file=os.path.abspath(index_file) if index_file else None)
    for problem in problems:
        _tell("error", VerificationError(problem.message, hint=problem.hint))
    if problems:
        _say("nothing was committed; `git commit --no-verify` commits all the same")
    return 1 if problems else 0


def _post_commit(ws: Workspace, argv: Sequence[str], stdin: bytes) -> int:
    del argv, stdin
    from gitprov.ops.hooks import after_commit

    after_commit(ws)
    return 0


def _post_rewrite(ws: Workspace, argv: Sequence[str], stdin: bytes) -> int:
    del argv
    from gitprov.ops.hooks import after_rewrite

    after_rewrite(ws, (line.split()[1].decode() for line in stdin.splitlines() if line.strip()))
    return 0


def _post_merge(ws: Workspace, argv: Sequence[str], stdin: bytes) -> int:
    from gitprov.ops.hooks import after_merge

    squash = argv[:1] == ["1"]
    if not squash:
        after_merge(ws)
    return _restore(ws, stdin)


def _post_checkout(ws: Workspace, argv: Sequence[str], stdin: bytes) -> int:
    changed_branch = len(argv) > 2 and argv[2] == "1"
    # During a rebase git checks out one commit after the other; the last one is what counts.
    if not changed_branch or ws.repo.in_progress_rebase():
        return 0
    return _restore(ws, stdin)


def _restore(ws: Workspace, stdin: bytes) -> int:
    del stdin
    if ws.config.hooks.restore == "off":
        return 0
    from gitprov.ops.pointers import pointer_paths

    if not pointer_paths(ws.repo.git):
        return 0
    from gitprov.ops.restore import restore

    restored = restore(ws)
    for path in restored.updated:
        _say(f"restored {path}")
    for message in restored.left:
        _say(message)
    return 0


def _pre_push(ws: Workspace, argv: Sequence[str], stdin: bytes) -> int:
    from gitprov.ops.anchor import anchor_log
    from gitprov.ops.hooks import MAX_UNRECORDED, parse_pushed, unrecorded
    from gitprov.ops.record import record_commits

    remote = argv[0] if argv else "origin"
    deadline = time.monotonic() + ws.config.hooks.push_seconds
    try:
        commits = unrecorded(ws, remote, parse_pushed(stdin))
        if len(commits) > MAX_UNRECORDED:
            _say(f"more than {MAX_UNRECORDED:,} commits without a record: `gitprov record --all`")
        elif commits:
            record_commits(ws, commits)
        anchored = anchor_log(ws)
        if anchored.commits:
            _say(f"signed log head {anchored.size}, anchoring {len(anchored.commits)} commits")
        return _push_evidence(ws, remote, deadline - time.monotonic())
    except UnavailableError as exc:
        _tell("warning", exc)
        return _required(ws)
    except MalformedError as exc:
        _tell("warning", exc)
        return _required(ws)


def _push_evidence(ws: Workspace, remote: str, seconds: float) -> int:
    from gitprov.git.sync import push, remotes

    if remote not in remotes(ws.repo):
        _say(f"notes and log are pushed to named remotes only, not to {remote}")
        return 0
    pushed = push(ws.repo, remote, timeout=max(seconds, 1.0), waiting=ws.waiting)
    if pushed.refs:
        _say(f"pushed notes and log to {remote}")
    return 0


def _required(ws: Workspace) -> int:
    """1 when the policy requires networks: then evidence that did not get out stops the push."""
    from gitprov.verify.policy import Policy

    policy = Policy.parse(dict(ws.config.policy))
    if policy.required is None:
        return 0
    _say(f"the policy requires {policy.required}: nothing was pushed")
    return 1


HOOKS: dict[str, Hook] = {
    "pre-commit": _pre_commit,
    "post-commit": _post_commit,
    "post-rewrite": _post_rewrite,
    "pre-push": _pre_push,
    "post-checkout": _post_checkout,
    "post-merge": _post_merge,
}
